"""Rows in batches, captures among them: certain by what they recorded, about right by their time."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from flagsnap.history import GAP, Batch, History, batches_of, in_order, read_history
from flagsnap.migrations import AppliedMigration, Graph, Migration
from flagsnap.report.history import history_text
from flagsnap.snapshot import Summary, state_of
from tests.unit.test_migrations import graph, key, keys, node

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def row(name: str, minutes: float) -> AppliedMigration:
    return AppliedMigration(*key(name), at(minutes))


def capture(deploy_id: str, minutes: float, *recorded: str, state: bool = True) -> Summary:
    return Summary(
        deploy_id=deploy_id,
        captured_at=at(minutes),
        bytes=1,
        migrations=len(recorded),
        state=state_of(keys(*recorded)) if state else None,
    )


def history(
    rows: list[AppliedMigration],
    *captures: Summary,
    of: Graph | None = None,
    lost: list[AppliedMigration] | None = None,
) -> History:
    recorded = (captures[-1].deploy_id, lost) if lost is not None else None
    return read_history(rows, captures, GAP, of, recorded)


def told(found: History) -> list[tuple[str, str]]:
    """Each batch: its migrations, and the capture before it."""
    return [(" ".join(each.name for each in batch.migrations), named(batch)) for batch in found.batches]


def named(batch: Batch) -> str:
    return ("" if batch.exact else "about ") + batch.deploy_id if batch.deploy_id else ""


THREE = [row("1", 0), row("b.2", 0.5), row("3", 60), row("4", 61), row("5", 200)]


def test_a_longer_gap_begins_a_deploy() -> None:
    assert told(history(THREE)) == [("5", ""), ("3 4", ""), ("1 2", "")]
    first = history(THREE).deploys[-1]
    assert (first.first, first.last, first.apps) == (at(0), at(0.5), ("a", "b"))
    assert told(history([row("1", 0), row("2", 10)])) == [("1 2", "")]
    assert told(history([row("1", 0), row("2", 10.001)])) == [("2", ""), ("1", "")]


def test_a_fresh_database_is_one_batch_with_nothing_before_it() -> None:
    found = history([row(str(number), number) for number in range(9)])
    assert len(found.batches) == 1
    assert found.way_back is None


def test_no_rows() -> None:
    found = history([], capture("v1", 0))
    assert (found.batches, found.deploys, found.way_back) == ((), (), None)
    assert [each.deploy_id for each in found.unfollowed] == ["v1"]


def test_a_capture_that_recorded_what_was_there_before_is_certain() -> None:
    found = history(THREE, capture("v0", -1), capture("v1", 30, "1", "b.2"), capture("v2", 100, "1", "b.2", "3", "4"))
    assert told(found) == [("5", "v2"), ("3 4", "v1"), ("1 2", "v0")]
    assert found.way_back == "--to v2"
    assert found.unfollowed == ()


def test_a_capture_divides_what_no_gap_divides() -> None:
    rows = [row("1", 0), row("2", 1), row("3", 3)]
    assert told(history(rows, capture("v1", 2, "1", "2"))) == [("3", "v1"), ("1 2", "")]
    assert told(history(rows, capture("v1", 2, "other"))) == [("3", "about v1"), ("1 2", "")]


def test_the_recorded_set_is_believed_before_the_clocks() -> None:
    """The machine of flagsnap may be ahead of the application's, or behind it."""
    rows = [row("1", 0), row("2", 60), row("3", 60.1), row("4", 61)]
    for minutes in (59, 60.05, 70, -5):
        assert told(history(rows, capture("v1", minutes, "1"))) == [("2 3 4", "v1"), ("1", "")]


def test_a_capture_of_another_set_is_about_right_and_no_way_back() -> None:
    found = history(THREE, capture("v2", 100, "1", "b.2", "3", "x"))
    assert told(found)[0] == ("5", "about v2")
    assert found.way_back == '--applied-before "2026-11-22 15:20:00 UTC"'


def test_a_capture_of_an_older_version_has_no_state() -> None:
    assert told(history(THREE, capture("v2", 100, "1", "b.2", "3", "4", state=False)))[0] == ("5", "about v2")


