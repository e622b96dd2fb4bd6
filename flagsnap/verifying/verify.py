"""Verify: which snapshots, in what order, and what else there is to look at; made for cron."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from flagsnap.durations import in_words
from flagsnap.errors import (
    ConnectionFailed,
    FlagsnapError,
    SnapshotDamaged,
    SnapshotMissing,
    StoreFailed,
    UsageError,
)
from flagsnap.progress import Progress
from flagsnap.results import Listing
from flagsnap.snapshot import LATEST, Manifest, Summary
from flagsnap.verification import Check, Drilled, Level, Verified
from flagsnap.verifying.climb import Climb
from flagsnap.verifying.ladder import climb_ladder
from flagsnap.verifying.live import expected, refuse_other_live, refuse_other_name, watch_live
from flagsnap.verifying.request import VerifyRequest, why
from flagsnap.verifying.rungs import NO_TIME, REMOVED

_NEVER = datetime.min.replace(tzinfo=UTC)
_CLOCKS_APART = timedelta(minutes=5)


def verify(request: VerifyRequest, progress: Progress) -> Verified:
    """Check all that was asked for. SnapshotMissing if one that was named is not there; SnapshotDamaged, UsageError.

    What was found before the store failed is told all the same.
    """
    checks: list[Check] = []
    drills: list[Drilled] = []
    try:
        _refuse_other(request)
        to_expect = _to_expect(request)
        for climb in _climbs(request, progress):
            checks += climb.checks
            drills += [climb.drilled] if climb.drilled else []
        if request.max_age is not None:
            checks.append(_age(request.snapshots.list(), request.snapshots.store.url, request.max_age))
        checks += _live(request)
        if to_expect and request.address:
            checks += expected(request.address, to_expect)
    except (StoreFailed, ConnectionFailed) as error:
        checks.append(Check("store", request.snapshots.store.url, unchecked=why(error)))
    return Verified(tuple(checks), tuple(drills))


def _refuse_other(request: VerifyRequest) -> None:
    """Before anything is read: it would be the wrong store, or the wrong database."""
    if request.live is None:
        return
    try:
        refuse_other_live(request.snapshots.get(LATEST), request.live)
    except (StoreFailed, UsageError):
        raise
    except FlagsnapError:
        return  # which the checks tell


def _to_expect(request: VerifyRequest) -> Manifest | None:
    """What the database must equal, whole, before anything else is read; None if that was not asked for."""
    if not (request.expect and request.address):
        return None
    manifest = request.snapshots.get(request.expect)
    refuse_other_name(manifest, request.address)
    _ = manifest.database.schema_catalog
    return manifest


def _climbs(request: VerifyRequest, progress: Progress) -> Iterator[Climb]:
    if request.newest is None:
        yield from _climb_one(request, progress)
        return
    listing = request.snapshots.list()
    for deploy_id, reason in listing.damaged:
        yield Climb([Check("manifest", deploy_id, (reason,))])
    wanted = in_order(listing, request.newest, request.ladder.level)
    if not (wanted or listing.damaged) and request.max_age is None:  # an age tells of it as a failed check
        nothing = "there is no capture" if listing.summaries else "there is no snapshot"
        yield Climb([Check("store", request.snapshots.store.url, unchecked=nothing)])
    for deploy_id in wanted:
        if request.ladder.budget.is_spent:
            yield Climb([Check(request.ladder.level, deploy_id, unchecked=NO_TIME)])
            continue
        try:
            yield climb_ladder(request.snapshots, deploy_id, request.ladder, progress)
        except SnapshotMissing:
            yield Climb([Check("manifest", deploy_id, unchecked=REMOVED)])


def _climb_one(request: VerifyRequest, progress: Progress) -> Iterator[Climb]:
    if request.deploy_id is None:
        return
    try:
        yield climb_ladder(request.snapshots, request.deploy_id, request.ladder, progress)
    except SnapshotMissing:
        # An empty store is too old for any age, which is told as a failed check.
        if request.max_age is None or request.deploy_id != LATEST:
            raise


def in_order(listing: Listing, newest: int, level: Level) -> tuple[str, ...]:
    """The newest captures, or with 0 everything: those first whose last check at that level is oldest, or never was.

    So the nights of a limited time add up.
    """
    captures = [each for each in listing.summaries if each.archive_of is None]
    wanted = captures[:newest] if newest else listing.summaries

    def last_check(summary: Summary) -> datetime:
        rung = listing.standing(summary.deploy_id).rungs.get(level)
        return rung.checked_at if rung else _NEVER

    return tuple(each.deploy_id for each in sorted(wanted, key=last_check))


def _age(listing: Listing, store: str, most: timedelta) -> Check:
    """Whether the newest capture that no check has found damaged is young enough, and not of the future."""
    captures = [each for each in listing.summaries if each.archive_of is None]
    whole = [each for each in captures if _is_not_known_damaged(listing, each)]
    if not whole:
        return Check("age", store, ("there is no capture" if not captures else "there is no capture that is whole",))
    age = datetime.now(UTC) - whole[0].captured_at
    said = f"the newest capture, {whole[0].deploy_id}, is {in_words(age)} old"
    if -age > _CLOCKS_APART:
        ahead = f"the newest capture, {whole[0].deploy_id}, is {in_words(-age)} ahead of the clock here"
        return Check("age", store, (f"{ahead}, so its age is not known",))
    if age > most:
        return Check("age", store, (f"{said}, more than {in_words(most)}",))
    return Check("age", store, said=said)


def _is_not_known_damaged(listing: Listing, summary: Summary) -> bool:
    """What lies beside a manifest may be damaged without harm, so the first rung does not count."""
    rungs = listing.standing(summary.deploy_id).rungs
    return all(rung.ok for level, rung in rungs.items() if level != "manifest")


def _live(request: VerifyRequest) -> tuple[Check, ...]:
    if request.live is None:
        return ()
    try:
        newest = request.snapshots.get(LATEST)
    except SnapshotMissing as error:
        if request.max_age is not None:
            return ()  # the age has told of it
        return (Check("live database", str(request.live), unchecked=why(error)),)
    except SnapshotDamaged as error:
        return (Check("live database", str(request.live), unchecked=why(error)),)
    return watch_live(request.live, request.snapshots, newest)
