"""Retention: what is kept, what goes, and what never goes, in any policy and any set of snapshots."""

import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagsnap.attached.verification import Rung
from flagsnap.errors import UsageError
from flagsnap.pruning.asides import decide_asides
from flagsnap.results import Standing
from flagsnap.retention import (
    Aside,
    Candidate,
    Division,
    Live,
    Policy,
    Pruned,
    PrunePlan,
    Verdict,
    decide,
    failed_level,
    is_verified,
    require_policy,
)
from flagsnap.snapshot import Summary

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def candidate(
    name: str,
    age: timedelta,
    state: str | None = "a",
    pinned: bool = False,
    verified: bool = False,
    archive_of: str | None = None,
) -> Candidate:
    summary = Summary(
        deploy_id=name, captured_at=NOW - age, bytes=1_000, migrations=1, state=state, archive_of=archive_of
    )
    return Candidate(summary, pinned, verified)


def days(count: int, **fields: object) -> list[Candidate]:
    """A capture for each of the last days, `d0` the newest."""
    return [candidate(f"d{age}", age * DAY, **fields) for age in range(count)]  # type: ignore[arg-type]


def names(verdicts: Collection[Verdict]) -> list[str]:
    return [each.name for each in verdicts]


def reasons(division: Division) -> dict[str, str]:
    return {each.name: each.reason for each in division.keep}


@dataclass(frozen=True)
class Case:
    """A set of snapshots, and what is known of the database."""

    candidates: tuple[Candidate, ...]
    live: Live
    owed: frozenset[str]

    def decide(self, policy: Policy, only: Collection[str] | None = None) -> Division:
        found = [each for each in self.candidates if only is None or each.name in only]
        return decide(found, policy, NOW, live=self.live, owed=self.owed)


MOMENTS = st.integers(-60, 60 * 24 * 90).map(lambda minutes: timedelta(minutes=minutes))
STATES = st.sampled_from(["a", "b", "c", None])
POLICIES = st.builds(
    Policy,
    st.integers(0, 5),
    st.integers(0, 60).map(lambda number: timedelta(days=number)),
    st.integers(0, 5),
    st.integers(0, 5),
    st.integers(0, 5),
).filter(lambda policy: policy != Policy())


@st.composite
def cases(draw: st.DrawFn) -> Case:
    fields = st.tuples(MOMENTS, STATES, st.booleans(), st.booleans(), st.sampled_from([None, None, None, "s0"]))
    found = draw(st.lists(fields, max_size=30))
    candidates = tuple(candidate(f"s{number}", *each) for number, each in enumerate(found))
    owed = draw(st.frozensets(st.sampled_from([f"s{number}" for number in range(8)]), max_size=2))
    migrated_at = draw(st.none() | MOMENTS.map(lambda age: NOW - age))
    return Case(candidates, Live(draw(STATES), migrated_at), owed)


def nevers(case: Case) -> dict[str, bool]:
    """By what a snapshot is, and not by how it is found: nothing newer does what it must be kept for."""
    ahead = {each.name for each in case.candidates if each.at > NOW + timedelta(minutes=5)}
    captures = [each for each in case.candidates if each.name not in ahead and not each.summary.archive_of]

    def is_newest_of(this: Candidate, those: Collection[Candidate]) -> bool:
        return this in those and not any((that.at, that.name) > (this.at, this.name) for that in those)

    def others(state: str | None) -> list[Candidate]:
        return [each for each in captures if state and each.summary.state not in {state, None}]

    top = [each.summary.state for each in captures if is_newest_of(each, captures)]
    live, at = case.live.state, case.live.migrated_at
    sets = [
        captures,
        [each for each in captures if each.verified],
        [each for each in captures if live and each.summary.state == live],
        others(live),
        *(others(state) for state in top),
        [each for each in captures if at and each.at < at],
    ]
    return {
        each.name: each.pinned
        or each.name in case.owed
        or each.name in ahead
        or any(is_newest_of(each, those) for those in sets)
        for each in case.candidates
    }


@given(cases(), POLICIES)
def test_what_is_never_removed(case: Case, policy: Policy) -> None:
    division = case.decide(policy)
    kept, removed = set(names(division.keep)), set(names(division.remove))
    assert kept | removed == {each.name for each in case.candidates}
    assert not kept & removed
    assert all(each.reason for each in (*division.keep, *division.remove))
    assert {name for name, must in nevers(case).items() if must} <= kept
    assert bool(kept) == bool(case.candidates)


