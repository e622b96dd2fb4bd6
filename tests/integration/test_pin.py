"""`pin`, `unpin`, and what `list` and `show` tell of what is kept beside a snapshot, also when it is damaged."""

from datetime import UTC, datetime, timedelta

import pytest

from flagsnap.attached.pin import PIN
from flagsnap.attached.verification import VERIFIED, Rung, Verification
from flagsnap.rehearsal.values import REHEARSAL
from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.integration.captures import SCHEMA

REASON = "before the [move] ä"


@pytest.fixture
def captured(flagsnap: Flagsnap, database: Database) -> Flagsnap:
    """A store with the snapshot `v2`."""
    database.execute(SCHEMA)
    flagsnap.within("capture", "--deploy-id", "v2")
    return flagsnap


def keep(flagsnap: Flagsnap, *details: str) -> Rung:
    """Keep the result of a look at all files of `v2`, three hours ago."""
    manifest = flagsnap.snapshots.get("v2")
    at = datetime.now(UTC) - timedelta(hours=3.1)
    rung = Rung(checked_at=at, ok=not details, seconds=2.5, details=details)
    verification = Verification(deploy_id="v2", captured_at=manifest.captured_at, rungs={"files": rung})
    flagsnap.snapshots.keep_verification(verification)
    return rung


def alter(flagsnap: Flagsnap, path: str) -> None:
    key = f"v2/{path}"
    flagsnap.place.put(key, flagsnap.place.get(key).replace(b"v2", b"v3", 1))


def listed(flagsnap: Flagsnap) -> tuple[bool, object]:
    """Whether `v2` is listed as pinned, and as verified."""
    (found,) = flagsnap.within("list", "--json").json["snapshots"]
    return found["pinned"], found["verified"]


def test_pin_and_unpin(captured: Flagsnap) -> None:
    began = datetime.now(UTC)
    pinned = captured.within("pin", "v2", "--reason", REASON, "--json").json
    assert (pinned["deploy_id"], pinned["pinned"], pinned["reason"]) == ("v2", True, REASON)
    assert began <= datetime.fromisoformat(pinned["pinned_at"]) <= datetime.now(UTC)
    assert listed(captured) == (True, {})
    assert captured.within("list").out.splitlines()[2].strip() == "pinned"
    shown = captured.within("show", "v2", "--json").json["pin"]
    assert shown == {"pinned_at": pinned["pinned_at"], "reason": REASON}
    assert f"UTC, {REASON}" in captured.within("show", "v2").out
    again = captured.within("pin", "latest")
    assert again.out == "pinned v2: no prune removes it until `flagsnap unpin v2`\n"
    for _ in range(2):  # the second time there is nothing to take off
        assert captured.within("unpin", "latest").out == "unpinned v2: a prune may remove it\n"
        assert listed(captured) == (False, {})
    unpinned = captured.within("unpin", "v2", "--json").json
    assert {name: unpinned[name] for name in ("deploy_id", "pinned", "pinned_at", "reason")} == {
        "deploy_id": "v2",
        "pinned": False,
        "pinned_at": None,
        "reason": None,
    }
    assert captured.within("show", "v2", "--json").json["pin"] is None
    assert [key for key in captured.files() if "pin" in key] == []


@pytest.mark.parametrize("command", ["pin", "unpin"])
def test_there_must_be_a_snapshot(captured: Flagsnap, command: str) -> None:
    before = captured.files()
    assert "error: no snapshot v9 in " in captured.within(command, "v9", code=5).err
    assert "error: '../x' is not a deploy id" in captured.within(command, "../x", code=2).err
    assert captured.files() == before


def test_what_was_verified_is_listed_and_shown(captured: Flagsnap) -> None:
    rung = keep(captured)
    at = rung.checked_at.isoformat()
    told = {"checked_at": at, "ok": True, "seconds": 2.5, "share": 1.0, "verified_at": at}
    assert captured.within("list").out.splitlines()[1].endswith("  files 3 h ago")
    (found,) = captured.within("list", "--json").json["snapshots"]
    assert set(found["verified"]) == {"files"}
    assert found["verified"]["files"]["ok"] is True
    shown = captured.within("show", "v2", "--json").json["verification"]
    assert shown == {"files": {**told, "details": []}}
    keep(captured, "dumps/default/toc.dat is missing")
    assert captured.within("list").out.splitlines()[1].endswith("  files FAILED 3 h ago")
    out = captured.within("show", "v2").out
    assert "files FAILED 3 h ago, in 2.5 s" in out
    assert "  dumps/default/toc.dat is missing" in out


def test_what_is_damaged_beside_a_snapshot_is_a_warning(captured: Flagsnap) -> None:
    captured.within("pin", "v2")
    keep(captured)
    for path in (PIN, VERIFIED):
        alter(captured, path)
    captured.place.put(f"v2/{REHEARSAL}", b"{")
    ended = captured.within("show", "v2")
    altered = "is damaged: its content does not have its digest, so it was altered"
    assert [line for line in ended.err.splitlines() if line.startswith("warning")] == [
        "warning: the rehearsal of v2 is damaged: it is not whole JSON",
        f"warning: the verification of v2 {altered}",
        f"warning: the pin of v2 {altered}; it holds all the same",
    ]
    assert "fingerprint" in ended.out
    found = captured.within("show", "v2", "--json").json
    assert found["rehearsal"] is found["verification"] is found["pin"] is None
    assert listed(captured)[0] is True
    captured.within("unpin", "v2")
    assert listed(captured)[0] is False


def test_a_store_of_an_older_flagsnap(captured: Flagsnap) -> None:
    """Without an index all is read from where it is."""
    captured.within("pin", "v2")
    keep(captured)
    before = captured.within("list").out
    assert "pinned" in before
    for key in captured.files(".index/"):
        captured.place.delete(key)
    assert captured.within("list").out == before
