"""How the use cases tell what they are doing; silent by default, drawn by `flagsnap.report`."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, Protocol

Unit = Literal["bytes", "items"]


class Task(Protocol):
    """One piece of work with a length."""

    def advance(self, amount: int) -> None:
        """Tell that `amount` more units are done; may be called from any thread."""


class Progress(Protocol):
    """What a use case may tell while it works. No call fails, none waits for a person."""

    def task(self, title: str, total: int | None = None, unit: Unit = "items") -> AbstractContextManager[Task]:
        """Announce work of `total` units, of unknown length without it."""

    def note(self, text: str) -> None:
        """Say what may be of interest."""

    def warn(self, text: str) -> None:
        """Say what should be read."""


class Silent:
    """Tells nobody."""

    @contextmanager
    def task(self, title: str, total: int | None = None, unit: Unit = "items") -> Iterator[Task]:  # noqa: ARG002
        """Do nothing."""
        yield self

    def advance(self, amount: int) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""

    def warn(self, text: str) -> None:
        """Do nothing."""
