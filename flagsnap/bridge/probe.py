"""The probe: runs inside the Django project, answers with the migration graph, and unapplies migrations.

flagsnap sends this file, followed by a call of `main`, to `manage.py shell` on standard input; it is never imported.
It uses Django and the standard library only, and is written for Python 3.8 and Django 3.2 onwards. Every answer is
one line of JSON between the sentinels that flagsnap chose for this run, since projects print banners and logs on the
same stream.
"""

from __future__ import annotations

import inspect
import json
import os
import threading
import traceback
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

import django
from django.db import DatabaseError, connections, transaction
from django.db.backends.utils import truncate_name
from django.db.migrations import operations
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState
from django.db.models import NOT_PROVIDED

Key = Tuple[str, str]
Effects = Iterator[Dict[str, Any]]

HEARTBEAT_SECONDS = 1.0
SESSION_SETTINGS = ("application_name", "client_connection_check_interval", "lock_timeout")


class Refused(Exception):
    """The database is not in the state that the plan was made for; nothing of this segment was done."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Channel:
    """The way back to flagsnap."""

    def __init__(self, begin: str, end: str) -> None:
        self._begin, self._end = begin, end
        self._lock = threading.Lock()

    def send(self, type: str, **content: Any) -> None:  # noqa: A002  # the name of the message's key
        """Write one message on a line of its own."""
        line = "\n" + self._begin + json.dumps(dict(content, type=type)) + self._end + "\n"
        left = line.encode()
        with self._lock:
            # Not through sys.stdout, which a project may replace, and whose lock a daemon thread may take to the grave.
            while left:
                left = left[os.write(1, left) :]

    def beat(self) -> None:
        """Tell every second that the process lives; end it at once when flagsnap is gone.

        A killed flagsnap leaves a pipe without a reader. Ending here drops the connection, and PostgreSQL undoes the
        segment; going on would change the database while somebody starts the same command again.
        """
        while True:
            try:
                self.send("alive")
            except (OSError, ValueError):
                os._exit(1)
            threading.Event().wait(HEARTBEAT_SECONDS)


def main(text: str) -> None:
    """Answer one request."""
    request = json.loads(text)
    channel = Channel(request["begin"], request["end"])
    threading.Thread(target=channel.beat, daemon=True).start()
    try:
        connection = connections[request["alias"]]
        if connection.vendor != "postgresql":
            raise Refused("usage", "the project's database is %s, not PostgreSQL" % connection.vendor)
        channel.send("hello", django=django.get_version(), **identify(connection))
        if request["action"] == "describe":
            channel.send("graph", **describe(connection, keys(request["recorded"])))
        else:
            Unapply(connection, channel, request).run()
        channel.send("done")
    except Refused as error:
        channel.send("failed", kind=error.kind, error=str(error), trace="")
    except BaseException as error:  # noqa: BLE001  # whatever it is, flagsnap has to hear it
        name = type(error).__name__
        channel.send("failed", kind="error", error=name + ": " + first_line(error), trace=traceback.format_exc())


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


# --- the graph


def describe(connection: Any, recorded: Set[Key]) -> Dict[str, Any]:
    """The graph, and for what is applied beyond the recorded state its operations and what they do to the schema."""
    executor = load_executor(connection, recorded)
    applied = set(MigrationRecorder(connection).applied_migrations())
    plan = full_plan(executor)
    wanted = applied - recorded
    for migration in plan:  # a squashed migration stands for what it replaces, also before its own row is written
        if keys(migration.replaces) & wanted:
            wanted.add(key_of(migration))
        elif migration.replaces and keys(migration.replaces) <= recorded:  # and its row alone stands for nothing
            wanted.discard(key_of(migration))
    graph, disk = executor.loader.graph, executor.loader.disk_migrations
    return {
        "nodes": [
            {
                "key": key_of(migration),
                "parents": sorted(parent.key for parent in graph.node_map[key_of(migration)].parents),
                "replaces": list(migration.replaces),
                "atomic": migration.atomic,
                "operations": [
                    facts(connection, each) for each in flat(migration.operations) if key_of(migration) in wanted
                ],
            }
            for migration in plan
        ],
        "replaced": [{"key": key, "replaces": list(each.replaces)} for key, each in disk.items() if each.replaces],
        "effects": list(effects(connection, executor, plan, wanted)),
    }


def flat(found: List[Any]) -> Iterator[Any]:
    """The operations that act on the database."""
    for operation in found:
        if isinstance(operation, operations.SeparateDatabaseAndState):
            yield from flat(operation.database_operations)
        else:
            yield operation


def facts(connection: Any, operation: Any) -> Dict[str, Any]:
    """What going back through an operation means."""
    return {
        "kind": type(operation).__name__,
        "reversible": bool(operation.reversible),
        "reverse_does_nothing": reverse_does_nothing(operation),
        "reverse_sql": script(connection, getattr(operation, "reverse_sql", None)),
        "runs_code": bool(operation.reversible) and runs_code(operation, "reverse_code"),
    }


def reverse_does_nothing(operation: Any) -> bool:
    """Whether the way forward runs code of the project's own, and the way back runs none."""
    if isinstance(operation, operations.RunPython):
        return operation.reversible and runs_code(operation, "code") and not runs_code(operation, "reverse_code")
    return isinstance(operation, operations.RunSQL) and bool(operation.sql) and operation.reverse_sql in ("", [], ())


