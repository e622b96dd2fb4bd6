"""What a graph makes of a difference: what to unapply, in which order, and why sometimes nothing."""

import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagsnap.migrations import (
    AppliedMigration,
    Graph,
    Migration,
    Node,
    Operation,
    Resolution,
    Segment,
    difference,
    resolve,
)

FLAGSMITH = Path(__file__).parents[3] / "shared" / "flagsmith"
"""Real Flagsmith as data, on machines that have it."""


def key(name: str) -> Migration:
    """`app.name`, or a name in the app `a`."""
    app, _, rest = name.rpartition(".")
    return Migration(app or "a", rest)


def keys(*names: str) -> tuple[Migration, ...]:
    return tuple(map(key, names))


def node(name: str, *parents: str, replaces: Sequence[str] = (), atomic: bool = True, reversible: bool = True) -> Node:
    operations = (
        Operation("AddField", reversible=True, reverse_does_nothing=False),
        Operation("RunSQL", reversible=reversible, reverse_does_nothing=False),
    )
    return Node(key(name), keys(*parents), keys(*replaces), atomic, operations)


def graph(*nodes: Node, replaced: dict[str, Sequence[str]] | None = None) -> Graph:
    found = {each.migration: each.replaces for each in nodes if each.replaces}
    found |= {key(name): keys(*names) for name, names in (replaced or {}).items()}
    return Graph(nodes, found)


def resolved(recorded: Sequence[str], applied: Sequence[str], of: Graph) -> Resolution:
    return resolve(keys(*recorded), difference(keys(*recorded), keys(*applied)), of)


def unapplied(resolution: Resolution) -> list[str]:
    return [migration.name for migration in resolution.to_unapply]


def test_a_row_knows_its_migration() -> None:
    row = AppliedMigration("a", "1", datetime(2024, 1, 1, tzinfo=UTC))
    assert row.migration == Migration("a", "1")
    assert str(row.migration) == "a.1"


def test_a_difference_is_of_sets_and_keeps_each_order() -> None:
    found = difference(keys("1", "gone", "2", "gone too"), keys("new", "2", "1", "newer"))
    assert found.extra == keys("new", "newer")
    assert found.missing == keys("gone", "gone too")
    assert list(found.sentences()) == [
        "migration a.new is applied, was not recorded",
        "migration a.newer is applied, was not recorded",
        "migration a.gone was recorded, is not applied",
        "migration a.gone too was recorded, is not applied",
    ]
    assert not found.none
    assert difference(keys("1", "2"), keys("2", "1")).none


CHAIN = graph(node("1"), node("2", "1"), node("3", "2"), node("4", "3"))
SQUASHED = graph(node("1s2", replaces=["1", "2"]), node("3", "1s2"), node("4", "3"))
STRADDLED = graph(node("1"), node("2", "1"), node("3", "2"), replaced={"1s2": ["1", "2"]})
OLD_FORM_GONE = graph(node("s"), node("3", "s"), node("4", "3"))


