"""The live database against what was recorded: exactly, or as far as it should still be so after a deploy."""

from dataclasses import dataclass
from datetime import UTC, datetime

from flagsnap.attached.baseline import Baseline
from flagsnap.catalog import Catalog, differences
from flagsnap.errors import FlagsnapError, SnapshotDamaged
from flagsnap.loss.attribution import made_by_no_migration
from flagsnap.migrations import Migration, SetDifference, difference
from flagsnap.postgres.connection import Address, Connection, connect
from flagsnap.postgres.facts import LiveState, read_current_state, read_system_identifier
from flagsnap.postgres.locks import RUN_KEY, is_held
from flagsnap.rehearsal.values import Rehearsal
from flagsnap.restoring.identity import refuse_other
from flagsnap.restoring.restore import compare
from flagsnap.snapshot import Manifest
from flagsnap.stores.snapshots import Snapshots
from flagsnap.verification import Check
from flagsnap.verifying.request import why

_CHECK = "check --store and --database-url"
_NO_LIVE = f"{_CHECK}, or leave out the live check with --no-live; a database that was moved there is to be captured"


def refuse_other_name(manifest: Manifest, address: Address, hint: str = _CHECK) -> None:
    """UsageError unless a snapshot is of a database of that name; it may have been moved to another server."""
    refuse_other(manifest, address, address.database, None, hint)


def refuse_other_live(manifest: Manifest, address: Address) -> None:
    """UsageError unless a snapshot is of that database of that server, as far as it can be told. ConnectionFailed."""
    refuse_other_name(manifest, address, _NO_LIVE)
    with connect(address, "verify") as connection:
        _refuse_other_server(manifest, address, connection)


def _refuse_other_server(manifest: Manifest, address: Address, connection: Connection) -> None:
    refuse_other(manifest, address, address.database, read_system_identifier(connection), _NO_LIVE)


def verify_live(address: Address, manifest: Manifest) -> tuple[Check, ...]:
    """Check that the live database has exactly the recorded migrations and schema."""
    refuse_other_name(manifest, address)
    with connect(address, "verify") as connection:
        state = read_current_state(connection)
    found = compare(manifest.database, state)
    migrations = tuple(each for each in found if each.startswith("migration "))
    return (
        Check("migrations", _subject(address, manifest), migrations),
        Check("schema", _subject(address, manifest), tuple(each for each in found if each not in migrations)),
    )


def expected(address: Address, manifest: Manifest) -> tuple[Check, ...]:
    """The same; a database that cannot be reached is unchecked."""
    try:
        return verify_live(address, manifest)
    except FlagsnapError as error:
        return (Check("live database", _subject(address, manifest), unchecked=why(error)),)


def watch_live(address: Address, snapshots: Snapshots, manifest: Manifest) -> tuple[Check, ...]:
    """Check that what the newest capture recorded is still applied, and that nothing changed outside a deploy.

    It takes no lock. What is found while another run works on the database may be of that run, and is unchecked.
    """
    subject = _subject(address, manifest)
    try:
        for _ in range(2):  # a rollback may have begun and ended between two looks
            with connect(address, "verify") as connection:
                _refuse_other_server(manifest, address, connection)  # none of its state is noted
                busy = is_held(connection, RUN_KEY)
                state = read_current_state(connection)
                busy = busy or is_held(connection, RUN_KEY)
            found = _Watch(address, snapshots, manifest, state).checks(may_note=not busy)
            if all(check.ok for check in found):
                return found
            if busy:
                return (Check("live database", subject, unchecked=f"another flagsnap works on {address.database}"),)
    except FlagsnapError as error:
        return (Check("live database", subject, unchecked=why(error)),)
    return found