@given(cases(), POLICIES)
def test_to_decide_again_over_what_is_kept_removes_nothing(case: Case, policy: Policy) -> None:
    kept = names(case.decide(policy).keep)
    assert case.decide(policy, kept).remove == ()


@given(cases(), POLICIES, POLICIES)
def test_a_wider_policy_never_removes_more(case: Case, policy: Policy, more: Policy) -> None:
    wider = Policy(
        policy.last + more.last,
        policy.within + more.within,
        policy.daily + more.daily,
        policy.weekly + more.weekly,
        policy.monthly + more.monthly,
    )
    assert set(names(case.decide(wider).remove)) <= set(names(case.decide(policy).remove))


@given(cases(), POLICIES)
def test_the_order_of_the_store_makes_no_difference(case: Case, policy: Policy) -> None:
    turned = replace(case, candidates=case.candidates[::-1])
    assert turned.decide(policy) == case.decide(policy)


def test_two_thousand_are_planned_in_less_than_a_second() -> None:
    many = [candidate(f"s{n}", n * timedelta(hours=3), archive_of="s1" if n % 5 == 0 else None) for n in range(2_000)]
    began = time.monotonic()
    division = decide(many, Policy(5, 30 * DAY, 30, 20, 12), NOW)
    assert time.monotonic() - began < 1
    assert len(division.keep) + len(division.remove) == 2_000


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        (Policy(last=3), ["d0", "d1", "d2"]),
        (Policy(within=2 * DAY), ["d0", "d1", "d2"]),
        (Policy(daily=3), ["d0", "d1", "d2"]),
        # 2026-11-22 is a Sunday, and its ISO week began on the 16th.
        (Policy(weekly=3), ["d0", "d7", "d14"]),
        (Policy(monthly=3), ["d0", "d22", "d53"]),
        (Policy(last=2, weekly=2), ["d0", "d1", "d7"]),
        (Policy(last=1), ["d0"]),
        (Policy(last=1_000), [f"d{age}" for age in range(60)]),
        (Policy(within=timedelta.max), [f"d{age}" for age in range(60)]),
    ],
)
def test_each_rule(policy: Policy, kept: list[str]) -> None:
    assert names(decide(days(60), policy, NOW).keep) == kept


def test_the_newest_of_a_day_is_kept_and_days_without_captures_do_not_count() -> None:
    several = [candidate(f"{age}-{n}", age * DAY + n * timedelta(hours=1)) for age in (0, 5, 9) for n in range(4)]
    assert names(decide(several, Policy(daily=2), NOW).keep) == ["0-0", "5-0"]


def test_days_are_those_of_utc() -> None:
    late = candidate("late", timedelta(hours=13))  # 23:00 of the day before
    assert reasons(decide([late, candidate("now", timedelta(0))], Policy(daily=9), NOW))["late"] == (
        "newest of 2026-11-21"
    )


def test_reasons_in_words() -> None:
    found = [
        candidate("new", timedelta(hours=1), "b"),
        candidate("same", DAY, "b"),
        candidate("behind", 2 * DAY, "a"),
        candidate("proven", 20 * DAY, "a", verified=True),
        candidate("proven before", 21 * DAY, "a", verified=True),
        candidate("held", 30 * DAY, "a", pinned=True),
        candidate("owed", 40 * DAY, "a"),
    ]
    division = decide(found, Policy(last=1, within=2 * DAY, weekly=1), NOW, owed={"owed"}, damaged=[("bad", "why")])
    assert reasons(division) == {
        "new": "the newest, last 1, within 2 d, newest of 2026-W47",
        "same": "within 2 d",
        "behind": "behind the last deploy, within 2 d",
        "proven": "the newest that verified",
        "held": "pinned",
        "owed": "a refill is owed from it",
        "bad": "look at it: why",
    }
    assert [(each.name, each.reason) for each in division.remove] == [("proven before", "no rule keeps it")]


def test_the_one_behind_the_last_deploy_is_told_by_the_live_state() -> None:
    """After a rollback the newest capture is what is live, and the way back begins before it."""
    found = [candidate("c", DAY, "c"), candidate("b", 2 * DAY, "b"), candidate("a", 3 * DAY, "a")]
    assert names(decide(found, Policy(last=1), NOW).keep) == ["c", "b"]
    assert names(decide(found, Policy(last=1), NOW, live=Live("c")).keep) == ["c", "b"]
    assert reasons(decide(found, Policy(last=1), NOW, live=Live("d"))) == {
        "c": "the newest, behind the last deploy, last 1",
        "b": "before the newest state",
    }
    assert reasons(decide(found, Policy(last=1), NOW, live=Live("b"))) == {
        "c": "the newest, behind the last deploy, last 1",
        "b": "what is live now",
    }
    assert names(decide(found, Policy(last=1), NOW, live=Live("a")).keep) == ["c", "b", "a"]


