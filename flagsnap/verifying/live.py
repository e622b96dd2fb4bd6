"""The live database against what was recorded: exactly, or as far as it should still be so after a deploy."""

from dataclasses import dataclass
from datetime import UTC, datetime

from flagsnap.baseline import BASELINE, Baseline
from flagsnap.catalog import Catalog, differences
from flagsnap.errors import FlagsnapError, SnapshotDamaged, UsageError
from flagsnap.migrations import Migration, SetDifference, difference
from flagsnap.postgres.connection import Address, connect
from flagsnap.postgres.facts import LiveState, read_current_state
from flagsnap.postgres.locks import RUN_KEY, is_held
from flagsnap.restoring.restore import compare
from flagsnap.snapshot import Manifest
from flagsnap.stores.snapshots import Snapshots
from flagsnap.verification import Check
from flagsnap.verifying.beside import stored_baseline
from flagsnap.verifying.request import why


def refuse_other_database(manifest: Manifest, address: Address, hint: str = "") -> None:
    """UsageError unless a snapshot is of a database of that name."""
    if manifest.database.name != address.database:
        raise UsageError(
            f"snapshot {manifest.deploy_id} is of the database {manifest.database.name}, not of {address}",
            f"check --store and --database-url{hint}",
        )


def verify_live(address: Address, manifest: Manifest) -> tuple[Check, ...]:
    """Check that the live database has exactly the recorded migrations and schema."""
    refuse_other_database(manifest, address)
    with connect(address, "verify") as connection:
        state = read_current_state(connection)
    found = compare(manifest.database, state)
    migrations = tuple(each for each in found if each.startswith("migration "))
    return (
        Check("migrations", _subject(address, manifest), migrations),
        Check("schema", _subject(address, manifest), tuple(each for each in found if each not in migrations)),
    )


def expected(address: Address, manifest: Manifest) -> tuple[Check, ...]:
    """The same; a database that cannot be reached is unchecked. UsageError, SnapshotDamaged."""
    try:
        return verify_live(address, manifest)
    except (UsageError, SnapshotDamaged):
        raise
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
                busy = is_held(connection, RUN_KEY)
                state = read_current_state(connection)
                busy = busy or is_held(connection, RUN_KEY)
            found = _Watch(address, snapshots, manifest, state).checks(may_note=not busy)
            if all(check.ok for check in found):
                return found
            if busy:
                return (Check("live database", subject, unchecked=f"another flagsnap works on {address.database}"),)
    except UsageError:
        raise
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

    def checks(self, *, may_note: bool) -> tuple[Check, ...]:
        """The migrations, and the schema against the best that is known of it."""
        subject = _subject(self.address, self.manifest)
        found = difference(self.manifest.database.applied_set, self.applied)
        gone = tuple(SetDifference((), found.missing).sentences())
        said = f"{len(found.extra)} applied since, the last {found.extra[-1]}" if found.extra else ""
        return (Check("migrations", subject, gone, said=said), self._schema(found, may_note=may_note))

    def _schema(self, found: SetDifference, *, may_note: bool) -> Check:
        if found.none:
            return self._compared(self.manifest.database.schema_catalog, self.state.catalog)
        if (rehearsed := self._rehearsed()) is not None:
            return self._compared(rehearsed, self.state.catalog.restorable(), "as it was rehearsed")
        baseline = self._baseline()
        if baseline and set(baseline.applied) == set(self.applied):
            said = f"as noted on {baseline.noted_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
            return self._compared(baseline.schema_catalog, self.state.catalog, said)
        subject, nothing = _subject(self.address, self.manifest), "there is nothing to compare with yet"
        try:
            if may_note:
                self._note()
        except FlagsnapError as error:
            return Check("schema", subject, unchecked=f"{nothing}, and the baseline cannot be kept: {error}")
        return Check("schema", subject, said=f"{nothing}; " + ("noted as the baseline" if may_note else "not noted"))

    def _compared(self, before: Catalog, now: Catalog, said: str = "") -> Check:
        found = tuple(str(each) for each in differences(before, now))
        return Check("schema", _subject(self.address, self.manifest), found, said="" if found else said)

    def _rehearsed(self) -> Catalog | None:
        """What the rehearsal of the deploy has led to, None if there was none, or of another deploy."""
        try:
            rehearsal = self.snapshots.rehearsal(self.manifest)
        except SnapshotDamaged:
            return None  # the ladder tells of it
        if rehearsal is None or set(rehearsal.applied) != set(self.applied):
            return None
        return rehearsal.migrated_catalog

    def _baseline(self) -> Baseline | None:
        try:
            found = stored_baseline(self.snapshots, self.manifest.deploy_id)
        except SnapshotDamaged:
            return None  # the same; a new one takes its place
        return found if found and found.captured_at == self.manifest.captured_at else None

    def _note(self) -> None:
        baseline = Baseline(
            deploy_id=self.manifest.deploy_id,
            captured_at=self.manifest.captured_at,
            noted_at=datetime.now(UTC),
            applied=self.applied,
            catalog=list(self.state.catalog.to_json()),
        )
        self.snapshots.store.attach(baseline.deploy_id, BASELINE, baseline.to_json())


def _subject(address: Address, manifest: Manifest) -> str:
    return f"{address.database} against {manifest.deploy_id}"
