"""What going back through migrations does to rows that stay: from their reverse code, and the catalog it is run on."""

import pytest

from flagsnap.catalog import Catalog, CatalogObject, Identity
from flagsnap.loss.behaviour import behavioural
from flagsnap.loss.effects import DroppedColumn, Effect, RenamedColumn, RenamedTable
from flagsnap.loss.values import Loss, Question, RefillItem
from flagsnap.migrations import Migration, Node, Operation


def table(name: str, *columns: str, schema: str = "public", key: str = "id") -> list[CatalogObject]:
    objects = [CatalogObject(Identity("table", schema, "", name), {})]
    objects += [CatalogObject(Identity("column", schema, name, column), {"type": "text"}) for column in columns]
    if key:
        objects.append(CatalogObject(Identity("constraint", schema, name, f"(PRIMARY KEY ({key}))"), {}))
    return objects


LIVE = Catalog(
    (
        *table("flag", "id", "name", "colour"),
        *table("flag", "id", schema="another"),
        *table("log", "text", key=""),
        *table("entry", "id", schema="audit"),
        *table("django_migrations", "id", "app"),
    )
)


def node(*reverse_sql: str, name: str = "1") -> Node:
    """A migration whose operations have this reverse SQL, in the order of the way forward."""
    operations = (
        Operation("RunSQL", reversible=True, reverse_does_nothing=False, reverse_sql=sql) for sql in reverse_sql
    )
    return Node(Migration("a", name), operations=tuple(operations))


def asked(sql: str, *gone: tuple[str, ...], effects: tuple[Effect, ...] = ()) -> list[Loss | Question]:
    return list(behavioural([node(sql)], LIVE, gone, effects))


def deleted(condition: str | None = "", item: bool = True) -> Question:
    key = RefillItem("public", "flag", key=("id",), condition=condition or "") if item else None
    return Question("rows_deleted", "public", "flag", condition=condition, item=key)


def updated(*columns: str, condition: str | None = "") -> Question:
    item = None
    if condition is not None:
        item = RefillItem("public", "flag", columns=columns, key=("id",), condition=condition)
    return Question("rows_updated", "public", "flag", condition=condition, item=item)


def test_code_that_does_nothing_and_code_that_does_something() -> None:
    does, nothing, runs = (
        Operation("RunPython", reversible=True, reverse_does_nothing=nothing, runs_code=runs)
        for nothing, runs in ((False, False), (True, False), (False, True))
    )
    operations = {"1": (does,), "2": (does, nothing, nothing), "3": (runs,), "4": (nothing, runs)}
    nodes = [Node(Migration("a", name), operations=each) for name, each in operations.items()]
    assert list(behavioural(nodes, LIVE, ())) == [
        Loss("unapply", "reverse_does_nothing", "a.4", None, "kept"),
        Loss("unapply", "reverse_runs_code", "a.4", None, "lost"),
        Loss("unapply", "reverse_runs_code", "a.3", None, "lost"),
        Loss("unapply", "reverse_does_nothing", "a.2", None, "kept"),
    ]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("DELETE FROM flag", [deleted()]),
        ("DELETE FROM Flag AS f WHERE f.id > 3", [deleted('"flag".id > 3')]),
        ("DELETE FROM flag WHERE id IN (SELECT 1)", [deleted("id IN (SELECT 1)", item=False)]),
        ("DELETE FROM flag WHERE at < now()", [deleted("at < now()", item=False)]),
        ("DELETE FROM flag USING log", [deleted(None, item=False)]),
        ("TRUNCATE public.flag", [deleted()]),
        ("UPDATE flag SET name = 'x', colour = NULL WHERE id = 1", [updated("name", "colour", condition="id = 1")]),
        ("UPDATE flag SET name = log.text FROM log", [updated("name", condition=None)]),
        ("UPDATE flag SET new = 'x', name = 'y'", [updated("name")]),
        ("DELETE FROM log", [Question("rows_deleted", "public", "log")]),
        (
            "DELETE FROM another.flag; TRUNCATE entry",
            [
                Question("rows_deleted", "another", "flag", item=RefillItem("another", "flag", key=("id",))),
                Question("rows_deleted", "audit", "entry", item=RefillItem("audit", "entry", key=("id",))),
            ],
        ),
        ("DROP TABLE flag; CREATE TABLE flag (id int)", [deleted()]),
        ("ALTER TABLE flag DROP colour, ADD colour int", [updated("colour")]),
        # no data
        ("DELETE FROM django_migrations WHERE app = 'a'", []),
        ("DELETE FROM unborn; UPDATE audit.flag SET name = 'x'", []),
        ("UPDATE flag SET new = 'x'", []),
        ("INSERT INTO flag VALUES (1); SELECT 1; CREATE INDEX i ON flag (name)", []),
        # no idea
        ("SELECT our_own()", [Loss("unapply", "statement_unknown", "a.1: SELECT our_own()", None, "lost")]),
        (
            f"CALL  our_own({'1, ' * 30}2)",
            [Loss("unapply", "statement_unknown", f"a.1: CALL our_own({'1, ' * 15}1…", None, "lost")],
        ),
    ],
)
def test_reverse_sql(sql: str, expected: list[Loss | Question]) -> None:
    assert asked(sql) == expected