def test_a_certain_capture_comes_before_a_newer_one_that_only_fits_by_time() -> None:
    before = ("1", "b.2", "3", "4")
    found = history(THREE, capture("v2", 100, *before), capture("odd", 120, "x"))
    assert told(found)[0] == ("5", "v2")
    assert [each.deploy_id for each in found.unfollowed] == ["odd"]


def test_of_several_captures_before_a_deploy_the_newest_is_its_own() -> None:
    before = ("1", "b.2", "3", "4")
    found = history(THREE, capture("v2", 100, *before), capture("v3", 120, *before), capture("v4", 300, *before, "5"))
    assert told(found)[0] == ("5", "v3")
    assert [each.deploy_id for each in found.unfollowed] == ["v4", "v2"]
    shown = [each.deploy_id if isinstance(each, Summary) else named(each) for each in found.entries]
    assert shown == ["v4", "v3", "v2", "", ""]


def test_the_newest_capture_without_a_certain_one_before_it_leaves_the_time() -> None:
    found = history([row("1", 0), row("2", 60)])
    assert found.way_back == '--applied-before "2026-11-22 13:00:00 UTC"'


def test_a_deploy_that_took_longer_than_any_gap_is_told_with_the_capture_before_all_of_it() -> None:
    """A row is written when its migration ends: what looks like two deploys may be one."""
    found = history([row("1", 0), row("2", 60), row("3", 100)], capture("v2", 55, "1"))
    assert told(found) == [("3", ""), ("2", "v2"), ("1", "")]
    assert found.way_back == '--applied-before "2026-11-22 13:40:00 UTC"'
    assert found.further == ("v2", 2)
    by_time, further = [str(each) for each in history_text(found) if isinstance(each, Text)][-2:]
    assert by_time.startswith(
        "no capture lies right before the newest deploy; by its time: flagsnap plan --applied-before"
    )
    assert further == "the newest capture before a deploy goes back 2 of them: flagsnap rollback --to v2"
    assert history(THREE, capture("v2", 100, "1", "b.2", "3", "4")).further is None


SQUASHED = [row("1", 0), row("2", 0.1), row("3", 60), row("1_squashed_2", 60.1), row("4", 200)]


@pytest.mark.parametrize("of", [None, graph(node("1_squashed_2", replaces=["1", "2"]))], ids=["by name", "by graph"])
def test_squashed_rows_are_no_migrations(of: Graph | None) -> None:
    found = history(SQUASHED, of=of)
    assert told(found) == [("4", ""), ("3", ""), ("1 2", "")]
    assert found.batches[1].bookkeeping == keys("1_squashed_2")
    assert found.source == ("names" if of is None else "project")


def test_a_squashed_row_alone_is_no_deploy() -> None:
    found = history([*SQUASHED, row("3_squashed_4", 999)])
    assert found.batches[0].bookkeeping == keys("3_squashed_4")
    assert found.deploys == found.batches[1:]
    assert found.way_back == '--applied-before "2026-11-22 15:20:00 UTC"'


def test_what_a_squashed_migration_replaces_must_be_there() -> None:
    """After its files were deleted, a fresh database has nothing but the squashed one."""
    assert history([row("1_squashed_2", 0), row("3", 1)]).batches[0].bookkeeping == ()
    of = graph(node("1_squashed_2", replaces=["1", "2"]))
    assert history([row("1", 0), row("1_squashed_2", 0)], of=of).batches[0].bookkeeping == ()


def test_only_the_graph_knows_a_squashed_migration_by_any_name() -> None:
    """As Flagsmith's db.0001_initial, which replaces one of another app."""
    rows = [row("health.1", 0), row("db.1", 60)]
    assert history(rows).batches[0].bookkeeping == ()
    assert history(rows, of=graph(node("db.1", replaces=["health.1"]))).batches[0].bookkeeping == keys("db.1")