@dataclass(frozen=True)
class _Watch:
    address: Address
    snapshots: Snapshots
    manifest: Manifest
    state: LiveState

    @property
    def applied(self) -> tuple[Migration, ...]:
        return tuple(row.migration for row in self.state.applied)

    @property
    def _is_recorded(self) -> bool:
        """Whether the newest capture recorded this very state, so that no baseline counts."""
        recorded = self.manifest.database
        return set(recorded.applied_set) == set(self.applied) and recorded.fingerprint == self.state.catalog.fingerprint

    def checks(self, *, may_note: bool) -> tuple[Check, ...]:
        """The migrations, and the schema against the best that is known of it: the record, where it is of now."""
        subject = _subject(self.address, self.manifest)
        if self._is_recorded:
            return (Check("migrations", subject), Check("schema", subject))
        baseline = self._baseline()
        found = difference(self.manifest.database.applied_set, self.applied)
        said = f"{len(found.extra)} applied since, the last {found.extra[-1]}" if found.extra else ""
        if baseline and baseline.after:
            said, found = f"as {baseline.after} left them", SetDifference((), ())
        gone = tuple(SetDifference((), found.missing).sentences())
        schema = self._noted(baseline) if baseline else self._schema(found, may_note=may_note)
        return (Check("migrations", subject, gone, said=said), schema)

    def _noted(self, baseline: Baseline) -> Check:
        """The schema against the one that was noted for these migrations."""
        when = f"{baseline.noted_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        said = f"as noted on {when}" + (f", after {baseline.after}" if baseline.after else "")
        return self._compared(baseline.schema_catalog, self.state.catalog, said)

    def _schema(self, found: SetDifference, *, may_note: bool) -> Check:
        """The schema against the record, or against the rehearsal of the deploy, which is noted with what it lacks."""
        if found.none:
            return self._compared(self.manifest.database.schema_catalog, self.state.catalog)
        subject = _subject(self.address, self.manifest)
        if found.missing:
            return Check("schema", subject, unchecked="other migrations were recorded than are applied")
        rehearsed = self._rehearsed()
        known = "there is nothing to compare with yet"
        if rehearsed is not None:
            check, known = self._as_rehearsed(rehearsed)
            if check.details:
                return check
        try:
            if may_note:
                self._note()
        except FlagsnapError as error:
            return Check("schema", subject, unchecked=f"{known}, and the baseline cannot be kept: {error}")
        return Check("schema", subject, said=f"{known}; " + ("noted as the baseline" if may_note else "not noted"))

    def _as_rehearsed(self, rehearsal: Rehearsal) -> tuple[Check, str]:
        """What differs from the rehearsed schema, and in words what it was compared with.

        What no migration made is left out: Flagsmith's own `migrate` makes tables besides, such as those of its cache.
        """
        others = made_by_no_migration(self.manifest.database.schema_catalog, self.state.catalog, rehearsal.effects)
        check = self._compared(rehearsal.migrated_catalog, self.state.catalog.without(others).restorable())
        named = ", ".join(str(each) for each in others)
        return check, "as it was rehearsed" + (
            f"; besides it there is what no migration made: {named}" if named else ""
        )

    def _compared(self, before: Catalog, now: Catalog, said: str = "") -> Check:
        found = tuple(str(each) for each in differences(before, now))
        return Check("schema", _subject(self.address, self.manifest), found, said="" if found else said)

    def _rehearsed(self) -> Rehearsal | None:
        """The rehearsal of the deploy, None if there was none, or of another deploy."""
        try:
            rehearsal = self.snapshots.rehearsal(self.manifest)
        except SnapshotDamaged:
            return None  # the ladder tells of it
        return rehearsal if rehearsal and set(rehearsal.applied) == set(self.applied) else None

    def _baseline(self) -> Baseline | None:
        """What was noted of the very migrations that are applied now."""
        try:
            found = self.snapshots.baseline(self.manifest.deploy_id)
        except SnapshotDamaged:
            return None  # the same; a new one takes its place
        fits = found and found.captured_at == self.manifest.captured_at and set(found.applied) == set(self.applied)
        return found if fits else None

    def _note(self) -> None:
        baseline = Baseline(
            deploy_id=self.manifest.deploy_id,
            captured_at=self.manifest.captured_at,
            noted_at=datetime.now(UTC),
            applied=self.applied,
            catalog=list(self.state.catalog.to_json()),
        )
        self.snapshots.note_baseline(baseline)


def _subject(address: Address, manifest: Manifest) -> str:
    return f"{address.database} against {manifest.deploy_id}"
