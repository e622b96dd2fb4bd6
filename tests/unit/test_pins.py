"""Pins: what is written is read back, and nothing else is."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from flagsnap.attached.pin import Pin
from flagsnap.errors import SnapshotDamaged
from flagsnap.sealed import seal

ID = "2.265.0"
PIN = Pin(deploy_id=ID, pinned_at=datetime(2026, 11, 22, 14, 2, 0, 123456, UTC), reason='Ä "quoted"\n')


def test_what_is_written_is_read_back() -> None:
    assert Pin.read(PIN.to_json(), ID) == PIN
    without = PIN.model_copy(update={"reason": ""})
    assert Pin.read(without.to_json(), ID) == without


def test_the_brief_tells_when_in_utc_and_not_why() -> None:
    elsewhere = PIN.pinned_at.astimezone(timezone(timedelta(hours=5)))
    assert PIN.model_copy(update={"pinned_at": elsewhere}).brief() == {"at": "2026-11-22T14:02:00+00:00"}


def test_unknown_keys_are_ignored() -> None:
    assert Pin.read(seal({**PIN.model_dump(mode="json"), "from_the_future": [1]}), ID) == PIN


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "it is not whole JSON"),
        (PIN.to_json()[:-1], "it is not whole JSON"),
        (PIN.to_json().replace(b"quoted", b"other!"), "it was altered"),
        (seal({"format": 1, "deploy_id": ID}), "1 validation error for Pin"),
        (
            seal({**PIN.model_dump(mode="json"), "format": Pin.FORMAT + 1}),
            "has format 2, this flagsnap reads formats up to 1",
        ),
        (seal({**PIN.model_dump(mode="json"), "deploy_id": "2.264.0"}), "it is the pin of 2.264.0"),
    ],
)
def test_what_is_no_pin_of_it_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(SnapshotDamaged, match=rf"the pin of {ID} .*{message}"):
        Pin.read(raw, ID)
