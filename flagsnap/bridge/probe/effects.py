"""What migrations do to the schema, for the assessment of losses."""

from __future__ import annotations

import inspect
from typing import Any, Dict, Iterator, List, Set, Tuple

from django.db.migrations import operations
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ProjectState

from flagsnap.bridge.probe.facts import flat, runs_code, script
from flagsnap.bridge.probe.loading import Key, key_of
from flagsnap.bridge.probe.state import (
    after,
    altered,
    column,
    default_literal,
    fills_nulls,
    has_table,
    joins,
    may_be_added,
    model_of,
    table,
    tables,
)

Effects = Iterator[Dict[str, Any]]


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
    if old and new:
        changes = altered(connection, before.fields[name], now.fields[name])
        if changes:
            yield effect("alter_column", table(connection, before), column=new, **changes)
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
