"""Structural losses: what the difference of the recorded and the live catalog means in rows."""

from collections.abc import Iterable, Iterator, Mapping

from flagsnap.catalog import Catalog, CatalogObject
from flagsnap.loss.effects import CreatedTable, DroppedTable, Effect, RanSql, RenamedTable
from flagsnap.loss.lineage import Lineage
from flagsnap.loss.types import carries
from flagsnap.loss.values import Question, RefillItem, TableKey


def structural(
    recorded: Catalog, live: Catalog, effects: Iterable[Effect], recorded_rows: Mapping[TableKey, int]
) -> Iterator[Question]:
    """What unapplying does to rows: of tables and columns that go, that come back empty, and that change their type."""
    effects = tuple(effects)
    names = Lineage.following(recorded, effects)
    recorded_tables = _tables(recorded)
    live_tables = _tables(live)
    stay = set(made_by_no_migration(recorded, live, effects))
    for schema, table in sorted(live_tables - set(names.tables.values()) - stay):
        item = RefillItem(schema, table, key=live.primary_key(schema, table))
        yield Question("table_dropped", schema, table, item=item)
    for key in sorted(recorded_tables):
        now = names.tables[key]
        if now in live_tables:
            yield from _columns(recorded, live, key, now, names, recorded_rows)
        else:
            item = RefillItem(*key, key=recorded.primary_key(*key))
            yield Question("table_emptied", *key, recorded=recorded_rows.get(key, 0), item=item)


def made_by_no_migration(recorded: Catalog, live: Catalog, effects: Iterable[Effect]) -> tuple[TableKey, ...]:
    """Tables that are there now, were not recorded, and that none of the extra migrations made.

    Unapplying does not touch them. Flagsmith's `migrate` makes some (`createcachetable`), administrators make others.
    """
    effects = tuple(effects)
    names = Lineage.following(recorded, effects)
    made: set[str] = set()
    for effect in effects:
        if isinstance(effect, CreatedTable):
            made.add(effect.table)
        elif isinstance(effect, RenamedTable) and effect.table in made:
            made.add(effect.to)
    sql = " ".join(effect.sql for effect in effects if isinstance(effect, RanSql))
    extra = sorted(_tables(live) - set(names.tables.values()))
    return tuple((schema, table) for schema, table in extra if table not in made and table not in sql)


def made_before(recorded: Catalog, live: Catalog, effects: Iterable[Effect]) -> tuple[str, ...]:
    """Tables that the extra migrations create by their code, though they were recorded and nothing new was made.

    The migration is then another form of what had made them (squashed, or moved to another app), or was applied with
    `--fake`. To unapply it would drop what was recorded.
    """
    there = {name for _, name in _tables(recorded)}
    added = {name for _, name in _tables(live) - _tables(recorded)}
    found: list[str] = []
    for effect in effects:
        if isinstance(effect, CreatedTable):
            if effect.table in there and effect.table not in added:
                found.append(effect.table)
            there.add(effect.table)
        elif isinstance(effect, DroppedTable):
            there.discard(effect.table)
        elif isinstance(effect, RenamedTable):
            there.discard(effect.table)
            there.add(effect.to)
    return tuple(found)


def _tables(catalog: Catalog) -> set[TableKey]:
    return {(table.schema, table.name) for table in catalog.tables()}


def _columns(
    recorded: Catalog,
    live: Catalog,
    key: TableKey,
    now: TableKey,
    names: Lineage,
    recorded_rows: Mapping[TableKey, int],
) -> Iterator[Question]:
    before, after = recorded.columns(*key), live.columns(*now)
    renamed = {column: names.columns.get((*key, column), column) for column in before}
    for column in after:
        if column not in renamed.values() and not after[column].attributes.get("generated"):
            default = names.defaults.get((now[1], column)) or _default(after[column])
            now_type = str(after[column].attributes["type"])
            yield Question("column_dropped", *now, column, default=default, type=now_type)
    for column, live_name in renamed.items():
        if live_name not in after:
            yield Question("column_emptied", *key, column, recorded=recorded_rows.get(key, 0))
            continue
        was, is_now = (str(side.attributes["type"]) for side in (before[column], after[live_name]))
        if not carries(is_now, was):
            yield Question("type_narrowed", *now, live_name, type=is_now, fits=was)


def _default(column: CatalogObject) -> str | None:
    default = column.attributes.get("default")
    # To ask a sequence for its next value would change it.
    return None if default is None or "nextval(" in str(default) else str(default)
