"""The decision: which route, what it costs, and when it is refused."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from flagsnap.catalog import Catalog, CatalogObject, Identity
from flagsnap.consent import refuse_other_losses, require_consent
from flagsnap.errors import BridgeFailed, LossRefused, RouteClosed
from flagsnap.loss.values import Kind, Loss, RefillItem, Remedy, Route
from flagsnap.migrations import Migration, Node, Resolution, Segment, SetDifference, difference
from flagsnap.plan import (
    Facts,
    NotReplayed,
    OnLoss,
    Plan,
    Strategy,
    decide,
    state_differences,
    steps_of,
)
from flagsnap.rehearsal.place import Place
from flagsnap.report.plan import plan_text

EXTRA = Migration("flags", "0002_extra")
ROW = Migration("flags", "0001_squashed")
UNAPPLY_IT = Resolution(segments=(Segment(atomic=True, migrations=(EXTRA,)),), rows_to_remove=(ROW,))
NOT_REHEARSED = ("replay", "deploy v2 was not rehearsed")
RESTORABLE = "--strategy restore takes the snapshot instead"


def loss(route: Route, rows: int | None = 2, kind: Kind = "table_dropped", remedy: Remedy = "lost") -> Loss:
    return Loss(route, kind, "public.tag", rows, remedy)


ITEM = RefillItem("public", "tag", key=("id",))
OWED = RefillItem("public", "flag", ("name",), ("id",))
DROPPED = loss("unapply")
WRITTEN = loss("restore", 7, "written_since")
FACTS = Facts(
    to="v2",
    captured_at=datetime(2024, 5, 6, 7, 8, tzinfo=UTC),
    migrations=SetDifference(extra=(EXTRA, ROW), missing=()),
    schema_equal=False,
    resolution=UNAPPLY_IT,
    project_problem=None,
    restore_problem=None,
    losses=(),
    kept=(Identity("table", "public", "", "cache"),),
)
SAME = SetDifference((), ())
NO_CREATEDB = ("the role app may not create databases", "--in-place restores within the live database")


@pytest.mark.parametrize(
    ("open_routes", "costly", "strategy", "on_loss", "route", "refused"),
    [
        # nothing is lost: the strategy alone decides
        *[("both", "", "auto", on_loss, "unapply", False) for on_loss in ("ask", "refuse", "accept", "restore")],
        *[("both", "", "unapply", on_loss, "unapply", False) for on_loss in ("ask", "refuse", "accept", "restore")],
        *[("both", "", "restore", on_loss, "restore", False) for on_loss in ("ask", "refuse", "accept", "restore")],
        ("unapply", "", "auto", "restore", "unapply", False),
        ("restore", "", "auto", "refuse", "restore", False),
        # unapplying costs
        ("both", "unapply", "auto", "ask", "unapply", False),
        ("both", "unapply", "auto", "refuse", "unapply", True),
        ("both", "unapply", "auto", "accept", "unapply", False),
        ("both", "unapply", "auto", "restore", "restore", False),
        ("both", "unapply", "unapply", "refuse", "unapply", True),
        ("both", "unapply", "unapply", "accept", "unapply", False),
        ("both", "unapply", "unapply", "restore", "unapply", True),
        ("both", "unapply", "restore", "refuse", "restore", False),
        ("unapply", "unapply", "auto", "restore", "unapply", True),
        ("unapply", "unapply", "auto", "accept", "unapply", False),
        # restoring costs
        ("both", "restore", "auto", "refuse", "unapply", False),
        ("both", "restore", "restore", "ask", "restore", False),
        ("both", "restore", "restore", "refuse", "restore", True),
        ("both", "restore", "restore", "accept", "restore", False),
        ("both", "restore", "restore", "restore", "restore", False),
        ("restore", "restore", "auto", "refuse", "restore", True),
        ("restore", "restore", "auto", "restore", "restore", False),
        # both cost
        ("both", "both", "auto", "refuse", "unapply", True),
        ("both", "both", "auto", "accept", "unapply", False),
        ("both", "both", "auto", "restore", "restore", False),
    ],
)
def test_decide(
    open_routes: str, costly: str, strategy: Strategy, on_loss: OnLoss, route: Route, refused: bool
) -> None:
    costs = {"unapply": (DROPPED,), "restore": (WRITTEN,), "both": (DROPPED, WRITTEN), "": ()}[costly]
    facts = replace(FACTS, losses=costs)
    if open_routes == "restore":
        facts = replace(facts, resolution=replace(UNAPPLY_IT, irreversible=(EXTRA,)))
    if open_routes == "unapply":
        facts = replace(facts, restore_problem=NO_CREATEDB)
    plan = decide(facts, strategy, on_loss)
    assert (plan.route, bool(plan.refused)) == (route, refused)
    assert plan.needs_consent is any(each.route == route for each in costs)
    assert {each.route for each in plan.price} <= {route}
    if refused:
        with pytest.raises(LossRefused):
            require_consent(plan)
    else:
        require_consent(plan)


def test_a_plan_says_what_its_route_does() -> None:
    facts = replace(FACTS, losses=(DROPPED, WRITTEN))
    unapply = decide(facts, "auto", "accept")
    assert (unapply.to, unapply.captured_at) == (facts.to, facts.captured_at)
    assert (unapply.extra, unapply.missing, unapply.live_is_gone) == ((EXTRA, ROW), (), False)
    assert (unapply.steps, unapply.rows_to_remove, unapply.kept) == (UNAPPLY_IT.segments, (ROW,), facts.kept)
    assert (unapply.losses, unapply.price) == ((DROPPED, WRITTEN), (DROPPED,))
    restore = decide(facts, "restore", "accept")
    assert (restore.steps, restore.rows_to_remove, restore.kept) == ((), (), ())
    assert (restore.losses, restore.price) == ((DROPPED, WRITTEN), (WRITTEN,))


def test_a_plan_says_what_is_archived_and_what_is_refilled() -> None:
    goes = replace(loss("unapply", remedy="archived"), item=ITEM)
    comes = replace(loss("unapply", kind="table_emptied", remedy="refilled"), item=ITEM)
    facts = replace(FACTS, losses=(goes, comes, WRITTEN), archive="full", owed=(OWED, ITEM))
    plan = decide(facts, "auto", "refuse")
    assert (plan.archive, plan.to_archive, plan.to_refill) == ("full", (ITEM,), (ITEM, OWED))
    restore = decide(facts, "restore", "accept")
    assert (restore.to_archive, restore.to_refill) == ((), ())


def test_a_refill_that_is_owed_is_something_to_do() -> None:
    plan = decide(replace(FACTS, migrations=SAME, schema_equal=True, resolution=None, owed=(OWED,)), "auto", "refuse")
    assert (plan.route, plan.to_refill, plan.to_archive, plan.archive) == (None, (OWED,), (), "none")


def test_a_database_in_the_recorded_state_needs_nothing() -> None:
    facts = replace(FACTS, migrations=SAME, schema_equal=True, resolution=None)
    for strategy in ("auto", "unapply", "restore"):
        plan = decide(facts, strategy, "refuse")
        assert (plan.route, plan.steps, plan.closed, plan.refused) == (None, (), (), "")


@pytest.mark.parametrize(
    ("changes", "reason", "hint"),
    [
        ({"migrations": None, "resolution": None}, "the live database does not exist", RESTORABLE),
        ({"has_recorded_table": False}, "the snapshot was taken before the first migrate", RESTORABLE),
        (
            {"migrations": SAME, "resolution": None},
            "the migrations are the recorded ones, but the schema was changed otherwise",
            RESTORABLE,
        ),
        ({"resolution": None}, "no project was named", "FLAGSNAP_MANAGE"),
        ({"resolution": None, "project_problem": BridgeFailed("it is dead", "wake it")}, "it is dead", "wake it"),
        ({"resolution": None, "project_problem": BridgeFailed("it is dead")}, "it is dead", RESTORABLE),
        (
            {"resolution": Resolution(unknown=(EXTRA,))},
            "applied and not known to the project's code: flags.0002_extra",
            "run the image of the newer version",
        ),
        (
            {"resolution": Resolution(unapplied=tuple(Migration("flags", str(each)) for each in range(7)))},
            "recorded and no longer applied: flags.0, flags.1, flags.2, flags.3, flags.4 and 2 more",
            "apply them with `migrate`",
        ),
        ({"resolution": Resolution(irreversible=(EXTRA,))}, "irreversible: flags.0002_extra", RESTORABLE),
        (
            {"resolution": Resolution(ambiguous=(ROW,))},
            "recorded migrations are no longer in the code, and may be what is squashed in flags.0001_squashed",
            RESTORABLE,
        ),
        (
            {"resolution": Resolution(depended_on=((ROW, EXTRA),))},
            "flags.0001_squashed was recorded and depends on flags.0002_extra, which was not",
            RESTORABLE,
        ),
        (
            {"made_before": ("flags_flag",)},
            "an extra migration creates flags_flag, which was recorded: unapplying would drop it",
            RESTORABLE,
        ),
        (
            {"fails": tuple(f"reason {each}" for each in range(6))},
            "reason 0, reason 1, reason 2, reason 3, reason 4 and 1 more",
            f"change the rows, or {RESTORABLE}",
        ),
    ],
)
def test_why_unapplying_is_closed(changes: dict[str, Any], reason: str, hint: str) -> None:
    facts = replace(FACTS, losses=(DROPPED, WRITTEN), **changes)
    with pytest.raises(RouteClosed) as caught:
        decide(facts, "unapply", "accept")
    assert str(caught.value) == f"cannot roll back by unapply: {reason}"
    assert hint in caught.value.hint
    plan = decide(facts, "auto", "accept")
    assert plan.route == "restore"
    assert [(each.route, each.reason) for each in plan.closed] == [NOT_REHEARSED, ("unapply", reason)]
    assert plan.losses == (WRITTEN,)


def test_why_restoring_is_closed() -> None:
    facts = replace(FACTS, restore_problem=NO_CREATEDB)
    with pytest.raises(
        RouteClosed, match="cannot roll back by restore: the role app may not create databases"
    ) as caught:
        decide(facts, "restore", "accept")
    assert caught.value.hint == NO_CREATEDB[1]
    assert decide(facts, "auto", "accept").route == "unapply"


def test_when_every_route_is_closed_the_first_one_is_named() -> None:
    facts = replace(FACTS, resolution=None, restore_problem=NO_CREATEDB)
    for strategy, named in (("auto", "unapply"), ("unapply", "unapply"), ("restore", "restore")):
        with pytest.raises(RouteClosed, match=f"cannot roll back by {named}"):
            decide(facts, strategy, "accept")  # type: ignore[arg-type]  # a Strategy


@pytest.mark.parametrize(
    ("facts", "strategy", "words", "hint"),
    [
        (
            replace(FACTS, losses=(DROPPED, loss("unapply", None, "reverse_does_nothing", "kept"))),
            "auto",
            "data would be lost, and nobody agreed to it: public.tag (2 rows); public.tag (rows unknown)",
            "--on-loss accept goes ahead all the same, --on-loss restore takes the snapshot instead",
        ),
        (
            replace(
                FACTS,
                losses=tuple(loss("unapply", each, remedy="archived" if each < 3 else "lost") for each in range(1, 10)),
            ),
            "auto",
            (
                "data would be lost, and nobody agreed to it: public.tag (3 rows); public.tag (4 rows);"
                " public.tag (5 rows); public.tag (6 rows); public.tag (7 rows); and 2 more"
            ),
            "--on-loss accept goes ahead all the same, --on-loss restore takes the snapshot instead",
        ),
        (
            replace(FACTS, losses=(replace(loss("unapply", 1200), item=ITEM, estimated=True),)),
            "auto",
            "data would be lost, and nobody agreed to it: public.tag (about 1,200 rows)",
            "--archive affected keeps a copy of what can be kept, --on-loss accept goes ahead all the same, ",
        ),
        (
            replace(FACTS, losses=(replace(loss("unapply", kind="table_emptied"), item=ITEM),)),
            "auto",
            "data would be lost, and nobody agreed to it: public.tag (2 rows)",
            "without --no-refill the snapshot brings back what it has, --on-loss accept goes ahead all the same, ",
        ),
        (
            replace(FACTS, losses=(loss("unapply", 1),), restore_problem=NO_CREATEDB),
            "auto",
            "data would be lost, and nobody agreed to it: public.tag (1 row)",
            "--on-loss accept goes ahead all the same",
        ),
        (
            replace(FACTS, losses=(WRITTEN,)),
            "restore",
            "data would be lost, and nobody agreed to it: public.tag (7 rows)",
            "--on-loss restore goes ahead",
        ),
    ],
)
def test_a_refusal_names_the_losses_and_the_ways_out(facts: Facts, strategy: Strategy, words: str, hint: str) -> None:
    with pytest.raises(LossRefused) as caught:
        require_consent(decide(facts, strategy, "refuse"))
    assert str(caught.value) == words
    assert caught.value.hint.startswith(hint)


def test_what_an_archive_or_the_snapshot_brings_back_needs_no_consent() -> None:
    facts = replace(FACTS, losses=(loss("unapply", remedy="archived"), loss("unapply", remedy="refilled")))
    plan: Plan = decide(facts, "auto", "refuse")
    assert (plan.route, plan.needs_consent, plan.refused) == ("unapply", False, "")


AT_THE_START = Place(0)
ALONE, TOGETHER = Segment(atomic=False, migrations=(EXTRA,)), Segment(atomic=True, migrations=(EXTRA,))
REHEARSED = replace(FACTS, place=AT_THE_START, replayed=(ALONE, TOGETHER), losses=(loss("replay", 3), WRITTEN))


@pytest.mark.parametrize(
    ("strategy", "on_loss", "route", "refused"),
    [
        ("auto", "ask", "replay", False),
        ("auto", "refuse", "replay", True),
        ("auto", "accept", "replay", False),
        ("auto", "restore", "restore", False),
        ("replay", "accept", "replay", False),
        ("replay", "refuse", "replay", True),
        ("replay", "restore", "replay", True),
        ("restore", "accept", "restore", False),
    ],
)
def test_what_was_rehearsed_is_replayed(strategy: Strategy, on_loss: OnLoss, route: Route, refused: bool) -> None:
    plan = decide(REHEARSED, strategy, on_loss)
    assert (plan.route, bool(plan.refused), plan.reverses) == (route, refused, route == "replay")
    assert [(each.route, each.reason, each.hint) for each in plan.closed] == [
        ("unapply", "the project was not asked: the replay needs none", "--strategy unapply asks it")
    ]
    if route == "replay":
        assert (plan.place, plan.steps, plan.rows_to_remove) == (AT_THE_START, (ALONE, TOGETHER), (ROW,))
        assert [each.rows for each in plan.price] == [3]
    else:
        assert (plan.place, plan.steps) == (None, ())


@pytest.mark.parametrize(
    ("facts", "reason", "hint", "is_told"),
    [
        (FACTS, "deploy v2 was not rehearsed", "`flagsnap rehearse v2`, before the next deploy", False),
        (replace(FACTS, not_replayed=NotReplayed("an index is new", "drop it")), "an index is new", "drop it", True),
        (
            replace(REHEARSED, resolution=replace(UNAPPLY_IT, unapplied=(ROW,))),
            "recorded and no longer applied: flags.0001_squashed",
            f"apply them with `migrate`, or {RESTORABLE}",
            True,
        ),
        (replace(REHEARSED, fails=("a NULL",)), "a NULL", f"change the rows, or {RESTORABLE}", True),
    ],
)
def test_why_replaying_is_closed(facts: Facts, reason: str, hint: str, is_told: bool) -> None:
    with pytest.raises(RouteClosed) as caught:
        decide(facts, "replay", "accept")
    assert (str(caught.value), caught.value.hint) == (f"cannot roll back by replay: {reason}", hint)
    plan = decide(facts, "auto", "accept")
    assert [each.reason for each in plan.closed if each.route == "replay"] == [reason]
    text = "\n".join(str(each) for each in plan_text(plan))
    assert (f"replay is closed: {reason}" in text) is is_told


def test_another_way_back_may_lose_what_was_agreed_to_and_nothing_else() -> None:
    agreed = decide(REHEARSED, "auto", "ask")
    same = decide(replace(FACTS, losses=(loss("unapply", 30),)), "unapply", "ask")
    refuse_other_losses(agreed, same)
    kept = loss("unapply", None, "reverse_does_nothing", "kept")
    archived = replace(loss("unapply", 4, "column_dropped", "archived"), item=ITEM)
    refilled = replace(loss("unapply", 4, "table_emptied", "refilled"), item=ITEM)
    refuse_other_losses(agreed, decide(replace(FACTS, losses=(refilled,)), "unapply", "ask"))
    for other, rows in ((kept, "rows unknown"), (archived, "4 rows")):
        with pytest.raises(LossRefused, match=rf"loses more than was agreed to: public.tag \({rows}\)"):
            refuse_other_losses(agreed, decide(replace(FACTS, losses=(other,)), "unapply", "ask"))


def test_the_nodes_that_a_resolution_unapplies() -> None:
    nodes = [Node(ROW), Node(EXTRA)]
    assert steps_of(nodes, UNAPPLY_IT) == (nodes[1],)


def test_differences_of_a_state_name_the_migrations_first() -> None:
    table = Catalog((CatalogObject(Identity("table", "public", "", "tag"), {}),))
    found = state_differences(Catalog(()), table, difference((ROW,), (EXTRA,)))
    assert found == (
        "migration flags.0002_extra is applied, was not recorded",
        "migration flags.0001_squashed was recorded, is not applied",
        "table public.tag was not recorded",
    )
