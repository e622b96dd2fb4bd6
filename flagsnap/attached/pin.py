"""Pins: what keeps a snapshot from being pruned, until somebody takes it off."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar

from flagsnap.attached.document import Document

PIN = "pin.json"


class Pin(Document):
    """Who pins says why, or not. One that cannot be read holds all the same."""

    TITLE: ClassVar[str] = "pin"

    pinned_at: datetime
    reason: str = ""

    def brief(self) -> Mapping[str, str]:
        """What `list` tells of it."""
        return {"at": self.pinned_at.astimezone(UTC).isoformat(timespec="seconds")}
