"""What the code of migrations mentions."""

import pytest

from flagsnap.loss.effects import CreatedTable, Effect, RanCode, RanSql
from flagsnap.loss.mentions import authors, codes_of, mentioned, values_made
from flagsnap.migrations import Migration, Node, Operation
from flagsnap.postgres.leftovers import reach

DATA = Migration("flags", "0002_data")
TABLES = ("flags_tag", "flags_tag_groups", "flags_tagging", "oauth2_provider_application", 'odd "one')


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("apps.get_model('flags', 'Tag')", {"flags_tag", "flags_tag_groups"}),
        ('apps.get_model(\n    "flags",\n    "Tag"\n)', {"flags_tag", "flags_tag_groups"}),
        ("apps.get_model('flags.Tag')", {"flags_tag", "flags_tag_groups"}),
        ("apps.get_model(app_label='flags', model_name='Tag')", {"flags_tag", "flags_tag_groups"}),
        ("apps.get_model('oauth2_provider', 'Application')", {"oauth2_provider_application"}),
        ("apps.get_model('oauth2_provider', 'Grant')", set()),
        ("INSERT INTO public.flags_tag VALUES (1)", {"flags_tag"}),
        ('INSERT INTO "flags_tagging" VALUES (1)', {"flags_tagging"}),
        ('INSERT INTO "odd ""one" VALUES (1)', {'odd "one'}),
        ("INSERT INTO my_flags_tag VALUES (1)", set()),
    ],
)
def test_tables_that_code_names(code: str, found: set[str]) -> None:
    assert mentioned(TABLES, [code]) == found


def test_values_that_code_creates_rows_with() -> None:
    code = """
from django.db import migrations
NAME = "by name"

def forward(apps, editor):
    Tag = apps.get_model("flags", "Tag")
    Tag.objects.get_or_create(name="one", rank=3, defaults={"colour": "red"})
    Tag.objects.using("default").create(name="two", colour="blue")
    Tag.objects.update_or_create(name=NAME, **{"colour": "green"})
    Tag.objects.filter(name="three").first()
"""
    effects: list[Effect] = [RanCode(code, DATA), RanCode("create(name='four')", DATA), RanCode("not ( python", DATA)]
    others: list[Effect] = [RanCode(code.replace("one", "other"), Migration("flags", "0003_more")), RanSql("SELECT 1")]
    assert values_made([*effects, *others], DATA) == {("name", "one"), ("name", "two"), ("colour", "blue")}


def test_codes_and_their_authors() -> None:
    effects: list[Effect] = [CreatedTable("flags_tag"), RanSql("SELECT 1"), RanCode("pass", DATA)]
    assert codes_of(effects) == ("SELECT 1", "pass")
    stays, goes = Operation("RunPython", True, True), Operation("RunPython", True, False)
    nodes = [
        Node(DATA, operations=(goes, stays)),
        Node(Migration("flags", "0003_reversed"), operations=(goes,)),
        Node(Migration("flags", "0004_apart"), atomic=False, operations=(stays,)),
    ]
    assert authors(nodes) == (DATA,)


@pytest.mark.parametrize(
    ("xid", "events", "length"),
    [
        (100, [90, 100, 103, 110], 3),
        (100, [90, 100], 1),
        (100, [], 1),
        (4294967290, [4294967290, 4294967000, 5], 11),
        (5, [4294967290, 5], 1),
    ],
)
def test_the_transactions_up_to_the_next_event(xid: int, events: list[int], length: int) -> None:
    """Their numbers wrap around at 2^32, and begin at 3 again."""
    assert reach(xid, events) == length
