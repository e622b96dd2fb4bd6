"""`flagsnap show`."""

from typing import Annotated

import typer

from flagsnap.cli.run import Run


def show(run: Run, deploy_id: Annotated[str, typer.Argument(help="A deploy id, or latest.", metavar="ID")]) -> None:
    """Show one snapshot."""
    from flagsnap.results import SnapshotShown

    run.show(SnapshotShown(run.snapshots.get(deploy_id)))
