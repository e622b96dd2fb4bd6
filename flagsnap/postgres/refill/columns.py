"""The set-based SQL of a refill: columns of tables that are there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from flagsnap.loss.values import RefillItem
from flagsnap.postgres.connection import Connection
from flagsnap.postgres.refill.row_sql import (
    Loaded,
    Written,
    alias,
    assignments,
    conjunction,
    differ,
    fitting,
    has_parent,
    is_written,
    of,
    same,
)
from flagsnap.postgres.refill.targets import Target


@dataclass(frozen=True)
class Columns:
    """Columns of one table that come back in one UPDATE: items of the same key, condition and cast."""

    loaded: Loaded
    items: tuple[RefillItem, ...]

    @property
    def key(self) -> tuple[str, ...]:
        """How rows find each other."""
        return self.items[0].key

    @property
    def names(self) -> tuple[str, ...]:
        """All columns, each once."""
        return tuple(dict.fromkeys(name for item in self.items for name in item.columns))

    def without(self, left_out: Sequence[RefillItem]) -> "Columns":
        """The same without some items."""
        return Columns(self.loaded, tuple(item for item in self.items if item not in left_out))

    @property
    def source(self) -> sql.Composable:
        """The recorded rows that are meant."""
        if not self.items[0].condition:
            return self.loaded.source
        return sql.SQL("(SELECT * FROM {} AS {} WHERE {})").format(
            self.loaded.source, alias(self.loaded.target), sql.SQL(self.items[0].condition)
        )

    @property
    def values(self) -> Mapping[str, sql.Composable]:
        """What each column is to hold: the recorded value, or its own where that may not come back."""
        return {name: self._value(name) for name in self.names}

    def _value(self, name: str) -> sql.Composable:
        guards = [
            sql.SQL("({} OR {})").format(
                sql.SQL(" OR ").join(sql.SQL("{} IS NULL").format(new[column]) for column in key.columns),
                has_parent(sql.Identifier(*key.parent), key, new),
            )
            for key in self.loaded.target.foreign_keys
            if name in key.columns
            for new in [{each: of("s" if each in self.names else "t", each) for each in key.columns}]
        ]
        if through := self.items[0].through:
            cast = sql.SQL("({}::{})::{}").format(
                of("s", name), sql.SQL(through), sql.SQL(self.loaded.target.columns[name].type)
            )
            guards.append(sql.SQL("NOT ({})").format(differ([of("t", name)], [cast])))
        if nulls := self.items[0].nulls:
            given = sql.SQL("({})::{}").format(sql.SQL(nulls), sql.SQL(self.loaded.target.columns[name].type))
            guards.append(sql.SQL("NOT ({})").format(differ([of("t", name)], [given])))
        if not guards:
            return of("s", name)
        return sql.SQL("CASE WHEN {} THEN {} ELSE {} END").format(conjunction(guards), of("s", name), of("t", name))


def has_values(connection: Connection, target: Target, item: RefillItem) -> bool:
    """Whether some row holds a value in these columns that somebody has written."""
    written = sql.SQL(" OR ").join(is_written(target, name) for name in item.columns)
    statement = sql.SQL("SELECT FROM {} AS t WHERE {} LIMIT 1").format(target.rows, written)
    return connection.execute(statement).fetchone() is not None


def measure(connection: Connection, columns: Columns) -> tuple[Written, ...]:
    """What `update` will do, item by item, counted exactly. Unfit if a condition or a cast cannot be computed."""
    values, target = columns.values, columns.loaded.target
    asked: list[sql.Composable] = []
    for item in columns.items:
        now, recorded = ([of(side, name) for name in item.columns] for side in ("t", "s"))
        new = [values[name] for name in item.columns]
        held = sql.SQL(" OR ").join(is_written(target, name) for name in item.columns)
        asked += [
            differ(now, new),
            sql.SQL("{} AND ({})").format(differ(now, new), held),
            differ(new, recorded) if new != recorded else sql.SQL("false"),
        ]
    counts = sql.SQL(", ").join(sql.SQL("count(*) FILTER (WHERE {})").format(each) for each in asked)
    statement = sql.SQL(
        "SELECT (SELECT count(*) FROM {source} AS s), count(*), {counts} FROM {rows} AS t JOIN {source} AS s ON {same}"
    ).format(source=columns.source, counts=counts, rows=target.rows, same=same(columns.key, "t", "s"))
    with fitting(connection):
        recorded_rows, met, *found = connection.execute(statement).fetchone() or (0, 0)
    return tuple(
        Written(rows, replaced, recorded_rows - met + kept)
        for rows, replaced, kept in zip(found[::3], found[1::3], found[2::3], strict=True)
    )


def update(connection: Connection, columns: Columns) -> None:
    """Write the columns, where they differ."""
    values = columns.values
    connection.execute(
        sql.SQL("UPDATE {} AS t SET {} FROM {} AS s WHERE {} AND {}").format(
            columns.loaded.target.rows,
            assignments(values),
            columns.source,
            same(columns.key, "t", "s"),
            differ([of("t", name) for name in values], list(values.values())),
        )
    )
