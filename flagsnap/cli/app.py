"""The command line as a whole: the commands, and the one boundary at which errors become words and exit codes."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from flagsnap import __version__
from flagsnap.cli import (
    capture,
    demo,
    doctor,
    history,
    listing,
    pin,
    plan,
    prune,
    refill,
    rehearse,
    restore,
    rollback,
    show,
    status,
    undo,
    verify,
)
from flagsnap.cli.options import with_global_options
from flagsnap.cli.run import Run
from flagsnap.errors import ChildFailed, DifferencesFound, FlagsnapError, Interrupted, UsageError

_SHOWN = 20

COMMANDS: dict[str, Callable[..., None]] = {
    "capture": capture.capture,
    "list": listing.list_,
    "show": show.show,
    "rehearse": rehearse.rehearse,
    "plan": plan.plan,
    "rollback": rollback.rollback,
    "refill": refill.refill,
    "undo": undo.undo,
    "restore": restore.restore,
    "verify": verify.verify,
    "pin": pin.pin,
    "unpin": pin.unpin,
    "prune": prune.prune,
    "status": status.status,
    "history": history.history,
    "doctor": doctor.doctor,
    "demo": demo.demo,
}

app = typer.Typer(
    name="flagsnap",
    help="Deploy Flagsmith without fear: capture before each deploy, roll back when it goes wrong, proven.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool | None) -> None:
    if wanted:
        print(f"flagsnap {__version__}")  # noqa: T201
        raise typer.Exit


def _root(
    run: Run,
    version: Annotated[  # noqa: ARG001  # typer calls `_version`
        bool | None, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = None,
) -> None:
    del run


app.callback()(with_global_options(_root))
for _name, _command in COMMANDS.items():
    app.command(_name)(with_global_options(_command))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    run = Run(command=next((word for word in words if word in COMMANDS), "flagsnap"))
    # An error may come before the options are read.
    run.options["json"] = "--json" in words or None
    try:
        _refuse_other_bytes(words)
        code = app(words, prog_name="flagsnap", standalone_mode=False, obj=run)
        if code == Interrupted.exit_code:  # all that typer makes of a KeyboardInterrupt
            raise KeyboardInterrupt
    except FlagsnapError as error:
        code = _fail(run, error)
    except TyperException as error:
        code = _fail(
            run, UsageError(_worded(error), f"flagsnap {run.command} --help".replace("flagsnap flagsnap", "flagsnap"))
        )
    except (KeyboardInterrupt, typer.Abort):
        code = _fail(run, Interrupted("interrupted", "the same command again goes on, or starts anew"))
    except BrokenPipeError:
        code = 1  # the reader of our output has gone
    except Exception as error:  # noqa: BLE001  # the boundary: nothing of ours may end in a traceback
        unexpected = FlagsnapError(
            f"unexpected {type(error).__name__}: {next(iter(str(error).splitlines()), '')}",
            "this is a defect: report it with the output of --traceback",
        )
        code = _fail(run, unexpected, error)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # As Python's documentation of SIGPIPE has it: else the interpreter fails on it once more, with exit code 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _refuse_other_bytes(words: Sequence[str]) -> None:
    """UsageError for what is no UTF-8: it could be neither stored nor shown later (PEP 383 lets it through)."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"the argument {word!a} is not UTF-8", "check the terminal's or the script's encoding"
            ) from None


def _interrupt(*_: Any) -> None:
    """A platform that ends a pod wants the same as a person who presses Ctrl-C."""
    raise KeyboardInterrupt


def _worded(error: TyperException) -> str:
    text = error.format_message().replace("Value error, ", "").strip().rstrip(".")
    return text[:1].lower() + text[1:]


def _fail(run: Run, error: FlagsnapError, cause: Exception | None = None) -> int:
    if run.json:
        from flagsnap.report.json import failure

        print(failure(run.command, error))  # noqa: T201
    _say(f"error: {error}")
    if isinstance(error, DifferencesFound):
        for each in error.differences[:_SHOWN]:
            _say(f"  {each}")
        if more := len(error.differences) - _SHOWN:
            _say(f"  and {more} more" if more > 0 else "")
    if error.hint:
        _say(f"hint: {error.hint}")
    child = error if isinstance(error, ChildFailed) else error.__cause__
    if run.options.get("verbose") and isinstance(child, ChildFailed):
        _say(child.tail)
    if run.options.get("traceback"):
        traceback.print_exception(cause or error)
    return error.exit_code


def _say(text: str) -> None:
    if text:
        print(text, file=sys.stderr)  # noqa: T201
