"""Losses: which questions two catalogs raise, what a type carries, what a restore takes away."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagsnap.catalog import Catalog, CatalogObject, Identity, Value
from flagsnap.loss.behaviour import behavioural
from flagsnap.loss.effects import (
    AddedColumn,
    CreatedTable,
    DroppedColumn,
    DroppedTable,
    Effect,
    RanSql,
    RenamedColumn,
    RenamedTable,
)
from flagsnap.loss.structure import made_before, made_by_no_migration, structural
from flagsnap.loss.types import carries, unfit_condition
from flagsnap.loss.values import Loss, Question
from flagsnap.loss.writes import Written, written_since
from flagsnap.migrations import Migration, Node, Operation

INTEGERS = ["smallint", "integer", "bigint"]
TEXTS = ["character varying(5)", "character varying(9)", "character varying", "text"]


def catalog(**tables: dict[str, str | dict[str, Value]]) -> Catalog:
    """Tables in the schema public, their columns with a type or with all attributes."""
    objects: list[CatalogObject] = []
    for table, columns in tables.items():
        objects.append(CatalogObject(Identity("table", "public", "", table), {}))
        for name, column in columns.items():
            attributes = {"type": column} if isinstance(column, str) else column
            objects.append(CatalogObject(Identity("column", "public", table, name), attributes))
    return Catalog(tuple(objects))


def questions(
    recorded: Catalog, live: Catalog, *effects: Effect, rows: dict[str, int] | None = None
) -> set[tuple[str, str, str | int | None]]:
    """Kind and object of each question, and what decides its answer."""
    counted = {("public", table): number for table, number in (rows or {}).items()}
    return {
        (each.kind, each.object.removeprefix("public."), each.fits or each.default or each.recorded)
        for each in structural(recorded, live, effects, counted)
    }


FLAG = catalog(flag={"id": "integer", "name": "text"})


@pytest.mark.parametrize(
    ("recorded", "live", "effects", "expected"),
    [
        pytest.param(FLAG, FLAG, [], set(), id="nothing"),
        pytest.param(
            FLAG, catalog(flag={"id": "integer", "name": "text"}, tag={"id": "integer"}), [CreatedTable("tag")],
            {("table_dropped", "tag", None)}, id="a table that a model made",
        ),
        pytest.param(
            FLAG, catalog(flag={"id": "integer", "name": "text"}, tag={"id": "integer"}),
            [RanSql("CREATE TABLE tag (id int)")], {("table_dropped", "tag", None)}, id="a table that SQL made",
        ),
        pytest.param(
            FLAG, catalog(flag={"id": "integer", "name": "text"}, tag={"id": "integer"}), [], set(),
            id="a table that nobody made",
        ),
        pytest.param(FLAG, catalog(), [], {("table_emptied", "flag", 3)}, id="a table that comes back"),
        pytest.param(
            FLAG, catalog(flag={"id": "integer"}), [], {("column_emptied", "flag.name", 3)},
            id="a column that comes back",
        ),
        pytest.param(
            FLAG, catalog(flag={"id": "integer", "name": "text", "on": {"type": "boolean", "default": "false"}}), [],
            {("column_dropped", "flag.on", "false")}, id="a column with a default of its own",
        ),
        pytest.param(
            FLAG, catalog(flag={"id": "integer", "name": "text", "on": "boolean"}), [AddedColumn("flag", "on", "true")],
            {("column_dropped", "flag.on", "true")}, id="a column with the default of its field",
        ),
        pytest.param(
            FLAG, catalog(flag={"id": "integer", "name": "text", "on": "boolean"}), [AddedColumn("flag", "on", None)],
            {("column_dropped", "flag.on", None)}, id="a column without a default",
        ),
        pytest.param(
            FLAG, catalog(flag={"id": "integer", "name": "text", "n": {"type": "integer", "default": "nextval('s')"}}),
            [], {("column_dropped", "flag.n", None)}, id="a sequence is not asked for its next value",
        ),
        pytest.param(
            FLAG, catalog(flag={"id": "integer", "name": "text", "n": {"type": "text", "generated": "name"}}), [],
            set(), id="a generated column holds nothing of its own",
        ),
        pytest.param(
            FLAG, catalog(flag={"id": "bigint", "name": "text"}), [], {("type_narrowed", "flag.id", "integer")},
            id="a type that was narrower",
        ),
        pytest.param(FLAG, catalog(flag={"id": "smallint", "name": "text"}), [], set(), id="a type that was wider"),
        pytest.param(
            FLAG, catalog(feature={"id": "integer", "label": "text"}),
            [RenamedColumn("flag", "name", "title"), RenamedTable("flag", "feature"),
             RenamedColumn("feature", "title", "label")],
            set(), id="renamed, column and table and column again",
        ),
        pytest.param(
            FLAG, catalog(feature={"id": "bigint", "name": "text", "on": "boolean"}),
            [AddedColumn("flag", "active", "true"), RenamedColumn("flag", "active", "on"),
             RenamedTable("flag", "feature")],
            {("type_narrowed", "feature.id", "integer"), ("column_dropped", "feature.on", "true")},
            id="renamed, and changed besides",
        ),
        pytest.param(
            FLAG, FLAG, [DroppedTable("flag"), CreatedTable("flag")],
            {("table_emptied", "flag", 3), ("table_dropped", "flag", None)}, id="a table that was made anew",
        ),
        pytest.param(
            FLAG, FLAG, [DroppedColumn("flag", "name"), AddedColumn("flag", "name", "'x'")],
            {("column_emptied", "flag.name", 3), ("column_dropped", "flag.name", "'x'")},
            id="a column that was made anew",
        ),
        pytest.param(
            FLAG, catalog(flag={"id": "integer", "name": "text", "on": "boolean"}),
            [AddedColumn("flag", "on", "true"), DroppedColumn("flag", "on"), AddedColumn("flag", "on", None)],
            {("column_dropped", "flag.on", None)}, id="a new column that was made anew",
        ),
        pytest.param(
            FLAG, catalog(flag={"id": "integer", "name": "text"}, tag={"id": "integer"}),
            [CreatedTable("label"), RenamedTable("label", "tag")], {("table_dropped", "tag", None)},
            id="a table that was made and renamed",
        ),
    ],
)  # fmt: skip
def test_structural(
    recorded: Catalog, live: Catalog, effects: list[Effect], expected: set[tuple[str, str, str | int | None]]
) -> None:
    assert questions(recorded, live, *effects, rows={"flag": 3}) == expected


def test_a_question_with_its_count_is_a_loss() -> None:
    question = Question("column_dropped", "public", "flag", "on", default="true", type="boolean")
    assert question.answered(2) == Loss("unapply", "column_dropped", "public.flag.on", 2, "lost")


@pytest.mark.parametrize(
    ("rows", "remedy", "needed"),
    [(1, "lost", True), (None, "kept", True), (0, "lost", False), (5, "archived", False), (5, "refilled", False)],
)
def test_consent_is_needed_for_what_nothing_brings_back(rows: int | None, remedy: str, needed: bool) -> None:
    loss = Loss("unapply", "table_dropped", "public.tag", rows, remedy)  # type: ignore[arg-type]  # a Remedy
    assert loss.needs_consent is needed


def test_tables_that_no_migration_made() -> None:
    live = catalog(cache={}, tag={}, summary={}, feature={})
    effects: list[Effect] = [CreatedTable("label"), RenamedTable("label", "tag"), RanSql("CREATE TABLE summary ()")]
    assert made_by_no_migration(catalog(flag={}), live, effects) == (("public", "cache"), ("public", "feature"))
    renamed = [*effects, RenamedTable("flag", "feature")]
    assert made_by_no_migration(catalog(flag={}), live, renamed) == (("public", "cache"),)


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


@pytest.mark.parametrize(
    ("from_type", "to_type", "carried"),
    [
        ("jsonb", "jsonb", True),
        ("integer", "bigint", True),
        ("bigint", "integer", False),
        ("smallint", "text", False),
        ("character varying(9)", "text", True),
        ("character varying", "text", True),
        ("text", "character varying", True),
        ("character varying(5)", "character varying(9)", True),
        ("character varying(9)", "character varying(5)", False),
        ("character varying", "character varying(9)", False),
        ("text", "character varying(9)", False),
        ("character varying(9)[]", "character varying(5)[]", False),
        ("numeric(9,2)", "numeric(12,2)", False),
        ("timestamp with time zone", "date", False),
    ],
)
def test_carries(from_type: str, to_type: str, carried: bool) -> None:
    assert carries(from_type, to_type) is carried


@given(*3 * [st.sampled_from(INTEGERS + TEXTS)])
def test_carrying_is_an_order(one: str, two: str, three: str) -> None:
    assert carries(one, one)
    assert carries(one, three) or not (carries(one, two) and carries(two, three))


@pytest.mark.parametrize(
    ("from_type", "to_type", "condition"),
    [
        ("integer", "smallint", '"n"::numeric NOT BETWEEN -(2::numeric ^ 15) AND 2::numeric ^ 15 - 1'),
        ("text", "integer", '"n" IS NOT NULL'),
        ("text", "character varying(5)", 'char_length("n"::text) > 5'),
        ("text", "jsonb", '"n" IS NOT NULL'),
    ],
)
def test_values_that_do_not_fit(from_type: str, to_type: str, condition: str) -> None:
    assert unfit_condition('"n"', from_type, to_type) == condition


def test_reverse_code_that_does_nothing() -> None:
    does, nothing = (Operation("RunPython", reversible=True, reverse_does_nothing=each) for each in (False, True))
    nodes = [Node(Migration("a", name), operations=tuple(of)) for name, of in (("1", [does]), ("2", [does, nothing]))]
    assert list(behavioural(nodes)) == [Loss("unapply", "reverse_does_nothing", "a.2", None, "kept")]


@pytest.mark.parametrize(
    ("recorded", "live", "rows"),
    [
        ((3, 3), (3, 3), []),
        ((3, 3), (5, 5), [2]),
        ((3, 3), (3, 7), [4]),
        (None, (4, 9), [4]),
        (None, (0, 0), []),
        ((3, 3), None, []),
        ((3, 900), (5, 2), [2]),
        ((3, 900), (3, 2), [None]),
    ],
)
def test_written_since(recorded: tuple[int, int] | None, live: tuple[int, int] | None, rows: list[int | None]) -> None:
    losses = list(written_since([Written("public.flag", recorded, live)]))
    assert losses == [Loss("restore", "written_since", "public.flag", each, "lost") for each in rows]
