"""`flagsnap show`."""

from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

from flagsnap.cli.run import Run

T = TypeVar("T")


def show(run: Run, deploy_id: Annotated[str, typer.Argument(help="A deploy id, or latest.", metavar="ID")]) -> None:
    """Show one snapshot, and what is kept beside it: its rehearsal, its checks, its pin."""
    from flagsnap.results import SnapshotShown

    snapshots = run.snapshots
    manifest = snapshots.get(deploy_id)
    run.show(
        SnapshotShown(
            manifest,
            _read(run, lambda: snapshots.rehearsal(manifest)),
            _read(run, lambda: snapshots.verification(manifest)),
            _read(run, lambda: snapshots.pinned(manifest.deploy_id), "; it holds all the same"),
        )
    )


def _read(run: Run, read: Callable[[], T | None], holds: str = "") -> T | None:
    """What lies beside the snapshot, which is whole without it; damage is a warning."""
    from flagsnap.errors import SnapshotDamaged

    try:
        return read()
    except SnapshotDamaged as error:
        run.progress.warn(f"{error}{holds}")
        return None
