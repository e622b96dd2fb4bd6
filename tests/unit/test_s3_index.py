"""The index: what goes into an object's name comes out of it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagsnap.snapshot import Summary
from flagsnap.stores.s3.index import FOLDER, entry_name, read_entry

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def summary(**labels: str) -> Summary:
    moment = datetime(2026, 11, 22, 14, 2, 0, 123456, UTC)
    return Summary(deploy_id="2.265.0", captured_at=moment, bytes=173_000_000, migrations=593, labels=labels)


def test_an_entry_can_be_read_by_people() -> None:
    assert entry_name(summary(commit="abc")) == (
        f"{FOLDER}2.265.0/captured_at=2026-11-22T14%3A02%3A00.123456%2B00%3A00&bytes=173000000&migrations=593"
        "&label.commit=abc"
    )


@given(st.dictionaries(TEXT, TEXT, max_size=4))
def test_what_goes_in_comes_out(labels: dict[str, str]) -> None:
    name = entry_name(summary().model_copy(update={"labels": labels}))
    if name is None:
        assert sum(len(key) + len(value) for key, value in labels.items()) > 10, "it is too long"
    else:
        found = read_entry(name)
        assert found is not None
        assert (found.deploy_id, found.labels) == ("2.265.0", labels)
        assert found.captured_at == summary().captured_at
        assert len(name.removeprefix(f"{FOLDER}2.265.0/")) <= 255, "the longest name of a file"


def test_an_entry_says_what_an_archive_is_of() -> None:
    archive = summary(archive_of="a label").model_copy(update={"archive_of": "2.264.0"})
    assert read_entry(str(entry_name(archive))) == archive
    found = read_entry(str(entry_name(summary(archive_of="a label"))))
    assert found is not None
    assert found.archive_of is None


def test_an_entry_that_would_be_too_long_is_none() -> None:
    assert entry_name(summary(commit="x" * 300)) is None


@pytest.mark.parametrize(
    "text",
    ["", "-", "captured_at=yesterday&bytes=1&migrations=2", "captured_at=2026-11-22&bytes=x&migrations=2", "bytes=1"],
)
def test_what_is_no_entry_is_left_alone(text: str) -> None:
    assert read_entry(f"{FOLDER}2.265.0/{text}") is None
