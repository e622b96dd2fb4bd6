"""Durations as people write and read them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagsnap.durations import duration, in_words
from flagsnap.errors import UsageError


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("26h", timedelta(hours=26)),
        ("90m", timedelta(minutes=90)),
        ("30d", timedelta(days=30)),
        ("2w", timedelta(weeks=2)),
        ("45s", timedelta(seconds=45)),
        ("1d12h", timedelta(hours=36)),
        ("1d 12h", timedelta(hours=36)),
        ("26H", timedelta(hours=26)),
        ("1.5h", timedelta(minutes=90)),
        ("0s", timedelta(0)),
    ],
)
def test_a_duration_is_read(text: str, span: timedelta) -> None:
    assert duration(text) == span


@pytest.mark.parametrize(
    "text", ["", " ", "26", "h", "26x", "-1h", "1h-", "1h,2m", "h26", "1..5h", "٣x", "9" * 400 + "w"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration") as refused:
        duration(text)
    assert refused.value.hint == "write it as 90m, 26h, 30d, 2w or 1d12h"


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(0), "0 s"),
        (timedelta(seconds=-5), "0 s"),
        (timedelta(seconds=119), "119 s"),
        (timedelta(minutes=2), "2 min"),
        (timedelta(minutes=90), "90 min"),
        (timedelta(hours=26), "26 h"),
        (timedelta(hours=47, minutes=59), "48 h"),
        (timedelta(days=2), "2 d"),
        (timedelta(days=400), "400 d"),
    ],
)
def test_a_duration_in_words(span: timedelta, words: str) -> None:
    assert in_words(span) == words


@given(st.integers(0, 10_000), st.sampled_from("smhdw"))
def test_every_whole_number_of_units_is_read(number: int, unit: str) -> None:
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}[unit]
    assert duration(f"{number}{unit}").total_seconds() == number * seconds
