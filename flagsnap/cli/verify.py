"""`flagsnap verify`."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from flagsnap.cli.run import Run

if TYPE_CHECKING:
    from flagsnap.verification import Check


class Level(StrEnum):
    """How much of a snapshot is checked."""

    MANIFEST = "manifest"
    FILES = "files"


def verify(
    run: Run,
    deploy_id: Annotated[
        str | None, typer.Argument(help="The snapshot; the newest without it.", metavar="[ID]")
    ] = None,
    level: Annotated[
        Level | None, typer.Option(help="manifest: it can be read; files: and every byte has its hash. [files]")
    ] = None,
    expect: Annotated[
        str | None, typer.Option(help="Demand that the live database is what this snapshot recorded.", metavar="ID")
    ] = None,
) -> None:
    """Check that a snapshot is whole, or (--expect) that the live database is what it recorded.

    Exit 0: verified; 3: a check failed; 1: something could not be checked.
    """
    from flagsnap.snapshot import LATEST
    from flagsnap.verification import Verified
    from flagsnap.verifying.ladder import verify_live, verify_snapshot

    checks: list[Check] = []
    if deploy_id or level or not expect:
        level = level or Level.FILES
        subject = deploy_id or LATEST
        checks += verify_snapshot(run.snapshots, subject, level.value, run.settings.workers, run.progress)
    if expect:
        checks += verify_live(run.address, run.snapshots.get(expect))
    result = Verified(tuple(checks))
    run.show(result, ok=not result.failed)
    if result.failed:
        raise typer.Exit(3)
