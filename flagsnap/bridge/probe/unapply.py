"""Unapplying: exactly the planned migrations, segment by segment."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Dict, List, Set

from django.apps import apps
from django.db import DatabaseError, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from flagsnap.bridge.probe.channel import Channel, Refused
from flagsnap.bridge.probe.loading import Key, full_plan, identify, key_of, keys, load_executor
from flagsnap.bridge.probe.recorder import Recorder, rename_content_types_by_sql
from flagsnap.bridge.probe.watching import blamed_on

SESSION_SETTINGS = ("application_name", "client_connection_check_interval", "lock_timeout")


class Unapply:
    """Unapplies exactly the planned migrations, segment by segment; `django_migrations` is the journal."""

    def __init__(self, connection: Any, channel: Channel, request: Dict[str, Any]) -> None:
        self.connection = connection
        self.channel = channel
        self.request = request
        self.expected = keys(request["applied"])
        self.recorder = Recorder(connection) if request.get("record") else None

    def run(self) -> None:
        """Check that this is the right database, then go back."""
        found = identify(self.connection)
        for name in ("database", "system_identifier"):
            if None not in (found[name], self.request[name]) and found[name] != self.request[name]:
                raise Refused("usage", "the project is connected to another database: %s" % found["database"])
        if self.recorder:
            self.channel.send("session", **self.recorder.session())
        executor = load_executor(self.connection, keys(self.request["recorded"]))
        plan = full_plan(executor)
        by_key = {key_of(migration): migration for migration in plan}
        segments = self.request["segments"]
        wanted = {tuple(key) for segment in segments for key in segment["migrations"]}
        self.rename_content_types(plan, wanted)
        states = self.states_before(executor, plan, wanted)
        for segment in segments:
            migrations = [by_key[tuple(key)] for key in segment["migrations"]]
            if segment["atomic"]:
                with transaction.atomic(using=self.connection.alias):
                    self.prepare("LOCAL")
                    self.unapply(executor, migrations, states)
            else:
                self.prepare("SESSION")
                self.unapply(executor, migrations, states)
                self.reset()
            self.channel.send("committed", migrations=segment["migrations"])

    def rename_content_types(self, plan: List[Any], wanted: Set[Key]) -> None:
        """Have the content types of renamed models renamed too.

        `migrate` does it by a receiver of `pre_migrate`, a signal that would set off the project's own receivers too.
        """
        if apps.is_installed("django.contrib.contenttypes"):
            from django.contrib.contenttypes.management import (  # noqa: PLC0415  # only where it is installed
                inject_rename_contenttypes_operations,
            )

            going = [(migration, True) for migration in plan if key_of(migration) in wanted]
            inject_rename_contenttypes_operations(going, using=self.connection.alias)
            if self.recorder:
                rename_content_types_by_sql(migration for migration, _ in going)

    def states_before(self, executor: MigrationExecutor, plan: List[Any], wanted: Set[Key]) -> Dict[Key, Any]:
        """The project's state before each migration that is to be unapplied.

        Nothing that stays depends on what goes, so all that stays comes first, and models are rendered once, behind
        it. MigrationExecutor._migrate_all_backwards goes by the order of the plan and renders anew for every
        operation behind the first that goes: on a real Flagsmith that takes ten times as long, and gives the same
        models.
        """
        state = ProjectState(real_apps=executor.loader.unmigrated_apps)
        for migration in plan:
            replaced = keys(migration.replaces)
            if key_of(migration) not in wanted and (key_of(migration) in self.expected or replaced & self.expected):
                migration.mutate_state(state, preserve=False)
        state.apps  # noqa: B018  # rendered here, so that the states that follow share the models
        states: Dict[Key, Any] = {}
        for migration in plan:
            if key_of(migration) in wanted:
                states[key_of(migration)] = state
                state = migration.mutate_state(state, preserve=True)
                self.channel.send("prepared", count=len(states))
        return states

    def reset(self) -> None:
        """Give the session back as it was: behind a pooler it becomes somebody else's."""
        with self.connection.cursor() as cursor:
            for name in SESSION_SETTINGS:
                cursor.execute("RESET " + name)

    def prepare(self, scope: str) -> None:
        """Bound the wait for locks, keep other runs out, and see that nothing has moved."""
        self.watch_the_client(scope)
        with self.connection.cursor() as cursor:
            cursor.execute("SET %s lock_timeout = %d" % (scope, self.request["lock_timeout_ms"]))
            cursor.execute("SET %s application_name = 'flagsnap unapply'" % scope)
            if scope == "LOCAL":
                cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [self.request["lock_key"]])
                if not cursor.fetchone()[0]:
                    raise Refused("locked", "another run is unapplying migrations")
        if set(MigrationRecorder(self.connection).applied_migrations()) != self.expected:
            raise Refused("moved", "the applied migrations have changed since the plan was made")

    def watch_the_client(self, scope: str) -> None:
        """Have PostgreSQL end a statement whose client is gone; else it would go on, with all locks, to its end."""
        try:
            with transaction.atomic(using=self.connection.alias), self.connection.cursor() as cursor:
                cursor.execute("SET %s client_connection_check_interval = 1000" % scope)
        except DatabaseError:
            pass  # older than PostgreSQL 14, or on a platform where it cannot; whoever comes next has to wait

    def unapply(self, executor: MigrationExecutor, migrations: List[Any], states: Dict[Key, Any]) -> None:
        """Unapply neighbours; inside of a transaction if they are atomic."""
        for migration in migrations:
            key = key_of(migration)
            self.channel.send("unapplying", migration=key)
            with blamed_on(key):
                self.unapply_one(executor, migration, states[key])

    def unapply_one(self, executor: MigrationExecutor, migration: Any, state: Any) -> None:
        """Unapply one, and its rows."""
        key = key_of(migration)
        rows = sorted((keys(migration.replaces) | {key}) & self.expected)
        with ExitStack() as stack:
            if self.recorder:
                stack.enter_context(self.recorder.recording(migration, executor.recorder))
            executor.unapply_migration(state, migration)
            # Before Django 4.1 the row of a squashed migration itself stays.
            executor.recorder.record_unapplied(*key)
        if self.recorder:
            found = self.recorder.answer()
            self.channel.send("recorded", migration=key, atomic=migration.atomic, rows=rows, operations=found)
        self.expected -= keys(migration.replaces) | {key}
        if migration.atomic:
            # Deferred constraints of this one must not be pending when the next alters the same table; between
            # transactions the commit sees to that.
            self.connection.check_constraints()
