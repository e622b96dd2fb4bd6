"""The global options, which every command takes before and after its name, and the decorator that adds them."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from flagsnap.cli.run import Run

_PANEL = "Global options"


def _global(*names: str, help: str) -> Any:  # noqa: A002
    return typer.Option(*names, help=help, rich_help_panel=_PANEL, show_default=False)


GLOBAL_OPTIONS: dict[str, Any] = {
    "database_url": Annotated[
        str | None,
        _global("--database-url", help="The live database. [FLAGSNAP_DATABASE_URL, then DATABASE_URL]"),
    ],
    "store": Annotated[str | None, _global("--store", help="Where snapshots are kept. [FLAGSNAP_STORE]")],
    "store_option": Annotated[
        list[str] | None,
        _global("--store-option", help="NAME=VALUE, of an S3 store: region, endpoint_url, sse, … [FLAGSNAP_S3_<NAME>]"),
    ],
    "manage": Annotated[
        str | None, _global("--manage", help='How to run the project: "python manage.py". [FLAGSNAP_MANAGE]')
    ],
    "config": Annotated[Path | None, _global("--config", help="A file of settings. Default: flagsnap.toml, if there")],
    "pg_bin": Annotated[
        Path | None, _global("--pg-bin", help="The folder of pg_dump and pg_restore. [FLAGSNAP_PG_BIN]")
    ],
    "jobs": Annotated[
        int | None, _global("--jobs", "-j", help="How many tables are worked on at once. [FLAGSNAP_JOBS]")
    ],
    "silence": Annotated[
        float | None,
        _global("--silence", help="Seconds without a word after which the project counts as dead. [120]"),
    ],
    "lock_timeout": Annotated[
        float | None, _global("--lock-timeout", help="Seconds to wait for a lock on a table. [10]")
    ],
    "count_seconds": Annotated[
        float | None, _global("--count-seconds", help="Seconds to count what a rollback would lose. [30]")
    ],
    "digest_seconds": Annotated[
        float | None, _global("--digest-seconds", help="Seconds to compare the rows of a rehearsal. [120]")
    ],
    "json": Annotated[bool | None, _global("--json", help="One JSON object on standard output.")],
    "quiet": Annotated[bool | None, _global("--quiet", "-q", help="No progress, only warnings.")],
    "verbose": Annotated[bool | None, _global("--verbose", "-v", help="Tell every step, and all of an error.")],
    "traceback": Annotated[bool | None, _global("--traceback", help="With an error, where it was raised.")],
}


def with_global_options(function: Callable[..., None]) -> Callable[..., None]:
    """Make a command of `function(run, …)`: its own options, and the global ones.

    typer reads a command's options from its signature; this builds one that has both.
    """
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in GLOBAL_OPTIONS.items()
    ]
    as_keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]

    @functools.wraps(function)
    def command(context: typer.Context, **values: Any) -> None:
        run: Run = context.obj
        run.command = context.invoked_subcommand or context.info_name or run.command
        run.set({name: values.pop(name) for name in GLOBAL_OPTIONS})
        function(run, **values)

    parameters = [context, *as_keywords, *shared]
    vars(command)["__signature__"] = inspect.Signature(parameters)
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command
