"""Retention: which snapshots, and which databases beside the live one, are kept, which go, and why.

A policy keeps captures by their number and their times, in UTC. Some are never removed, whatever the policy says: the
pinned, the newest, the newest that verified, the one behind the last deploy, those from which a refill is owed, and
what cannot be read. An archive is no capture. It is kept as long as the policy keeps a capture of its age or an older
one, and until a deploy has succeeded after it, since it has what that deploy's refill may want.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Literal

from flagsnap.durations import in_words
from flagsnap.errors import UsageError
from flagsnap.results import CaptureResult, Standing
from flagsnap.snapshot import Summary
from flagsnap.verification import LEVELS

Kind = Literal[
    "capture", "archive", "damaged", "retired", "retired schemas", "scratch", "drill", "standby", "rehearsed"
]

_PERIODS = (("daily", "%Y-%m-%d"), ("weekly", "%G-W%V"), ("monthly", "%Y-%m"))
_PROVING_LEVELS = LEVELS[LEVELS.index("files") :]


@dataclass(frozen=True)
class Policy:
    """What to keep. `daily` is the number of the last days of which the newest capture is kept, and so on."""

    last: int = 0
    within: timedelta = timedelta(0)
    daily: int = 0
    weekly: int = 0
    monthly: int = 0

    def keeps_within(self, captured_at: datetime, now: datetime) -> bool:
        """Whether something of that time is young enough to be kept."""
        return bool(self.within) and now - captured_at <= self.within


@dataclass(frozen=True)
class Candidate:
    """A snapshot that may be removed; `verified` if its newest checks have proven it whole."""

    summary: Summary
    pinned: bool = False
    verified: bool = False

    @property
    def name(self) -> str:
        """Its deploy id."""
        return self.summary.deploy_id

    @property
    def at(self) -> datetime:
        """When it was captured."""
        return self.summary.captured_at


@dataclass(frozen=True)
class Aside:
    """A database that flagsnap has beside the live one, or the retired schemas of one restore in place.

    Attributes:
        made_at: the time in its name, when it was made or retired; of a standby, when its snapshot was captured.
        bytes: its size, None if the role may not ask for it.
        in_use: whether a run that holds its lock is at work on it.
    """

    name: str
    kind: Kind
    made_at: datetime
    bytes: int | None
    in_use: bool = False


@dataclass(frozen=True)
class Verdict:
    """What is kept or goes, and why; time and size where they are known."""

    name: str
    kind: Kind
    reason: str
    at: datetime | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class Division:
    """What is kept and what goes, newest first."""

    keep: tuple[Verdict, ...] = ()
    remove: tuple[Verdict, ...] = ()

    def sparing(self, spared: Mapping[str, str]) -> "Division":
        """The same, but for what turned out to be kept, by its name and with the reason."""
        kept = tuple(
            Verdict(each.name, each.kind, spared[each.name], each.at, each.bytes)
            for each in self.remove
            if each.name in spared
        )
        return Division((*self.keep, *kept), tuple(each for each in self.remove if each.name not in spared))


@dataclass(frozen=True)
class PrunePlan:
    """All that a prune would do as of `now`; `limits` are sentences about what it could not look at."""

    now: datetime
    snapshots: Division
    databases: Division = field(default_factory=Division)
    limits: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pruned:
    """A plan, and what became of it if it was confirmed.

    Attributes:
        spared: what was kept after all, by its name, and why.
        failed: what could not be removed, by its name, and why.
    """

    plan: PrunePlan
    confirmed: bool = False
    spared: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def snapshots(self) -> Division:
        """The snapshots that are kept, and those that go or should have gone."""
        return self.plan.snapshots.sparing(self.spared)

    @property
    def databases(self) -> Division:
        """The same of databases and schemas."""
        return self.plan.databases.sparing(self.spared)

    @property
    def freed(self) -> int:
        """How many bytes what goes has; of a plan that is not confirmed, what it would free."""
        going = (*self.snapshots.remove, *self.databases.remove)
        return sum(each.bytes or 0 for each in going if each.name not in self.failed)


@dataclass(frozen=True)
class CapturedAndPruned:
    """A capture, and the prune after it; None if that failed, which is a warning."""

    capture: CaptureResult
    pruned: Pruned | None


def require_policy(policy: Policy) -> Policy:
    """Give back the policy; UsageError if it keeps nothing by itself."""
    if not any((policy.last, policy.within, policy.daily, policy.weekly, policy.monthly)):
        raise UsageError(
            "no policy says which snapshots to keep",
            "give at least one of --keep-last, --keep-within, --keep-daily, --keep-weekly, --keep-monthly, or set it"
            " as keep_last, … in flagsnap.toml",
        )
    return policy


def is_verified(standing: Standing) -> bool:
    """Whether every byte was checked and nothing was found, by these or by deeper checks."""
    rungs = standing.rungs
    return all(rung.ok for rung in rungs.values()) and any(
        rungs[level].is_whole for level in _PROVING_LEVELS if level in rungs
    )


def newest_to_oldest(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """By the time of capture; those of one moment by deploy id."""
    return tuple(sorted(candidates, key=lambda each: (each.at, each.name), reverse=True))


def captures_of(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The captures, without archives, newest first."""
    return tuple(each for each in newest_to_oldest(candidates) if each.summary.archive_of is None)


