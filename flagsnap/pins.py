"""Pins: what keeps a snapshot from being pruned, until somebody takes it off."""

from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from flagsnap.sealed import damaged, seal, unseal

FORMAT = 1
PIN = "pin.json"


class Pin(BaseModel):
    """Who pins says why, or not."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = FORMAT
    deploy_id: str
    pinned_at: datetime
    reason: str = ""

    def to_json(self) -> bytes:
        """The bytes to store."""
        return seal(self.model_dump(mode="json"))

    def brief(self) -> Mapping[str, str]:
        """What `list` tells of it."""
        return {"at": self.pinned_at.astimezone(UTC).isoformat(timespec="seconds")}


def read_pin(raw: bytes, deploy_id: str) -> Pin:
    """Read the pin of `deploy_id`. SnapshotDamaged; such a pin holds all the same."""
    what = f"the pin of {deploy_id}"
    try:
        pin = Pin.model_validate(unseal(raw, what, FORMAT))
    except ValidationError as error:
        raise damaged(what, str(error).splitlines()[0]) from error
    if pin.deploy_id != deploy_id:
        raise damaged(what, f"it is the pin of {pin.deploy_id}")
    return pin
