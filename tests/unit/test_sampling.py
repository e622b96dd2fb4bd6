"""Samples in rotation: the share is reached, and over the runs every file is read."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagsnap.errors import UsageError
from flagsnap.snapshot import DumpFile
from flagsnap.verifying.sampling import Rotation, batches, in_rotation, sample, share_of, turned

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
FILES = st.lists(st.integers(0, 1000), min_size=1, max_size=30).map(
    lambda sizes: [DumpFile(path=f"dumps/{number:02}", bytes=size, sha256="") for number, size in enumerate(sizes)]
)
SHARES = st.floats(0.01, 1)


@given(FILES, SHARES)
def test_a_sample_has_its_share_and_no_file_too_many(files: list[DumpFile], share: float) -> None:
    chosen = sample(files, share)
    total = sum(file.bytes for file in files)
    assert chosen == tuple(files[: len(chosen)])
    assert chosen
    assert sum(file.bytes for file in chosen) >= share * total or len(chosen) == len(files)
    assert len(chosen) == 1 or sum(file.bytes for file in chosen[:-1]) < share * total


@given(FILES, st.lists(SHARES, min_size=200, max_size=200))
def test_every_file_comes_round_and_the_round_says_since_when(files: list[DumpFile], shares: list[float]) -> None:
    rotation, read_at = Rotation(), dict.fromkeys((file.path for file in files), datetime.min.replace(tzinfo=UTC))
    for number, share in enumerate(shares):
        now = NOON + timedelta(days=number)
        order = in_rotation(files, rotation.resume)
        chosen = sample(order, share)
        read_at |= dict.fromkeys((file.path for file in chosen), now)
        rotation, whole_at = turned(rotation, order, len(chosen), now)
        if whole_at is not None:
            assert min(read_at.values()) >= whole_at
    assert min(read_at.values()) > datetime.min.replace(tzinfo=UTC)


def test_a_round_that_was_broken_off_says_nothing() -> None:
    """After a failure nobody knows since when all has been well."""
    files = [DumpFile(path=name, bytes=1, sha256="") for name in "abc"]
    order = in_rotation(files, "b")
    assert [file.path for file in order] == ["b", "c", "a"]
    assert turned(Rotation("b", None), order, 1, NOON) == (Rotation("c", None), None)
    assert turned(Rotation("c", None), in_rotation(files, "c"), 1, NOON) == (Rotation(), None)
    assert turned(Rotation("c", NOON), in_rotation(files, "c"), 1, NOON) == (Rotation(), NOON)
    assert turned(Rotation("b", None), order, 3, NOON) == (Rotation(), NOON)


def test_a_file_that_is_no_longer_there_does_not_hold_it_up() -> None:
    files = [DumpFile(path=name, bytes=1, sha256="") for name in "ac"]
    assert [file.path for file in in_rotation(files, "b")] == ["c", "a"]
    assert [file.path for file in in_rotation(files, "z")] == ["a", "c"]


@given(FILES, st.integers(1, 2000))
def test_batches_are_all_files_in_their_order(files: list[DumpFile], most: int) -> None:
    made = list(batches(files, most))
    assert [file for batch in made for file in batch] == files
    assert all(len(batch) == 1 or sum(file.bytes for file in batch) <= most for batch in made)


def test_no_files() -> None:
    assert sample((), 0.5) == ()
    assert turned(Rotation(), (), 0, NOON) == (Rotation(), NOON)


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("100%", 1), ("2.5", 0.025), ("0.1%", 0.001)])
def test_shares(text: str, share: float) -> None:
    assert share_of(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["0%", "101%", "", "%", "half", "-1%", "nan%", "inf"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(UsageError):
        share_of(text)