@pytest.mark.parametrize(
    ("of", "recorded", "applied", "expected"),
    [
        pytest.param(CHAIN, ["1", "2"], ["1", "2"], {}, id="nothing differs"),
        pytest.param(CHAIN, ["1", "2"], ["4", "2", "3", "1"], {"unapply": ["4", "3"]}, id="two more, in any order"),
        pytest.param(CHAIN, [], ["1", "2", "3", "4"], {"unapply": ["4", "3", "2", "1"]}, id="from nothing"),
        pytest.param(
            SQUASHED, ["1", "2"], ["1", "2", "3", "1s2"], {"unapply": ["3"], "rows_to_remove": ["1s2"]},
            id="row last of all",
        ),
        pytest.param(SQUASHED, ["1", "2", "1s2"], ["1", "2", "1s2", "3"], {"unapply": ["3"]}, id="row recorded"),
        pytest.param(
            SQUASHED, [], ["1", "2", "1s2"], {"unapply": ["1s2"], "covered": ["1", "2"]}, id="squashed applied as one"
        ),
        pytest.param(
            SQUASHED, [], ["1", "2"], {"unapply": ["1s2"], "covered": ["1", "2"]}, id="squashed row not written yet"
        ),
        pytest.param(
            STRADDLED, ["1"], ["1", "2", "1s2"], {"unapply": ["2"], "rows_to_remove": ["1s2"]}, id="straddling"
        ),
        pytest.param(
            STRADDLED, ["1"], ["1", "2", "3", "1s2"], {"unapply": ["3", "2"], "rows_to_remove": ["1s2"]},
            id="straddling, and one more",
        ),
        pytest.param(
            SQUASHED, ["1", "2", "1s2", "3"], ["1", "2", "3", "4"], {"unapply": ["4"], "rows_to_add": ["1s2"]},
            id="squashed row lost",
        ),
        pytest.param(
            OLD_FORM_GONE, ["1", "2", "s"], ["s", "3"], {"unapply": ["3"], "rows_to_add": ["1", "2"]}, id="pruned"
        ),
        pytest.param(OLD_FORM_GONE, ["1", "2", "s"], ["1", "2", "s", "3"], {"unapply": ["3"]}, id="rows left"),
        pytest.param(
            OLD_FORM_GONE, ["1", "2", "s", "3"], ["s", "3", "4"], {"unapply": ["4"], "rows_to_add": ["1", "2"]},
            id="pruned, on one that stands on the squashed one",
        ),
        pytest.param(CHAIN, ["1"], ["1", "x", "b.y"], {"unknown": ["x", "y"]}, id="unknown to the code"),
        pytest.param(CHAIN, ["1", "2", "3"], ["1"], {"unapplied": ["2", "3"]}, id="recorded and unapplied since"),
        pytest.param(
            graph(node("1"), node("2", "1", reversible=False), node("3", "2")),
            ["1"], ["1", "2", "3"], {"unapply": ["3", "2"], "irreversible": ["2"]},
            id="irreversible",
        ),
        pytest.param(
            graph(node("1", reversible=False), node("2", "1")), ["1"], ["1", "2"], {"unapply": ["2"]},
            id="irreversible, but recorded",
        ),
    ],
)  # fmt: skip
def test_resolve(of: Graph, recorded: list[str], applied: list[str], expected: dict[str, list[str]]) -> None:
    found = resolved(recorded, applied, of)
    names = ("covered", "rows_to_remove", "rows_to_add", "unknown", "unapplied", "irreversible", "ambiguous")
    actual = {"unapply": unapplied(found)} | {name: [each.name for each in getattr(found, name)] for name in names}
    assert {name: value for name, value in actual.items() if value} == expected
    assert found.bookkeeping == found.rows_to_remove + found.rows_to_add
    assert found.depended_on == ()


@pytest.mark.parametrize(
    ("of", "recorded", "applied", "ambiguous"),
    [
        pytest.param(OLD_FORM_GONE, ["1", "2"], ["s"], ["s"], id="pruned"),
        pytest.param(OLD_FORM_GONE, ["1", "2"], ["1", "2", "s"], ["s"], id="rows left"),
        pytest.param(OLD_FORM_GONE, ["1", "2"], ["s", "3"], ["3", "s"], id="and what stands on it"),
        pytest.param(
            graph(node("0"), node("s", "0")), ["0", "1", "2"], ["0", "s"], ["s"], id="on an older one that was recorded"
        ),
        pytest.param(
            graph(node("0"), node("0b", "0"), node("s", "0b")), ["0", "1", "0b", "2"], ["0", "0b", "s"], ["s"],
            id="on one recorded between them",
        ),
        pytest.param(
            graph(node("b.1"), node("s", "b.1")), ["1", "2", "b.1"], ["b.1", "s"], ["s"],
            id="on a later one of another app",
        ),
        pytest.param(
            graph(node("s"), node("b.1"), node("b.2", "b.1")), ["1", "s", "b.1"], ["s", "b.1", "b.2"], [],
            id="another app",
        ),
    ],
)  # fmt: skip
def test_what_may_be_the_squashed_form_of_recorded_ones_is_ambiguous(
    of: Graph, recorded: list[str], applied: list[str], ambiguous: list[str]
) -> None:
    found = resolved(recorded, applied, of)
    assert [each.name for each in found.ambiguous] == ambiguous


def test_a_recorded_migration_that_depends_on_an_extra_one() -> None:
    found = resolved(["1", "3"], ["1", "2", "3"], graph(node("1"), node("2", "1"), node("3", "2")))
    assert found.depended_on == ((key("3"), key("2")),)


def test_neighbouring_atomic_migrations_share_a_segment() -> None:
    chain = [node("1"), node("2"), node("3", atomic=False), node("4", atomic=False), node("5"), node("6")]
    found = resolved([], ["1", "2", "3", "4", "5", "6"], graph(*chain))
    assert found.segments == (
        Segment(True, keys("6", "5")),
        Segment(False, keys("4")),
        Segment(False, keys("3")),
        Segment(True, keys("2", "1")),
    )


def test_a_graph_knows_what_is_on_disk() -> None:
    of = graph(node("1"), node("s", replaces=["2", "3"]), replaced={"t": ["4"]})
    assert [name for name in "123456st" if of.knows(key(name))] == ["1", "2", "3", "4", "s", "t"]
    assert of.get(key("t")) is None
    assert of.get(key("s")) is of.nodes[1]


