"""Migrating forward as a deploy does, and what each migration blocks, rewrites and writes meanwhile."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack, contextmanager
from typing import Any, Callable, Dict, Iterator, Optional, Tuple

from django.core.management import call_command
from django.db import transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.executor import MigrationExecutor

from flagsnap.bridge.probe.channel import Channel
from flagsnap.bridge.probe.loading import key_of
from flagsnap.bridge.probe.watching import Table, blamed_on, tables, watched

# From the weakest: each of these keeps others from writing, the last from reading too ("Explicit Locking").
MODES = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")
LOCKS = """
SELECT relation::bigint, mode FROM pg_locks
WHERE locktype = 'relation' AND pid = pg_backend_pid() AND granted AND mode = ANY (%s)
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# What may run in a transaction of its own as well as in none.
BY_ITSELF = re.compile(
    r"\s*(?:(?:ALTER|CREATE|DROP)\s+TABLE|(?:CREATE(?:\s+UNIQUE)?|DROP)\s+INDEX|INSERT|UPDATE|DELETE|TRUNCATE)\b"
    r"(?!.*\bCONCURRENTLY\b)",
    re.IGNORECASE | re.DOTALL,
)
OWN_TABLE = "django_migrations"
IDLE = 0  # the transaction status of both psycopg and psycopg2


class Forward:
    """Runs `migrate`, and tells of each migration when it is applied for good."""

    def __init__(self, connection: Any, channel: Channel) -> None:
        self.connection = connection
        self.channel = channel
        self.watch: Optional[Watch] = None

    def run(self) -> None:
        """Apply all that is not applied."""
        with self.hooked(), blamed_on(None):
            call_command("migrate", interactive=False, verbosity=0, database=self.connection.alias)

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Have Django's classes call us; they are what every `migrate` command uses, also one of the project's own."""
        apply, leave = MigrationExecutor.apply_migration, BaseDatabaseSchemaEditor.__exit__

        def apply_migration(executor: Any, state: Any, migration: Any, *options: Any, **named: Any) -> Any:
            if executor.connection is not self.connection:
                return apply(executor, state, migration, *options, **named)
            return self.applied(migration, lambda: apply(executor, state, migration, *options, **named))

        def exit_editor(editor: Any, *raised: Any) -> None:
            if self.watch and editor.connection is self.connection:
                self.watch.leaving(editor, lambda *given: leave(editor, *given), *raised)
            else:
                leave(editor, *raised)

        MigrationExecutor.apply_migration = apply_migration
        BaseDatabaseSchemaEditor.__exit__ = exit_editor
        try:
            yield
        finally:
            MigrationExecutor.apply_migration = apply
            BaseDatabaseSchemaEditor.__exit__ = leave

    def applied(self, migration: Any, run: Callable[[], Any]) -> Any:
        """Run one migration, and tell of it."""
        watch = self.watch = Watch(self.connection, migration)
        with blamed_on(key_of(migration)), watch.watching():
            state = run()
        self.watch = None
        self.channel.send("migrated", migration=key_of(migration), atomic=migration.atomic, **watch.answer())
        return state


class Watch:
    """What one migration does to the tables."""

    def __init__(self, connection: Any, migration: Any) -> None:
        self.connection = connection
        self.migration = migration
        self.before = tables(connection)
        self.after = self.before
        self.rows: Dict[str, int] = {}
        self.seconds = self.looked = 0.0  # what the migration took, and what we did
        self.started = self.begun = self.now()
        self.open: Dict[Tuple[int, str], float] = {}  # since when each lock of the transaction that is open is held
        self.held: Dict[Tuple[int, str], float] = {}  # for how long it was at most

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch what happens inside."""
        with ExitStack() as stack:
            stack.enter_context(watched(self.migration.operations, "database_forwards", self.operation))
            if not self.migration.atomic:
                stack.enter_context(self.connection.execute_wrapper(self.execute))
            yield
        self.seconds = self.now() - self.started
        self.after = tables(self.connection)
        if not self.migration.atomic:
            self.count_rows(self.before, self.after)

    def operation(self, _: Any, run: Callable[[], Any]) -> Any:
        """Run one operation, and see what it holds."""
        self.begun = self.now()
        result = run()
        if self.connection.in_atomic_block:
            self.look()
            if not self.migration.atomic:  # the transaction is this operation's own, and ends now
                self.released()
        return result

    def execute(self, execute: Any, sql: Any, params: Any, many: bool, context: Dict[str, Any]) -> Any:
        """Run a statement that has no transaction in one, so that its locks can be seen before they are gone."""
        alone = not self.connection.in_atomic_block and BY_ITSELF.match(str(sql))
        if not alone or self.connection.connection.info.transaction_status != IDLE:
            return execute(sql, params, many, context)
        self.begun = self.now()
        with transaction.atomic(using=self.connection.alias):
            result = execute(sql, params, many, context)
            self.look()
        self.released()
        return result

    def leaving(self, editor: Any, leave: Callable[..., None], *raised: Any) -> None:
        """Do what was deferred to the end of the transaction, and look at it before it is committed."""
        if raised[0] is None and self.migration.atomic and self.connection.in_atomic_block:
            self.begun = self.now()
            try:
                for statement in editor.deferred_sql:
                    editor.execute(statement, None)
            except BaseException as error:
                leave(type(error), error, error.__traceback__)
                raise
            editor.deferred_sql = []
            self.look()
            with self.looking():
                self.count_rows({}, tables(self.connection))
        leave(*raised)
        if not self.connection.in_atomic_block:  # else it was an editor of the migration's own
            self.released()

    def look(self) -> None:
        """See which locks are held."""
        with self.looking(), self.connection.cursor() as cursor:
            cursor.execute(LOCKS, [list(MODES)])
            for relation, mode in cursor.fetchall():
                if relation in self.before:
                    self.open.setdefault((relation, mode), self.begun)

    def now(self) -> float:
        """The time, without what we took of it."""
        return time.monotonic() - self.looked

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Keep our own time apart."""
        started = time.monotonic()
        yield
        self.looked += time.monotonic() - started

    def released(self) -> None:
        """The transaction has ended."""
        now = self.now()
        for lock, since in self.open.items():
            self.held[lock] = max(self.held.get(lock, 0.0), now - since)
        self.open = {}

    def count_rows(self, before: Dict[int, Table], now: Dict[int, Table]) -> None:
        """Count the rows that were written between."""
        for oid, table in now.items():
            start = before[oid].written if oid in before else 0
            if table.written > start and table.name != OWN_TABLE:
                self.rows[str(table)] = table.written - start

    def answer(self) -> Dict[str, Any]:
        """What there is to tell; tables by the names that they had before, rows by those that they have now."""
        strongest = dict(sorted(self.held, key=lambda lock: MODES.index(lock[1])))
        return {
            "seconds": self.seconds,
            "locks": [
                {"table": str(self.before[oid]), "mode": mode, "seconds": self.held[oid, mode]}
                for oid, mode in sorted(strongest.items())
            ],
            "rewritten": [
                str(table)
                for oid, table in sorted(self.before.items())
                if oid in self.after and self.after[oid].filenode != table.filenode
            ],
            "rows": self.rows,
        }
