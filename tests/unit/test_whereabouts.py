"""The next sensible command, as a table."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from flagsnap.attached.verification import Rung
from flagsnap.migrations import Migration, SetDifference
from flagsnap.results import Listing, Standing
from flagsnap.retention import Aside
from flagsnap.snapshot import Summary, state_of
from flagsnap.whereabouts import (
    DEPLOY,
    STALE,
    WAIT,
    Distance,
    Holder,
    LastCheck,
    Live,
    Stored,
    Whereabouts,
    Work,
    next_step,
    places,
    verified_last,
)

NOW = datetime(2026, 11, 22, 14, 2, tzinfo=UTC)
A, B, C = Migration("a", "0001"), Migration("a", "0002"), Migration("b", "0001")


def summary(deploy_id: str, *recorded: Migration, hours: float = 1, archive_of: str | None = None) -> Summary:
    return Summary(
        deploy_id=deploy_id,
        captured_at=NOW - timedelta(hours=hours),
        bytes=1,
        migrations=len(recorded),
        archive_of=archive_of,
        state=state_of(recorded),
    )


V2 = summary("v2", A, B)
EQUAL = Whereabouts(
    database="flags on db:5432",
    now=NOW,
    live=Live("there", (A, B)),
    stored=Stored(captures=1, newest=V2, at="v2"),
    distance=Distance(SetDifference((), ()), same_schema=True),
)
EXTRA = replace(EQUAL, distance=Distance(SetDifference((C,), ()), same_schema=False))
MISSING = replace(EQUAL, distance=Distance(SetDifference((), (B,)), same_schema=False))
RETIRED = Aside("flags_flagsnap_retired_1", "retired", NOW, 1)


def stored(found: Whereabouts, **changes: object) -> Whereabouts:
    assert found.stored
    return replace(found, stored=replace(found.stored, **changes))  # type: ignore[arg-type]


def live(found: Whereabouts, **changes: object) -> Whereabouts:
    return replace(found, live=replace(found.live, **changes))  # type: ignore[arg-type]


def held(work: Work) -> tuple[Holder, ...]:
    return (Holder(work, "flagsnap lock", 42, NOW),)


@pytest.mark.parametrize(
    ("found", "do", "why"),
    [
        (EQUAL, DEPLOY, "it may start"),
        (replace(EQUAL, has_project=True), "flagsnap rehearse v2", "as captured before deploy v2"),
        (replace(stored(EQUAL, rehearsal="exact"), has_project=True), DEPLOY, "it may start"),
        (stored(EQUAL, rehearsal="fails"), "flagsnap show v2", "says: fails"),
        (stored(EQUAL, rehearsal="irreversible"), "flagsnap show v2", "says: irreversible"),
        (stored(EQUAL, verified=LastCheck("v2", "files", NOW - STALE)), DEPLOY, "it may start"),
        (stored(EQUAL, verified=LastCheck("v2", "files", NOW - STALE * 2)), "flagsnap verify", "for 14 d"),
        (stored(EQUAL, newest=summary("v2", A, B, hours=200)), "flagsnap verify", "for 8 d"),
        (
            replace(EQUAL, distance=Distance(SetDifference((), ()), same_schema=False)),
            "flagsnap verify --expect v2",
            "altered the schema",
        ),
        (replace(EQUAL, distance=Distance(SetDifference((), ()), same_schema=None)), DEPLOY, "it may start"),
        (EXTRA, "flagsnap rollback --to v2", "the deploy has applied 1 migration; if all is well"),
        (
            stored(EXTRA, verified=LastCheck("v2", "files", NOW - STALE * 2)),
            "flagsnap rollback --to v2",
            "if all is well",
        ),
        (stored(MISSING, at="v1"), "flagsnap capture --deploy-id ID", "where it was before deploy v1"),
        (stored(MISSING, at=None), "flagsnap plan --to v2", "the database lacks 1 migration of the capture"),
        (
            replace(EQUAL, distance=Distance(SetDifference((C, A), (B,)), same_schema=False)),
            "flagsnap plan --to v2",
            "2 migrations came and 1 migration went",
        ),
        (stored(EQUAL, newest=None, captures=0), "flagsnap capture --deploy-id ID", "nothing was captured yet"),
        (replace(EQUAL, stored=None), "flagsnap doctor", "the store could not be looked at"),
        (stored(EQUAL, of_other="the database x"), "flagsnap doctor", "v2, is of the database x"),
        (stored(EQUAL, damaged=(("v3", "x"),)), "flagsnap verify v3", "snapshot v3 cannot be read"),
        (replace(EQUAL, distance=None), "flagsnap doctor", "could not be compared with v2"),
        (replace(EQUAL, live=Live("unknown"), distance=None), "flagsnap doctor", "the database could not be looked at"),
        (replace(EQUAL, live=Live("gone"), distance=None), "flagsnap rollback --to v2", "the live database is gone"),
        (
            stored(replace(EQUAL, live=Live("gone", asides=(RETIRED,)), distance=None), newest=None),
            "flagsnap undo",
            "a retired one can take its place",
        ),
        (stored(replace(EQUAL, live=Live("gone")), newest=None), "flagsnap doctor", "no capture of it"),
        (replace(EQUAL, live=Live("gone"), stored=None), "flagsnap doctor", "the store could not be looked at"),
        (live(EXTRA, owed={"v1": 2}), "flagsnap refill --to v1", "still owes"),
        (replace(live(EXTRA, owed={"v1": 2}), stored=None), "flagsnap refill --to v1", "still owes"),
        (live(EXTRA, holders=held("run"), owed={"v1": 2}), WAIT, "flagsnap lock is at work (process id 42)"),
        (live(EXTRA, holders=held("restore")), WAIT, "is at work"),
        (live(EXTRA, holders=held("unapply")), WAIT, "is at work"),
        (replace(EQUAL, live=Live("gone", holders=held("restore"))), WAIT, "is at work"),
        (live(EQUAL, holders=held("drill")), DEPLOY, "it may start"),
    ],
)
def test_the_next_step(found: Whereabouts, do: str, why: str) -> None:
    step = next_step(found)
    assert (step.do, why in step.why) == (do, True), step


def test_places_are_known_by_what_was_recorded() -> None:
    """The newest capture with the live migrations, and the one that was made before they came."""
    captures = [summary("v3", A, B), V2, summary("v1", A)]
    assert places(captures, (B, A)) == ("v3", "v1")
    assert places(captures, (A,)) == ("v1", "v3")
    assert places(captures, (A, B, C)) == (None, "v3")
    assert places([V2.model_copy(update={"state": None})], (A, B)) == (None, None), "of an older version's index"
    assert places([], ()) == (None, None)


def test_the_last_check_that_found_a_snapshot_whole() -> None:
    def rung(hours: float, *, ok: bool = True, share: float = 1.0) -> Rung:
        return Rung(checked_at=NOW - timedelta(hours=hours), ok=ok, share=share)

    listing = Listing(
        (V2, summary("v1", A)),
        (),
        {
            "v2": Standing(rungs={"manifest": rung(1), "files": rung(2, share=0.5), "toc": rung(3, ok=False)}),
            "v1": Standing(rungs={"files": rung(4), "drill": rung(5)}),
        },
    )
    assert verified_last(listing, listing.summaries) == LastCheck("v1", "files", NOW - timedelta(hours=4))
    assert verified_last(listing, ()) is None
    at_once = Listing((V2,), (), {"v2": Standing(rungs={"files": rung(1), "toc": rung(1), "drill": rung(1)})})
    assert verified_last(at_once, (V2,)) == LastCheck("v2", "drill", NOW - timedelta(hours=1))


def test_the_exit_code_tells_whether_all_could_be_looked_at() -> None:
    assert EQUAL.exit_code == 0
    assert replace(EQUAL, problems=("the store: x",)).exit_code == 1