def nightly(*before: Candidate) -> list[Candidate]:
    return [*(candidate(f"n{age}", age * DAY, "b") for age in (2, 1, 0)), *before]


def test_after_a_rollback_the_capture_of_the_live_state_stays_and_so_it_does_if_live_was_made_anew() -> None:
    found = nightly(candidate("predeploy", 3 * DAY, "a"), candidate("older", 4 * DAY, "a"))
    for live in ("a", "empty"):
        assert names(decide(found, Policy(last=1), NOW, live=Live(live)).keep) == ["n0", "predeploy"]


def test_after_a_deploy_that_was_tried_twice_the_first_try_stays() -> None:
    found = nightly(candidate("try2", 3 * DAY, "half"), candidate("try1", timedelta(days=3, minutes=5), "a"))
    live = Live("b", NOW - timedelta(days=3, minutes=4))
    assert reasons(decide(found, Policy(last=1), NOW, live=live)) == {
        "n0": "the newest, last 1",
        "try2": "behind the last deploy",
        "try1": "before the newest migrations",
    }


def test_a_capture_from_the_future_is_kept_and_holds_no_place() -> None:
    found = [*days(3), candidate("ahead", -timedelta(minutes=6), "b", verified=True)]
    assert reasons(decide(found, Policy(last=1, daily=1), NOW)) == {
        "ahead": "captured in the future: a clock is wrong",
        "d0": "the newest, last 1, newest of 2026-11-22",
    }
    found[-1] = candidate("about now", -timedelta(minutes=4))
    assert names(decide(found, Policy(last=1), NOW).keep) == ["about now"]


def test_an_archive_is_kept_for_some_time_in_any_case() -> None:
    """The deploy that makes it removable is the one that may want it."""
    found = [candidate("b", DAY, "b"), candidate("a-archive", 13 * DAY, archive_of="a")]
    found += [candidate("deployed", 12 * DAY, "b"), candidate("old-archive", 15 * DAY, archive_of="a")]
    found += [candidate("behind", 12.5 * DAY, "c")]
    division = decide(found, Policy(last=1), NOW, keep_archives=14 * DAY)
    assert reasons(division)["a-archive"] == "an archive, kept for 14 d"
    assert names(division.remove) == ["deployed", "old-archive"]


def test_a_state_that_is_not_known_may_be_the_one_behind_the_last_deploy() -> None:
    found = [
        candidate("new", DAY, "b"),
        candidate("unknown", 2 * DAY, None),
        candidate("known", 3 * DAY, "a"),
        candidate("old", 4 * DAY, None),
    ]
    assert names(decide(found, Policy(last=1), NOW).keep) == ["new", "unknown", "known"]
    assert names(decide(found[1:], Policy(last=1), NOW).remove) == []


def test_archives_go_with_the_captures_of_their_age() -> None:
    found = [
        candidate("c", DAY, "c"),
        candidate("b-archive", timedelta(days=1.5), archive_of="b"),
        candidate("b", 2 * DAY, "b"),
        candidate("a-archive", timedelta(days=2.5), archive_of="a"),
        candidate("a", 3 * DAY, "a", pinned=True),
        candidate("0-archive", timedelta(days=3.5), archive_of="0"),
    ]
    division = decide(found, Policy(last=1), NOW)
    assert reasons(division)["b-archive"] == "no deploy since"
    assert [(each.name, each.kind, each.reason) for each in division.remove] == [
        ("a-archive", "archive", "no older capture is kept"),
        ("0-archive", "archive", "no older capture is kept"),
    ]
    assert reasons(decide(found, Policy(last=3), NOW))["a-archive"] == "not older than a"
    assert reasons(decide(found, Policy(within=3.6 * DAY), NOW))["0-archive"] == "within 4 d"
    assert reasons(decide(found, Policy(last=1), NOW, owed={"a-archive"}))["a-archive"] == "a refill is owed from it"
    held = [replace(each, pinned=True) for each in found]
    assert decide(held, Policy(last=1), NOW).remove == ()


def test_archives_do_not_count() -> None:
    found = [candidate(f"archive{n}", n * DAY, archive_of="x") for n in range(3)] + [candidate("a", 4 * DAY)]
    assert "a" in names(decide(found, Policy(last=1), NOW).keep)


def test_archives_alone_are_not_all_removed() -> None:
    assert decide([candidate("archive", 99 * DAY, archive_of="x")], Policy(last=1), NOW).remove == ()


