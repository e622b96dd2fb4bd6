"""Structural losses: which questions two catalogs raise, and what would bring back what goes."""

import pytest

from flagsnap.catalog import Catalog, CatalogObject, Identity, Value
from flagsnap.loss.effects import (
    AddedColumn,
    CreatedTable,
    DroppedColumn,
    DroppedTable,
    Effect,
    FilledNulls,
    RanSql,
    RenamedColumn,
    RenamedTable,
)
from flagsnap.loss.structure import dropped, made_before, structural
from flagsnap.loss.values import Question, RefillItem

Columns = dict[str, str | dict[str, Value]]


def catalog(*others: CatalogObject, key: str = "", **tables: Columns) -> Catalog:
    """Tables in the schema public, columns with a type or all attributes; `key` is everybody's primary key."""
    objects = list(others)
    for table, columns in tables.items():
        objects.append(CatalogObject(Identity("table", "public", "", table), {}))
        if key:
            definition = {"definition": f"PRIMARY KEY ({key})"}
            objects.append(CatalogObject(Identity("constraint", "public", table, f"{table}_pkey"), definition))
        for name, column in columns.items():
            attributes = {"type": column} if isinstance(column, str) else column
            objects.append(CatalogObject(Identity("column", "public", table, name), attributes))
    return Catalog(tuple(objects))


def flag(**columns: str | dict[str, Value]) -> Catalog:
    """A table `flag`, without a key."""
    return catalog(flag={"id": "integer", "name": "text", **columns})


def ask(recorded: Catalog, live: Catalog, *effects: Effect, rows: int = 3) -> list[Question]:
    """The questions, where every recorded table had three rows."""
    counted = {(table.schema, table.name): rows for table in recorded.tables()}
    return list(structural(recorded, live, effects, counted))


def told(questions: list[Question]) -> set[tuple[str, str, str | int | None]]:
    """Kind and object of each question, and what decides its answer."""
    return {
        (each.kind, each.object.removeprefix("public."), each.condition if each.recorded is None else each.recorded)
        for each in questions
    }


FLAG = flag()
ON_SET = ("column_dropped", "flag.on", '"on" IS NOT NULL')
ON_CHANGED = ("column_dropped", "flag.on", '"on" IS DISTINCT FROM (true)::boolean')
NO_SMALL = '"id" NOT BETWEEN -2147483648 AND 2147483647'


