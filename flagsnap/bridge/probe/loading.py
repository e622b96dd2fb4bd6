"""The migrations on disk and in the database, as Django loads them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Set, Tuple

from django.db import transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

Key = Tuple[str, str]


def identify(connection: Any) -> Dict[str, Any]:
    """Which database this really is, and which backend serves it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database(), pg_backend_pid()")
        database, pid = cursor.fetchone()
    try:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute("SELECT system_identifier::text FROM pg_control_system()")
            identifier = cursor.fetchone()[0]
    except Exception:  # noqa: BLE001  # a managed service may not let the role ask; flagsnap compares what it has
        identifier = None
    return {"database": database, "pid": pid, "system_identifier": identifier}


def load_executor(connection: Any, recorded: Set[Key]) -> MigrationExecutor:
    """An executor whose graph is resolved for the recorded state.

    Where a squashed migration's replaced ones lie on both sides of the recorded state, they are wanted one by one.
    MigrationLoader.build_graph keeps them so when only some of them are applied, and decides from nothing else; so it
    is shown the recorded ones as applied. (`replace_migrations=False` would keep both forms in the graph at once.)
    """
    disk = MigrationLoader(connection, load=False)
    disk.load_disk()
    shown = dict(MigrationRecorder(connection).applied_migrations())
    for migration in disk.disk_migrations.values():
        replaced = keys(migration.replaces)
        inside = replaced & recorded
        if inside and inside != replaced:
            for key in replaced:
                shown.pop(key, None)
            shown.update(dict.fromkeys(inside))
    with shown_as_applied(shown):
        return MigrationExecutor(connection)


@contextmanager
def shown_as_applied(shown: Dict[Key, Any]) -> Iterator[None]:
    """Make loaders believe that these migrations are applied."""
    original = MigrationRecorder.applied_migrations
    MigrationRecorder.applied_migrations = lambda _: dict(shown)
    try:
        yield
    finally:
        MigrationRecorder.applied_migrations = original


def full_plan(executor: MigrationExecutor) -> List[Any]:
    """All migrations in the order in which an empty database would get them."""
    leaves = executor.loader.graph.leaf_nodes()
    return [migration for migration, _ in executor.migration_plan(leaves, clean_start=True)]


def key_of(migration: Any) -> Key:
    """A migration's key."""
    return (migration.app_label, migration.name)


def keys(found: Any) -> Set[Key]:
    """Pairs from JSON, or from a migration, as keys."""
    return {(app, name) for app, name in found}
