"""The schema before migrations, as their effects tell it where nothing recorded it."""

import pytest

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
from flagsnap.loss.unrecorded import schema_before, structural_unrecorded
from flagsnap.migrations import Migration, Node, Operation


def catalog(**tables: tuple[str, ...]) -> Catalog:
    """Tables with these columns, the first of which is the primary key; with `name!` for NOT NULL."""
    objects: list[CatalogObject] = []
    for table, columns in {"django_migrations": ("id",), **tables}.items():
        objects.append(CatalogObject(Identity("table", "app", "", table), {"kind": "table"}))
        key = f"(PRIMARY KEY ({columns[0]}))"
        objects.append(CatalogObject(Identity("constraint", "app", table, key), {"definition": key[1:-1]}))
        for column in columns:
            attributes: dict[str, Value] = {"type": "integer", "not null": True if column.endswith("!") else None}
            objects.append(CatalogObject(Identity("column", "app", table, column.rstrip("!")), attributes))
    return Catalog(tuple(objects))


def shape(found: Catalog) -> dict[str, set[str]]:
    """The columns of each table but `django_migrations`."""
    tables = [each.name for each in found.tables() if each.name != "django_migrations"]
    return {table: set(found.columns("app", table)) for table in tables}


@pytest.mark.parametrize(
    ("effects", "before"),
    [
        ([], {"flag": {"id", "name"}}),
        ([CreatedTable("flag")], {}),
        ([AddedColumn("flag", "name", None)], {"flag": {"id"}}),
        ([DroppedColumn("flag", "size")], {"flag": {"id", "name", "size"}}),
        ([DroppedTable("tag")], {"flag": {"id", "name"}, "tag": set()}),
        ([RenamedTable("switch", "flag"), RenamedColumn("flag", "title", "name")], {"switch": {"id", "title"}}),
        ([RenamedColumn("switch", "title", "name"), RenamedTable("switch", "flag")], {"switch": {"id", "title"}}),
        # what came and went between, and what was made anew under its old name
        ([CreatedTable("tag"), DroppedTable("tag")], {"flag": {"id", "name"}}),
        ([AddedColumn("flag", "x", None), DroppedColumn("flag", "x")], {"flag": {"id", "name"}}),
        ([DroppedTable("flag"), CreatedTable("flag")], {"flag": set()}),
        ([DroppedColumn("flag", "name"), AddedColumn("flag", "name", None)], {"flag": {"id", "name"}}),
        ([DroppedColumn("gone", "x"), DroppedTable("gone")], {"flag": {"id", "name"}, "gone": {"x"}}),
        # a drop that was none, of the state alone
        ([DroppedTable("flag"), DroppedColumn("flag", "name")], {"flag": {"id", "name"}}),
    ],
)
def test_tables_and_columns(effects: list[Effect], before: dict[str, set[str]]) -> None:
    assert shape(schema_before(catalog(flag=("id", "name")), effects)) == before


@pytest.mark.parametrize(
    ("django", "printed"),
    [
        ("varchar(100)", "character varying(100)"),
        ("numeric(9, 2)", "numeric(9,2)"),
        ("time", "time without time zone"),
        ("timestamp with time zone", "timestamp with time zone"),
        ("varchar(10)[3]", "character varying(10)[]"),
        ("bigserial", "bigint"),
        ("serial", "integer"),
        ("jsonb", "jsonb"),
    ],
)
def test_types_are_those_that_postgresql_prints(django: str, printed: str) -> None:
    before = schema_before(catalog(flag=("id", "name")), [AlteredColumn("flag", "name", was=django)])
    assert before.columns("app", "flag")["name"].attributes["type"] == printed


def test_whether_a_column_took_null() -> None:
    live = catalog(flag=("id", "name", "size!"))
    effects: list[Effect] = [AlteredColumn("flag", "name", not_null=True), FilledNulls("flag", "size", "''")]
    columns = schema_before(live, effects).columns("app", "flag")
    assert (columns["name"].attributes["not null"], columns["size"].attributes.get("not null")) == (True, None)


def test_what_nobody_knows_is_a_loss_without_a_number() -> None:
    live = catalog(switch=("id", "title"))
    alters = Operation("RunSQL", True, False, reverse_sql="ALTER TABLE a ALTER b TYPE int")
    nodes = [Node(Migration("flags", "0002"), operations=(alters,))]
    effects: list[Effect] = [
        AlteredColumn("flag", "name", was=""),
        RenamedColumn("flag", "name", "title"),
        RenamedTable("flag", "switch"),
        DroppedColumn("switch", "size"),
        DroppedTable("tag"),
    ]
    found = structural_unrecorded(schema_before(live, effects), live, nodes, effects)
    assert [(each.kind, each.object, each.item) for each in found] == [
        ("column_emptied", "app.flag.size", None),
        ("table_emptied", "app.tag", None),
        ("type_narrowed", "app.switch.title", None),
        ("statement_unknown", "flags.0002: ALTER … TYPE", None),
    ]
