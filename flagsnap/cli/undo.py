"""`flagsnap undo`."""

from typing import Annotated

import typer

from flagsnap.cli.run import Run
from flagsnap.errors import Interrupted


def undo(
    run: Run, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before going ahead.")] = False
) -> None:
    """Bring back the live database that the newest restore has replaced."""
    from flagsnap.undo import undo as use_case

    address = run.address
    if run.interactive and not yes and not typer.confirm(f"swap {address} with its retired database?", err=True):
        raise Interrupted("not agreed; nothing was done")
    run.show(use_case(address, run.progress))
