"""`flagsnap capture`."""

from enum import StrEnum
from typing import Annotated

import typer

from flagsnap.cli.run import Run
from flagsnap.errors import UsageError


class IfExists(StrEnum):
    """What to do when the deploy id has a snapshot already."""

    KEEP = "keep"
    FAIL = "fail"


def capture(
    run: Run,
    deploy_id: Annotated[str | None, typer.Option(help="The deploy's name; made from the time without it.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, kept with the snapshot.")] = None,
    if_exists: Annotated[
        IfExists, typer.Option(help="Succeed if nothing has changed since, or refuse.")
    ] = IfExists.KEEP,
) -> None:
    """Record the migrations and the schema, and dump the database: before each deploy."""
    from flagsnap.recording.capture import CaptureRequest
    from flagsnap.recording.capture import capture as use_case

    request = CaptureRequest(
        address=run.address,
        deploy_id=deploy_id,
        labels=dict(_label(text) for text in label or ()),
        jobs=run.settings.workers,
        if_exists=if_exists.value,
        pg_bin=run.settings.pg_bin,
        lock_timeout=run.settings.lock_timeout,
    )
    run.show(use_case(request, run.snapshots, run.progress))


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise UsageError(f"{text!r} is not a label", "write it as KEY=VALUE")
    return key, value
