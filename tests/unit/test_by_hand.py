"""The `migrate` lines: what Django's own code makes of them, and why sometimes there are none."""

import gzip
import json
import shlex
from collections.abc import Sequence
from itertools import chain
from types import SimpleNamespace

import pytest
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.graph import MigrationGraph
from hypothesis import given, settings

from flagsnap.by_hand import ZERO, ByHand, Way, lines_back
from flagsnap.errors import RouteClosed
from flagsnap.migrations import Graph, Migration, Node
from tests.unit.test_migrations import (
    FLAGSMITH,
    applied_in,
    flagsmith_graph,
    graph,
    keys,
    node,
    situations,
)

WAY = Way("v2", "--to v2", "the state before deploy v2")


def back(recorded: Sequence[str], applied: Sequence[str], of: Graph) -> ByHand:
    return lines_back(WAY, keys(*recorded), keys(*applied), of)


def targets(found: ByHand) -> list[str]:
    return [f"{line.app} {line.target}" for line in found.lines]


CHAIN = graph(node("1"), node("2", "1"), node("3", "2"), node("4", "3"))
SQUASHED = graph(node("1s2", replaces=["1", "2"]), node("3", "1s2"), node("4", "3"))
TWO_APPS = graph(
    node("1"), node("b.1", "1"), node("2", "1", "b.1"), node("b.2", "b.1", "2"), node("3", "2"), node("b.3", "b.2", "3")
)
# Two branches, merged by the next: as with features' doubled numbers.
MERGED = graph(node("1"), node("2x", "1"), node("2y", "1"), node("3", "2x", "2y"))
AFTER_LINE = graph(node("1"), node("2x", "1"), node("2y", "2x"), node("3", "2y"))


@pytest.mark.parametrize(
    ("of", "recorded", "applied", "lines"),
    [
        pytest.param(CHAIN, ["1", "2"], ["1", "2"], [], id="nothing differs"),
        pytest.param(CHAIN, ["1", "2"], ["4", "2", "3", "1"], ["a 2"], id="two more"),
        pytest.param(CHAIN, [], ["1", "2", "3", "4"], ["a zero"], id="all"),
        pytest.param(AFTER_LINE, ["1", "2x"], ["1", "2x", "2y", "3"], ["a 2x"], id="doubled number, second goes"),
        pytest.param(AFTER_LINE, ["1", "2x", "2y"], ["1", "2x", "2y", "3"], ["a 2y"], id="doubled number, both stay"),
        pytest.param(MERGED, ["1"], ["1", "2x", "2y", "3"], ["a 1"], id="two branches go"),
        pytest.param(MERGED, ["1", "2x", "2y"], ["1", "2x", "2y", "3"], ["a 2y"], id="a merge goes"),
        pytest.param(TWO_APPS, ["1"], ["1", "b.1", "2", "b.2", "3", "b.3"], ["b zero"], id="one line, two apps"),
        pytest.param(
            TWO_APPS, ["1", "b.1", "2"], ["1", "b.1", "2", "b.2", "3", "b.3"], ["b 1", "a 2"], id="one line each"
        ),
        pytest.param(SQUASHED, ["1", "2"], ["1", "2", "3", "1s2"], ["a 1s2"], id="squashed row written last"),
        pytest.param(SQUASHED, [], ["1", "2", "1s2", "3"], ["a zero"], id="squashed applied as one"),
        pytest.param(SQUASHED, [], ["1", "2"], ["a zero"], id="squashed row not written yet"),
        pytest.param(
            graph(node("s2", replaces=["s1", "3"]), node("4", "s2"), replaced={"s1": ["1", "2"]}),
            ["1", "2", "s1", "3", "s2"], ["1", "2", "s1", "3", "s2", "4"], ["a s2"],
            id="squashed ones squashed again",
        ),
        pytest.param(CHAIN, ["1", "2", "3"], ["1"], ["a 3"], id="recorded and unapplied since"),
        pytest.param(
            graph(node("1"), node("2", "1"), node("b.1"), node("b.2", "b.1")),
            ["1", "2", "b.1"], ["1", "b.1", "b.2"], ["b 1", "a 2"],
            id="back, then forward",
        ),
        pytest.param(
            graph(node("base"), node("colour", "base"), node("the_label", "colour")),
            ["base"], ["base", "colour", "the_label"], ["a base"],
            id="names without numbers",
        ),
        pytest.param(graph(node("it's"), node("2", "it's")), ["it's"], ["it's", "2"], ["a it's"], id="an odd name"),
    ],
)  # fmt: skip
def test_lines(of: Graph, recorded: list[str], applied: list[str], lines: list[str]) -> None:
    found = back(recorded, applied, of)
    assert targets(found) == lines
    assert [shlex.split(command) for command in found.commands] == [
        ["python", "manage.py", "migrate", *line.split(" ")] for line in lines
    ]