@pytest.mark.parametrize("policy", [Policy(), Policy(within=timedelta(0))])
def test_without_a_policy_nothing_is_decided(policy: Policy) -> None:
    with pytest.raises(UsageError, match="no policy says which snapshots to keep") as refused:
        decide([], policy, NOW)
    for option in ("--keep-last", "--keep-within", "--keep-daily", "--keep-weekly", "--keep-monthly"):
        assert option in refused.value.hint
    assert require_policy(Policy(last=1)) == Policy(last=1)


def test_verified_means_that_every_byte_was_looked_at() -> None:
    ok, failed = Rung(checked_at=NOW, ok=True), Rung(checked_at=NOW, ok=False)
    sample = Rung(checked_at=NOW, ok=True, share=0.05)
    assert is_verified(Standing(rungs={"files": ok}))
    assert is_verified(Standing(rungs={"manifest": ok, "drill": ok}))
    assert not is_verified(Standing(rungs={"manifest": ok}))
    assert not is_verified(Standing(rungs={"files": sample}))
    assert not is_verified(Standing(rungs={"files": ok, "drill": failed}))
    assert not is_verified(Standing())


def test_a_failed_check_is_one_of_more_than_the_manifest() -> None:
    ok, failed = Rung(checked_at=NOW, ok=True), Rung(checked_at=NOW, ok=False)
    assert failed_level(Standing(rungs={"manifest": failed, "files": ok})) is None
    assert failed_level(Standing(rungs={"files": failed, "toc": failed, "drill": ok})) == "toc"
    assert failed_level(Standing()) is None


def aside(kind: str, age: timedelta, name: str = "x", in_use: bool = False) -> Aside:
    return Aside(name, kind, NOW - age, 5, in_use)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "goes", "reason"),
    [
        (aside("retired", 13 * DAY), False, "retired 13 d ago, kept for 14 d"),
        (aside("retired", 15 * DAY), True, "retired 15 d ago, kept for 14 d"),
        (aside("retired schemas", 14 * DAY), False, "retired 14 d ago, kept for 14 d"),
        (aside("retired schemas", 15 * DAY), True, "retired 15 d ago, kept for 14 d"),
        (aside("scratch", timedelta(0)), True, "left by an interrupted run"),
        (aside("drill", timedelta(0)), True, "left by an interrupted run"),
        (aside("drill", timedelta(0), in_use=True), False, "another run is at work on it"),
        (aside("standby", DAY), False, "the standby of new, the newest"),
        (aside("standby", 2 * DAY), True, "its snapshot is not the newest"),
        (aside("standby", timedelta(0)), False, "no newer capture can be read"),
        (aside("rehearsed", 99 * DAY), False, "a rehearsal was told to keep it; drop it by hand"),
    ],
)
def test_what_is_beside_the_live_database(found: Aside, goes: bool, reason: str) -> None:
    division = decide_asides([found], 14 * DAY, NOW, candidate("new", DAY).summary)
    assert [each.reason for each in (division.remove if goes else division.keep)] == [reason]
    assert not (division.keep if goes else division.remove)


def test_a_standby_stays_while_a_snapshot_is_damaged() -> None:
    newest = candidate("new", DAY).summary
    division = decide_asides([aside("standby", 2 * DAY), aside("scratch", DAY)], DAY, NOW, newest, damaged=True)
    assert [(each.kind, each.reason) for each in division.keep] == [("standby", "a snapshot is damaged")]
    assert [each.kind for each in division.remove] == ["scratch"]


def test_without_any_capture_nothing_goes() -> None:
    kinds = ("standby", "retired", "scratch", "retired schemas")
    division = decide_asides([aside(kind, 99 * DAY, kind) for kind in kinds], DAY, NOW, None)
    assert reasons(division) == dict.fromkeys(kinds, "no capture can be read")
    assert division.remove == ()


def test_what_was_spared_is_kept_and_what_failed_frees_nothing() -> None:
    snapshots = decide(days(5), Policy(last=2), NOW)
    asides = decide_asides([aside("scratch", DAY)], DAY, NOW, candidate("new", DAY).summary)
    plan = PrunePlan(NOW, snapshots, asides)
    assert Pruned(plan).freed == 3_005
    done = Pruned(plan, confirmed=True, spared={"d4": "pinned meanwhile"}, failed={"x": "no", "d3": "no"})
    assert done.freed == 1_000
    assert reasons(done.snapshots)["d4"] == "pinned meanwhile"
    assert names(done.snapshots.remove) == ["d2", "d3"]
