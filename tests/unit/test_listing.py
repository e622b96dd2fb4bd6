"""The texts of `list` and `show`: which result of the checks counts, how old it is, and what fits 80 columns."""

import io
from datetime import timedelta
from typing import Any

import pytest
from rich.console import Console

from flagsnap.attached.pin import Pin
from flagsnap.attached.verification import Rung, Verification
from flagsnap.report.listing import listing_content, shown_content, verified_in_short
from flagsnap.report.text import print_result
from flagsnap.results import Listing, SnapshotShown, Standing
from flagsnap.snapshot import Summary
from flagsnap.verification import Level
from tests.unit.sample_manifests import CAPTURED, sample_manifest

ID = "2.265.0"
NOW = CAPTURED + timedelta(days=40)
MANIFEST = sample_manifest(ID)


def rung(hours: float, **values: Any) -> Rung:
    """A result of so many hours ago."""
    return Rung(**{"checked_at": NOW - timedelta(hours=hours), "ok": True, "seconds": 12.5, **values})


def part(hours: float, share: float, whole: float | None = None) -> Rung:
    """A sample of so many hours ago, the last of a whole round if `whole` says how long ago that began."""
    return rung(hours, share=share, whole_at=None if whole is None else NOW - timedelta(hours=whole))


FAILED = rung(2, ok=False, details=("dumps/default/1.dat.gz is missing",))


@pytest.mark.parametrize(
    ("rungs", "short"),
    [
        ({}, ""),
        ({"manifest": rung(2)}, "manifest 2 h ago"),
        ({"manifest": rung(2), "files": rung(72)}, "files 3 d ago"),
        ({"manifest": rung(2), "files": rung(2), "toc": rung(2), "drill": rung(72)}, "drill 3 d ago"),
        ({"files": FAILED}, "files FAILED 2 h ago"),
        ({"files": FAILED, "toc": rung(5, ok=False), "drill": rung(72)}, "toc FAILED 5 h ago"),
        ({"manifest": rung(2), "files": part(2, 0.05)}, "files 5 % 2 h ago"),
        ({"manifest": rung(2), "files": part(2, 0.0001)}, "files <1 % 2 h ago"),
        ({"manifest": rung(2), "files": part(2, 0.9999)}, "files 99 % 2 h ago"),
        ({"manifest": rung(2), "files": part(2, 0.05, whole=96)}, "files 4 d ago"),
        ({"files": part(2, 0.05), "drill": rung(72)}, "drill 3 d ago"),
        ({"files": rung(0)}, "files 0 s ago"),
        ({"files": rung(-1)}, "files 0 s ago"),
    ],
)
def test_the_result_that_counts(rungs: dict[Level, Rung], short: str) -> None:
    assert verified_in_short(rungs, NOW) == short


def test_a_list_fits_80_columns_with_usual_ids() -> None:
    listing = Listing(
        (
            _summary("2.265.0"),
            _summary("20261122T140200Z", commit="abc"),
            _summary("v2.265.0-archive-20261122T114951Z").model_copy(update={"archive_of": "v2.265.0"}),
            _summary("2.264.0"),
        ),
        (("2.263.0", "the manifest of 2.263.0 is damaged"),),
        {
            "2.265.0": Standing(pinned=False, rungs={"drill": rung(72)}),
            "20261122T140200Z": Standing(pinned=True, rungs={"files": FAILED}),
        },
        NOW,
    )
    assert text_of(listing) == (
        "deploy id         captured (UTC)        size  migrations  verified\n"
        "2.265.0           2026-11-22 14:02    2.0 kB           2  drill 3 d ago\n"
        "20261122T140200Z  2026-11-22 14:02    2.0 kB           2  files FAILED 2 h ago\n"
        "                  pinned commit=abc\n"
        "v2.265.0-archive-20261122T114951Z\n"
        "                  2026-11-22 14:02    2.0 kB           2  never\n"
        "                  archive of v2.265.0\n"
        "2.264.0           2026-11-22 14:02    2.0 kB           2  never\n"
        "damaged: the manifest of 2.263.0 is damaged\n"
    )


def test_only_damaged_or_only_long_ones() -> None:
    assert text_of(Listing((), (("x", "the manifest of x is damaged"),))) == "damaged: the manifest of x is damaged\n"
    lines = text_of(Listing((_summary("x" * 128),), ())).splitlines()
    assert lines[1:] == ["x" * 128, "           2026-11-22 14:02    2.0 kB           2  never"]


def test_json_of_a_list() -> None:
    listing = Listing(
        (MANIFEST.summary,), (), {ID: Standing(pinned=True, rungs={"files": part(2, 0.05, whole=96)})}, NOW
    )
    (found,) = listing_content(listing)["snapshots"]
    assert found["pinned"] is True
    assert found["verified"] == {
        "files": {
            "checked_at": (NOW - timedelta(hours=2)).isoformat(),
            "ok": True,
            "seconds": 12.5,
            "share": 0.05,
            "verified_at": (NOW - timedelta(hours=96)).isoformat(),
        }
    }
    (found,) = listing_content(Listing((MANIFEST.summary,), ()))["snapshots"]
    assert (found["pinned"], found["verified"]) == (False, {})


def test_what_show_tells_of_checks_and_pin() -> None:
    details = tuple(f"file {number} is missing" for number in range(14))
    shown = SnapshotShown(
        MANIFEST,
        None,
        Verification(
            deploy_id=ID, captured_at=CAPTURED, rungs={"manifest": rung(2), "files": rung(2, ok=False, details=details)}
        ),
        Pin(deploy_id=ID, pinned_at=CAPTURED, reason="before the move"),
        NOW,
    )
    lines = [line.rstrip() for line in text_of(shown).splitlines()]
    at = lines.index("verified       files FAILED 2 h ago, in 12.5 s")
    assert lines[at - 1] == "pinned         2026-11-22 14:02:00 UTC, before the move"
    assert [line.strip() for line in lines[at + 1 :]] == [
        *details[:12],
        "and 2 more",
        "manifest 2 h ago, in 12.5 s",
    ]
    content = shown_content(shown)
    assert content["pin"] == {"pinned_at": CAPTURED.isoformat(), "reason": "before the move"}
    assert list(content["verification"]) == ["manifest", "files"]
    assert content["verification"]["files"]["details"] == list(details)
    nothing = shown_content(SnapshotShown(MANIFEST))
    assert nothing["verification"] is nothing["pin"] is None
    assert "pinned" not in text_of(SnapshotShown(MANIFEST))
    assert "verified" not in text_of(SnapshotShown(MANIFEST))


def _summary(deploy_id: str, **labels: str) -> Summary:
    return sample_manifest(deploy_id, CAPTURED, **labels).summary


def text_of(result: object) -> str:
    """As it is printed on a terminal of 80 columns."""
    stream = io.StringIO()
    print_result(Console(file=stream, width=80, highlight=False, markup=False, emoji=False), result)
    return stream.getvalue()
