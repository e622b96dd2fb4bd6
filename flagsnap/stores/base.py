"""A store: where snapshots are kept. What its verbs promise is written here once, for every kind of store.

`begin` and the draft's `publish` are the only way to a snapshot, and what was published never changes; `attach` puts
other files beside it. A draft is invisible until it is published, all at once; a draft whose process has died is
nothing but waste, and `sweep` removes it. Verbs do not retry: a store that needs it retries inside. What cannot be had
from the store is StoreFailed, unless it says otherwise.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flagsnap.progress import Progress
from flagsnap.snapshot import Summary


@dataclass(frozen=True)
class Listed:
    """What a listing has at hand of one snapshot.

    Attributes:
        summary: the one that was published; None if it must be read from the manifest.
        briefs: of the files that were attached with a brief, by their paths; an empty one if that file must be read for
            it. None if nothing is known of any.
    """

    summary: Summary | None = None
    briefs: Mapping[str, Mapping[str, str]] | None = None


class Draft(Protocol):
    """A snapshot that is being made."""

    @property
    def folder(self) -> Path:
        """Where pg_dump writes: on this machine, with nothing in it yet. Paths below it are the snapshot's paths."""

    @property
    def place(self) -> str:
        """What to free space in when the folder is full, in words."""

    @property
    def workers(self) -> int:
        """How many files `add` takes over at once with profit."""

    @property
    def room(self) -> int | None:
        """How many bytes of finished files may wait in `folder`, a large one apart; None if they stay there anyway."""

    def add(self, path: str) -> None:
        """Take over the finished file `folder/path`: when this returns, the store has it safely.

        The file may be gone from `folder` then. May be called from several threads at once.
        """

    def cancel(self) -> None:
        """Have every `add` end soon, in an error: the draft will not be published. From any thread."""

    def publish(self, manifest: bytes, summary: Summary) -> None:
        """The commit point: from here on the snapshot exists, whole and for good.

        SnapshotExists if another one of that deploy id was published in the meantime; that one stays as it is.
        """


class Store(Protocol):
    """Snapshots by deploy id."""

    @property
    def url(self) -> str:
        """The address in words, without secrets."""

    def begin(self, deploy_id: str, owner: str, progress: Progress) -> AbstractContextManager[Draft]:
        """Begin a snapshot. Left without `publish`, the block leaves nothing behind.

        Locked if another run is making a snapshot of that deploy id. The caller holds the lock of `owner`, whatever
        that is, for as long as the block lasts; this is how a store that several machines use knows what is dead.
        """

    def list(self) -> Mapping[str, Listed]:
        """All published snapshots by deploy id, in no order; an empty or missing store has none.

        Thousands are listed in a second, from an index that is never needed.
        """

    def files(self, deploy_id: str) -> Mapping[str, int]:
        """All files of a published snapshot and their sizes in bytes; SnapshotMissing if there is no such snapshot."""

    def read(self, deploy_id: str, path: str) -> Iterator[bytes]:
        """A file of a published snapshot, piece by piece; SnapshotMissing if there is no such file."""

    def attach(self, deploy_id: str, path: str, content: bytes, brief: Mapping[str, str] | None = None) -> None:
        """Put a small file beside a published snapshot, in the place of an earlier one; SnapshotMissing if it is gone.

        Whoever reads it sees the earlier one or this one, and never a part; when this returns, the store has it safely.
        It goes with the snapshot. `brief` is what `list` tells of it, in two hundred characters or so; a file that had
        one always has one.
        """

    def detach(self, deploy_id: str, path: str) -> None:
        """Remove an attached file; nothing happens if there is none. SnapshotMissing if the snapshot is gone."""

    def try_rights(self) -> None:
        """Put, read, list and delete something small that is no snapshot, as a capture and a prune do.

        The error of the first that does not work, which names the right that is missing where it is one.
        """

    def folder(self, deploy_id: str) -> Path | None:
        """Where the files of a published snapshot lie on this machine, for reading only; None if they do not."""

    def remove(self, deploy_id: str) -> None:
        """Remove a snapshot, the manifest first. SnapshotMissing if there is none."""

    def sweep(self, owner: str, progress: Progress) -> None:
        """Remove what killed runs left, and say so; the caller holds the lock of `owner`, so all of its are dead."""
