"""Claims: who is making or removing a snapshot, as one object for each run that wants to.

A run puts its claim, then lists those on the deploy id. Who finds no other has it, until its claim is deleted; of
several, all but one withdraw. Nobody writes another's claim, so this needs no conditional writes, which some makers'
stores do not know, and no answer in time: a listing after a put shows it, and one of two runs lists last.

The one who makes a claim holds the database's advisory lock, so a claim of the same database is dead for whoever has
that lock now. One of another database is dead after a week.
"""

import json
import os
import socket
import time
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from flagsnap.errors import Locked
from flagsnap.stores.s3.bucket import Bucket

FOLDER = ".drafts/"
_DEAD_AFTER = timedelta(days=7)
_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)  # seconds in which the others should have withdrawn


@dataclass(frozen=True)
class Claim:
    """One run's claim on a deploy id."""

    deploy_id: str
    owner: str
    doing: Literal["capture", "removal"]
    since: str
    host: str
    pid: int
    token: str

    @property
    def name(self) -> str:
        """The object's name."""
        return f"{FOLDER}{self.deploy_id}/{self.token}"

    def to_json(self) -> bytes:
        """The object's content."""
        return json.dumps(asdict(self)).encode()

    def is_dead(self, owner: str) -> bool:
        """Whether the one who made it is gone, as the holder of `owner`'s lock may say; a removal can always go on."""
        age = datetime.now(UTC) - datetime.fromisoformat(self.since)
        return self.owner == owner or self.doing == "removal" or age > _DEAD_AFTER

    def is_held(self, bucket: Bucket) -> bool:
        """Whether it is still there."""
        return bucket.get(self.name) is not None


def new_claim(deploy_id: str, owner: str, doing: Literal["capture", "removal"]) -> Claim:
    """A claim of this process."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Claim(deploy_id, owner, doing, now, socket.gethostname(), os.getpid(), uuid.uuid4().hex)


def take(bucket: Bucket, claim: Claim) -> None:
    """Put the claim; Locked if there is another."""
    bucket.put(claim.name, claim.to_json())
    for pause in _PAUSES:
        names = _on(bucket, claim.deploy_id)
        if names == {claim.name} and claim.is_held(bucket):  # who may not read finds it out now, not when all is sent
            return
        if names and min(names) != claim.name:
            break
        # One of those that come at the same moment stays. The others withdraw, unless one of them was here before.
        time.sleep(pause)
    bucket.delete([claim.name])
    raise _locked(bucket, claim.deploy_id)


def take_over(bucket: Bucket, dead: Claim, owner: str) -> Claim | None:
    """Put a claim in the place of dead ones; None if that one is gone, or a living one is there.

    Should that run be alive after all, it finds that it has lost its claim.
    """
    claim = new_claim(dead.deploy_id, owner, dead.doing)
    bucket.put(claim.name, claim.to_json())
    others = _on(bucket, dead.deploy_id) - {claim.name}
    found = filter(None, (read_claim(bucket, name) for name in others))
    if dead.name not in others or not all(other.is_dead(owner) for other in found):
        bucket.delete([claim.name])
        return None
    bucket.delete(others)
    return claim


def read_claim(bucket: Bucket, name: str) -> Claim | None:
    """The claim of that name, None if there is none; one that cannot be read is of nobody, since long ago."""
    if (raw := bucket.get(name)) is None:
        return None
    deploy_id, _, token = name.removeprefix(FOLDER).partition("/")
    try:
        claim = Claim(**json.loads(raw))
        datetime.fromisoformat(claim.since)
    except (ValueError, TypeError):
        return Claim(deploy_id, "", "capture", datetime.min.replace(tzinfo=UTC).isoformat(), "", 0, token)
    return claim


def _on(bucket: Bucket, deploy_id: str) -> set[str]:
    return {entry.name for entry in bucket.list(f"{FOLDER}{deploy_id}/")}


def _locked(bucket: Bucket, deploy_id: str) -> Locked:
    found = (read_claim(bucket, name) for name in sorted(_on(bucket, deploy_id)))
    if not (claim := next(filter(None, found), None)):
        return Locked(f"another flagsnap was at work on {deploy_id} in {bucket.url}", "run the same command again")
    return Locked(
        f"another flagsnap is at work on {claim.deploy_id} in {bucket.url}: process {claim.pid} on {claim.host}, since"
        f" {claim.since}",
        f"wait until it has ended, or choose another --deploy-id; if it is dead, delete {bucket.url}/{claim.name}",
    )
