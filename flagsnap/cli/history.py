"""`flagsnap history`."""

from typing import Annotated

import typer

from flagsnap.cli.lenient import or_why
from flagsnap.cli.run import Run


def history(
    run: Run,
    gap: Annotated[
        str, typer.Option(help="What was applied closer together is one deploy, unless a capture lies in between.")
    ] = "10m",
    limit: Annotated[
        int | None, typer.Option(help="Show so many of the newest only.", min=1, metavar="N", show_default=False)
    ] = None,
) -> None:
    """Show the deploys that django_migrations tells of, beside the snapshots; newest first."""
    from flagsnap.durations import duration
    from flagsnap.overview.history import HistoryRequest, find_history

    request = HistoryRequest(
        address=run.address,
        snapshots=or_why(lambda: run.snapshots),
        project=or_why(lambda: run.project),
        gap=duration(gap),
        limit=limit,
    )
    run.show(find_history(request, run.progress))