@pytest.mark.parametrize(
    ("live", "effects", "expected"),
    [
        pytest.param(FLAG, [], set(), id="nothing"),
        pytest.param(
            catalog(flag={"id": "integer", "name": "text"}, tag={"id": "integer"}), [CreatedTable("tag")],
            {("table_dropped", "tag", "")}, id="a table that a model made",
        ),
        pytest.param(
            catalog(flag={"id": "integer", "name": "text"}, tag={"id": "integer"}),
            [RanSql("CREATE TABLE tag (id int)")], {("table_dropped", "tag", "")}, id="a table that SQL made",
        ),
        pytest.param(
            catalog(flag={"id": "integer", "name": "text"}, tag={"id": "integer"}), [], set(),
            id="a table that nobody made",
        ),
        pytest.param(
            catalog(flag={"id": "integer", "name": "text"}, tag={"id": "integer"}),
            [CreatedTable("label"), RenamedTable("label", "tag")], {("table_dropped", "tag", "")},
            id="a table that was made and renamed",
        ),
        pytest.param(catalog(), [], {("table_emptied", "flag", 3)}, id="a table that comes back"),
        pytest.param(
            catalog(flag={"id": "integer"}), [], {("column_emptied", "flag.name", 3)}, id="a column that comes back"
        ),
        pytest.param(
            flag(on={"type": "boolean", "default": "true"}), [AddedColumn("flag", "on", None)], {ON_CHANGED},
            id="a column with a default of its own",
        ),
        pytest.param(
            flag(on="boolean"), [AddedColumn("flag", "on", "true")], {ON_CHANGED},
            id="a column with the default of its field",
        ),
        pytest.param(
            flag(on="jsonb"), [AddedColumn("flag", "on", "'{}'")],
            {("column_dropped", "flag.on", "\"on\"::text IS DISTINCT FROM ('{}')::jsonb::text")},
            id="a column whose type has an equality of its own, or none",
        ),
        pytest.param(
            flag(on="boolean"), [AddedColumn("flag", "on", None)], {ON_SET}, id="a column without a default"
        ),
        pytest.param(
            flag(**{'a "b"': "boolean"}), [AddedColumn("flag", 'a "b"', None)],
            {("column_dropped", 'flag.a "b"', '"a ""b""" IS NOT NULL')}, id="a name in quotes",
        ),
        pytest.param(
            flag(on={"type": "integer", "default": "nextval('s')"}), [AddedColumn("flag", "on", None)], {ON_SET},
            id="a sequence is not asked for its next value",
        ),
        pytest.param(
            flag(on={"type": "text", "generated": "name"}), [AddedColumn("flag", "on", None)], set(),
            id="a generated column holds nothing of its own",
        ),
        pytest.param(
            catalog(flag={"id": "bigint", "name": "text"}), [], {("type_narrowed", "flag.id", NO_SMALL)},
            id="a type that was narrower",
        ),
        pytest.param(catalog(flag={"id": "smallint", "name": "text"}), [], set(), id="a type that was wider"),
        pytest.param(
            catalog(flag={"id": "integer", "name": "character varying(9)"}), [], {("type_cast", "flag.name", 3)},
            id="a type that has cut recorded values",
        ),
        pytest.param(
            catalog(feature={"id": "integer", "label": "text"}),
            [RenamedColumn("flag", "name", "title"), RenamedTable("flag", "feature"),
             RenamedColumn("feature", "title", "label")],
            set(), id="renamed, column and table and column again",
        ),
        pytest.param(
            catalog(feature={"id": "bigint", "name": "text", "on": "boolean"}),
            [AddedColumn("flag", "active", "true"), RenamedColumn("flag", "active", "on"),
             RenamedTable("flag", "feature")],
            {("type_narrowed", "feature.id", NO_SMALL), ("column_dropped", "feature.on", ON_CHANGED[2])},
            id="renamed, and changed besides",
        ),
        pytest.param(
            FLAG, [DroppedTable("flag"), CreatedTable("flag")],
            {("table_emptied", "flag", 3), ("table_dropped", "flag", "")}, id="a table that was made anew",
        ),
        pytest.param(
            FLAG, [DroppedColumn("flag", "name"), AddedColumn("flag", "name", "'x'")],
            {("column_emptied", "flag.name", 3),
             ("column_dropped", "flag.name", "\"name\"::text IS DISTINCT FROM ('x')::text::text")},
            id="a column that was made anew",
        ),
        pytest.param(
            flag(on="boolean"), [AddedColumn("flag", "on", "true"), DroppedColumn("flag", "on"),
                                 AddedColumn("flag", "on", None)],
            {ON_SET}, id="a new column that was made anew",
        ),
    ],
)  # fmt: skip
def test_structural(live: Catalog, effects: list[Effect], expected: set[tuple[str, str, str | int | None]]) -> None:
    assert told(ask(FLAG, live, *effects)) == expected


KEYED = {"id": "integer", "name": "text"}
BEFORE = catalog(key="id", flag={**KEYED, "code": "integer"}, old={"id": "integer"})


@pytest.mark.parametrize(
    ("live", "effects", "items"),
    [
        (
            catalog(key="id", flag={"id": "integer", "on": "text"}, tag={"id": "integer"}),
            [DroppedColumn("flag", "name"), DroppedTable("old"), AddedColumn("flag", "on", None), CreatedTable("tag")],
            {
                "table_dropped tag": RefillItem("public", "tag", key=("id",)),
                "column_dropped flag.on": RefillItem("public", "flag", ("on",), ("id",)),
                "column_emptied flag.code": RefillItem("public", "flag", ("code",), ("id",), overwrite=False),
                "column_emptied flag.name": RefillItem("public", "flag", ("name",), ("id",)),
                "table_emptied old": RefillItem("public", "old", key=("id",)),
            },
        ),
        (
            catalog(key="id", feature={**KEYED, "code": "character varying(4)"}),
            [RenamedTable("flag", "feature")],
            {
                "type_narrowed feature.code": RefillItem("public", "feature", ("code",), ("id",), through="integer"),
                "type_cast flag.code": RefillItem("public", "flag", ("code",), ("id",), through="character varying(4)"),
                "table_emptied old": RefillItem("public", "old", key=("id",), overwrite=False),
            },
        ),
        (
            catalog(flag={**KEYED, "code": "integer", "on": "text"}, old={"id": "integer"}, tag={"id": "integer"}),
            [AddedColumn("flag", "on", None), CreatedTable("tag")],
            {"table_dropped tag": RefillItem("public", "tag"), "column_dropped flag.on": None},
        ),
        (
            catalog(key="id, on", flag={**KEYED, "code": "integer", "on": "text"}, old={"id": "integer"}),
            [AddedColumn("flag", "on", None)],
            {"column_dropped flag.on": None},
        ),
    ],
)
def test_items_say_what_would_bring_it_back(
    live: Catalog, effects: list[Effect], items: dict[str, RefillItem | None]
) -> None:
    """In the names of the database that they are put back into.

    They overwrite only where a migration is known to have dropped what came back.
    """
    found = ask(BEFORE, live, *effects)
    assert {
        f"{each.kind} {each.object.removeprefix('public.')}": each.item for each in found if not each.fails
    } == items