def test_what_stands_for_no_schema_change_needs_no_line() -> None:
    found = back(["1", "2"], ["1", "2", "1s2"], SQUASHED)
    assert (found.commands, found.staying, found.not_back) == ((), keys("1s2"), ())
    assert any("bookkeeping rows that stay" in note and "a.1s2" in note for note in found.notes)
    conflicting = graph(node("1s2", replaces=["1", "2"]), node("x", "1s2"), node("y", "1s2"))
    assert back(["1", "2"], ["1", "2", "1s2"], conflicting).staying == keys("1s2")
    gone = graph(node("s"), node("3", "s"))
    found = back(["1", "2", "s"], ["s", "3"], gone)
    assert (targets(found), found.staying, found.not_back) == (["a s"], (), keys("1", "2"))
    assert any("do not come back" in note and "a.1, a.2" in note for note in found.notes)
    # `migrate` itself writes the row of a squashed migration that it finds complete.
    found = back(["1", "2"], ["1", "2", "3"], SQUASHED)
    assert (targets(found), found.staying) == (["a 1s2"], keys("1s2"))
    assert back(["1", "2", "1s2"], ["1", "2", "3"], SQUASHED).not_back == ()


@pytest.mark.parametrize(
    ("of", "recorded", "applied", "reason"),
    [
        pytest.param(
            MERGED, ["1", "2x"], ["1", "2x", "2y", "3"],
            "`migrate a 1`, which unapplies a.2y, unapplies a.2x, which is to stay",
            id="a sibling stays",
        ),
        pytest.param(
            graph(node("1"), node("b.1"), node("2", "1", "b.1"), node("b.2", "b.1"), node("b.3", "b.2", "2")),
            ["1", "b.1", "b.2", "b.3"], ["1", "2", "b.1", "b.2", "b.3"],
            "a.b.3".removeprefix("a.") + " was recorded and depends on a.2, which was not",
            id="a recorded one depends on it",
        ),
        pytest.param(
            graph(node("1"), node("b.1", "1"), node("b.2")), ["1", "b.2"], ["1", "b.1", "b.2"],
            "b has several last migrations",
            id="conflicting migrations",
        ),
        pytest.param(
            graph(node("1"), node("x"), node("y", "1", "x")), ["1"], ["1", "x", "y"],
            "`migrate a zero`, which unapplies a.x, unapplies a.1, which is to stay",
            id="another first one stays",
        ),
        pytest.param(
            graph(node("1"), node("1_more", "1")), ["1"], ["1", "1_more"],
            "only `migrate a 1` unapplies a.1_more, and `migrate` takes a.1 for a.1_more too",
            id="a name that begins another",
        ),
        pytest.param(
            graph(node("zero"), node("2", "zero")), ["zero"], ["zero", "2"], "does not take zero for a name", id="zero"
        ),
        pytest.param(
            graph(node("-1"), node("2", "-1")), ["-1"], ["-1", "2"], "does not take -1 for a name", id="an option"
        ),
        pytest.param(
            graph(node("1"), node("2", "1"), node("3", "2"), replaced={"1s2": ["1", "2"]}),
            ["1"], ["1", "2", "1s2", "3"],
            "`migrate` takes a.1s2 as one, and the way leads to within",
            id="a squashed one straddles",
        ),
        pytest.param(
            graph(node("1"), node("2", "1", reversible=False)), ["1"], ["1", "2"], "irreversible: a.2",
            id="irreversible",
        ),
        pytest.param(CHAIN, ["1"], ["1", "x"], "not known to the project's code: a.x", id="unknown"),
        pytest.param(
            graph(node("s"), node("3", "s")), ["1"], ["1", "s", "3"],
            "no longer in the code, and may be what is squashed in a.3, a.s",
            id="ambiguous",
        ),
        pytest.param(
            CHAIN, ["1", "2", "3"], ["1", "3", "4"], "a.3 is applied and depends on a.2, which is not", id="a hole"
        ),
        pytest.param(
            graph(node("1"), node("2", "1"), node("b.1", "2")), ["1", "b.1"], ["1"],
            "b.1 was recorded and is no longer applied, and `migrate b 1` would apply a.2 too",
            id="forward over one that was not recorded",
        ),
        pytest.param(
            graph(node("1"), node("1x", "1")), ["1"], [],
            "a.1 was recorded and is no longer applied, and `migrate` takes",
            id="forward to a name that begins another",
        ),
    ],
)  # fmt: skip
def test_why_there_are_no_lines(of: Graph, recorded: list[str], applied: list[str], reason: str) -> None:
    with pytest.raises(RouteClosed, match="no `migrate` lines lead back") as raised:
        back(recorded, applied, of)
    assert reason in str(raised.value)
    assert raised.value.hint


