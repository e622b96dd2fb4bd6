"""The index: what goes into an entry's name comes out of it, and what is in doubt is not believed."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagsnap.attached.verification import VERIFIED, Rung, Verification
from flagsnap.snapshot import MANIFEST, Summary
from flagsnap.stores import index
from flagsnap.stores.base import Listed
from flagsnap.stores.index import Entry, brief_entry, doubt_entry, read_entry, summary_entry
from flagsnap.verification import LEVELS

ID = "2.265.0"
MOMENT = datetime(2026, 11, 22, 14, 2, 0, 123456, UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
BRIEF = {"drill": "20261122T140200Z~ok~1~12.5"}
ENTRY = str(brief_entry(VERIFIED, BRIEF))


def read_entries(deploy_id: str, names: Iterable[str]) -> Listed:
    return index.read_entries(deploy_id, map(read_entry, names))


def summary(**labels: str) -> Summary:
    return Summary(deploy_id=ID, captured_at=MOMENT, bytes=173_000_000, migrations=593, labels=labels, state="ab" * 8)


def entry(**labels: str) -> str:
    return str(summary_entry(summary(**labels)))


def test_entries_can_be_read_by_people() -> None:
    assert entry(commit="abc") == (
        "captured_at=2026-11-22T14%3A02%3A00.123456%2B00%3A00&bytes=173000000&migrations=593&state=abababababababab"
        "&label.commit=abc"
    )
    assert brief_entry(VERIFIED, BRIEF) == "of=verified.json&drill=20261122T140200Z~ok~1~12.5"
    assert brief_entry(VERIFIED, BRIEF, "3e8.18f") == f"{brief_entry(VERIFIED, BRIEF)}&stamp=3e8.18f"


@given(st.dictionaries(TEXT, TEXT, max_size=4))
def test_a_summary_that_goes_in_comes_out(labels: dict[str, str]) -> None:
    made = summary().model_copy(update={"labels": labels})
    name = summary_entry(made, "3e8.18f")
    if name is None:
        assert sum(len(key) + len(value) for key, value in labels.items()) > 10, "it is too long"
    else:
        assert read_entries(ID, [name]) == Listed(made, {})
        assert len(name.encode()) <= 255, "the longest name of a file"
        assert "/" not in name
        assert (read_entry(name).path, read_entry(name).stamp) == (MANIFEST, "3e8.18f")


@given(st.dictionaries(TEXT.filter(lambda key: key not in {"of", "stamp"}), TEXT, max_size=4), TEXT)
def test_a_brief_that_goes_in_comes_out(brief: dict[str, str], path: str) -> None:
    name = brief_entry(path, brief, "3e8.18f")
    if name is None:
        assert sum(len(key) + len(value) for key, value in brief.items()) + len(path) > 10, "it is too long"
    else:
        assert read_entries(ID, [entry(), name]) == Listed(summary(), {path: brief})
        assert len(name.encode()) <= 255, "the longest name of a file"
        assert read_entry(name) == Entry(path, "3e8.18f", brief)


def test_the_longest_brief_of_a_verification_still_fits() -> None:
    rung = Rung(checked_at=MOMENT, ok=False, share=0.12345, seconds=123456.7)
    verification = Verification(deploy_id=ID, captured_at=MOMENT, rungs=dict.fromkeys(LEVELS, rung))
    brief = {"captured_at": "20261122T140200.123456Z", **verification.brief()}
    assert read_entries(ID, [entry(), str(brief_entry(VERIFIED, brief))]).briefs == {VERIFIED: brief}


def test_an_entry_says_what_an_archive_is_of() -> None:
    archive = summary(archive_of="a label").model_copy(update={"archive_of": "2.264.0"})
    assert read_entries(ID, [str(summary_entry(archive))]).summary == archive
    found = read_entries(ID, [entry(archive_of="a label", state="another", of="a third")])
    assert found == Listed(summary(archive_of="a label", state="another", of="a third"), {})


def test_an_entry_of_an_older_flagsnap_has_no_state() -> None:
    found = read_entries(ID, [entry().replace("&state=abababababababab", "")]).summary
    assert found == summary().model_copy(update={"state": None})


def test_what_would_be_too_long_is_none() -> None:
    assert summary_entry(summary(commit="x" * 300)) is None
    assert brief_entry(VERIFIED, {"drill": "x" * 300}) is None


@pytest.mark.parametrize(
    ("names", "briefs"),
    [
        ([], {}),
        ([ENTRY], {VERIFIED: BRIEF}),
        ([doubt_entry(VERIFIED)], {VERIFIED: {}}),
        ([ENTRY, doubt_entry(VERIFIED)], {VERIFIED: {}}),
        ([ENTRY, str(brief_entry(VERIFIED, {"drill": "other"}))], {VERIFIED: {}}),
        (["of=a&x=1", "of=b&x=2", "of=b"], {"a": {"x": "1"}, "b": {}}),
    ],
)
def test_a_brief_in_doubt_is_empty(names: list[str], briefs: Mapping[str, Mapping[str, str]]) -> None:
    for ordered in (names, names[::-1]):
        assert read_entries(ID, [*ordered, entry()]) == Listed(summary(), briefs)


def test_without_exactly_one_summary_nothing_is_believed() -> None:
    later = summary().model_copy(update={"captured_at": MOMENT + timedelta(1)})
    assert read_entries(ID, []) == Listed()
    assert read_entries(ID, [ENTRY]) == Listed()
    assert read_entries(ID, [entry(), str(summary_entry(later)), ENTRY]) == Listed()


@pytest.mark.parametrize(
    "text",
    ["", "-", "captured_at=yesterday&bytes=1&migrations=2", "captured_at=2026-11-22&bytes=x&migrations=2", "bytes=1"],
)
def test_what_is_no_entry_is_not_believed(text: str) -> None:
    assert read_entries(ID, [text]) == Listed()