def runs_code(operation: Any, way: str) -> bool:
    """Whether a way, `code` or `reverse_code`, runs Python that is not Django's."""
    if isinstance(operation, operations.RunPython):
        return getattr(operation, way) is not None and not is_empty(getattr(operation, way))
    own = not type(operation).database_backwards.__module__.startswith("django.")
    return own and not isinstance(operation, operations.RunSQL)


def script(connection: Any, statements: Any) -> str:
    """What RunSQL runs, as one text; with the parameters filled in, where this Django can."""
    compose = getattr(connection.ops, "compose_sql", lambda text, _: text)  # since Django 4.2
    several = statements if isinstance(statements, (list, tuple)) else [statements or ""]
    pairs = [each if isinstance(each, (list, tuple)) else (each, None) for each in several]
    return "\n;\n".join(str(text if params is None else compose(text, params)) for text, params in pairs)


def nothing(apps: Any, schema_editor: Any) -> None:
    """The shape of a function that does nothing."""


def is_empty(function: Any) -> bool:
    """Whether a function does nothing: RunPython.noop, or one with an empty body."""
    if function is operations.RunPython.noop:
        return True
    code = getattr(function, "__code__", None)
    return code is not None and not code.co_names and len(code.co_code) == len(nothing.__code__.co_code)


# --- what migrations do to the schema, for the assessment of losses


def effects(connection: Any, executor: MigrationExecutor, plan: List[Any], wanted: Set[Key]) -> Effects:
    """What the wanted migrations do to the schema, oldest first."""
    state = ProjectState(real_apps=executor.loader.unmigrated_apps)
    for migration in plan:
        if key_of(migration) not in wanted:
            migration.mutate_state(state, preserve=False)
            continue
        for operation in migration.operations:
            yield from operation_effects(connection, migration.app_label, operation, state)
            operation.state_forwards(migration.app_label, state)
        codes = [getattr(each, "code", type(each)) for each in flat(migration.operations) if runs_code(each, "code")]
        for module in {inspect.getmodule(each) for each in codes and [type(migration), *codes]}:
            yield effect("run_code", sql=source(module), by=key_of(migration))


def effect(kind: str, table: str = "", **more: Any) -> Dict[str, Any]:
    """One effect of an operation."""
    return dict(more, effect=kind, table=table)


def source(module: Any) -> str:
    """A module's source, empty if it cannot be had."""
    try:
        return inspect.getsource(module)
    except (OSError, TypeError):
        return ""


def operation_effects(connection: Any, app: str, operation: Any, state: Any) -> Effects:
    """The effects of one operation on the state before it."""
    if isinstance(operation, operations.SeparateDatabaseAndState):
        inner_state = state.clone()
        for inner in operation.database_operations:
            yield from operation_effects(connection, app, inner, inner_state)
            inner.state_forwards(app, inner_state)
    elif isinstance(operation, operations.RunSQL):
        yield effect("run_sql", sql=script(connection, operation.sql))
    else:
        for kinds, found in EFFECTS:
            if isinstance(operation, kinds):
                yield from found(connection, app, operation, state)
        made = [getattr(operation, name) for name in ("index", "constraint") if hasattr(operation, name)]
        if type(operation).__module__.startswith("django.contrib.postgres.") and not made:
            made = [operation]  # an extension or a collation
        names = [each.name for each in made] + [getattr(operation, "new_name", None)]
        yield from (effect("named", name) for name in names if name)


def changed_tables(connection: Any, app: str, name: str, state: Any, changed: Any) -> Effects:
    """The tables that are created and dropped between two states: a model's own, and those of its fields."""
    old, new = (tables(connection, each, app, name) for each in (state, changed))
    yield from (effect("create_table", each) for each in new if each not in old)
    yield from (effect("drop_table", each) for each in old if each not in new)


