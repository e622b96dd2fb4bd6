"""Verification: the ladder by which a snapshot is checked, what a check finds, and the results that are kept beside it.

Each level takes in those before it. What could not be checked is never green: a check is ok, failed or unchecked.

    manifest   the manifest, and all that is kept beside it, can be read and is what was written
    files      every byte of the dump has its recorded SHA-256, and nothing is missing or extra
    toc        `pg_restore --list` reads the dump's table of contents, and it is of the recorded tables
    drill      the snapshot was restored into a scratch database and equals what was recorded
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from flagsnap.sealed import damaged, seal, unseal

FORMAT = 1
VERIFIED = "verified.json"
Level = Literal["manifest", "files", "toc", "drill"]
LEVELS: tuple[Level, ...] = get_args(Level)
WHOLE = 1.0
_TIME = "%Y%m%dT%H%M%SZ"
_SEPARATOR = "~"
_PARTS = 10_000


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
        """0 verified, 3 a check failed, 1 something could not be checked."""
        return 3 if self.failed else 1 if self.unchecked else 0


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Rung(_Value):
    """The newest result of one level.

    Attributes:
        seconds: how long it took; of a drill, the time to recover.
        share: how much of the dump's bytes it looked at, from 0 to 1.
        whole_at: since when every byte has been looked at, and found well: a sample does not make it younger, and a
            failure takes it away. None where that is `checked_at`, or where it never was.
        details: what was found.
    """

    checked_at: datetime
    ok: bool
    seconds: float = 0.0
    share: float = WHOLE
    whole_at: datetime | None = None
    details: tuple[str, ...] = ()

    @property
    def verified_at(self) -> datetime | None:
        """When all had been looked at and was found well, None if it never was, or no longer is."""
        if not self.ok:
            return None
        return self.checked_at if self.share >= WHOLE else self.whole_at

    @property
    def is_whole(self) -> bool:
        """Whether all has been looked at, if not at once, and found well."""
        return self.verified_at is not None


class Verification(_Value):
    """The results of a snapshot's checks, by level.

    Attributes:
        resume: the path of the file with which the next sample begins, empty for the first.
        round_began: when the samples last began with the first file, None if they are in no round.
    """

    format: int = FORMAT
    deploy_id: str
    captured_at: datetime
    rungs: Mapping[Level, Rung] = {}
    resume: str = ""
    round_began: datetime | None = None

    def to_json(self) -> bytes:
        """The bytes to store."""
        return seal(self.model_dump(mode="json"))

    def brief(self) -> Mapping[str, str]:
        """What `list` tells of it: without details, and short enough for an object's name."""
        return {level: _in_brief(self.rungs[level]) for level in LEVELS if level in self.rungs}


def read_verification(raw: bytes, deploy_id: str) -> Verification:
    """Read the results of `deploy_id`; SnapshotDamaged if they are not whole, or of a format that is not known here."""
    what = f"the verification of {deploy_id}"
    try:
        verification = Verification.model_validate(unseal(raw, what, FORMAT))
    except ValidationError as error:
        raise damaged(what, str(error).splitlines()[0]) from error
    if verification.deploy_id != deploy_id:
        raise damaged(what, f"it is the verification of {verification.deploy_id}")
    return verification


def read_brief(brief: Mapping[str, str]) -> Mapping[Level, Rung]:
    """The rungs of `Verification.brief`, without details; what cannot be read is left out."""
    read = {level: _from_brief(brief[level]) for level in LEVELS if level in brief}
    return {level: rung for level, rung in read.items() if rung}


def _in_brief(rung: Rung) -> str:
    share = int(rung.share * _PARTS) / _PARTS  # rounded down: what is not whole must not be told as whole
    said = (_stamp(rung.checked_at), "ok" if rung.ok else "failed", f"{share:g}", f"{rung.seconds:.4g}")
    return _SEPARATOR.join((*said, *([_stamp(rung.whole_at)] if rung.whole_at else [])))


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(_TIME)


def _from_brief(text: str) -> Rung | None:
    try:
        when, result, share, seconds, *whole = text.split(_SEPARATOR)
        return Rung(
            checked_at=_moment(when),
            ok=result == "ok",
            share=float(share),
            seconds=float(seconds),
            whole_at=_moment(whole[0]) if whole else None,
        )
    except ValueError:
        return None


def _moment(stamp: str) -> datetime:
    return datetime.strptime(stamp, _TIME).replace(tzinfo=UTC)
