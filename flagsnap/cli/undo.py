"""`flagsnap undo`."""

from typing import Annotated

import typer

from flagsnap.cli.run import YES, Run
from flagsnap.errors import Interrupted


def undo(
    run: Run, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before going ahead.")] = False
) -> None:
    """Bring back the live database that the newest restore has replaced."""
    from flagsnap.restoring.undo import undo as use_case

    address = run.address
    question = f"swap {address} with its retired database? [y/N]"
    if run.interactive and not yes and run.ask(question) not in YES:
        raise Interrupted("not agreed; nothing was done")
    run.show(use_case(address, run.progress))
