"""Whereabouts: where the database is now, beside what was captured, and the next sensible command."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from flagsnap.durations import in_words
from flagsnap.migrations import Migration, SetDifference
from flagsnap.results import Listing
from flagsnap.retention import Aside
from flagsnap.snapshot import Summary, state_of
from flagsnap.verification import LEVELS, Level

STALE = timedelta(days=7)
"""After so long without a snapshot that was checked whole, one should be."""
WAIT = "wait"
DEPLOY = "deploy"

Work = Literal["run", "restore", "unapply", "drill"]
"""What a lock is held for; see `postgres.locks`."""
Presence = Literal["there", "gone", "unknown"]


@dataclass(frozen=True)
class Holder:
    """A session that holds one of flagsnap's locks, or unapplies without one; `since` is None where that is hidden."""

    work: Work
    application: str
    pid: int
    since: datetime | None


@dataclass(frozen=True)
class LastCheck:
    """The newest check that has found a snapshot whole."""

    deploy_id: str
    level: Level
    at: datetime


@dataclass(frozen=True)
class Distance:
    """The live state against a capture; `same_schema` is None if the schemas were not compared."""

    migrations: SetDifference
    same_schema: bool | None


@dataclass(frozen=True)
class Live:
    """What was seen of the live database; all but `presence` is empty unless it is there.

    Attributes:
        applied: the applied migrations.
        owed: how many tables or columns wait for a refill, by the snapshot that has them.
        asides: databases and schemas that flagsnap has beside it, newest first.
    """

    presence: Presence
    applied: tuple[Migration, ...] = ()
    owed: Mapping[str, int] = field(default_factory=dict)
    holders: tuple[Holder, ...] = ()
    asides: tuple[Aside, ...] = ()


@dataclass(frozen=True)
class Stored:
    """What was seen of the store.

    Attributes:
        newest: the newest capture.
        at: the newest capture whose recorded migrations are the live ones.
        before: the newest capture that recorded others: the one from before the last deploy.
        of_other: what other database the newest capture is of; empty if of this one.
        rehearsal: the verdict of the newest capture's rehearsal, None if there is none.
        damaged: deploy ids and reasons.
    """

    captures: int
    newest: Summary | None = None
    at: str | None = None
    before: str | None = None
    of_other: str = ""
    verified: LastCheck | None = None
    rehearsal: str | None = None
    damaged: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Next:
    """The next sensible command, `WAIT` or `DEPLOY`, why, and `when` it is not for everybody: a condition."""

    do: str
    why: str
    when: str = ""


