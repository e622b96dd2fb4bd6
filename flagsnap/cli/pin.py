"""`flagsnap pin` and `flagsnap unpin`."""

from typing import Annotated

import typer

from flagsnap.cli.run import Run

DeployId = Annotated[str, typer.Argument(help="A deploy id, or latest.", metavar="ID")]


def pin(
    run: Run,
    deploy_id: DeployId,
    reason: Annotated[
        str, typer.Option(help="Why; `flagsnap show` tells it.", metavar="TEXT", show_default=False)
    ] = "",
) -> None:
    """Keep a snapshot from being pruned, until it is unpinned."""
    from flagsnap.results import PinChanged

    name = run.snapshots.name_of(deploy_id)
    run.show(PinChanged(name, run.snapshots.pin(name, reason)))


def unpin(run: Run, deploy_id: DeployId) -> None:
    """Let a snapshot be pruned again."""
    from flagsnap.results import PinChanged

    name = run.snapshots.name_of(deploy_id)
    run.snapshots.unpin(name)
    run.show(PinChanged(name, None))
