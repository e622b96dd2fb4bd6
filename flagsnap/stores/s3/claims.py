"""Claims: who is making or removing a snapshot, as one object for each deploy id.

A claim is taken by a conditional write, so one of two wins. Stores that do not know such writes overwrite; there the
claim is looked at before, and again later: whoever's it is then has won. The one who makes a claim holds the database's
advisory lock, so a claim of the same database is dead for whoever has that lock now. One of another database is
dead after a week.
"""

import json
import os
import socket
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from flagsnap.errors import Locked
from flagsnap.stores.s3.bucket import Bucket

FOLDER = ".drafts/"
_DEAD_AFTER = timedelta(days=7)


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
        return FOLDER + self.deploy_id

    def to_json(self) -> bytes:
        """The object's content."""
        return json.dumps(asdict(self)).encode()

    def is_dead(self, owner: str) -> bool:
        """Whether the one who made it is gone, as the holder of `owner`'s lock may say; a removal can always go on."""
        age = datetime.now(UTC) - datetime.fromisoformat(self.since)
        return self.owner == owner or self.doing == "removal" or age > _DEAD_AFTER

    def is_held(self, bucket: Bucket) -> bool:
        """Whether it is still there."""
        found = read_claim(bucket, self.deploy_id)
        return found is not None and found.token == self.token


def new_claim(deploy_id: str, owner: str, doing: Literal["capture", "removal"]) -> Claim:
    """A claim of this process."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Claim(deploy_id, owner, doing, now, socket.gethostname(), os.getpid(), uuid.uuid4().hex)


def take(bucket: Bucket, claim: Claim) -> bool:
    """Put the claim; Locked if there is another. Gives back whether the store knows conditional writes."""
    if found := read_claim(bucket, claim.deploy_id):
        raise _locked(bucket, found)
    # A store that knows conditional writes refuses the second one: this is how it is found out.
    if bucket.put(claim.name, claim.to_json(), if_absent=True):
        return not bucket.put(claim.name, claim.to_json(), if_absent=True)
    found = read_claim(bucket, claim.deploy_id)
    if found and found.token != claim.token:  # it is ours if the answer to the first one was lost
        raise _locked(bucket, found)
    return True


def read_claim(bucket: Bucket, deploy_id: str) -> Claim | None:
    """The claim on a deploy id, None if there is none; one that cannot be read is of nobody, since long ago."""
    if (raw := bucket.get(FOLDER + deploy_id)) is None:
        return None
    try:
        claim = Claim(**json.loads(raw))
        datetime.fromisoformat(claim.since)
    except (ValueError, TypeError):
        return Claim(deploy_id, "", "capture", datetime.min.replace(tzinfo=UTC).isoformat(), "", 0, "")
    return claim


def _locked(bucket: Bucket, claim: Claim) -> Locked:
    return Locked(
        f"another flagsnap is at work on {claim.deploy_id} in {bucket.url}: process {claim.pid} on {claim.host}, since"
        f" {claim.since}",
        f"wait until it has ended, or choose another --deploy-id; if it is dead, delete {bucket.url}/{claim.name}",
    )