def test_what_goes_anyway_is_asked_about_elsewhere() -> None:
    flag = ("public", "flag")
    assert asked("DELETE FROM flag; UPDATE flag SET name = 'x'", flag) == []
    assert asked("UPDATE flag SET name = 'x'", (*flag, "name")) == []
    assert asked("UPDATE flag SET name = 'x', colour = 'y'", (*flag, "name")) == [updated("colour")]


def test_names_that_changed_since_are_followed() -> None:
    effects = RenamedTable("old", "older"), RenamedColumn("older", "title", "name"), RenamedTable("older", "flag")
    assert asked("DELETE FROM old WHERE id = 1", effects=effects) == [deleted(None, item=False)]
    assert asked("UPDATE old SET title = 'x'", effects=effects) == [updated("name", condition=None)]
    column = (RenamedColumn("flag", "title", "name"),)
    assert asked("UPDATE flag SET title = 'x'", effects=column) == [updated("name")]
    assert asked("DELETE FROM flag WHERE title = 'x'", effects=column) == [deleted(None, item=False)]
    made_anew = (DroppedColumn("flag", "weight"),)
    assert asked("DELETE FROM flag WHERE weight > 3", effects=made_anew) == [deleted(None, item=False)]


def test_a_condition_on_what_was_set_before_cannot_be_asked_now() -> None:
    """Backwards through the migrations and their operations."""
    nodes = [
        node("DELETE FROM flag WHERE colour = 'red'", "DELETE FROM flag WHERE name = 'x'"),
        node("DELETE FROM flag WHERE colour = 'red'", "UPDATE flag SET colour = 'red'", name="2"),
    ]
    assert list(behavioural(nodes, LIVE, ())) == [
        updated("colour"),
        deleted(None, item=False),
        deleted("name = 'x'"),
        deleted(None, item=False),
    ]


def reference(name: str, rule: str, target: str = "public.flag(id)") -> list[CatalogObject]:
    """A table whose column `flag_id` points to another one."""
    foreign_key = Identity("constraint", "public", name, f"(FOREIGN KEY (flag_id) REFERENCES {target}{rule})")
    return [*table(name, "id", "flag_id"), CatalogObject(foreign_key, {})]


def test_foreign_keys_take_more() -> None:
    cascade = " ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED"
    live = Catalog(
        (
            *LIVE.objects,
            *reference("plain", ""),
            *reference("owned", cascade),
            *reference("owned_too", cascade, "public.owned(id)"),
            *reference("pointing", " ON DELETE SET NULL"),
            *reference("going", cascade),
        )
    )

    def taken(sql: str) -> list[tuple[str, str, str | None, bool]]:
        found = behavioural([node(sql)], live, [("public", "going")])
        questions = [each for each in found if isinstance(each, Question)]
        return sorted((each.kind, each.table, each.condition, each.item is not None) for each in questions)

    assert taken("DELETE FROM flag") == [
        ("rows_deleted", "flag", "", True),
        ("rows_deleted", "owned", "(flag_id) IS NOT NULL", True),
        (
            "rows_deleted",
            "owned_too",
            '(flag_id) IN (SELECT id FROM public.owned AS "owned" WHERE (flag_id) IS NOT NULL)',
            False,
        ),
        ("rows_updated", "pointing", "(flag_id) IS NOT NULL", True),
    ]
    assert (
        "rows_deleted",
        "owned",
        '(flag_id) IN (SELECT id FROM public.flag AS "flag" WHERE id = 3)',
        False,
    ) in taken("DELETE FROM flag WHERE id = 3")
    assert ("rows_deleted", "owned", None, False) in taken("DELETE FROM flag USING log")
    assert taken("TRUNCATE flag") == [("rows_deleted", "flag", "", True)]
    assert taken("TRUNCATE flag RESTART IDENTITY CASCADE") == [
        ("rows_deleted", name, "", True) for name in ("flag", "owned", "owned_too", "plain", "pointing")
    ]
