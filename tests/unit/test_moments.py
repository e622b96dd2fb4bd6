"""Times as people type them."""

from datetime import UTC, datetime

import pytest

from flagsnap.errors import UsageError
from flagsnap.moments import exact, moment

NINE = datetime(2026, 11, 22, 9, 55, 37, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22 09:55:37",
        "2026-11-22T09:55:37",
        "2026-11-22t09:55:37z",
        " 2026-11-22  9:55:37 ",
        "2026-11-22 09:55:37Z",
        "2026-11-22 09:55:37 UTC",
        "2026-11-22 09:55:37 utc",
        "2026-11-22 09:55:37+00",
        "2026-11-22 09:55:37.000000+00:00",
        "2026-11-22 11:55:37+02:00",
        "2026-11-22 11:55:37 +0200",
        "2026-11-22 11:55:37+02",
        "2026-11-22 06:25:37-03:30",
        "2026-11-22 10:55:37 Europe/Berlin",
        "2026-11-22T04:55:37 America/New_York",
        "2026-11-22 15:25:37 Asia/Kolkata",
        "2026-11-22T10:55:37Europe/Berlin",
    ],
)
def test_one_time_in_many_forms(text: str) -> None:
    assert moment(text) == NINE
    assert moment(text).tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2026-11-22", "2026-11-22 00:00:00 UTC"),
        ("2026-11-22 Europe/Berlin", "2026-11-21 23:00:00 UTC"),
        ("2026-11-22 09:55", "2026-11-22 09:55:00 UTC"),
        ("2026-11-22 09:55:37.1", "2026-11-22 09:55:37.100000 UTC"),
        ("2026-11-22 09:55:37,000001", "2026-11-22 09:55:37.000001 UTC"),
        # finer than any row: rounded up, so that a row of .123456 stays before .123456789
        ("2026-11-22T09:55:37.123456789Z", "2026-11-22 09:55:37.123457 UTC"),
        ("2026-11-22T09:55:37.123456000Z", "2026-11-22 09:55:37.123456 UTC"),
        ("2026-12-31T23:59:59.999999999Z", "2027-01-01 00:00:00 UTC"),
        # the hour before the clocks go forward, and the one after
        ("2026-03-29 01:59:59 Europe/Berlin", "2026-03-29 00:59:59 UTC"),
        ("2026-03-29 03:30 Europe/Berlin", "2026-03-29 01:30:00 UTC"),
        # with an offset there is no doubt
        ("2026-10-25 02:30+01:00", "2026-10-25 01:30:00 UTC"),
        ("2026-07-01 12:00 Europe/Berlin", "2026-07-01 10:00:00 UTC"),
    ],
)
def test_what_is_read(text: str, read: str) -> None:
    assert exact(moment(text)) == read


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "09:55:37", "2026-11-22 09", "22.11.2026 09:55", "1763805337", "2026-11-22 9.55", "now"),
        *("2026-13-01", "2026-02-29", "2026-11-22 24:00", "2026-11-22 09:60", "2026-11-22 09:55:60", "0000-01-01"),
        *("2026-11-22 09:55:37.1234567890", "2026-11-22 09:55:37 +25:00", "2026-11-22 09:55:37+02:60"),
        *("0001-01-01 00:00+10:00", "9999-12-31 23:59:59.9999999", "2026-11-22 09:55:37 +2"),
        *("2026-11-22 09:55:37 Europe/Atlantis", "2026-11-22 09:55:37 CET", "2026-11-22 09:55:37 EST"),
        *("2026-11-22 09:55:37 ../../etc/passwd", "2026-11-22 09:55:37 a/../b", "2026-11-22 09:55:37 America/Indiana"),
        *("٢٠٢٦-11-22", "2026-11-22\n09:55:37 Z x", "-2026-11-22"),
    ],
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        moment(text)
    assert "\n" not in str(refused.value)
    assert "2026-11-22 09:55:37" in refused.value.hint


@pytest.mark.parametrize(
    ("text", "said", "earlier", "later"),
    [
        ("2026-03-29 02:30 Europe/Berlin", "skip", "2026-03-29 00:30:00 UTC", "2026-03-29 01:30:00 UTC"),
        ("2026-10-25 02:30 Europe/Berlin", "show twice", "2026-10-25 00:30:00 UTC", "2026-10-25 01:30:00 UTC"),
        ("2026-11-01 01:30:00.5 America/New_York", "show twice", "2026-11-01 05:30:00.5", "2026-11-01 06:30:00.5"),
        ("2026-10-04 02:15 Australia/Lord_Howe", "skip", "2026-10-03 15:15:00 UTC", "2026-10-03 15:45:00 UTC"),
    ],
)
def test_a_time_that_the_clocks_skip_or_show_twice(text: str, said: str, earlier: str, later: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        moment(text)
    assert refused.value.hint.index(earlier) < refused.value.hint.index(later)
