"""Whose an object is: a migration's, or nobody's that flagsnap could ask."""

import pytest

from flagsnap.catalog import Catalog, CatalogObject, Identity, Value
from flagsnap.loss.attribution import made_by_no_migration
from flagsnap.loss.effects import (
    AddedColumn,
    CreatedTable,
    DroppedTable,
    Effect,
    Named,
    RanCode,
    RanSql,
    RenamedColumn,
    RenamedTable,
)


def thing(kind: str, name: str, table: str = "", schema: str = "public", **attributes: Value) -> CatalogObject:
    return CatalogObject(Identity(kind, schema, table, name), attributes)


FLAG = (
    thing("table", "flag"),
    thing("column", "id", "flag", type="bigint"),
    thing("constraint", "(PRIMARY KEY (id))", "flag"),
)
CACHE = thing("table", "cache")
COLUMN = thing("column", "note", "flag", type="text")
INDEX = thing("index", "by_note", "flag", definition="btree (note)")
FUNCTION = thing("function", "f(integer)")


def kept(extra: tuple[CatalogObject, ...], *effects: Effect, recorded: tuple[CatalogObject, ...] = FLAG) -> list[str]:
    """What is made by no migration when these objects are there besides the recorded ones."""
    found = made_by_no_migration(Catalog(recorded), Catalog((*recorded, *extra)), effects)
    return [str(identity) for identity in found]


@pytest.mark.parametrize(
    "item",
    [
        CACHE,
        COLUMN,
        INDEX,
        FUNCTION,
        thing("constraint", "positive", "flag", definition="CHECK (id > 0)"),
        thing("trigger", "log", "flag", definition="CREATE TRIGGER log … EXECUTE FUNCTION f()"),
        thing("policy", "own", "flag"),
        thing("view", "all_flags", definition="SELECT id FROM public.flag"),
        thing("extension", "hstore", schema=""),
        thing("schema", "audit", schema=""),
        thing("enum type", "colour", labels="'red'"),
        thing("sequence", "numbers"),
    ],
    ids=lambda item: item.identity.kind,
)
def test_what_nothing_touches_is_kept(item: CatalogObject) -> None:
    assert kept((item,), CreatedTable("other"), AddedColumn("flag", "other", None)) == [str(item.identity)]
    name = item.identity.name.split("(")[0]
    for effect in (
        Named(name),
        RanSql(f'CREATE … "{name}" …'),
        RanSql(f"create … {name.upper()}()"),
        RanCode(f"MAKE = 'CREATE … public.{name}'"),
        RanCode(""),
    ):
        assert kept((item,), effect) == []
    assert kept((item,), RanSql(f"x{name} {name}_x"), RanCode("nothing")) == [str(item.identity)]


def test_parts_of_what_is_kept_go_without_saying() -> None:
    parts = (thing("column", "key", "cache"), thing("index", "by_key", "cache"), thing("index", "(btree (x))", "cache"))
    assert kept((CACHE, *parts)) == ["table public.cache"]
    assert kept((CACHE, *parts), CreatedTable("cache")) == []


def test_what_belongs_to_a_column_that_nobody_made_is_kept_with_it() -> None:
    parts = (
        thing("sequence", "(of note)", "flag"),
        thing("constraint", "(UNIQUE (note))", "flag"),
        thing("constraint", "(CHECK (id > 0))", "flag"),
    )
    nameless = ["sequence public.flag (of note)", "constraint public.flag (UNIQUE (note))"]
    assert sorted(kept((COLUMN, INDEX, *parts))) == sorted(
        [*nameless, "column public.flag.note", "index public.flag.by_note"]
    )
    assert kept((COLUMN, INDEX, *parts), AddedColumn("flag", "note", None)) == []


def test_renames_are_followed() -> None:
    tables = (thing("table", "a"), thing("table", "b"))
    assert kept(tables, CreatedTable("a"), RenamedTable("a", "b")) == []
    effects = AddedColumn("flag", "text", None), RenamedColumn("flag", "text", "note")
    assert kept((COLUMN,), *effects) == []
    moved = (thing("table", "feature"), thing("column", "note", "feature"), thing("index", "i", "feature"))
    assert kept(moved, DroppedTable("old"), RenamedTable("flag", "feature")) == []


@pytest.mark.parametrize(
    "item",
    [
        thing("view", "v", definition=" SELECT flag.id, flag.colour FROM public.flag"),
        thing("view", "v", definition=" SELECT tag.id FROM public.tag"),
        thing("index", "i", "flag", definition="btree (id, colour)"),
        thing("trigger", "g", "flag", definition="CREATE TRIGGER g AFTER UPDATE OF colour ON public.flag …"),
        thing("statistics", "s", definition="colour, id", table="flag"),
    ],
    ids=lambda item: item.identity.kind,
)
def test_what_goes_along_with_a_table_or_column_is_not_kept(item: CatalogObject) -> None:
    assert kept((item,)) == [str(item.identity)]
    assert kept((item,), CreatedTable("tag"), AddedColumn("flag", "colour", None)) == []
    assert kept((item,), AddedColumn("other", "colour", None)) == [str(item.identity)]


def test_a_partition_has_the_columns_of_its_parent() -> None:
    table = thing("table", "log_1", **{"partition of": "public.log"})
    log = (thing("table", "log"), table)
    added = (thing("column", "size", "log", type="int"), thing("column", "size", "log_1", type="int"))
    assert kept(added, AddedColumn("log", "size", None), recorded=log) == []
    assert len(kept(added, AddedColumn("log", "name", None), recorded=log)) == 2
