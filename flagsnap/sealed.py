"""JSON with a digest of all the rest, so that what is truncated or altered is refused, were it by a single bit.

The digest is of the values, and a parser gives the same ones for some other bytes: it reads 1E-7 like 1e-7, and escapes
with upper-case digits like those with lower-case ones. So the bytes must also be those that `seal` writes for what was
read. In every version they were, and the form is part of the format: keys stay in their order, those of newer versions
too, and a number is written as it was read. What another program has written anew is refused, whatever its digest.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from flagsnap.errors import SnapshotDamaged

CHOOSE = "choose another snapshot with `flagsnap list`"


def seal(content: Mapping[str, Any]) -> bytes:
    """The bytes to store."""
    return _written({"digest": _digest(content), **content})


def unseal(raw: bytes, what: str, newest: int) -> dict[str, Any]:
    """The content; SnapshotDamaged, with the name of `what` it is, if it is not whole or of a format above `newest`."""
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise damaged(what, "it is not whole JSON") from error
    if not isinstance(content, dict):
        raise damaged(what, "it is not a JSON object")
    version = content.get("format")
    if isinstance(version, int) and version > newest:
        raise SnapshotDamaged(
            f"{what} has format {version}, this flagsnap reads formats up to {newest}",
            "use the flagsnap that made it, or a newer one",
        )
    try:
        is_as_written = _written(content) == raw
        has_digest = content.pop("digest", None) == _digest(content)
    except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON has and UTF-8 has not
        raise damaged(what, "it has half a character, so it was altered") from error
    if not has_digest:
        raise damaged(what, "its content does not have its digest, so it was altered")
    if not is_as_written:
        raise damaged(what, "its bytes are not those that flagsnap writes, so it was altered")
    return content


def damaged(what: str, why: str) -> SnapshotDamaged:
    """The error for it."""
    return SnapshotDamaged(f"{what} is damaged: {why}", CHOOSE)


def _written(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False).encode()


def _digest(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()