def test_what_was_applied_before_a_time_may_be_recorded_by_nobody() -> None:
    way = Way(None, '--applied-before "2026-11-22 09:55:37 UTC"', "what was applied before 2026-11-22 09:55:37 UTC")
    found = lines_back(way, keys("1"), keys("1", "2"), graph(node("1"), node("2", "1")))
    assert found.notes[0] == "back to what was applied before 2026-11-22 09:55:37 UTC: these lines unapply 1 migration"
    # Its row may have been written long after what it replaced, whose rows are pruned.
    with pytest.raises(RouteClosed, match=r"may be what is squashed in a\.2_squashed_3") as raised:
        lines_back(way, keys("1"), keys("1", "2_squashed_3"), graph(node("1"), node("2_squashed_3", "1")))
    assert raised.value.hint == "restore a backup of your own: no snapshot recorded that state"
    with pytest.raises(RouteClosed, match=r"b\.1 was applied before that time and depends on a\.2, which was not"):
        lines_back(way, keys("1", "b.1"), keys("1", "2", "b.1"), graph(node("1"), node("2", "1"), node("b.1", "2")))


def test_notes_are_one_line_each_whatever_the_names_are() -> None:
    found = back(["1"], ["1", "s\nrm -r x"], graph(node("s\nrm -r x", replaces=["1"])))
    assert found.staying == keys("s\nrm -r x")
    assert all(len(note.splitlines()) == 1 for note in found.notes)
    way = Way("v2", "--to v2", "the state\nrm -r x")
    assert all(len(note.splitlines()) == 1 for note in lines_back(way, keys("1"), keys("1", "2"), CHAIN).notes)


def test_notes_tell_what_the_lines_do() -> None:
    notes = back(["1"], ["1", "2", "3"], CHAIN).notes
    assert notes[0] == "back to the state before deploy v2: these lines unapply 2 migrations"
    assert any("flagsnap plan --to v2" in note and "lose data" in note for note in notes)
    assert back(["1", "2"], ["1"], CHAIN).notes[0].endswith(": these lines apply 1 migration again")
    assert back(["1"], ["1"], CHAIN).notes == (
        "back to the state before deploy v2: no line is needed, the same migrations are applied",
    )


