"""The verbs of a store, on a bucket."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from uuid import uuid4

from flagsnap.errors import FlagsnapError, SnapshotExists, SnapshotMissing, StoreFailed
from flagsnap.progress import Progress
from flagsnap.snapshot import MANIFEST, is_deploy_id
from flagsnap.stores import index
from flagsnap.stores.base import Listed
from flagsnap.stores.s3 import claims
from flagsnap.stores.s3.bucket import Bucket
from flagsnap.stores.s3.claims import Claim
from flagsnap.stores.s3.draft import S3Draft
from flagsnap.stores.s3.options import read_options, read_url
from flagsnap.stores.scratch import scratch_folder

_TRIES = 3
_RIGHTS = ".rights/"
_TRIED = b"flagsnap doctor"


class S3Store:
    """Snapshots in a bucket; see `base.Store`."""

    def __init__(self, url: str, options: Mapping[str, str]) -> None:
        """UsageError for a URL or an option that makes no sense; the store is not asked yet."""
        self._bucket = Bucket(*read_url(url), read_options(options))
        self.url = self._bucket.url

    @contextmanager
    def begin(self, deploy_id: str, owner: str, progress: Progress) -> Iterator[S3Draft]:
        """Claim the deploy id, and make the draft in scratch space."""
        claim = claims.new_claim(deploy_id, owner, "capture")
        draft = None
        try:
            claims.take(self._bucket, claim)
            if not self._bucket.knows_conditions(claim.name, claim.to_json()):
                progress.note(f"{self.url} does not know conditional writes; flagsnap looks before and after instead")
            self._make_room(deploy_id, progress)
            with scratch_folder() as folder, progress.task("upload", unit="bytes") as task:
                draft = S3Draft(self._bucket, claim, folder, task, progress)
                yield draft
        finally:
            self._end(claim, draft, progress)

    def list(self) -> Mapping[str, Listed]:
        """The folders of the prefix and what the index says of them: a handful of requests for thousands.

        Whether a folder has a manifest is asked for those only that the index does not know, or that are claimed.
        """
        folders = {name for name in self._bucket.folders() if is_deploy_id(name)}
        claimed = {entry.name.split("/")[1] for entry in self._bucket.list(claims.FOLDER)}
        entries = {name: index.read_entries(name, found) for name, found in self._entries().items()}
        known = {name: entries[name] for name in folders & entries.keys() - claimed if entries[name].summary}
        asked = {name: Listed() for name in folders - known.keys() if self._is_published(name)}
        return {**known, **asked}

    def files(self, deploy_id: str) -> Mapping[str, int]:
        """List the snapshot's folder."""
        prefix = f"{deploy_id}/"
        found = {entry.name.removeprefix(prefix): entry.size for entry in self._bucket.list(prefix)}
        if MANIFEST not in found:
            raise self._missing(deploy_id)
        return found

    def read(self, deploy_id: str, path: str) -> Iterator[bytes]:
        """Read an object of a snapshot."""
        try:
            yield from self._bucket.read(f"{deploy_id}/{path}")
        except SnapshotMissing as error:
            if path == MANIFEST:
                raise self._missing(deploy_id) from error
            raise

    def attach(self, deploy_id: str, path: str, content: bytes, brief: Mapping[str, str] | None = None) -> None:
        """Put it, and read it back: a network may have altered it."""
        if not self._is_published(deploy_id):
            raise self._missing(deploy_id)
        if brief is None:
            self._attach(deploy_id, path, content)
            return
        doubt = self._doubt(deploy_id, path)
        self._attach(deploy_id, path, content)
        if brief and (entry := index.brief_entry(path, brief)):
            self._bucket.put(_entry(deploy_id, entry), b"")
            self._bucket.delete([doubt])

    def detach(self, deploy_id: str, path: str) -> None:
        """Delete it."""
        if not self._is_published(deploy_id):
            raise self._missing(deploy_id)
        doubt = self._doubt(deploy_id, path)
        self._bucket.delete([f"{deploy_id}/{path}"])
        self._bucket.delete([doubt])

    def try_rights(self) -> None:
        """Put an object that is neither a snapshot nor a claim, read and list it, abort an upload in parts, delete it.

        The right to abort is tried with an upload of its own, which stays where there is none.
        """
        name = f"{_RIGHTS}{uuid4().hex}"
        self._bucket.put(name, _TRIED)
        try:
            if self._bucket.get(name) != _TRIED or not self._bucket.exists(name):
                raise StoreFailed(f"{self.url}/{name} is not what was sent", "run the same command again")
            self._bucket.uploads.try_rights(name)
        except FlagsnapError:
            with suppress(FlagsnapError):  # the first that does not work is told
                self._bucket.delete([name])
            raise
        self._bucket.delete([name])

    def folder(self, deploy_id: str) -> None:
        """The files are not on this machine."""

    def remove(self, deploy_id: str) -> None:
        """Say that it is being removed, so that it will be if this is killed; then the manifest; then the rest."""
        if not self._is_published(deploy_id):
            raise self._missing(deploy_id)
        claim = claims.new_claim(deploy_id, "", "removal")
        claims.take(self._bucket, claim)
        self._clear(deploy_id)
        self._bucket.delete([claim.name])

    def sweep(self, owner: str, progress: Progress) -> None:
        """Finish what dead claims tell of: a capture that was published is, all else goes.

        Whoever may not delete, so that nobody who steals the credentials can, is warned and may capture all the same.
        """
        for entry in list(self._bucket.list(claims.FOLDER)):
            dead = claims.read_claim(self._bucket, entry.name)
            try:
                if dead and dead.is_dead(owner):
                    self._finish(dead, owner, progress)
            except StoreFailed as error:
                progress.warn(f"what interrupted runs left was not removed: {error}")
                return

    def _finish(self, dead: Claim, owner: str, progress: Progress) -> None:
        if claim := claims.take_over(self._bucket, dead, owner):
            if claim.doing == "removal" or not self._is_published(claim.deploy_id):
                self._clear(claim.deploy_id)
                progress.note(f"removed what an interrupted run had left of {claim.deploy_id}")
            self._bucket.delete([claim.name])

    def _end(self, claim: Claim, draft: S3Draft | None, progress: Progress) -> None:
        """Give up the claim; without a publication, remove what was stored, if it is still ours to remove."""
        try:
            if draft and not draft.published:
                self._bucket.hurry()  # the error that brought us here may be that nobody answers
                if not claim.is_held(self._bucket):
                    return
                if draft.may_be_removed():
                    self._clear(claim.deploy_id)
            elif draft and self._bucket.uploads.in_doubt:
                self._bucket.uploads.abort(f"{claim.deploy_id}/")
            self._bucket.delete([claim.name])
        except FlagsnapError as error:
            progress.warn(f"something of {claim.deploy_id} was left, the next capture tries to remove it: {error}")

    def _make_room(self, deploy_id: str, progress: Progress) -> None:
        """Remove what a run that nobody knows of may have left; SnapshotExists if it was published."""
        names = [entry.name for prefix in _prefixes(deploy_id) for entry in self._bucket.list(prefix)]
        if f"{deploy_id}/{MANIFEST}" in names:
            raise SnapshotExists(
                f"snapshot {deploy_id} was published by another run meanwhile", f"`flagsnap show {deploy_id}` shows it"
            )
        self._bucket.delete(names)
        try:
            self._bucket.uploads.abort(f"{deploy_id}/")
        except StoreFailed as error:
            progress.warn(f"unfinished uploads were not looked for: {error}")

    def _clear(self, deploy_id: str) -> None:
        """Remove all of a snapshot, the manifest first."""
        self._bucket.delete([f"{deploy_id}/{MANIFEST}"])
        for prefix in _prefixes(deploy_id):
            self._bucket.delete([entry.name for entry in self._bucket.list(prefix)])
        self._bucket.uploads.abort(f"{deploy_id}/")

    def _attach(self, deploy_id: str, path: str, content: bytes) -> None:
        name = f"{deploy_id}/{path}"
        for _ in range(_TRIES):
            self._bucket.put(name, content)  # S3 replaces an object at once (PutObject, "is an atomic operation")
            if not self._is_published(deploy_id):  # another run has removed the snapshot meanwhile
                self._bucket.delete([name, _entry(deploy_id, index.doubt_entry(path))])
                raise self._missing(deploy_id)
            if self._bucket.get(name) == content:
                return
        raise StoreFailed(f"{self.url}/{name} is not what was sent", "run the same command again")

    def _doubt(self, deploy_id: str, path: str) -> str:
        """Have the index say of a file that it must be read, until the entry that is given back is deleted.

        That is the last thing to do with it, so the index tells nothing false wherever a run ends.
        """
        doubt = _entry(deploy_id, index.doubt_entry(path))
        self._bucket.put(doubt, b"")
        others = {entry.name for entry in self._bucket.list(_entry(deploy_id))} - {doubt}
        self._bucket.delete([name for name in others if index.read_entry(name.rpartition("/")[2]).path == path])
        return doubt

    def _entries(self) -> Mapping[str, Sequence[index.Entry]]:
        """The index by deploy ids."""
        found: dict[str, list[index.Entry]] = defaultdict(list)
        for entry in self._bucket.list(index.FOLDER):
            deploy_id, _, name = entry.name.removeprefix(index.FOLDER).partition("/")
            found[deploy_id].append(index.read_entry(name))
        return found

    def _is_published(self, deploy_id: str) -> bool:
        return self._bucket.exists(f"{deploy_id}/{MANIFEST}")

    def _missing(self, deploy_id: str) -> SnapshotMissing:
        return SnapshotMissing(f"no snapshot {deploy_id} in {self.url}", "`flagsnap list` shows those that are there")


def _entry(deploy_id: str, name: str = "") -> str:
    """The object of an entry in the index."""
    return f"{index.FOLDER}{deploy_id}/{name}"


def _prefixes(deploy_id: str) -> tuple[str, str]:
    """Where the objects of a snapshot are."""
    return f"{deploy_id}/", _entry(deploy_id)