@st.composite
def situations(draw: st.DrawFn) -> tuple[Graph, list[Migration], list[Migration]]:
    """A graph without squashed migrations, what was recorded and what is applied, each in any order."""
    apps = st.sampled_from(["a", "b", "c"])
    made: list[Node] = []
    for number in range(draw(st.integers(1, 12))):
        parents = draw(st.lists(st.sampled_from(made), unique=True, max_size=3)) if made else []
        migration = Migration(draw(apps), str(number))
        made.append(Node(migration, tuple(parent.migration for parent in parents), atomic=draw(st.booleans())))
    every = [each.migration for each in made]
    subsets = st.lists(st.sampled_from(every), unique=True)
    return Graph(tuple(made)), draw(subsets), draw(subsets)


@given(situations())
def test_exactly_the_extra_ones_are_unapplied_children_first(
    situation: tuple[Graph, list[Migration], list[Migration]],
) -> None:
    of, recorded, applied = situation
    found = resolve(recorded, difference(recorded, applied), of)
    order = found.to_unapply
    assert len(order) == len(set(order))
    assert set(order) == set(applied) - set(recorded)
    assert set(found.unapplied) == set(recorded) - set(applied)
    assert (found.bookkeeping, found.unknown, found.ambiguous) == ((), (), ())
    for at, migration in enumerate(order):
        assert not {each.migration for each in of.nodes if migration in each.parents} & set(order[at + 1 :])
    kept = set(recorded) & set(applied)
    edges = {(each.migration, parent) for each in of.nodes for parent in each.parents}
    assert set(found.depended_on) == {(child, parent) for child, parent in edges if child in kept and parent in order}


@given(situations())
def test_segments_divide_what_is_unapplied(situation: tuple[Graph, list[Migration], list[Migration]]) -> None:
    of, recorded, applied = situation
    segments = resolve(recorded, difference(recorded, applied), of).segments
    atomic = {each.migration: each.atomic for each in of.nodes}
    for segment in segments:
        assert {atomic[migration] for migration in segment.migrations} == {segment.atomic}
        assert segment.atomic or len(segment.migrations) == 1
    assert not any(one.atomic and other.atomic for one, other in pairwise(segments))


def test_real_flagsmith() -> None:
    """The graph of v2.265.0 for a database of v2.240.0, where flagsnap's shared data are at hand."""
    for path in FLAGSMITH.glob("v2.265.0-graph.json.gz"):
        of = flagsmith_graph(json.loads(gzip.decompress(path.read_bytes())))
        recorded, applied = (applied_in(FLAGSMITH / f"{version}.sql.gz") for version in ("v2.240.0", "v2.265.0"))
        found = resolve(recorded, difference(recorded, applied), of)
        unapplied_by_django = json.loads((FLAGSMITH / "v2.265.0-to-v2.240.0-reverse-sql.json").read_text())
        assert set(found.to_unapply) == set(applied) - set(recorded)
        assert len(found.to_unapply) == len(unapplied_by_django) == 37
        assert len([segment for segment in found.segments if not segment.atomic]) == 3
        problems = (found.unknown, found.unapplied, found.irreversible, found.ambiguous, found.depended_on)
        assert problems == ((), (), (), (), ())
        assert found.bookkeeping == ()


def flagsmith_graph(data: dict[str, Any]) -> Graph:
    """The shared graph as Django sorts it: parents first."""
    by_key = {Migration(each["app"], each["name"]): each for each in data["migrations"]}
    replaced = {name: tuple(Migration(*pair) for pair in each["replaces"]) for name, each in by_key.items()}
    squashed = {old: new for new, olds in replaced.items() for old in olds}
    first = {name.app: name for name in sorted(by_key, reverse=True)}
    nodes: dict[Migration, Node] = {}

    def visit(name: Migration) -> None:
        if name in nodes:
            return
        each = by_key[name]
        pairs = [first[app] if of == "__first__" else Migration(app, of) for app, of in each["dependencies"]]
        parents = tuple(dict.fromkeys(squashed.get(pair, pair) for pair in pairs))
        for parent in parents:
            visit(parent)
        operations = tuple(Operation(op["op"], op["reversible"], False) for op in each["operations"])
        nodes[name] = Node(name, parents, replaced[name], each["atomic"], operations)

    for name in by_key:
        visit(name)
    return Graph(tuple(nodes.values()), {name: olds for name, olds in replaced.items() if olds})


def applied_in(dump: Path) -> list[Migration]:
    """The rows of `django_migrations` in a dump as SQL, oldest first."""
    text = gzip.decompress(dump.read_bytes()).decode()
    rows = text.split("COPY public.django_migrations ", 1)[1].split("\n\\.", 1)[0].splitlines()[1:]
    cells = sorted((row.split("\t") for row in rows), key=lambda row: int(row[0]))
    return [Migration(app, name) for _, app, name, _ in cells]
