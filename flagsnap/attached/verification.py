"""The results of a snapshot's checks: a rung for each level of the ladder, with its own age."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from flagsnap.attached.document import Document
from flagsnap.verification import LEVELS, WHOLE, Level

VERIFIED = "verified.json"
_TIME = "%Y%m%dT%H%M%SZ"
_SEPARATOR = "~"
_PARTS = 10_000


class Rung(BaseModel):
    """The newest result of one level.

    Attributes:
        seconds: how long it took; of a drill, the time to recover.
        share: how much of the dump's bytes it looked at, from 0 to 1.
        whole_at: since when every byte has been looked at, and found well: a sample does not make it younger, and a
            failure takes it away. None where that is `checked_at`, or where it never was.
        details: what was found.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

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


class Verification(Document):
    """The results of a snapshot's checks, by level.

    Attributes:
        resume: the path of the file with which the next sample begins, empty for the first.
        round_began: when the samples last began with the first file, None if they are in no round.
    """

    TITLE: ClassVar[str] = "verification"

    captured_at: datetime
    rungs: Mapping[Level, Rung] = {}
    resume: str = ""
    round_began: datetime | None = None

    def brief(self) -> Mapping[str, str]:
        """What `list` tells of it: without details, and short enough for an object's name."""
        return {level: _in_brief(self.rungs[level]) for level in LEVELS if level in self.rungs}


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
