"""Looking on while a migration runs: operation by operation, and at what PostgreSQL counts."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import Any, Callable, Dict, Iterator, List, NamedTuple

from django.db.migrations import operations

from flagsnap.bridge.probe.channel import Refused

# A truncated table's counters begin anew, but it has another file (pgstat_count_truncate in pgstat_relation.c).
TABLES = """
SELECT c.oid::bigint, n.nspname, c.relname, pg_relation_filenode(c.oid)::bigint,
       {}
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname !~ '^(pg_|information_schema$)'
"""


class MigrationRaised(Exception):
    """What a migration's own code or SQL raised, which is the cause of this; its key, if it can be told."""

    def __init__(self, key: Any) -> None:
        super().__init__(key)
        self.key = key


COUNTERS = " + ".join("pg_stat_get_{0}tuples_%s(c.oid)" % each for each in ("inserted", "updated", "deleted"))


@contextmanager
def blamed_on(key: Any) -> Iterator[None]:
    """Have it said of which migration an error is."""
    try:
        yield
    except (MigrationRaised, Refused):
        raise
    except BaseException as error:
        raise MigrationRaised(key) from error


class Table(NamedTuple):
    """A table as it is now; `written` counts its rows that were inserted, updated or deleted."""

    schema: str
    name: str
    filenode: Any
    written: int

    def __str__(self) -> str:
        return self.schema + "." + self.name


def tables(connection: Any) -> Dict[int, Table]:
    """All tables by oid: inside a transaction with what it has written, else with what all have written until now.

    Before PostgreSQL 15, statistics can be had neither at once nor of this session alone, and the count stands still.
    """
    with connection.cursor() as cursor:
        counters = COUNTERS.format("xact_") if connection.in_atomic_block else "0"
        if not connection.in_atomic_block and connection.pg_version >= 150000:
            cursor.execute("SELECT pg_stat_force_next_flush()")
            counters = COUNTERS.format("")
        cursor.execute(TABLES.format(counters))
        return {oid: Table(*found) for oid, *found in cursor.fetchall()}


def leaves(found: List[Any], method: str) -> Iterator[Any]:
    """The operations that act on the database, one by one, where `method` is what acts."""
    container = operations.SeparateDatabaseAndState
    for operation in found:
        if getattr(type(operation), method) is getattr(container, method):
            yield from leaves(operation.database_operations, method)
        else:
            yield operation


@contextmanager
def replaced(thing: Any, name: str, around: Callable[..., Any]) -> Iterator[None]:
    """Have `around` called in place of one object's method, with the method in front of what it is called with."""
    original, own = getattr(thing, name), name in vars(thing)
    setattr(thing, name, lambda *arguments, **named: around(original, *arguments, **named))
    try:
        yield
    finally:
        if own:
            setattr(thing, name, original)
        else:
            delattr(thing, name)


@contextmanager
def watched(found: List[Any], method: str, around: Callable[[Any, Callable[[], Any]], Any]) -> Iterator[None]:
    """Have `around` called for each operation, with what runs it."""

    def watch(operation: Any) -> Any:
        return replaced(
            operation,
            method,
            lambda run, *arguments, **named: around(operation, lambda: run(*arguments, **named)),
        )

    with ExitStack() as stack:
        for operation in {id(each): each for each in leaves(found, method)}.values():
            stack.enter_context(watch(operation))
        yield
