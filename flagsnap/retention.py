"""Retention: which snapshots are kept, which go, and why.

A policy keeps captures by their number and their times, in UTC. Some are never removed, whatever the policy says: the
pinned, the newest, the newest that verified, the newest of the live state, the one behind the last deploy, those from
which a refill is owed, and what cannot be read or whose checks failed. What is behind the last deploy nobody knows for
sure after a rollback, a deploy that was tried twice, or a live database that was made anew. So each that may be it is
kept: the newest of another state than the live one, the newest before the newest capture that has another state than
that one, and the newest before the newest migrations were applied. A capture from the future, which a wrong clock
makes, is kept, but counts as none.

An archive is no capture. It is kept as long as the policy keeps a capture of its age or an older one, until a deploy
has succeeded after it, since it has what that deploy's refill may want, and in any case as long as what a restore has
replaced.
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
from flagsnap.verification import LEVELS, Level

Kind = Literal[
    "capture", "archive", "damaged", "retired", "retired schemas", "scratch", "drill", "standby", "rehearsed"
]

_PERIODS = (("daily", "%Y-%m-%d"), ("weekly", "%G-W%V"), ("monthly", "%Y-%m"))
_PROVING_LEVELS = LEVELS[LEVELS.index("files") :]
_CLOCKS_DIFFER = timedelta(minutes=5)
_AHEAD = "captured in the future: a clock is wrong"


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
class Live:
    """What the live database says of itself.

    Attributes:
        state: its `Summary.state`, None if it was not asked.
        migrated_at: when the first of the newest batch of migrations was applied, None if there is none.
    """

    state: str | None = None
    migrated_at: datetime | None = None


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


def failed_level(standing: Standing) -> Level | None:
    """The deepest level that looked at more than the manifest and whose newest check failed."""
    return next(
        (level for level in reversed(_PROVING_LEVELS) if level in (rungs := standing.rungs) and not rungs[level].ok),
        None,
    )


def newest_to_oldest(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """By the time of capture; those of one moment by deploy id."""
    return tuple(sorted(candidates, key=lambda each: (each.at, each.name), reverse=True))


def captures_of(candidates: Iterable[Candidate], now: datetime) -> tuple[Candidate, ...]:
    """The captures, without archives and without those from the future, newest first."""
    found = newest_to_oldest(candidates)
    return tuple(each for each in found if each.summary.archive_of is None and not _is_ahead(each, now))


def decide(
    candidates: Collection[Candidate],
    policy: Policy,
    now: datetime,
    *,
    live: Live | None = None,
    owed: Collection[str] = (),
    damaged: Collection[tuple[str, str]] = (),
    keep_archives: timedelta = timedelta(0),
) -> Division:
    """Divide the snapshots. UsageError without a policy.

    Args:
        candidates: all snapshots of the store that can be read.
        policy: what to keep beside what is never removed.
        now: as of when.
        live: the live database; without it, the newest capture's state stands for the live one.
        owed: the deploy ids from which a refill is owed.
        damaged: what cannot be read or be relied on, and why not.
        keep_archives: how long an archive is kept in any case, from when it was made.
    """
    reasons = _reasons(candidates, require_policy(policy), now, live or Live(), owed)
    for each in candidates:
        if each.summary.archive_of is not None and now - each.at <= keep_archives:
            reasons[each.name].append(f"an archive, kept for {in_words(keep_archives)}")
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


def _reasons(
    candidates: Collection[Candidate], policy: Policy, now: datetime, live: Live, owed: Collection[str]
) -> dict[str, list[str]]:
    """Why each is kept, by deploy id: what is never removed first."""
    captures = captures_of(candidates, now)
    behind = tuple(_of_another_state(captures, live.state or _state_of_first(captures)))
    by_policy = _by_policy(captures, policy, now)
    reasons: dict[str, list[str]] = defaultdict(list)
    for each in candidates:
        reasons[each.name] += ["pinned"] * each.pinned + ["a refill is owed from it"] * (each.name in owed)
        reasons[each.name] += [_AHEAD] * _is_ahead(each, now)
    for each, why in _nevers(captures, behind):
        reasons[each.name].append(why)
    for each, why in _ways_back(captures, live):
        reasons[each.name] = reasons[each.name] or [why]
    for name, whys in by_policy.items():
        reasons[name] += whys
    kept = [each for each in captures if each.name in by_policy]
    for each in candidates:
        if each.summary.archive_of is not None:
            reasons[each.name] += _archive_kept(each, kept, behind[-1:])
            reasons[each.name] += _within(each, policy, now)
    return reasons


def _is_ahead(each: Candidate, now: datetime) -> bool:
    return each.at - now > _CLOCKS_DIFFER


def _state_of_first(captures: Sequence[Candidate]) -> str | None:
    return captures[0].summary.state if captures else None


def _of_another_state(captures: Sequence[Candidate], this: str | None) -> Iterator[Candidate]:
    """The newest that recorded another set, and newer ones that may have, their set being unknown."""
    for each in captures:
        state = each.summary.state
        if not this or state != this:
            yield each
            if this and state:
                return


def _nevers(captures: Sequence[Candidate], behind: Sequence[Candidate]) -> Iterator[tuple[Candidate, str]]:
    verified = [each for each in captures if each.verified]
    yield from ((each, "the newest") for each in captures[:1])
    yield from ((each, "the newest that verified") for each in verified[:1])
    yield from ((each, "behind the last deploy") for each in behind)


def _ways_back(captures: Sequence[Candidate], live: Live) -> Iterator[tuple[Candidate, str]]:
    """What else may be wanted; it is only said of what nothing above keeps."""
    if live.state:
        for each in captures:
            if each.summary.state in {live.state, None}:
                yield each, "what is live now"
            if each.summary.state == live.state:
                break
    if live.migrated_at:
        before = (each for each in captures if each.at < live.migrated_at)
        yield from ((each, "before the newest migrations") for each in islice(before, 1))
    for each in _of_another_state(captures, _state_of_first(captures)):
        yield each, "before the newest state"


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
