"""The SQL that the parts of a refill have in common.

`t` is the live table and `s` the temporary one. Values are compared as the server stores them (`*=` and `*<>` on
records, PostgreSQL, "Record Comparison"): types such as json have no other equality, and that of others hides a change.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import DataError, NotSupportedError, ProgrammingError, errors, sql

from flagsnap.errors import FlagsnapError
from flagsnap.postgres.connection import Connection
from flagsnap.postgres.refill.copying import SCHEMA
from flagsnap.postgres.refill.targets import ForeignKey, Target


class Unfit(FlagsnapError):
    """The snapshot's values do not fit the SQL of an item."""


@dataclass(frozen=True)
class Loaded:
    """A table's recorded rows in the temporary table `name`."""

    target: Target
    name: str
    columns: tuple[str, ...]
    rows: int

    @property
    def source(self) -> sql.Identifier:
        """The temporary table in SQL."""
        return sql.Identifier(SCHEMA, self.name)

    def writable(self) -> list[str]:
        """The columns that the live table has too, and that can be written."""
        return self.target.writable(self.columns)


@dataclass(frozen=True)
class Written:
    """How many recorded rows were written, how many of them in the place of something, how many were not."""

    rows: int
    replaced: int = 0
    skipped: int = 0


@contextmanager
def fitting(connection: Connection) -> Iterator[None]:
    """Undo what fails because the recorded values do not fit; Unfit."""
    try:
        with connection.transaction():
            yield
    except errors.InsufficientPrivilege:
        raise
    except (DataError, ProgrammingError, NotSupportedError) as error:
        raise Unfit(str(error).splitlines()[0]) from error


def has_parent(parent: sql.Composable, key: ForeignKey, new: Mapping[str, sql.Composable]) -> sql.Composed:
    """Whether a row's parent is in a table; `new` has the values that its columns will hold, else `s` has them."""
    same = [
        sql.SQL("p.{} = {}").format(sql.Identifier(name), new.get(column, of("s", column)))
        for name, column in zip(key.keys, key.columns, strict=True)
    ]
    return sql.SQL("EXISTS (SELECT FROM {} AS p WHERE {})").format(parent, conjunction(same))


def is_written(target: Target, name: str) -> sql.Composed:
    """Whether a column holds a value that somebody has written."""
    column = of("t", name)
    others = [differ([column], [sql.SQL(value)]) for value in target.columns[name].empty]
    return sql.SQL("({})").format(conjunction([sql.SQL("{} IS NOT NULL").format(column), *others]))


def differ(one: Sequence[sql.Composable], other: Sequence[sql.Composable]) -> sql.Composed:
    """Whether two lists of values are not the same."""
    rows = [sql.SQL("ROW({})::record").format(sql.SQL(", ").join(side)) for side in (one, other)]
    return sql.SQL("{} *<> {}").format(*rows)


def same(key: Sequence[str], one: str, other: str) -> sql.Composed:
    """Whether two sides have the same key."""
    return conjunction([sql.SQL("{} = {}").format(of(one, name), of(other, name)) for name in key])


def conjunction(conditions: Sequence[sql.Composable]) -> sql.Composed:
    """All of the conditions."""
    return sql.SQL(" AND ").join(conditions)


def assignments(values: Mapping[str, sql.Composable]) -> sql.Composed:
    """What stands behind SET."""
    return sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in values.items())


def listed(columns: Sequence[str], side: str | None = None) -> sql.Composed:
    """Columns, of one side if it is named."""
    return sql.SQL(", ").join(of(side, name) if side else sql.Identifier(name) for name in columns)


def of(side: str, name: str) -> sql.Identifier:
    """A column of one side."""
    return sql.Identifier(side, name)


def alias(target: Target) -> sql.Identifier:
    """The name by which conditions and expressions know the table."""
    return sql.Identifier(target.key[1])