def executed(of: Graph, applied: set[Migration], app: str, target: str) -> set[Migration]:
    """What is applied after a line, by Django's own planner; it must not go both ways."""
    made = MigrationGraph()
    for each in of.nodes:
        made.add_node(each.migration, SimpleNamespace(key=each.migration))
    for each in of.nodes:
        for parent in each.parents:
            made.add_dependency(None, each.migration, parent)
    executor = MigrationExecutor.__new__(MigrationExecutor)
    executor.loader = SimpleNamespace(graph=made, applied_migrations=dict.fromkeys(applied), replace_migrations=True)
    plan = executor.migration_plan([(app, None if target == ZERO else target)])
    changed = {migration.key for migration, _ in plan}
    directions = {backwards for _, backwards in plan}
    assert len(directions) <= 1
    return applied - changed if directions == {True} else applied | changed


def closed_below(of: Graph, some: Sequence[Migration]) -> set[Migration]:
    """With all that they depend on: as a database can be."""
    found: set[Migration] = set()
    for each in reversed(of.nodes):
        if each.migration in some or each.migration in found:
            found |= {each.migration, *each.parents}
    return found


@settings(max_examples=300)
@given(situations())
def test_django_reaches_the_recorded_set_by_the_lines_or_by_none(
    situation: tuple[Graph, list[Migration], list[Migration]],
) -> None:
    of, some, more = situation
    # One last migration for each app, or `migrate` would not run at all.
    named = [Migration(each.app, f"{number}_") for number, each in enumerate(node.migration for node in of.nodes)]
    renamed = dict(zip((each.migration for each in of.nodes), named, strict=True))
    nodes = [Node(renamed[each.migration], tuple(renamed[parent] for parent in each.parents)) for each in of.nodes]
    for app in sorted({each.app for each in named}):
        own = tuple(each for each in named if each.app == app)
        nodes.append(Node(Migration(app, f"merge_{app}"), own))
    of = Graph(tuple(nodes))
    recorded = closed_below(of, [renamed[each] for each in some])
    applied = recorded | closed_below(of, [renamed[each] for each in more])
    try:
        found = lines_back(WAY, sorted(recorded), sorted(applied), of)
    except RouteClosed:
        every = {(each.app, each.name) for each in applied} | {(each.app, ZERO) for each in applied}
        results = [executed(of, applied, app, target) for app, target in every]
        safe = [applied - result for result in results if result >= recorded]
        assert applied - set(chain(*safe)) != recorded
        return
    now = set(applied)
    for line in found.lines:
        after = executed(of, now, line.app, line.target)
        assert now - after == set(line.unapplies)
        now = after
    assert now == recorded


@settings(max_examples=200)
@given(situations())
def test_what_was_unapplied_since_is_applied_again(situation: tuple[Graph, list[Migration], list[Migration]]) -> None:
    of, some, more = situation
    applied, recorded = closed_below(of, some), closed_below(of, [*some, *more])
    try:
        found = lines_back(WAY, sorted(recorded), sorted(applied), of)
    except RouteClosed:
        assert len({each.migration.app for each in of.nodes}) < len(of.nodes)
        return
    now = set(applied)
    for line in found.lines:
        now = executed(of, now, line.app, line.target)
    assert now == recorded


def test_real_flagsmith() -> None:
    """From v2.265.0 to v2.240.0, where flagsnap's shared data are at hand."""
    if not FLAGSMITH.is_dir():
        pytest.skip("the data of Flagsmith is not here")
    of = flagsmith_graph(json.loads(gzip.decompress((FLAGSMITH / "v2.265.0-graph.json.gz").read_bytes())))
    recorded, applied = (applied_in(FLAGSMITH / f"{version}.sql.gz") for version in ("v2.240.0", "v2.265.0"))
    found = lines_back(WAY, recorded, applied, of)
    now = set(applied)
    for line in found.lines:
        now = executed(of, now, line.app, line.target)
    assert now == set(recorded)
    assert (found.staying, found.not_back) == ((), ())
    assert len({line.app for line in found.lines}) == len(found.lines)