def test_a_key_that_is_wider_now_only_fails_to_come_back() -> None:
    (question,) = ask(catalog(key="id", flag={"id": "integer"}), catalog(key="id", flag={"id": "bigint"}))
    assert (question.condition, question.item) == (NO_SMALL, None)
    assert question.failure(1) == "the reverse of the type change of public.flag.id fails: no integer in 1 row"
    assert question.failure(1200) == "the reverse of the type change of public.flag.id fails: no integer in 1,200 rows"


def test_a_type_that_sql_changed_is_lost_where_djangos_cast_would_fail() -> None:
    """The reverse SQL may cast in another way."""
    sql = RanSql("ALTER TABLE flag ALTER code TYPE bigint")
    live = catalog(key="id", flag={"id": "integer", "code": "bigint"})
    (question,) = ask(catalog(key="id", flag={"id": "integer", "code": "integer"}), live, sql)
    assert question.condition == ('CASE WHEN "code" NOT BETWEEN -2147483648 AND 2147483647 THEN true ELSE false END')
    assert (question.fails, question.item) == ("", RefillItem("public", "flag", ("code",), ("id",), through="integer"))


def test_a_column_that_may_be_null_now() -> None:
    before: dict[str, Value] = {"type": "text", "not null": True}
    after: dict[str, Value] = {"type": "text", "not null": False}
    (question,) = ask(
        catalog(key="id", flag={"id": "integer", "name": before}),
        catalog(key="id", flag={"id": "integer", "name": after}),
    )
    item = RefillItem("public", "flag", ("name",), ("id",), condition='"name" IS NULL')
    assert (question.kind, question.condition, question.item) == ("type_narrowed", '"name" IS NULL', item)


@pytest.mark.parametrize(
    ("default", "condition", "nulls"),
    [("'none'", "\"label\"::text = ('none')::text::text", "'none'"), (None, None, None)],
)
def test_nulls_that_were_given_a_value(default: str | None, condition: str | None, nulls: str | None) -> None:
    before: dict[str, Value] = {"type": "text", "not null": False}
    after: dict[str, Value] = {"type": "text", "not null": True}
    effects: list[Effect] = [
        FilledNulls("flag", "name", default),
        RenamedColumn("flag", "name", "label"),
        RenamedTable("flag", "f"),
    ]
    recorded = catalog(key="id", flag={"id": "integer", "name": before})
    live = catalog(key="id", f={"id": "integer", "label": after})
    (question,) = ask(recorded, live, *effects)
    item = nulls and RefillItem("public", "flag", ("name",), ("id",), condition='"name" IS NULL', nulls=nulls)
    assert (question.kind, question.object, question.condition) == ("type_cast", "public.f.label", condition)
    assert question.item == item
    assert ask(recorded, catalog(key="id", flag={"id": "integer", "name": after})) == [], "there were none"


def test_what_a_column_had_is_known_by_the_rows_of_its_table() -> None:
    """The snapshot counts rows, not values: only of a column that is NOT NULL every row had one."""
    columns: Columns = {"name": "text", "size": {"type": "integer", "not null": True}, "code": "integer"}
    recorded = catalog(key="id", flag={"id": "integer", **columns})
    found = ask(recorded, catalog(key="id", flag={"id": "integer", "code": "character varying(4)"}))
    assert {(question.kind, question.object, question.answered(3).at_most) for question in found} >= {
        ("column_emptied", "public.flag.name", True),
        ("column_emptied", "public.flag.size", False),
        ("type_cast", "public.flag.code", True),
    }
    assert [question.answered(None).at_most for question in found] == [False] * len(found)
    assert [question.answered(3, estimated=True).at_most for question in found] == [False] * len(found)


def test_a_varchar_that_sql_cut() -> None:
    """Django's own change of a length fails rather than cut."""
    recorded = catalog(key="id", flag={"id": "integer", "name": "character varying(20)"})
    live = catalog(key="id", flag={"id": "integer", "name": "character varying(4)"})
    assert ask(recorded, live) == []
    (question,) = ask(recorded, live, RanSql("ALTER TABLE flag ALTER name TYPE varchar(4) USING left(name, 4)"))
    item = RefillItem("public", "flag", ("name",), ("id",), through="character varying(4)")
    assert (question.kind, question.recorded, question.item) == ("type_cast", 3, item)


