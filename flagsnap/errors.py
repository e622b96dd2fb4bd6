"""What can go wrong, as nouns: a message for people, a hint at the way out, and the exit code of the command.

FlagsnapError              1  failed, the database as it was
├── ConnectionFailed       1
├── StoreFailed            1  the store could not be reached, or refused
├── ChildFailed            1  a program that flagsnap ran ended badly
├── RestoreFailed          1  pg_restore cannot restore a dump, for no reason of the server's
├── BridgeFailed           1  the Django project did not answer as it should
│   └── MigrationFailed    1  one of its migrations failed
├── UsageError             2  usage or refused input
│   ├── RouteClosed        2  the way back that was asked for does not exist here
│   └── SnapshotExists     2  the deploy id is taken
├── DifferencesFound       3  the database or a snapshot is not what was recorded
├── LossRefused            4  data would be lost, and nobody agreed to it
├── SnapshotMissing        5
├── SnapshotDamaged        5
├── Locked                 6  another run holds the lock
├── HalfWay                7  stopped between two states; the hint names the next command
└── Interrupted          130

Messages are lower case, without a full stop, and never hold a password. Only `flagsnap.cli.app` turns them into output.
"""

import re
from typing import ClassVar

from flagsnap.migrations import Migration


class FlagsnapError(Exception):
    """The base of all: `str()` is the message, `hint` says what to do next (it may be empty)."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def kind(self) -> str:
        """The error's name in JSON: `SnapshotMissing` is `snapshot_missing`."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()


class ConnectionFailed(FlagsnapError):
    """No connection to PostgreSQL could be had, or it broke."""


class StoreFailed(FlagsnapError):
    """The store could not be reached, failed, or refused what was asked of it."""


class ChildFailed(FlagsnapError):
    """A child process ended with a code other than zero, or was killed.

    Attributes:
        program: the name of the program, without its folder.
        code: its exit code, negative for a signal.
        tail: the last lines that it wrote to its standard error.
    """

    def __init__(self, program: str, code: int, tail: str, hint: str = "") -> None:
        ended = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        super().__init__(f"{program} {ended}" + (f": {last_words(tail)}" if tail else ""), hint)
        self.program = program
        self.code = code
        self.tail = tail


def last_words(tail: str) -> str:
    """The line of a program's standard error that says what went wrong: its first error, else its last line."""
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    errors = (line for line in lines if re.search("(error|fatal):", line, re.IGNORECASE))
    return next(errors, lines[-1] if lines else "")


class RestoreFailed(FlagsnapError):
    """A dump could not be restored, and the server gave no reason of its own, such as a full disk or a missing role."""


class BridgeFailed(FlagsnapError):
    """The Django project could not be run, or did not answer as the probe does."""


class MigrationFailed(BridgeFailed):
    """The code or the SQL of a migration failed, on the way forward or back; None if it cannot be said of which."""

    def __init__(self, message: str, hint: str = "", migration: Migration | None = None) -> None:
        super().__init__(message, hint)
        self.migration = migration


class UsageError(FlagsnapError):
    """What was asked for makes no sense, or is refused as it stands."""

    exit_code = 2


class RouteClosed(UsageError):
    """The route that was asked for cannot reach the recorded state from here."""


class SnapshotExists(UsageError):
    """The deploy id is taken; what is there is never replaced."""


class DifferencesFound(FlagsnapError):
    """What was compared is not equal; `differences` are sentences, one a difference."""

    exit_code = 3

    def __init__(self, message: str, differences: tuple[str, ...], hint: str = "") -> None:
        super().__init__(message, hint)
        self.differences = differences


class LossRefused(FlagsnapError):
    """The plan would lose data, and consent was not given."""

    exit_code = 4


class SnapshotMissing(FlagsnapError):
    """The store has no snapshot of that deploy id."""

    exit_code = 5


class SnapshotDamaged(FlagsnapError):
    """A snapshot is there, but not as it was published."""

    exit_code = 5


class Locked(FlagsnapError):
    """Another run of flagsnap works on the same database."""

    exit_code = 6


class HalfWay(FlagsnapError):
    """The run stopped after it had changed the database; the message names the state."""

    exit_code = 7


class Interrupted(FlagsnapError):
    """The user or the platform ended the run."""

    exit_code = 130