def decide(
    candidates: Collection[Candidate],
    policy: Policy,
    now: datetime,
    *,
    live: str | None = None,
    owed: Collection[str] = (),
    damaged: Collection[tuple[str, str]] = (),
) -> Division:
    """Divide the snapshots. UsageError without a policy.

    Args:
        candidates: all snapshots of the store that can be read.
        policy: what to keep beside what is never removed.
        now: as of when.
        live: the live `Summary.state`; without it, the newest capture's stands for it.
        owed: the deploy ids from which a refill is owed.
        damaged: what cannot be read, and why not.
    """
    reasons = _reasons(candidates, require_policy(policy), now, live, owed)
    keep: list[Verdict] = []
    remove: list[Verdict] = []
    for each in newest_to_oldest(candidates):
        is_archive = each.summary.archive_of is not None
        gone = "no older capture is kept" if is_archive else "no rule keeps it"
        why = ", ".join(reasons[each.name])
        kind: Kind = "archive" if is_archive else "capture"
        (keep if why else remove).append(Verdict(each.name, kind, why or gone, each.at, each.summary.bytes))
    unread = (Verdict(name, "damaged", f"look at it: {why}") for name, why in damaged)
    return Division((*keep, *unread), tuple(remove))


def decide_asides(asides: Iterable[Aside], keep_retired: timedelta, now: datetime, newest: Summary | None) -> Division:
    """Divide what is beside the live database; `newest` is the newest capture, of which a standby may be."""
    keep: list[Verdict] = []
    remove: list[Verdict] = []
    for each in sorted(asides, key=lambda aside: (aside.made_at, aside.name), reverse=True):
        goes, why = _aside(each, keep_retired, now, newest)
        (remove if goes else keep).append(Verdict(each.name, each.kind, why, each.made_at, each.bytes))
    return Division(tuple(keep), tuple(remove))


def _aside(each: Aside, keep_retired: timedelta, now: datetime, newest: Summary | None) -> tuple[bool, str]:
    age = now - each.made_at
    match each.kind:
        case "retired" | "retired schemas":
            return age > keep_retired, f"retired {in_words(age)} ago, kept for {in_words(keep_retired)}"
        case "standby" if newest and newest.captured_at == each.made_at:
            return False, f"the standby of {newest.deploy_id}, the newest"
        case "standby":
            return True, "its snapshot is not the newest, or is gone"
        case "rehearsed":
            return False, "a rehearsal was told to keep it; drop it by hand"
        case _ if each.in_use:
            return False, "another run is at work on it"
        case _:
            return True, "left by an interrupted run"


def _reasons(
    candidates: Collection[Candidate], policy: Policy, now: datetime, live: str | None, owed: Collection[str]
) -> Mapping[str, Sequence[str]]:
    """Why each is kept, by deploy id: what is never removed first."""
    captures = captures_of(candidates)
    behind = tuple(_behind(captures, live))
    by_policy = _by_policy(captures, policy, now)
    reasons: dict[str, list[str]] = defaultdict(list)
    for each in candidates:
        reasons[each.name] += ["pinned"] * each.pinned + ["a refill is owed from it"] * (each.name in owed)
    for each, why in _nevers(captures, behind):
        reasons[each.name].append(why)
    for name, whys in by_policy.items():
        reasons[name] += whys
    kept = [each for each in captures if each.name in by_policy]
    for each in candidates:
        if each.summary.archive_of is not None:
            reasons[each.name] += _archive_kept(each, kept, behind[-1:])
            reasons[each.name] += _within(each, policy, now)
    return reasons


def _behind(captures: Sequence[Candidate], live: str | None) -> Iterator[Candidate]:
    """The newest that recorded another set than the live one, and newer ones that may have, their set being unknown."""
    live = live or (captures[0].summary.state if captures else None)
    for each in captures:
        state = each.summary.state
        if not live or state != live:
            yield each
            if live and state:
                return


def _nevers(captures: Sequence[Candidate], behind: Sequence[Candidate]) -> Iterator[tuple[Candidate, str]]:
    verified = [each for each in captures if each.verified]
    yield from ((each, "the newest") for each in captures[:1])
    yield from ((each, "the newest that verified") for each in verified[:1])
    yield from ((each, "behind the last deploy") for each in behind)


def _by_policy(captures: Sequence[Candidate], policy: Policy, now: datetime) -> dict[str, list[str]]:
    """Why the policy keeps captures, by deploy id; those that it does not keep are left out."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for each in captures[: policy.last]:
        reasons[each.name].append(f"last {policy.last}")
    for each in captures:
        if why := _within(each, policy, now):
            reasons[each.name] += why
    for name, form in _PERIODS:
        newest: dict[str, Candidate] = {}
        for each in captures:
            newest.setdefault(each.at.astimezone(UTC).strftime(form), each)
        for period, each in islice(newest.items(), getattr(policy, name)):
            reasons[each.name].append(f"newest of {period}")
    return dict(reasons)


def _within(each: Candidate, policy: Policy, now: datetime) -> list[str]:
    return [f"within {in_words(policy.within)}"] if policy.keeps_within(each.at, now) else []


def _archive_kept(archive: Candidate, kept: Sequence[Candidate], behind: Sequence[Candidate]) -> Iterator[str]:
    """Why an archive is kept, beside captures that the policy keeps and the one behind the last deploy."""
    if older := next((each for each in kept if each.at <= archive.at), None):
        yield f"not older than {older.name}"
    elif all(each.at < archive.at for each in behind):
        yield "no deploy since"
