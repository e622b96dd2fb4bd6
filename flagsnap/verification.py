"""Verification: the ladder by which a snapshot is checked, and what a check finds.

Each level takes in those before it. What could not be checked is never green: a check is ok, failed or unchecked.

    manifest   the manifest, and all that is kept beside it, can be read and is what was written
    files      every byte of the dump has its recorded SHA-256, and nothing is missing or extra
    toc        `pg_restore --list` reads the dump's table of contents, and it is of the recorded tables
    drill      the snapshot was restored into a scratch database and equals what was recorded
"""

from dataclasses import dataclass
from typing import Literal, get_args

Level = Literal["manifest", "files", "toc", "drill"]
LEVELS: tuple[Level, ...] = get_args(Level)
WHOLE = 1.0


@dataclass(frozen=True)
class Check:
    """One thing that was checked, or could not be.

    Attributes:
        details: what was found, in words; none mean that all is well, as far as it could be checked.
        unchecked: why it could not be checked, or not wholly; empty if it was.
        said: what else there is to say of a check that is well.
    """

    name: str
    subject: str
    details: tuple[str, ...] = ()
    unchecked: str = ""
    said: str = ""

    @property
    def ok(self) -> bool:
        """Whether it was checked, and nothing was found."""
        return not (self.details or self.unchecked)

    @property
    def checked(self) -> bool:
        """Whether it says something: a failed one does, though not all could be looked at."""
        return bool(self.details) or not self.unchecked


@dataclass(frozen=True)
class Drilled:
    """A drill that proved its snapshot.

    Attributes:
        seconds: the time that a restore takes there, proof included: the time to recover.
        bytes: the size of the recorded database.
        where: the server, in words.
        database: the standby, None if the scratch database was dropped.
    """

    deploy_id: str
    seconds: float
    bytes: int
    where: str
    database: str | None = None


@dataclass(frozen=True)
class Verified:
    """All that a `verify` checked."""

    checks: tuple[Check, ...]
    drills: tuple[Drilled, ...] = ()

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that found something."""
        return tuple(check for check in self.checks if check.details)

    @property
    def unchecked(self) -> tuple[Check, ...]:
        """What could not be checked, and in which nothing was found."""
        return tuple(check for check in self.checks if check.unchecked and not check.details)

    @property
    def exit_code(self) -> int:
        """0 verified, 3 a check failed, 1 something could not be checked, or nothing was."""
        return 3 if self.failed else 1 if self.unchecked or not self.checks else 0