def changed_model(connection: Any, app: str, operation: Any, state: Any) -> Effects:
    """The effects of CreateModel and DeleteModel."""
    yield from changed_tables(connection, app, operation.name, state, after(operation, app, state))


def changed_field(connection: Any, app: str, operation: Any, state: Any) -> Effects:
    """The effects of AddField, RemoveField and AlterField: on a column, or on the table of a many-to-many field."""
    changed, name = after(operation, app, state), operation.name
    before, now = (model_of(each, app, operation.model_name) for each in (state, changed))
    old, new = (column(model.fields.get(name), name) for model in (before, now))
    if new and not old:
        default = default_literal(connection, operation.field, name)
        yield effect("add_column", table(connection, before), column=new, default=default)
    elif old and not new:
        comes_back = may_be_added(connection, before.fields[name], name)
        yield effect("drop_column", table(connection, before), column=old, comes_back=comes_back)
    elif old != new:
        yield effect("rename_column", table(connection, before), column=old, to=new)
    if old and new and fills_nulls(before.fields[name], operation.field):
        default = default_literal(connection, operation.field, name)
        yield effect("fill_nulls", table(connection, before), column=new, default=default)
    yield from changed_tables(connection, app, operation.model_name, state, changed)


def renamed_model(connection: Any, app: str, operation: Any, state: Any) -> Effects:
    """The effects of RenameModel and AlterModelTable."""
    old_name = getattr(operation, "old_name", None) or operation.name
    new_name = getattr(operation, "new_name", None) or operation.name
    if not has_table(model_of(state, app, old_name)):
        return
    changed = after(operation, app, state)
    old, new = (table(connection, model_of(*each)) for each in ((state, app, old_name), (changed, app, new_name)))
    if old != new:
        yield effect("rename_table", old, to=new)
    yield from renamed_joins(connection, state, changed, (app, old_name.lower()), (app, new_name.lower()))


def renamed_field(connection: Any, app: str, operation: Any, state: Any) -> Effects:
    """The effects of RenameField."""
    old, new = operation.old_name, operation.new_name
    model = model_of(state, app, operation.model_name)
    old_column, new_column = (column(model.fields[old], name) for name in (old, new))
    if old_column and old_column != new_column:
        yield effect("rename_column", table(connection, model), column=old_column, to=new_column)
    key = (app, operation.model_name.lower())
    yield from renamed_joins(connection, state, after(operation, app, state), (*key, old), (*key, new))


def changed_order(connection: Any, app: str, operation: Any, state: Any) -> Effects:
    """The effects of AlterOrderWithRespectTo, which gives every row the order 0."""
    before, now = (model_of(each, app, operation.name) for each in (state, after(operation, app, state)))
    was, is_now = (each.options.get("order_with_respect_to") for each in (before, now))
    if is_now and not was:
        yield effect("add_column", table(connection, before), column="_order", default="0")
    elif was and not is_now:
        yield effect("drop_column", table(connection, before), column="_order", comes_back=True)


def after(operation: Any, app: str, state: Any) -> Any:
    """The state after an operation; the one before it stays as it is."""
    changed = state.clone()
    operation.state_forwards(app, changed)
    return changed


def model_of(state: Any, app: str, name: str) -> Any:
    """A model's state."""
    return state.models[app, name.lower()]


def table(connection: Any, model: Any) -> str:
    """A model's table, as Options.contribute_to_class names it."""
    name = model.options.get("db_table") or "%s_%s" % (model.app_label, model.name.lower())
    return str(truncate_name(name, connection.ops.max_name_length()))


def has_table(model: Any) -> bool:
    """Whether migrations make a table for a model: not for a proxy, and not for one that is not managed."""
    return bool(model.options.get("managed", True)) and not model.options.get("proxy", False)


def tables(connection: Any, state: Any, app: str, name: str) -> List[str]:
    """A model's table and those of its many-to-many fields, in the order of the fields; empty if it has none."""
    model = state.models.get((app, name.lower()))
    if model is None or not has_table(model):
        return []
    many = [join[0] for key, join in joins(connection, state).items() if key[:2] == (app, name.lower())]
    return [table(connection, model), *many]


def joins(connection: Any, state: Any) -> Dict[Tuple[str, ...], List[str]]:
    """The tables of many-to-many fields and their columns, named as by create_many_to_many_intermediary_model."""
    found: Dict[Tuple[str, ...], List[str]] = {}
    for (app, name), model in state.models.items():
        for field_name, field in model.fields.items():
            if not (has_table(model) and field.many_to_many and field.remote_field.through is None):
                continue
            own = field.db_table or "%s_%s" % (table(connection, model), field_name)
            target = getattr(field.remote_field.model, "__name__", field.remote_field.model).split(".")[-1].lower()
            source, target = (name, target) if target not in ("self", name) else ("from_" + name, "to_" + name)
            own = str(truncate_name(own, connection.ops.max_name_length()))
            found[app, name, field_name] = [own, source + "_id", target + "_id"]
    return found


