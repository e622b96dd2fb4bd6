"""A draft in a bucket: files go up one by one, the manifest last, after a look at what has arrived."""

import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path

from flagsnap.errors import SnapshotExists, StoreFailed
from flagsnap.progress import Progress, Task
from flagsnap.snapshot import MANIFEST, Summary, read_manifest
from flagsnap.stores.index import FOLDER, summary_entry
from flagsnap.stores.s3 import uploads
from flagsnap.stores.s3.bucket import Bucket, Entry
from flagsnap.stores.s3.claims import Claim
from flagsnap.stores.scratch import scratch_place

_ROOM = 64 << 20
_LOOK_SECONDS = 10
_TRIES = 3
_AGAIN = "nothing was published; run the same command again"


@dataclass(frozen=True)
class _Sent:
    """A file that was sent: its size in bytes, and the ETags that prove that it has arrived."""

    size: int
    etags: frozenset[str]


@dataclass
class S3Draft:
    """See `base.Draft`."""

    bucket: Bucket
    claim: Claim
    folder: Path
    task: Task
    progress: Progress
    workers: int = uploads.AT_ONCE
    room: int = _ROOM
    published: bool = False
    _manifest: bytes | None = None
    _sent: dict[str, _Sent] = field(default_factory=dict)
    _claim_seen: float = field(default_factory=time.monotonic)

    @property
    def place(self) -> str:
        """The scratch space."""
        return f"{scratch_place()} (TMPDIR)"

    def add(self, path: str) -> None:
        """Upload the file, then remove it from scratch space."""
        # Who has lost the claim must not go on to overwrite what another run stores.
        if time.monotonic() - self._claim_seen > _LOOK_SECONDS:
            self._require_claim()
        file = self.folder / path
        etags = self.bucket.uploads.send(f"{self.claim.deploy_id}/{path}", file, self.task.advance)
        self._sent[f"{self.claim.deploy_id}/{path}"] = _Sent(file.stat().st_size, etags)
        file.unlink()

    def cancel(self) -> None:
        """End the uploads."""
        self.bucket.uploads.cancel()

    def publish(self, manifest: bytes, summary: Summary) -> None:
        """See that all has arrived, then put the manifest, unless there is one, and read it back."""
        self._require_sent(manifest)
        name = f"{self.claim.deploy_id}/{MANIFEST}"
        for _ in range(_TRIES):
            self._require_claim()
            self._manifest = manifest
            is_ours = self.bucket.put(name, manifest, if_absent=True)  # the commit point
            # If an answer was lost, the manifest that stood in the way is our own.
            has_arrived = self.bucket.get(name) == manifest
            # Who takes over the claim of a run that looks dead looks for its manifest afterwards. So if the claim is
            # still here, the manifest was there in time, and nothing of the snapshot was removed.
            self._require_claim()
            if has_arrived:
                self.published = True
                self._enter(summary)
                return
            if not is_ours:
                raise self._taken()
            self.bucket.delete([name])  # it was altered on its way, by a network that nobody noticed
        raise StoreFailed(f"{self.bucket.url}/{name} is not what was sent", _AGAIN)

    def may_be_removed(self) -> bool:
        """Whether what is stored is of this draft alone; its manifest may be there although no answer told so."""
        found = self.bucket.get(f"{self.claim.deploy_id}/{MANIFEST}")
        return found is None or found == self._manifest

    def _enter(self, summary: Summary) -> None:
        """Put the snapshot into the index; it is as good without, only slower to list."""
        try:
            if entry := summary_entry(summary):
                self.bucket.put(f"{FOLDER}{self.claim.deploy_id}/{entry}", b"")
        except StoreFailed as error:
            self.progress.warn(f"the snapshot is published, but not in the index: {error}")

    def _require_claim(self) -> None:
        if not self.claim.is_held(self.bucket):
            raise self._taken()
        self._claim_seen = time.monotonic()

    def _taken(self) -> SnapshotExists:
        return SnapshotExists(
            f"another flagsnap has taken {self.claim.deploy_id} in {self.bucket.url} meanwhile",
            "this capture was given up; choose another --deploy-id",
        )

    def _require_sent(self, manifest: bytes) -> None:
        """StoreFailed unless the store has what was sent, byte for byte; one request for a thousand files."""
        found = {entry.name: entry for entry in self.bucket.list(f"{self.claim.deploy_id}/")}
        if f"{self.claim.deploy_id}/{MANIFEST}" in found:
            raise self._taken()
        for name, sent in self._sent.items():
            if not (entry := found.get(name)):
                raise StoreFailed(f"{self.bucket.url}/{name} was sent, and is not there", _AGAIN)
            if entry.size != sent.size or not (entry.etag in sent.etags or self._has_arrived(entry, manifest)):
                raise StoreFailed(f"{self.bucket.url}/{name} is not what was sent", _AGAIN)

    def _has_arrived(self, entry: Entry, manifest: bytes) -> bool:
        """For stores whose ETags are something else: ask, or read all of it."""
        if self.bucket.verified_by_store(entry.name):
            return True
        digest = hashlib.sha256()
        for chunk in self.bucket.read(entry.name):
            digest.update(chunk)
        recorded = read_manifest(manifest, self.claim.deploy_id).files
        return any(entry.name.endswith(f"/{file.path}") and file.sha256 == digest.hexdigest() for file in recorded)
