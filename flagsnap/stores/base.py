"""A store: where snapshots are kept. Five verbs; what they promise is written here once, for every kind of store.

`begin` and the draft's `publish` are the only way to a snapshot. A draft is invisible until it is published, all at
once; a draft whose process has died is nothing but waste, and `sweep` removes it. Verbs do not retry: a store that
needs it retries inside.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class Draft(Protocol):
    """A snapshot that is being made."""

    @property
    def folder(self) -> Path:
        """Where pg_dump writes: on this machine, with nothing in it yet. Paths below it are the snapshot's paths."""

    def add(self, path: str) -> None:
        """Take over the finished file `folder/path`: when this returns, the store has it safely.

        The file may be gone from `folder` then. May be called from several threads at once.
        """

    def publish(self, manifest: bytes) -> None:
        """The commit point: from here on the snapshot exists, whole and for good.

        SnapshotExists if another one of that deploy id was published in the meantime; that one stays as it is.
        """


class Store(Protocol):
    """Snapshots by deploy id."""

    @property
    def url(self) -> str:
        """The address in words, without secrets."""

    def begin(self, deploy_id: str) -> AbstractContextManager[Draft]:
        """Begin a snapshot. Left without `publish`, the block leaves nothing behind."""

    def deploy_ids(self) -> Sequence[str]:
        """All published snapshots, in no order; an empty or missing store has none."""

    def read(self, deploy_id: str, path: str) -> bytes:
        """A small file of a published snapshot; SnapshotMissing if there is no such snapshot."""

    def checkout(self, deploy_id: str, paths: Sequence[str]) -> AbstractContextManager[Path]:
        """The snapshot's folder on this machine, with those files in it, for reading only.

        A file that the store does not have is not there; the caller, who knows what to expect, finds out.
        """

    def remove(self, deploy_id: str) -> None:
        """Remove a snapshot, the manifest first. SnapshotMissing if there is none."""

    def sweep(self) -> Sequence[str]:
        """Remove what killed runs left; gives back the deploy ids that they worked on."""