def renamed_joins(connection: Any, state: Any, changed: Any, old: Tuple[str, ...], new: Tuple[str, ...]) -> Effects:
    """What becomes of the tables of many-to-many fields when `old`, a model or a field, is renamed to `new`."""
    now = joins(connection, changed)
    for key, (old_table, *old_columns) in joins(connection, state).items():
        new_table, *new_columns = now[new + key[len(old) :] if key[: len(old)] == old else key]
        if old_table != new_table:
            yield effect("rename_table", old_table, to=new_table)
        for old_column, new_column in zip(old_columns, new_columns):
            if old_column != new_column:
                yield effect("rename_column", new_table, column=old_column, to=new_column)


EFFECTS: List[Tuple[Any, Any]] = [
    ((operations.CreateModel, operations.DeleteModel), changed_model),
    ((operations.AddField, operations.RemoveField, operations.AlterField), changed_field),
    ((operations.RenameModel, operations.AlterModelTable), renamed_model),
    (operations.RenameField, renamed_field),
    (operations.AlterOrderWithRespectTo, changed_order),
]


def column(field: Any, name: str) -> Optional[str]:
    """A field's column, None if it has none."""
    return None if field is None or field.many_to_many else bound(field, name).column


def bound(field: Any, name: str) -> Any:
    """A field that knows its name and column."""
    known = field.clone()
    known.set_attributes_from_name(name)
    return known


def fills_nulls(old: Any, new: Any) -> bool:
    """Whether AlterField gives a value to NULLs, as BaseDatabaseSchemaEditor._alter_field does."""
    return bool(old.null and not new.null and (new.has_default() or getattr(new, "has_db_default", bool)()))


def may_be_added(connection: Any, field: Any, name: str) -> bool:
    """Whether a column can be added to a table with rows: Django's schema editor or PostgreSQL has a value."""
    by_itself = getattr(field, "generated", False) or getattr(field, "db_returning", False)
    if field.null or by_itself or getattr(field, "db_default", NOT_PROVIDED) is not NOT_PROVIDED:
        return True
    return connection.schema_editor(collect_sql=True).effective_default(bound(field, name)) is not None


def default_literal(connection: Any, field: Any, name: str) -> Optional[str]:
    """The SQL literal that rows were given when the column was added, None if there was none or it cannot be known."""
    try:
        editor = connection.schema_editor(collect_sql=True)
        values = [editor.effective_default(bound(field, name)) for _ in range(2)]
        literals = {str(editor.quote_value(value)) for value in values if value is not None}
        # Two literals come of a default that is made anew each time: the time, or a UUID.
        return literals.pop() if len(literals) == 1 else None
    except Exception:  # noqa: BLE001  # then every value counts as one that would be lost
        return None


# --- unapplying


class Unapply:
    """Unapplies exactly the planned migrations, segment by segment; `django_migrations` is the journal."""

    def __init__(self, connection: Any, channel: Channel, request: Dict[str, Any]) -> None:
        self.connection = connection
        self.channel = channel
        self.request = request
        self.expected = keys(request["applied"])

    def run(self) -> None:
        """Check that this is the right database, then go back."""
        found = identify(self.connection)
        for name in ("database", "system_identifier"):
            if None not in (found[name], self.request[name]) and found[name] != self.request[name]:
                raise Refused("usage", "the project is connected to another database: %s" % found["database"])
        executor = load_executor(self.connection, keys(self.request["recorded"]))
        plan = full_plan(executor)
        by_key = {key_of(migration): migration for migration in plan}
        segments = self.request["segments"]
        wanted = {tuple(key) for segment in segments for key in segment["migrations"]}
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
            executor.unapply_migration(states[key], migration)
            # Before Django 4.1 the row of a squashed migration itself stays.
            executor.recorder.record_unapplied(*key)
            self.expected -= keys(migration.replaces) | {key}
            if migration.atomic:
                # Deferred constraints of this one must not be pending when the next alters the same table; between
                # transactions the commit sees to that.
                self.connection.check_constraints()


def key_of(migration: Any) -> Key:
    """A migration's key."""
    return (migration.app_label, migration.name)


def keys(found: Any) -> Set[Key]:
    """Pairs from JSON, or from a migration, as keys."""
    return {(app, name) for app, name in found}


def first_line(error: BaseException) -> str:
    """The first line of an error's text."""
    return (str(error).strip().splitlines() or [""])[0]
