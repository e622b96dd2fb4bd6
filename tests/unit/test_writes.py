"""The price of a restore: what was written since the capture."""

from datetime import UTC, datetime

import pytest

from flagsnap.loss.values import Loss
from flagsnap.loss.writes import Writes, Written, written_since
from flagsnap.snapshot import Statistics

RESET = "the counters were reset since the capture: only the number of rows was compared"
NEW = "not there at the capture"


@pytest.mark.parametrize(
    ("recorded", "live", "found"),
    [
        (Writes(3, 3), Writes(3, 3), None),
        (Writes(3, 3), Writes(5, 5), (2, "2 inserted")),
        (Writes(3, 3), Writes(2, 1203, 3, 1), (1204, "1,200 inserted, 3 updated, 1 deleted")),
        (Writes(3, 3), Writes(None, 5), (2, "2 inserted")),
        (Writes(3, 3), Writes(0, 3), (3, "3 truncated")),
        (Writes(3, 3), Writes(1, 4, 0, 1), (3, "1 inserted, 1 deleted, 1 truncated")),
        (Writes(3, 3), Writes(2, 3, 0, 1), (1, "1 deleted")),
        (None, Writes(4, 9), (4, NEW)),
        (None, Writes(0, 9), None),
        (None, Writes(None), (None, NEW)),
        (Writes(3, 900), Writes(5, 2), (2, RESET)),
        (Writes(3, 3, 900), Writes(1, 3, 2), (2, RESET)),
        (Writes(3, 3, 0, 9), Writes(3, 3), (None, RESET)),
        (Writes(3, 900), Writes(None, 2), (None, RESET)),
    ],
)
def test_written_since(recorded: Writes | None, live: Writes, found: tuple[int | None, str] | None) -> None:
    losses = [Loss("restore", "written_since", "public.flag", found[0], "lost", detail=found[1])] if found else []
    assert list(written_since([Written("public.flag", recorded, live)])) == losses


def test_where_it_is_known_that_the_counters_were_reset_they_are_not_believed() -> None:
    table = Written("public.flag", Writes(3, 3), Writes(9, 7))
    assert [(each.rows, each.detail) for each in written_since([table], reset=True)] == [(6, RESET)]
    assert [(each.rows, each.detail) for each in written_since([table])] == [(4, "4 inserted")]


@pytest.mark.parametrize(
    ("recorded", "reset", "found"),
    [
        (None, False, (50, True)),
        (Writes(3, 3), True, (47, True)),
        (Writes(3, 3), False, (6, False)),
        (Writes(90, 3), False, (6, False)),
    ],
)
def test_an_estimate_is_said_to_be_one_where_it_decides(
    recorded: Writes | None, reset: bool, found: tuple[int, bool]
) -> None:
    (loss,) = written_since([Written("public.flag", recorded, Writes(50, 9), estimated=True)], reset=reset)
    assert (loss.rows, loss.estimated) == found


NOON, LATER = datetime(2026, 1, 2, 12, tzinfo=UTC), datetime(2026, 1, 2, 13, tzinfo=UTC)


@pytest.mark.parametrize(
    ("earlier", "now", "goes_on"),
    [
        (Statistics(reset_at=None, commits=5), Statistics(reset_at=None, commits=5), True),
        (Statistics(reset_at=NOON, commits=5), Statistics(reset_at=NOON, commits=9), True),
        (Statistics(reset_at=NOON, commits=5), Statistics(reset_at=LATER, commits=9), False),
        (Statistics(reset_at=None, commits=5), Statistics(reset_at=NOON, commits=9), False),
        (Statistics(reset_at=None, commits=5), Statistics(reset_at=None, commits=4), False),
        (None, Statistics(reset_at=NOON, commits=4), True),
    ],
)
def test_what_tells_that_the_counters_were_reset(earlier: Statistics | None, now: Statistics, goes_on: bool) -> None:
    """By hand, which leaves a time, or by a crash, after which they start at zero; old snapshots tell nothing."""
    assert now.continues(earlier) is goes_on
