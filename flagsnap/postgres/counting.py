"""Counting on the live database what a rollback would lose, exactly as long as there is time.

In the transaction that is open, which never writes: what is counted may be SQL of the project's own.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import psycopg
from psycopg import errors as pg_errors
from psycopg import sql

from flagsnap.loss.values import Kind, Question, TableKey
from flagsnap.loss.writes import Writes, Written
from flagsnap.postgres.connection import Connection, lift_time_limits
from flagsnap.postgres.facts import read_row_tables, read_write_counters
from flagsnap.snapshot import TableRows

_ESTIMATE_SECONDS = 1.0
# Reverse SQL means a table with its partitions and heirs; of the structure each is asked for its own rows.
_WITH_HEIRS: frozenset[Kind] = frozenset({"rows_deleted", "rows_updated"})


class Count(NamedTuple):
    """A number of rows; None where it cannot be told."""

    rows: int | None
    estimated: bool = False

    @property
    def is_certain(self) -> bool:
        """Whether there are such rows for sure."""
        return bool(self.rows) and not self.estimated


class _Scan(NamedTuple):
    """What one statement reads."""

    table: TableKey
    with_heirs: bool = False


@dataclass(frozen=True)
class Counting:
    """Counts until its time is up, and then asks the planner."""

    connection: Connection
    deadline: float

    @classmethod
    def within(cls, connection: Connection, seconds: float) -> "Counting":
        """Begin to count: the transaction reads only, and all at one moment."""
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        lift_time_limits(connection)
        # Django's connections are in UTC, and so are the casts that it makes.
        connection.execute("SET LOCAL TimeZone = 'UTC'; SET LOCAL jit = off")
        return cls(connection, time.monotonic() + seconds)

    def answers(self, questions: Sequence[Question]) -> Iterator[tuple[Question, Count]]:
        """Each question with its answer. The smallest tables are counted first, each in one scan for all questions."""
        sizes = read_row_tables(self.connection)
        counts = {each: Count(each.recorded) for each in questions}
        open_questions = [each for each in questions if each.recorded is None and each.condition is not None]
        by_scan = sorted(open_questions, key=lambda each: (sizes.get(_scan(each).table, 0), _scan(each)))
        for scan, asked in groupby(by_scan, key=_scan):
            of_table = list(dict.fromkeys(asked))
            counts.update(zip(of_table, self._count(scan, [str(each.condition) for each in of_table]), strict=True))
        yield from counts.items()

    def written(
        self, recorded: Sequence[TableRows], names: Mapping[TableKey, TableKey], left_out: frozenset[TableKey]
    ) -> tuple[Written, ...]:
        """Rows and write counters of the tables, beside the recorded ones; `names` says what those are called now.

        `django_migrations` is left out: deploys write it.
        """
        sizes = read_row_tables(self.connection)
        counters = read_write_counters(self.connection)
        keys = {(each.schema_name, each.table): each for each in recorded}
        before = {names.get(key, key): each for key, each in keys.items()}
        found: dict[TableKey, Written] = {}
        for table in reversed(sizes):
            if table[1] == "django_migrations" or table in left_out:
                continue
            ((rows, estimated),) = self._count(_Scan(table), [""])
            then = before.get(table)
            found[table] = Written(
                ".".join(table),
                Writes(then.rows, then.inserted, then.updated, then.deleted) if then else None,
                Writes(rows, *counters.get(table, (0, 0, 0))),
                estimated,
            )
        return tuple(found[table] for table in sorted(found))

    def rows(self, tables: Sequence[TableKey]) -> Iterator[tuple[TableKey, Count]]:
        """The rows of some tables; of a foreign table they are another database's."""
        sizes = read_row_tables(self.connection)
        for table in tables:
            if table in sizes:
                yield table, self._count(_Scan(table), [""])[0]

    def _count(self, scan: _Scan, conditions: Sequence[str]) -> list[Count]:
        try:
            return [Count(rows) for rows in self._exactly(scan, conditions)]
        except pg_errors.QueryCanceled:
            return [self._estimate(scan, condition) for condition in conditions]
        except psycopg.OperationalError:
            raise
        except psycopg.Error:
            # One of the conditions cannot be evaluated: a cast fails, or it is SQL that was not understood after all.
            if len(conditions) == 1:
                return [Count(None)]
            return [count for condition in conditions for count in self._count(scan, [condition])]

    def _exactly(self, scan: _Scan, conditions: Sequence[str]) -> tuple[int, ...]:
        """QueryCanceled if there is no time for it."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise pg_errors.QueryCanceled
        counts = sql.SQL(", ").join(sql.SQL("count(*) FILTER (WHERE {})").format(_sql(each)) for each in conditions)
        return self._ask(sql.SQL("SELECT {} FROM {}").format(counts, _from(scan)), left)

    def _estimate(self, scan: _Scan, condition: str) -> Count:
        """What the planner takes for granted, from the statistics of the last ANALYZE."""
        statement = sql.SQL("EXPLAIN (FORMAT JSON) SELECT FROM {} WHERE {}").format(_from(scan), _sql(condition))
        try:
            (plan,) = self._ask(statement, _ESTIMATE_SECONDS)
        except (pg_errors.QueryCanceled, psycopg.ProgrammingError, psycopg.DataError):
            return Count(None)
        return Count(int(plan[0]["Plan"]["Plan Rows"]), estimated=True)

    def _ask(self, statement: sql.Composed, seconds: float) -> tuple[Any, ...]:
        """Run one statement in a savepoint, so that its failure leaves the transaction alive."""
        with self.connection.transaction():
            limit = f"{max(1, int(seconds * 1000))}ms"
            self.connection.execute("SELECT set_config('statement_timeout', %s, true)", (limit,))
            # In the extended protocol, which `binary` asks for, there is no second statement.
            return self.connection.execute(statement, binary=True).fetchone() or ()


def _scan(question: Question) -> _Scan:
    return _Scan((question.schema, question.table), question.kind in _WITH_HEIRS)


def _from(scan: _Scan) -> sql.Composed:
    return sql.SQL("{}{}").format(sql.SQL("" if scan.with_heirs else "ONLY "), sql.Identifier(*scan.table))


def _sql(condition: str) -> sql.Composed:
    # It may end with a comment.
    return sql.SQL("({}\n)").format(sql.SQL(condition or "true"))
