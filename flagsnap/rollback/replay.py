"""Replay: the recorded reverse SQL of a rehearsal, segment by segment, without the project."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from flagsnap.catalog import Catalog, Identity, differences
from flagsnap.errors import FlagsnapError, HalfWay
from flagsnap.migrations import Migration
from flagsnap.plan import RESTORE, Plan
from flagsnap.postgres import replaying
from flagsnap.postgres.connection import Address, Connection, connect
from flagsnap.postgres.facts import read_migrations
from flagsnap.postgres.introspect import read_catalog
from flagsnap.progress import Progress
from flagsnap.rehearsal.script import Part, Script, ScriptSegment
from flagsnap.rollback.situation import Live, RollbackRequest, there
from flagsnap.rollback.unapply import set_bookkeeping_right

INSTEAD = "--strategy unapply has the project take the migrations back, --strategy restore takes the snapshot"
Check = Callable[[int, Catalog], None]
_SHOWN = 100
_NAMED = 3


class Surprise(FlagsnapError):
    """The live database did not take the script as the rehearsed one had; what was open is undone."""


@dataclass(frozen=True)
class Replay:
    """What it takes to replay a script.

    Attributes:
        worker: an autocommit connection.
        applied: what is applied before the first segment that is replayed; None if that is whatever is found.
        to_drop: invalid indexes that an interrupted run has left; they go first.
        done: told the number of each segment once it is done, with no way back.
    """

    script: Script
    worker: Connection
    lock_timeout: float
    applied: frozenset[Migration] | None = None
    to_drop: tuple[Identity, ...] = ()
    done: Callable[[int], None] = field(default=lambda _: None)

    def run(self, start: int, progress: Progress, check: Check) -> None:
        """Replay the segments from that number on.

        `check` is told the number of a segment and the catalog behind it (`Catalog.restorable`), before it commits
        where it is a transaction; what it raises undoes the segment. Surprise, Locked, FlagsnapError.
        """
        address = Address(self.worker.info.dsn)
        going = self.script.segments[start:]
        expected = self.applied
        with progress.task("replay", sum(_migrations(segment) for segment in going)) as task:
            try:
                for index in self.to_drop:
                    with _surprised(address, f"DROP INDEX {index.path}"):
                        self._drop(index)
                for number, segment in enumerate(going, start):
                    expected = self._segment(address, number, segment, expected, progress, check)
                    task.advance(_migrations(segment))
            finally:
                replaying.give_back(self.worker)

    def _segment(
        self,
        address: Address,
        number: int,
        segment: ScriptSegment,
        expected: frozenset[Migration] | None,
        progress: Progress,
        check: Check,
    ) -> frozenset[Migration]:
        """Replay one segment; gives back what is applied behind it."""
        session = replaying.in_transaction if segment.atomic else replaying.without_transaction
        with _surprised(address, _named(segment)):
            with session(self.worker, self.script.session, self.lock_timeout):
                applied = self._see_that_nothing_moved(expected)
                for part in segment.parts:
                    self._part(address, part, progress, atomic=segment.atomic)
                if not segment.atomic:
                    self.done(number)
                check(number, read_catalog(self.worker).restorable())
                # Leaving this block commits.
            if segment.atomic:
                self.done(number)
        return applied - segment.rows

    def _part(self, address: Address, part: Part, progress: Progress, *, atomic: bool) -> None:
        if part.rows:
            progress.note(f"replaying {part.migration}")
        for statement in part.statements:
            with _surprised(address, f"{part.migration}: {_first_line(statement)}"):
                replaying.run(self.worker, statement, atomic=atomic)
        if atomic:
            with _surprised(address, str(part.migration)):
                replaying.end_part(self.worker, part.rows)

    def _see_that_nothing_moved(self, expected: frozenset[Migration] | None) -> frozenset[Migration]:
        applied = frozenset(row.migration for row in read_migrations(self.worker) or ())
        if expected is not None and applied != expected:
            raise FlagsnapError(
                "the applied migrations have changed since the plan was made",
                "run the same command again; it plans anew",
            )
        return applied

    def _drop(self, index: Identity) -> None:
        with replaying.without_transaction(self.worker, self.script.session, self.lock_timeout):
            replaying.drop_index(self.worker, index)


@dataclass(frozen=True)
class Replaying:
    """The replay of a plan on the live database, held to what was rehearsed."""

    request: RollbackRequest
    plan: Plan
    live: Live
    progress: Progress
    _done: list[int] = field(default_factory=list)

    def run(self) -> None:
        """Carry the plan out. Surprise; HalfWay if it stopped behind a segment for another reason."""
        place, request = there(self.plan.place), self.request
        applied = frozenset(row.migration for row in self.live.state.applied)
        replay = Replay(self._script, self.live.worker, request.lock_timeout, applied, place.to_drop, self._done.append)
        try:
            replay.run(place.segment, self.progress, self._check)
            with replaying.worded(request.address):
                set_bookkeeping_right(self.live.worker, self.plan, request.target.applied)
        except Surprise:
            raise
        except FlagsnapError as error:
            if half_way := self.half_way(error):
                raise half_way from error
            raise

    def half_way(self, error: FlagsnapError) -> HalfWay | None:
        """What to say if a segment is done, or one that is no transaction may be in part; None if nothing is."""
        going = self._script.segments[there(self.plan.place).segment :]
        number = len(self._done)
        if number < len(going) and self._is_done_all_the_same(going[number], going[:number]):
            number += 1
        partly = _in_part(going[:number], going[number : number + 1])
        if not (number or partly):
            return None
        done, total = (sum(map(_migrations, segments)) for segments in (going[:number], going))
        instead = f", or {RESTORE}" if isinstance(error, Surprise) else ""
        return HalfWay(
            f"stopped half-way: {done} of {total} migrations are replayed"
            f"{f' and {partly} in part' if partly else ''}; {error}",
            f"{error.hint or 'mend the cause'}; the same command then goes on from there{instead}",
        )

    def in_part(self) -> str:
        """The migration that an earlier run has taken back in part; empty if there is none."""
        return _in_part(self._script.segments[: there(self.plan.place).segment])

    @property
    def _script(self) -> Script:
        return there(there(self.request.rehearsal).script)

    def _is_done_all_the_same(self, segment: ScriptSegment, before: Sequence[ScriptSegment]) -> bool:
        """Whether the connection was lost when a segment had been committed, and nobody was told."""
        if not self.live.worker.closed:
            return False
        with suppress(FlagsnapError), connect(self.request.address, "check") as connection:
            gone = segment.rows.union(*(each.rows for each in before))
            applied = {row.migration for row in read_migrations(connection) or ()}
            return bool(segment.rows) and applied.isdisjoint(gone)
        return False

    def _check(self, number: int, catalog: Catalog) -> None:
        """Surprise unless the schema is what the rehearsal had behind that segment."""
        self.request.on_segment(number, catalog)
        segments = self._script.segments
        wanted = segments[number].fingerprint
        if wanted in {"", catalog.fingerprint}:
            return
        named = ""
        if number == len(segments) - 1:
            found = differences(self.request.recorded.schema_catalog.restorable(), catalog)
            named = "".join(f": {each}" for each in found[:1])
        raise Surprise(f"behind {_named(segments[number])} the schema is not the rehearsed one{named}")


@contextmanager
def _surprised(address: Address, what: str) -> Iterator[None]:
    """Surprise where PostgreSQL refuses; the innermost says what it was."""
    try:
        with replaying.worded(address):
            yield
    except replaying.Refused as error:
        raise Surprise(f"{what}: {error}") from error


def _in_part(done: Sequence[ScriptSegment], stopped_at: Sequence[ScriptSegment] = ()) -> str:
    """The migration that was begun and has not ended; what is no transaction may be done in part."""
    begun = [*done, *(each for each in stopped_at if not each.atomic)]
    ended = {part.migration for each in begun for part in each.parts if part.rows}
    partly = (part.migration for each in begun for part in each.parts if part.migration not in ended)
    return str(next(partly, ""))


def _migrations(segment: ScriptSegment) -> int:
    """How many migrations end in it."""
    return sum(bool(part.rows) for part in segment.parts)


def _named(segment: ScriptSegment) -> str:
    names = list(dict.fromkeys(str(part.migration) for part in segment.parts))
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if names[_NAMED:] else "")


def _first_line(statement: str) -> str:
    line = next((line.strip() for line in statement.splitlines() if line.strip()), "")
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
