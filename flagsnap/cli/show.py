"""`flagsnap show`."""

from typing import Annotated

import typer

from flagsnap.cli.run import Run


def show(run: Run, deploy_id: Annotated[str, typer.Argument(help="A deploy id, or latest.", metavar="ID")]) -> None:
    """Show one snapshot."""
    from flagsnap.errors import SnapshotDamaged
    from flagsnap.results import SnapshotShown

    manifest, rehearsal = run.snapshots.get(deploy_id), None
    try:
        rehearsal = run.snapshots.rehearsal(manifest)
    except SnapshotDamaged as error:  # the snapshot is whole all the same
        run.progress.warn(str(error))
    run.show(SnapshotShown(manifest, rehearsal))
