"""Structural losses: what the difference of the recorded and the live catalog means in rows.

A partitioned table holds no rows itself: its partitions are asked for theirs, as pg_dump dumps them.
"""

from collections.abc import Iterable, Iterator, Mapping

from flagsnap.catalog import Catalog
from flagsnap.loss.attribution import made_by_no_migration
from flagsnap.loss.columns import Columns, dropped_columns
from flagsnap.loss.effects import CreatedTable, DroppedColumn, DroppedTable, Effect, RanSql, RenamedTable
from flagsnap.loss.lineage import Lineage
from flagsnap.loss.values import Question, RefillItem, TableKey


def structural(
    recorded: Catalog, live: Catalog, effects: Iterable[Effect], recorded_rows: Mapping[TableKey, int]
) -> Iterator[Question]:
    """What unapplying does to rows: of tables and columns that go, that come back empty, and that change their type.

    Also where its data make it fail. `recorded_rows` says how many rows the recorded tables had.
    """
    effects = tuple(effects)
    live = live.without(made_by_no_migration(recorded, live, effects))
    names = Lineage.following(recorded, effects)
    for key in sorted(_dropped_tables(live, names) - _partitioned(live)):
        yield Question("table_dropped", *key, item=RefillItem(*key, key=live.primary_key(*key)))
    live_tables = _tables(live)
    columns = Columns(recorded, live, names, " ".join(each.sql for each in effects if isinstance(each, RanSql)))
    for key in sorted(_tables(recorded) - _partitioned(recorded)):
        now, rows = names.tables[key], recorded_rows.get(key, 0)
        if now in live_tables:
            yield from columns.questions(key, now, rows)
        else:
            item = RefillItem(*key, key=recorded.primary_key(*key), overwrite=names.dropped_table(key))
            yield Question("table_emptied", *key, recorded=rows, item=item)
    for schema, table, column in sorted(_not_null_again(live, effects)):
        fails = f"the reverse adds {schema}.{table}.{column} NOT NULL without a default, and the table has {{}}"
        yield Question("column_emptied", schema, table, column, fails=fails)


def dropped(recorded: Catalog, live: Catalog, effects: Iterable[Effect]) -> frozenset[tuple[str, ...]]:
    """The live tables, as (schema, table), and columns, as (schema, table, column), that unapplying drops."""
    effects = tuple(effects)
    live = live.without(made_by_no_migration(recorded, live, effects))
    names = Lineage.following(recorded, effects)
    live_tables = _tables(live)
    columns = (
        (*now, column)
        for key, now in names.tables.items()
        if now in live_tables
        for column in dropped_columns(recorded, live, names, key, now)
    )
    return frozenset({*_dropped_tables(live, names), *columns})


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


def _dropped_tables(live: Catalog, names: Lineage) -> set[TableKey]:
    return _tables(live) - set(names.tables.values())


def _not_null_again(live: Catalog, effects: tuple[Effect, ...]) -> Iterator[tuple[str, str, str]]:
    """Columns, by their tables' live names, whose reverse adds them where it cannot if there are rows."""
    for position, effect in enumerate(effects):
        if not isinstance(effect, DroppedColumn) or effect.comes_back:
            continue
        name: str | None = effect.table
        for later in effects[position + 1 :]:
            if isinstance(later, RenamedTable) and later.table == name:
                name = later.to
            elif isinstance(later, DroppedTable) and later.table == name:
                name = None
        yield from ((schema, table, effect.column) for schema, table in _tables(live) if table == name)


def _tables(catalog: Catalog) -> set[TableKey]:
    return {(table.schema, table.name) for table in catalog.tables()}


def _partitioned(catalog: Catalog) -> set[TableKey]:
    return {(table.schema, table.name) for table in catalog.tables() if table.partitioned}
