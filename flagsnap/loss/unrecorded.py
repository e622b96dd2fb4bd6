"""Structural losses where nothing recorded the schema: from what the migrations did, as the project tells it.

The schema before them is the live one with their effects taken back. It is good for counting what goes, and no proof
of anything: what rows the migrations had destroyed, nobody knows, so that counts as a loss of unknown size.
How old a table is, only the rows of `django_migrations` tell, and those may have been written late.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from flagsnap.catalog import Catalog, CatalogObject, Identity, Value
from flagsnap.loss.effects import (
    AddedColumn,
    AlteredColumn,
    CreatedTable,
    DroppedColumn,
    DroppedTable,
    Effect,
    FilledNulls,
    RenamedColumn,
    RenamedTable,
)
from flagsnap.loss.forward import ALTERS_TYPE, destroyed
from flagsnap.loss.lineage import Lineage
from flagsnap.loss.structure import structural
from flagsnap.loss.values import Loss, Question
from flagsnap.migrations import Node

_MIGRATIONS = "django_migrations"
_UNKNOWN_TYPE = "type not known"
# What django/db/backends/postgresql/base.py calls otherwise than format_type does.
_TYPES = (
    (re.compile(r"\bvarchar\b"), "character varying"),
    (re.compile(r"\btime\b(?! zone)"), "time without time zone"),
    (re.compile(r"\bbigserial\b"), "bigint"),
    (re.compile(r"\bsmallserial\b"), "smallint"),
    (re.compile(r"\bserial\b"), "integer"),
    (re.compile(r",\s+"), ","),
    (re.compile(r"\[\d+\]"), "[]"),
)

Objects = tuple[CatalogObject, ...]


def schema_before(live: Catalog, effects: Sequence[Effect]) -> Catalog:
    """The live schema without what the effects did to tables and columns, as far as they tell.

    Of what they dropped there are the names alone.
    """
    objects = live.objects
    for effect in reversed(effects):
        objects = _without(objects, effect)
    return Catalog(objects)


def structural_unrecorded(
    before: Catalog, live: Catalog, nodes: Iterable[Node], effects: Sequence[Effect]
) -> Iterator[Loss | Question]:
    """The same as `structural`; `before` is from `schema_before`."""
    for question in structural(before, live, effects, {}):
        if question.recorded is not None:
            yield Loss("unapply", question.kind, question.object, None, "lost")
        else:
            yield replace(question, item=None) if question.kind == "type_cast" else question
    yield from _retyped(before, live, effects)
    for node in nodes:
        # Where both schemas are known they tell what such a statement does.
        if any(ALTERS_TYPE.search(operation.reverse_sql) for operation in node.operations):
            yield Loss("unapply", "statement_unknown", f"{node.migration}: ALTER … TYPE", None, "lost")
    yield from destroyed(effects)


def of_whole_apps(losses: Iterable[Loss], nodes: Iterable[Node], stay: Collection[str]) -> Iterator[Loss]:
    """The tables among the losses that go together with all of their app: they may be older than the deploy.

    `migrate --fake-initial` writes the rows of tables that were there before, and a squashed migration writes its own
    when all that it replaces has been applied: no row tells such an app from a new one. `stay` are the apps of which
    rows stay. A table is of the app with whose label its name begins; in doubt, of one that goes.
    """
    whole = {node.migration.app for node in nodes} - set(stay)
    for loss in losses if whole else ():
        if loss.kind == "table_dropped" and loss.item:
            apps = [app for app in (*whole, *stay) if loss.item.table.startswith(f"{app}_")]
            if max(apps, key=len, default="") not in stay:
                yield replace(loss, kind="whole_app", item=None)


def _retyped(before: Catalog, live: Catalog, effects: Sequence[Effect]) -> Iterator[Loss]:
    """Columns that come back to a type that is not known."""
    names = Lineage.following(before, effects)
    for item in before.objects:
        _, schema, table, column = item.identity
        if item.attributes.get(_UNKNOWN_TYPE) and (schema, table) in names.tables:
            now = names.tables[schema, table]
            name = names.columns.get((schema, table, column), column)
            if name in live.columns(*now):
                yield Loss("unapply", "type_narrowed", ".".join((*now, name)), None, "lost")


def _without(objects: Objects, effect: Effect) -> Objects:
    """The objects before an effect."""
    there = (_undone(item, effect) for item in objects)
    return (*(item for item in there if item is not None), *_dropped(objects, effect))


def _undone(item: CatalogObject, effect: Effect) -> CatalogObject | None:
    """An object that is there after an effect as it was before it, None if it was not there."""
    found: CatalogObject | None = item
    match effect:
        case CreatedTable(table) if _is_of(item, table):
            found = None
        case AddedColumn(table, column) if _is_column(item, table, column):
            found = None
        case RenamedTable(table, to) if _is_of(item, to):
            found = _of_table(item, table)
        case RenamedColumn(table, column, to) if _is_column(item, table, to):
            found = CatalogObject(item.identity._replace(name=column), item.attributes)
        case AlteredColumn(table, column) if _is_column(item, table, column):
            found = _with(item, _before(effect))
        case FilledNulls(table, column) if _is_column(item, table, column):
            found = _with(item, {"not null": None})
        case _:
            pass
    return found


def _dropped(objects: Objects, effect: Effect) -> Iterator[CatalogObject]:
    """What an effect has dropped, unless something of that name is there."""
    if isinstance(effect, DroppedTable) and not any(_is_of(item, effect.table) for item in objects):
        yield _dropped_table(objects, effect.table)
    elif isinstance(effect, DroppedColumn):
        yield from _dropped_columns(objects, effect.table, effect.column)


def _before(effect: AlteredColumn) -> dict[str, Value]:
    """The attributes of a column before it was altered."""
    found: dict[str, Value] = {"not null": True} if effect.not_null else {}
    if effect.was:
        found["type"] = _as_printed(effect.was)
    elif effect.was is not None:
        found[_UNKNOWN_TYPE] = True
    return found


def _as_printed(type_name: str) -> str:
    """A type of Django's as PostgreSQL prints it."""
    for pattern, printed in _TYPES:
        type_name = pattern.sub(printed, type_name)
    return type_name


def _is_of(item: CatalogObject, table: str) -> bool:
    """Whether an object is a table of that name, or a part of one."""
    return item.identity.table == table or (item.identity.kind == "table" and item.identity.name == table)


def _is_column(item: CatalogObject, table: str, column: str) -> bool:
    return item.identity.kind == "column" and (item.identity.table, item.identity.name) == (table, column)


def _of_table(item: CatalogObject, table: str) -> CatalogObject:
    renamed = {"table": table} if item.identity.table else {"name": table}
    return CatalogObject(item.identity._replace(**renamed), item.attributes)


def _with(item: CatalogObject, attributes: Mapping[str, Value]) -> CatalogObject:
    return CatalogObject(item.identity, {**item.attributes, **attributes})


def _dropped_table(objects: Objects, table: str) -> CatalogObject:
    """A table of that name, where the migrations make theirs."""
    schemas = (item.identity.schema for item in objects if item.identity[2:] == ("", _MIGRATIONS))
    return CatalogObject(Identity("table", next(schemas, "public"), "", table), {})


def _dropped_columns(objects: Objects, table: str, column: str) -> Iterator[CatalogObject]:
    """The column in each table of that name that has no such column."""
    there = {item.identity for item in objects}
    for item in objects:
        if item.identity.kind == "table" and item.identity.name == table:
            dropped = Identity("column", item.identity.schema, table, column)
            if dropped not in there:
                yield CatalogObject(dropped, {"type": ""})