def test_what_is_gone_since_the_newest_capture() -> None:
    recorded = [row("1", 0), row("old", 0.2), row("2", 50)]
    captured = capture("v2", 55, "1", "old", "2")
    found = history([row("1", 0), row("3", 60)], captured, lost=recorded)
    assert found.gone
    assert (found.gone.deploy_id, found.gone.either) == ("v2", keys("old", "2"))
    # It is known where the rows that are gone were, so the capture is certain all the same.
    assert told(found) == [("3", "v2"), ("1", "")]
    known = history([row("1", 0), row("3", 60)], captured, of=graph(node("1"), node("2"), node("3")), lost=recorded)
    assert known.gone
    assert (known.gone.unapplied, known.gone.pruned) == (keys("2"), keys("old"))
    assert history([row("1", 0)], capture("v1", 5, "1"), lost=[row("1", 0)]).gone is None


def test_equal_times_keep_the_order_in_which_they_were_written() -> None:
    rows = [row("2", 0), row("1", 0), row("3", 60)]
    assert told(history(rows, capture("v1", 0, "2"))) == [("3", ""), ("1", "v1"), ("2", "")]
    assert [each.name for each in in_order(rows)] == ["2", "1", "3"]


def test_microseconds_are_kept() -> None:
    first = NOON + timedelta(minutes=60, microseconds=7)
    found = history([row("1", 0), AppliedMigration("a", "2", first)])
    assert found.way_back == '--applied-before "2026-11-22 13:00:00.000007 UTC"'
    berlin = first.astimezone(timezone(timedelta(hours=1)))
    assert history([row("1", 0), AppliedMigration("a", "2", berlin)]).way_back == found.way_back


def test_times_without_a_zone_are_utc() -> None:
    naive = [AppliedMigration("a", "1", at(0).replace(tzinfo=None)), row("2", 60)]
    assert told(history(naive, capture("v1", 5, "1"))) == [("2", "v1"), ("1", "")]


def test_a_clock_that_was_set_back_is_told() -> None:
    found = history([row("1", 0), row("2", 600), row("3", 300), row("4", 301)])
    assert found.set_back == 1
    assert told(found) == [("2", ""), ("3 4", ""), ("1", "")]
    assert history(THREE).set_back == 0


def test_only_so_many_are_shown() -> None:
    found = read_history(THREE, [capture("v9", 500, "x")], GAP, None, limit=2)
    assert [type(each) for each in found.shown] == [Summary, Batch]
    assert len(found.entries) == 4


def test_thousands_of_rows_and_captures_take_no_time() -> None:
    names = [f"{number:05}" for number in range(5000)]
    rows = [row(name, 20 * number) for number, name in enumerate(names)]
    captures = [capture(f"v{number}", 20 * number - 1, *names[:number]) for number in range(4000, 5000, 5)]
    began = process_time()
    found = read_history(rows, captures, GAP, None)
    assert process_time() - began < 5
    assert len(found.batches) == 5000
    assert sum(batch.exact for batch in found.batches) == 200


@given(st.lists(st.integers(0, 100), max_size=30), st.lists(st.integers(-5, 110), max_size=5), st.integers(0, 30))
def test_every_row_is_in_one_batch_and_no_gap_is_in_any(minutes: list[int], captured: list[int], gap: int) -> None:
    rows = [row(str(number), each) for number, each in enumerate(minutes)]
    captures = [capture(f"v{number}", each, "x") for number, each in enumerate(captured)]
    found = read_history(rows, captures, timedelta(minutes=gap), None)
    groups = [batch.rows for batch in reversed(found.batches)]
    assert [each for group in groups for each in group] == list(in_order(rows))
    for group in groups:
        assert all(later.applied - one.applied <= timedelta(minutes=gap) for one, later in pairwise(group))
        for each in captures:
            assert not group[0].applied < each.captured_at <= group[-1].applied
    assert {batch.deploy_id for batch in found.batches} - {None} | {each.deploy_id for each in found.unfollowed} == {
        each.deploy_id for each in captures
    }
    assert batches_of(in_order(rows), timedelta(minutes=gap)) == tuple(
        batch.rows for batch in reversed(read_history(rows, [], timedelta(minutes=gap), None).batches)
    )


def test_a_batch_knows_its_migrations() -> None:
    batch = Batch((row("1", 0), row("b.s", 1)), bookkeeping=keys("b.s"))
    assert batch.migrations == (Migration("a", "1"),)
    assert batch.apps == ("a",)
