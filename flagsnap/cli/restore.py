"""`flagsnap restore`."""

from typing import Annotated

import typer

from flagsnap.cli.run import Run


def restore(
    run: Run,
    deploy_id: Annotated[str, typer.Argument(help="A deploy id, or latest.", metavar="ID")],
    into: Annotated[
        str, typer.Option(help="The new database's name, on the server of --database-url.", metavar="NAME")
    ],
) -> None:
    """Make a copy of a snapshot beside the live database, which is not touched."""
    from flagsnap.restoring.restore import Source, restore_copy

    source = Source(run.snapshots, run.snapshots.to_restore(deploy_id), run.settings.workers, run.settings.pg_bin)
    run.show(restore_copy(source, run.address, into, run.progress))
