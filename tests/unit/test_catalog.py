"""The catalog as a value: order, numbering, JSON, the fingerprint, and differences in words."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagsnap.catalog import (
    Catalog,
    CatalogObject,
    Difference,
    Identity,
    TableName,
    Value,
    differences,
)

TABLE = Identity("table", "public", "", "features_feature")
NAME = Identity("column", "public", "features_feature", "name")
INDEX = Identity("index", "public", "features_feature", "by_name")
KEY = Identity("constraint", "public", "features_feature", "(PRIMARY KEY (id))")


def catalog(*objects: tuple[Identity, dict[str, Value]]) -> Catalog:
    return Catalog(tuple(CatalogObject(identity, attributes) for identity, attributes in objects))


def sentences(recorded: Catalog, live: Catalog) -> list[str]:
    return [str(difference) for difference in differences(recorded, live)]


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        (TABLE, "table public.features_feature"),
        (NAME, "column public.features_feature.name"),
        (KEY, "constraint public.features_feature (PRIMARY KEY (id))"),
        (
            Identity("sequence", "public", "features_feature", "(of id)"),
            "sequence public.features_feature (of id)",
        ),
        (Identity("extension", "", "", "citext"), "extension citext"),
    ],
)
def test_an_identity_in_words(identity: Identity, words: str) -> None:
    assert str(identity) == words


@pytest.mark.parametrize(
    ("recorded", "live", "words"),
    [
        (
            {"type": "character varying(200)"},
            {"type": "text"},
            "type was recorded as character varying(200), is text",
        ),
        ({"default": "''::text"}, {}, "default was recorded as ''::text, is nothing"),
        ({}, {"not null": True}, "not null was recorded as no, is yes"),
        ({"not null": True}, {}, "not null was recorded as yes, is no"),
        ({"start": 1}, {"start": 0}, "start was recorded as 1, is 0"),
        ({"comment": "two\n  lines"}, {"comment": None}, "comment was recorded as two lines, is nothing"),
    ],
)
def test_an_attribute_that_differs_in_words(recorded: dict[str, Value], live: dict[str, Value], words: str) -> None:
    found = sentences(catalog((NAME, recorded)), catalog((NAME, live)))
    assert found == [f"column public.features_feature.name: {words}"]


def test_an_object_on_one_side_only_in_words() -> None:
    with_index, without = catalog((TABLE, {}), (INDEX, {})), catalog((TABLE, {}))
    assert sentences(with_index, without) == ["index public.features_feature.by_name is not there"]
    assert sentences(without, with_index) == ["index public.features_feature.by_name was not recorded"]


def test_the_parts_of_a_table_that_is_not_there_go_without_saying() -> None:
    whole, empty = catalog((TABLE, {}), (NAME, {}), (INDEX, {}), (KEY, {})), catalog()
    assert sentences(whole, empty) == ["table public.features_feature is not there"]
    assert sentences(empty, whole) == ["table public.features_feature was not recorded"]


def test_a_table_that_became_a_view_is_two_differences_without_its_columns() -> None:
    view = Identity("view", "public", "", "features_feature")
    assert sentences(catalog((TABLE, {}), (NAME, {})), catalog((view, {}))) == [
        "table public.features_feature is not there",
        "view public.features_feature was not recorded",
    ]


def test_a_long_text_is_shown_from_where_it_begins_to_differ() -> None:
    head = "SELECT " + ", ".join(f"column_{number}" for number in range(40))
    view = Identity("view", "public", "", "v")
    (sentence,) = sentences(
        catalog((view, {"definition": f"{head}, a FROM t"})),
        catalog((view, {"definition": f"{head}, b FROM t"})),
    )
    assert sentence.startswith("view public.v: definition was recorded as …")
    assert ", a FROM t, is …" in sentence
    assert sentence.endswith(", b FROM t")
    assert len(sentence) < 200


def test_one_is_not_true() -> None:
    recorded, live = catalog((NAME, {"start": 1})), catalog((NAME, {"start": True}))
    assert recorded.fingerprint != live.fingerprint
    assert differences(recorded, live) == (Difference(NAME, "start", 1, True),)


def test_the_order_in_which_objects_were_read_does_not_matter() -> None:
    one = catalog((TABLE, {}), (NAME, {"type": "text", "not null": True}))
    other = catalog((NAME, {"not null": True, "type": "text"}), (TABLE, {}))
    assert one == other
    assert one.fingerprint == other.fingerprint


def test_an_attribute_without_a_value_is_no_attribute() -> None:
    assert catalog((NAME, {"default": None})).fingerprint == catalog((NAME, {})).fingerprint


def test_the_fingerprint_is_a_promise_to_snapshots_already_stored() -> None:
    stored = catalog((TABLE, {"kind": "ordinary"}), (NAME, {"type": "text", "comment": "ä"}))
    assert stored.fingerprint == "sha256:71d4b91466e83958e5ed9918dc5e8de36e612c255775e7594ee593399b9dc911"


def test_objects_of_one_identity_are_numbered_and_none_is_lost() -> None:
    twice, once = catalog((KEY, {}), (KEY, {"comment": "second"})), catalog((KEY, {"comment": "second"}))
    assert [item.identity.name for item in twice.objects] == ["(PRIMARY KEY (id))", "(PRIMARY KEY (id)) #2"]
    assert twice.fingerprint != once.fingerprint
    assert sentences(catalog((TABLE, {}), (KEY, {}), (KEY, {})), catalog((TABLE, {}), (KEY, {}))) == [
        "constraint public.features_feature (PRIMARY KEY (id)) #2 is not there"
    ]


def test_tables_that_hold_rows() -> None:
    tables = catalog(
        (TABLE, {"kind": "ordinary"}),
        (TABLE._replace(name="events"), {"kind": "partitioned"}),
        (TABLE._replace(name="remote"), {"kind": "foreign"}),
        (TABLE._replace(kind="view", name="v"), {}),
    ).tables()
    assert tables == (
        TableName("public", "events", partitioned=True),
        TableName("public", "features_feature"),
    )
    assert [str(table) for table in tables] == ["public.events", "public.features_feature"]


def test_columns_of_one_table_by_name() -> None:
    columns = catalog((TABLE, {}), (NAME, {"type": "text"}), (NAME._replace(table="other"), {}))
    assert {name: item.attributes for name, item in columns.columns("public", "features_feature").items()} == {
        "name": {"type": "text"}
    }
    assert columns.columns("public", "gone") == {}
    assert columns.get(NAME) == CatalogObject(NAME, {"type": "text"})
    assert columns.get(INDEX) is None


def test_what_a_restored_dump_can_be_held_to() -> None:
    extension = Identity("extension", "", "", "citext")
    recorded = catalog((INDEX, {"invalid": True}), (extension, {"version": "1.5", "schema": "public"}), (NAME, {}))
    assert recorded.restorable() == catalog((extension, {"schema": "public"}), (NAME, {}))


@pytest.mark.parametrize(
    "rubbish",
    [
        None,
        {},
        "[]",
        [None],
        [["table", "public", "", "t"]],
        [["table", "public", "", "t", []]],
        [["table", "public", "", 1, {}]],
        [["table", "public", "", "t", {"kind": ["ordinary"]}]],
        [["table", "public", "", "t", {"kind": 1.5}]],
    ],
)
def test_rubbish_is_no_catalog(rubbish: object) -> None:
    with pytest.raises(ValueError, match="catalog"):
        Catalog.from_json(rubbish)


WORDS = st.text(max_size=3)
VALUES = st.one_of(WORDS, st.integers(-2, 2), st.booleans(), st.none())
CATALOGS = st.lists(
    st.tuples(
        st.builds(Identity, st.sampled_from(["table", "index"]), st.just("s"), st.sampled_from(["", "t"]), WORDS),
        st.dictionaries(st.sampled_from("ab"), VALUES),
    )
).map(lambda objects: catalog(*objects))


@given(CATALOGS)
def test_json_gives_back_the_same_catalog(given_catalog: Catalog) -> None:
    again = Catalog.from_json(json.loads(json.dumps(given_catalog.to_json())))
    assert again == given_catalog
    assert again.fingerprint == given_catalog.fingerprint


@given(CATALOGS, CATALOGS)
def test_no_differences_and_equal_fingerprints_are_one_fact(recorded: Catalog, live: Catalog) -> None:
    assert (not differences(recorded, live)) == (recorded.fingerprint == live.fingerprint)


@pytest.mark.parametrize(
    ("name", "attributes", "columns"),
    [
        ("(PRIMARY KEY (id))", {}, ("id",)),
        ("flag_pk", {"definition": "PRIMARY KEY (project_id, key)"}, ("project_id", "key")),
        ('(PRIMARY KEY ("a, b", "say ""x"""))', {}, ("a, b", 'say "x"')),
        ("(PRIMARY KEY (id) INCLUDE (name))", {}, ("id",)),
        ("(UNIQUE (id))", {}, ()),
        ("made", {"definition": "FOREIGN KEY (id) REFERENCES other(id)"}, ()),
    ],
)
def test_the_columns_of_a_primary_key(name: str, attributes: dict[str, str], columns: tuple[str, ...]) -> None:
    catalog = Catalog((CatalogObject(Identity("constraint", "public", "flag", name), attributes),))
    assert catalog.primary_key("public", "flag") == columns
    assert catalog.primary_key("public", "other") == ()