@dataclass(frozen=True)
class Whereabouts:
    """All of it.

    Attributes:
        database: the live database and its server, in words.
        stored: None if the store could not be looked at.
        distance: from the newest capture; None if there is no such, or it could not be compared.
        has_project: whether a project was named, so that a rehearsal is possible.
        problems: what could not be looked at, and why.
    """

    database: str
    now: datetime
    live: Live
    stored: Stored | None
    distance: Distance | None
    has_project: bool = False
    problems: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 if all could be looked at."""
        return 1 if self.problems else 0


def verified_last(listing: Listing, captures: Sequence[Summary]) -> LastCheck | None:
    """The newest check, of whatever level, that has found one of the captures whole; of two, the higher one."""
    found = [
        LastCheck(each.deploy_id, level, rung.verified_at)
        for each in captures
        for level, rung in listing.standing(each.deploy_id).rungs.items()
        if rung.verified_at and level != "manifest"
    ]
    return max(found, key=lambda each: (each.at, LEVELS.index(each.level)), default=None)


def places(captures: Sequence[Summary], applied: Sequence[Migration]) -> tuple[str | None, str | None]:
    """The newest capture that recorded these migrations, and the newest one that recorded others."""
    state = state_of(applied)
    same = (each.deploy_id for each in captures if each.state == state)
    other = (each.deploy_id for each in captures if each.state not in {None, state})
    return next(same, None), next(other, None)


def next_step(found: Whereabouts) -> Next:
    """What to do now; the first that applies."""
    return next(_steps(found))


def _steps(found: Whereabouts) -> Iterator[Next]:
    live, stored = found.live, found.stored
    for holder in live.holders:
        if holder.work != "drill":
            yield Next(WAIT, f"{holder.application} is at work (process id {holder.pid})")
    if live.presence == "unknown":
        yield Next("flagsnap doctor", "the database could not be looked at")
    for deploy_id in live.owed:
        why = "a rollback still owes the refill of what its deploy had destroyed"
        yield Next(f"flagsnap refill --to {deploy_id}", why)
    if stored is None:
        yield Next("flagsnap doctor", "the store could not be looked at")
    else:
        yield from _steps_by_store(found, stored)


def _steps_by_store(found: Whereabouts, stored: Stored) -> Iterator[Next]:
    newest, distance = stored.newest, found.distance
    for damaged, _ in stored.damaged:
        yield Next(f"flagsnap verify {damaged}", f"snapshot {damaged} cannot be read, so the newest one is not known")
    if found.live.presence == "gone":
        yield _gone(stored, found.live.asides)
    if newest is None:
        yield Next("flagsnap capture --deploy-id ID", "nothing was captured yet; ID is the deploy that comes next")
    elif stored.of_other:
        yield Next("flagsnap doctor", f"the newest capture, {newest.deploy_id}, is of {stored.of_other}")
    elif distance is None:
        yield Next("flagsnap doctor", f"the database could not be compared with {newest.deploy_id}")
    else:
        yield _by_distance(found, stored, newest, distance)


def _gone(stored: Stored, asides: Sequence[Aside]) -> Next:
    if stored.newest and not stored.of_other:
        return Next(f"flagsnap rollback --to {stored.newest.deploy_id}", "the live database is gone; this restores it")
    if any(aside.kind == "retired" for aside in asides):
        return Next("flagsnap undo", "the live database is gone, and a retired one can take its place")
    return Next("flagsnap doctor", "the live database is gone, and the store has no capture of it")


def _by_distance(found: Whereabouts, stored: Stored, newest: Summary, distance: Distance) -> Next:
    deploy_id, migrations = newest.deploy_id, distance.migrations
    extra, missing = len(migrations.extra), len(migrations.missing)
    if extra and missing:
        why = f"since the capture {_migrations(extra)} came and {_migrations(missing)} went; see what a way back takes"
        return Next(f"flagsnap plan --to {deploy_id}", why)
    if extra:
        why = f"the deploy has applied {_migrations(extra)}; if all is well, capture before the next one"
        return Next(f"flagsnap rollback --to {deploy_id}", why, when=f"if deploy {deploy_id} went wrong")
    if missing and stored.at:
        why = f"the database is where it was before deploy {stored.at}; the next deploy needs a capture of its own"
        return Next("flagsnap capture --deploy-id ID", why)
    if missing:
        why = f"the database lacks {_migrations(missing)} of the capture; `manage.py migrate` may apply what is missing"
        return Next(f"flagsnap plan --to {deploy_id}", why)
    if distance.same_schema is False:
        why = "the migrations are the recorded ones, but somebody has altered the schema beside them"
        return Next(f"flagsnap verify --expect {deploy_id}", why)
    return _before_a_deploy(found, stored, newest)


def _before_a_deploy(found: Whereabouts, stored: Stored, newest: Summary) -> Next:
    """The database is what the newest capture recorded."""
    checked = stored.verified.at if stored.verified else newest.captured_at
    if found.now - checked > STALE:
        why = f"no snapshot was checked for {in_words(found.now - checked)}"
        return Next("flagsnap verify", why)
    if stored.rehearsal is None and found.has_project:
        why = f"the database is as captured before deploy {newest.deploy_id}; rehearse it, or deploy"
        return Next(f"flagsnap rehearse {newest.deploy_id}", why)
    if stored.rehearsal in {"irreversible", "fails"}:
        why = f"the rehearsal of {newest.deploy_id} says: {stored.rehearsal}; see why before it is deployed"
        return Next(f"flagsnap show {newest.deploy_id}", why)
    return Next(DEPLOY, f"the database is as captured before deploy {newest.deploy_id}; it may start")


def _migrations(amount: int) -> str:
    return f"{amount:,} migration" + ("" if amount == 1 else "s")
