"""JSON with a digest of all the rest, so that what is truncated or altered is refused."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from flagsnap.errors import SnapshotDamaged

CHOOSE = "choose another snapshot with `flagsnap list`"


def seal(content: Mapping[str, Any]) -> bytes:
    """The bytes to store."""
    return json.dumps({"digest": _digest(content), **content}, indent=1, ensure_ascii=False).encode()


def unseal(raw: bytes, what: str, newest: int) -> dict[str, Any]:
    """The content; SnapshotDamaged, with the name of `what` it is, if it is not whole or of a format above `newest`."""
    try:
        content = json.loads(raw)
    except ValueError as error:
        raise damaged(what, "it is not whole JSON") from error
    if not isinstance(content, dict):
        raise damaged(what, "it is not a JSON object")
    version = content.get("format")
    if isinstance(version, int) and version > newest:
        raise SnapshotDamaged(
            f"{what} has format {version}, this flagsnap reads formats up to {newest}",
            "use the flagsnap that made it, or a newer one",
        )
    if content.pop("digest", None) != _digest(content):
        raise damaged(what, "its content does not have its digest, so it was altered")
    return content


def damaged(what: str, why: str) -> SnapshotDamaged:
    """The error for it."""
    return SnapshotDamaged(f"{what} is damaged: {why}", CHOOSE)


def _digest(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()
