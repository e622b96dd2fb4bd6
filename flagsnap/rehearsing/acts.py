"""The acts of a rehearsal on the scratch database: forward, back, forward again, back by replay."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from flagsnap import __version__
from flagsnap.bridge.project import Description, Project
from flagsnap.catalog import Catalog
from flagsnap.errors import (
    BridgeFailed,
    ConnectionFailed,
    DifferencesFound,
    FlagsnapError,
    HalfWay,
    Interrupted,
    MigrationFailed,
    RouteClosed,
    SnapshotDamaged,
    StoreFailed,
)
from flagsnap.migrations import Migration, difference
from flagsnap.plan import state_differences
from flagsnap.postgres.connection import Address, connect
from flagsnap.postgres.facts import LiveState, read_current_state
from flagsnap.postgres.present import read_present
from flagsnap.rehearsal.advice import advice_on, advice_on_irreversible, authors
from flagsnap.rehearsal.script import Script
from flagsnap.rehearsal.values import ForwardMigration, Rehearsal, Residue
from flagsnap.rehearsing.recorder import RecordedProject
from flagsnap.rehearsing.request import RehearseRequest
from flagsnap.rehearsing.residue import find_residue
from flagsnap.rehearsing.rows import Compared, Rows
from flagsnap.rehearsing.timing import Timed
from flagsnap.rollback.run import opened
from flagsnap.rollback.situation import RollbackRequest

_AGAIN = "the second deploy, after the rollback,"
_OUR_OWN_TROUBLE = (BridgeFailed, ConnectionFailed, Interrupted, SnapshotDamaged, StoreFailed)


@dataclass(frozen=True)
class _Deployed:
    """What `migrate` did, and the state behind it."""

    description: Description
    forward: tuple[ForwardMigration, ...]
    state: LiveState

    @property
    def applied(self) -> tuple[Migration, ...]:
        return tuple(row.migration for row in self.state.applied)

    @property
    def catalog(self) -> Catalog:
        return self.state.catalog.restorable()

    def differences(self, other: "_Deployed") -> tuple[str, ...]:
        return state_differences(self.catalog, other.catalog, difference(self.applied, other.applied))


@dataclass(frozen=True)
class Acts:
    """One rehearsal."""

    request: RehearseRequest
    address: Address
    project: Project
    progress: Timed

    def play(self) -> Rehearsal:
        """All acts, as far as they lead. FlagsnapError if one could not be played, which is no verdict."""
        rehearsal = self._begun()
        rows = Rows.now(self.address, 0.0 if self.request.schema_only else self.request.digest_seconds)
        try:
            deployed = self._forward("migrate forward")
        except MigrationFailed as error:
            return _with(rehearsal, verdict="fails", reason=f"the deploy itself fails: {error}")
        rehearsal = self._deployed(rehearsal, deployed)
        rows_then = Rows.now(self.address, rows.seconds, since=rows)
        try:
            script = self._back(deployed.description)
        except FlagsnapError as error:
            return _without_a_way_back(rehearsal, error)
        compared = Compared() if self.request.schema_only else rows.compared_with_now()
        rehearsal = self._back_again(rehearsal, compared, script)
        rehearsal = self._again(rehearsal, deployed, rows_then)
        if rehearsal.again:
            return _not_replayable(rehearsal, "the second deploy failed, so the replay could not be tried")
        return rehearsal if rehearsal.obstacles else self._replay(rehearsal, rows)

    def _begun(self) -> Rehearsal:
        return Rehearsal(
            deploy_id=self.request.manifest.deploy_id,
            captured_at=self.request.manifest.captured_at,
            rehearsed_at=datetime.now(UTC),
            flagsnap_version=__version__,
            schema_only=self.request.schema_only,
            tidy=self.request.tidy,
            verdict="exact",
        )

    def _forward(self, title: str) -> _Deployed:
        forward: list[ForwardMigration] = []
        with self.progress.task(title) as task:

            def migrated(each: ForwardMigration) -> None:
                forward.append(each)
                task.advance(1)

            description = self.project.migrate(self.request.recorded.applied_set, migrated)
        with connect(self.address, "rehearse") as connection:
            return _Deployed(description, tuple(forward), read_current_state(connection))

    def _deployed(self, rehearsal: Rehearsal, deployed: _Deployed) -> Rehearsal:
        graph = deployed.description.graph
        return _with(
            rehearsal,
            forward=deployed.forward,
            forward_seconds=self._seconds("migrate forward"),
            nodes=graph.nodes,
            replaced=tuple(graph.replaced.items()),
            effects=deployed.description.effects,
            migrated=deployed.catalog.to_json(),
            applied=deployed.applied,
        )

    def _back(self, description: Description) -> Script:
        """Take the rollback, by unapplying; FlagsnapError as it has it."""
        recorded = RecordedProject(self.project, description)
        self._roll_back(replace(self.request.rollback(self.address), project=recorded))
        with connect(self.address, "rehearse") as connection:
            return recorded.script(read_present(connection))

    def _roll_back(self, request: RollbackRequest) -> None:
        with opened(request, self.progress) as rollback:
            rollback.execute(rollback.plan())

    def _back_again(self, rehearsal: Rehearsal, compared: Compared, script: Script) -> Rehearsal:
        """What the way back left."""
        residue = tuple(self._residue(compared, rehearsal))
        rows = sum(each.rows for each in residue)
        tables = f"{len(residue)} table{'' if len(residue) == 1 else 's'}"
        return _with(
            rehearsal,
            verdict="residue" if residue else "exact",
            reason=f"{rows:,} row{'' if rows == 1 else 's'} of {tables} are not the recorded ones" if residue else "",
            residue=residue,
            advice=tuple(advice_on(residue, rehearsal.forward, rehearsal.nodes)),
            not_digested=tuple(".".join(table) for table in compared.not_digested),
            back_seconds=self._seconds("prepare", "unapply"),
            script=script,
        )

    def _residue(self, compared: Compared, rehearsal: Rehearsal) -> Iterator[Residue]:
        if compared.differing:
            found = find_residue(self.request.source, compared.differing, self.address, self.progress)
            for table, added, removed, changed in found:
                name = ".".join(table)
                by = authors(name, rehearsal.forward)
                yield Residue(table=name, added=added, removed=removed, changed=changed, by=by)

    def _again(self, rehearsal: Rehearsal, first: _Deployed, rows: Rows) -> Rehearsal:
        """Deploy once more, as after a rollback."""
        try:
            second = self._forward("migrate again")
        except MigrationFailed as error:
            return _with(rehearsal, again=f"{_AGAIN} fails: {error}")
        if found := first.differences(second):
            return _with(rehearsal, again=f"{_AGAIN} gives another schema: {found[0]}")
        differing = () if self.request.schema_only else rows.compared_with_now().differing
        return _with(rehearsal, again_differs=tuple(".".join(table) for table in differing))

    def _replay(self, rehearsal: Rehearsal, rows: Rows) -> Rehearsal:
        """Take the rollback by replaying, which gives the fingerprint behind each segment; or tell why it does not."""
        script, fingerprints = rehearsal.script, dict[int, str]()
        if script is None or not script.segments:
            return rehearsal
        request = replace(
            self.request.rollback(self.address),
            strategy="replay",
            rehearsal=rehearsal,
            on_segment=lambda number, catalog: fingerprints.update({number: catalog.fingerprint}),
        )
        try:
            self._roll_back(request)
        except FlagsnapError as error:
            if _is_ours(error):
                raise
            return _not_replayable(rehearsal, f"on the copy it failed: {error}")
        if not self.request.schema_only and (found := _other_rows(rehearsal, rows.compared_with_now())):
            return _not_replayable(
                rehearsal, f"on the copy it left other rows than the project does: {', '.join(found)}"
            )
        segments = tuple(
            replace(each, fingerprint=fingerprints.get(number, "")) for number, each in enumerate(script.segments)
        )
        return _with(
            rehearsal, script=replace(script, segments=segments), replay_seconds=self._seconds("replay", digits=4)
        )

    def _seconds(self, *titles: str, digits: int = 3) -> float:
        return round(sum(self.progress.seconds[title] for title in titles), digits)


def _without_a_way_back(rehearsal: Rehearsal, error: FlagsnapError) -> Rehearsal:
    """The verdict, if it is the migrations that fail."""
    if _is_ours(error) or not isinstance(error, MigrationFailed | RouteClosed | DifferencesFound | HalfWay):
        raise error
    return _with(
        rehearsal,
        verdict="irreversible",
        reason=str(error).removeprefix("cannot roll back by unapply: "),
        advice=tuple(advice_on_irreversible(rehearsal.nodes)),
        differences=error.differences if isinstance(error, DifferencesFound) else (),
    )


def _is_ours(error: FlagsnapError) -> bool:
    """Whether something failed that says nothing about the migrations: a connection, the store, the project's start."""
    cause = error.__cause__ if isinstance(error, HalfWay) else error
    return isinstance(cause, _OUR_OWN_TROUBLE) and not isinstance(cause, MigrationFailed)


def _other_rows(rehearsal: Rehearsal, compared: Compared) -> list[str]:
    """Tables that the replay left otherwise than unapplying did."""
    known = {each.table for each in rehearsal.residue}
    return [name for name in map(".".join, compared.differing) if name not in known]


def _not_replayable(rehearsal: Rehearsal, why: str) -> Rehearsal:
    script = rehearsal.script
    return _with(rehearsal, script=replace(script, obstacles=(*script.obstacles, why))) if script else rehearsal


def _with(rehearsal: Rehearsal, **found: Any) -> Rehearsal:
    return rehearsal.model_copy(update=found)