@pytest.mark.parametrize(
    ("effects", "fails"),
    [
        ([DroppedColumn("flag", "size", comes_back=False)], ["flag.size"]),
        ([DroppedColumn("flag", "size", comes_back=False), RenamedTable("flag", "feature")], ["feature.size"]),
        ([DroppedColumn("flag", "size")], []),
        ([DroppedColumn("flag", "size", comes_back=False), DroppedTable("flag"), CreatedTable("flag")], []),
    ],
)
def test_a_column_that_cannot_come_back_into_a_table_with_rows(effects: list[Effect], fails: list[str]) -> None:
    """Even one that was not recorded: made and dropped by the migrations between."""
    live = catalog(flag={"id": "integer"}, feature={"id": "integer"})
    found = [each for each in ask(catalog(flag={"id": "integer"}, feature={}), live, *effects) if each.fails]
    assert [each.failure(5) for each in found] == [
        f"the reverse adds public.{column} NOT NULL without a default, and the table has 5 rows" for column in fails
    ]


def test_of_a_partitioned_table_the_partitions_are_asked() -> None:
    def partitioned(*columns: str) -> Catalog:
        parent = CatalogObject(Identity("table", "public", "", "log"), {"kind": "partitioned"})
        own = [CatalogObject(Identity("column", "public", "log", each), {"type": "text"}) for each in columns]
        return catalog(parent, *own, key="id", log_1=dict.fromkeys(columns, "text"))

    grown = ask(partitioned("id"), partitioned("id", "more"), RanSql("ALTER TABLE log ADD more text"))
    assert [(each.object, each.item) for each in grown] == [
        ("public.log_1.more", RefillItem("public", "log_1", ("more",), ("id",)))
    ]
    gone = ask(partitioned("id"), catalog(), DroppedTable("log"))
    assert [(each.kind, each.object) for each in gone] == [("table_emptied", "public.log_1")]
    assert dropped(catalog(), partitioned("id"), [RanSql("CREATE TABLE log; CREATE TABLE log_1")]) == {
        ("public", "log"),
        ("public", "log_1"),
    }


def test_enums_and_domains_are_known_by_their_definitions() -> None:
    def typed(*definitions: CatalogObject, code: str) -> Catalog:
        return catalog(*definitions, key="id", flag={"id": "integer", "code": code})

    def mood(labels: str) -> CatalogObject:
        return CatalogObject(Identity("enum type", "public", "", "My mood"), {"labels": labels})

    name = 'public."My mood"'
    domain = CatalogObject(Identity("domain", "public", "", "positive"), {"type": "integer"})
    check = CatalogObject(Identity("domain constraint", "public", "positive", "c"), {"definition": "CHECK (VALUE > 0)"})
    small, large = typed(mood("'a'"), code=name), typed(mood("'a', 'b'"), code=name)
    assert ask(small, small) == []
    assert told(ask(small, large)) == {("type_narrowed", "flag.code", "\"code\"::text NOT IN ('a')")}
    assert told(ask(small, typed(code="text"))) == {("type_narrowed", "flag.code", "\"code\"::text NOT IN ('a')")}
    made = RanSql("CREATE DOMAIN positive AS integer")
    assert ask(typed(code="integer"), typed(domain, code="public.positive"), made) == []
    assert ask(typed(domain, code="public.positive"), typed(code="integer")) == []
    assert told(ask(typed(domain, check, code="public.positive"), typed(code="integer"))) == {
        ("type_narrowed", "flag.code", '"code" IS NOT NULL')
    }


def test_what_goes() -> None:
    live = catalog(feature={"id": "integer", "name": "text", "on": "boolean"}, tag={"id": "integer"}, cache={})
    effects: list[Effect] = [
        RenamedTable("flag", "feature"),
        AddedColumn("feature", "on", None),
        CreatedTable("tag"),
    ]
    assert dropped(FLAG, live, effects) == {("public", "tag"), ("public", "feature", "on")}


@pytest.mark.parametrize(
    ("live", "effects", "found"),
    [
        (catalog(flag={}), [CreatedTable("flag")], ("flag",)),
        (catalog(feature={}), [CreatedTable("flag"), RenamedTable("flag", "feature")], ("flag",)),
        (catalog(flag={}), [DroppedTable("flag"), CreatedTable("flag")], ()),
        (catalog(flag={}, old={}), [RenamedTable("flag", "old"), CreatedTable("flag")], ()),
        (catalog(flag={}, tag={}), [CreatedTable("tag")], ()),
        (catalog(flag={}, tag={}), [CreatedTable("tag"), DroppedTable("tag"), CreatedTable("tag")], ()),
        (catalog(flag={}, tag={}), [RenamedTable("flag", "tag"), CreatedTable("flag")], ()),
    ],
)
def test_recorded_tables_that_extra_migrations_create(
    live: Catalog, effects: list[Effect], found: tuple[str, ...]
) -> None:
    assert made_before(catalog(flag={}), live, effects) == found
