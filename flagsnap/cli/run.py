"""What every command gets beside its own options: settings, the store, the project, and where to report.

The heavy modules are imported when a command first needs them, so that `--version` and `--help` answer at once.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flagsnap.config import Settings, load_settings
from flagsnap.errors import Interrupted
from flagsnap.progress import Progress

if TYPE_CHECKING:
    from flagsnap.bridge.project import Project
    from flagsnap.postgres.connection import Address
    from flagsnap.stores.snapshots import Snapshots

YES = {"y", "yes"}


@dataclass
class Run:
    """One run of the command line."""

    command: str = "flagsnap"
    options: dict[str, Any] = field(default_factory=dict, repr=False)

    def set(self, options: Mapping[str, Any]) -> None:
        """Take over the global options that were given, before or after the command's name."""
        given = {name: value for name, value in options.items() if value is not None}
        before_and_after = [*self.options.pop("store_options", ()), *(given.pop("store_option", None) or ())]
        self.options.update(given, store_options=before_and_after)

    @property
    def json(self) -> bool:
        """Whether the result is one JSON object."""
        return bool(self.options.get("json"))

    @property
    def interactive(self) -> bool:
        """Whether there is somebody to ask."""
        return not self.json and sys.stdin.isatty() and sys.stderr.isatty()

    def ask(self, question: str) -> str:
        """Ask on standard error (typer's prompts write to standard output too); Interrupted if the input ends."""
        print(question, end=" ", file=sys.stderr, flush=True)  # noqa: T201
        if not (answer := sys.stdin.readline()):
            raise Interrupted("not agreed; nothing was done")
        return answer.strip().lower()

    @cached_property
    def settings(self) -> Settings:
        """The settings, from all sources."""
        own = {"json", "quiet", "verbose", "traceback", "config"}
        given = {name: value for name, value in self.options.items() if name not in own}
        file = self.options.get("config") or os.environ.get("FLAGSNAP_CONFIG")
        return load_settings(given, os.environ, Path(file) if file else None)

    @cached_property
    def address(self) -> "Address":
        """The live database."""
        from flagsnap.postgres.connection import Address

        return Address.parse(self.settings.need_database())

    @cached_property
    def snapshots(self) -> "Snapshots":
        """The store's snapshots."""
        from flagsnap.stores import open_store
        from flagsnap.stores.snapshots import Snapshots

        return Snapshots(open_store(self.settings.need_store(), self.settings.store_options))

    @cached_property
    def project(self) -> "Project | None":
        """The Django project, None if none was named."""
        from flagsnap.bridge.project import Project

        return Project(self.settings.manage, self.settings.silence) if self.settings.manage else None

    @cached_property
    def progress(self) -> Progress:
        """Where the use cases report to."""
        from flagsnap.report.console import errors
        from flagsnap.report.progress import ConsoleProgress

        told = self.options
        return ConsoleProgress(errors(), quiet=bool(told.get("quiet")), verbose=bool(told.get("verbose")))

    def show(self, result: object, *, ok: bool = True) -> None:
        """Print a result on standard output."""
        if self.json:
            from flagsnap.report.json import content_of, document

            print(document(self.command, content_of(result), ok=ok))  # noqa: T201
        else:
            from flagsnap.report.console import output
            from flagsnap.report.text import print_result

            print_result(output(), result)
