"""`Snapshots` on every store: what is kept beside a snapshot is of that snapshot, and is told with or without index."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from flagsnap.attached.pin import PIN
from flagsnap.attached.verification import VERIFIED, Rung, Verification
from flagsnap.errors import SnapshotDamaged, SnapshotMissing, UsageError
from flagsnap.results import Standing
from flagsnap.snapshot import ARCHIVE_FORMAT, AppliedRow, Archive, Manifest
from flagsnap.stores.base import Listed, Store
from flagsnap.stores.local import LocalStore
from flagsnap.stores.s3 import S3Store
from flagsnap.stores.snapshots import Snapshots
from flagsnap.verification import Level
from tests.contract.fix_stores import Opener
from tests.contract.test_attached import take_away
from tests.contract.test_store import OWNER, QUIET, fill
from tests.unit.sample_manifests import CAPTURED, sample_manifest

FILES = Rung(checked_at=CAPTURED + timedelta(hours=2), ok=False, seconds=2.5, share=0.05, details=("x is missing",))
DRILL = Rung(checked_at=CAPTURED + timedelta(hours=1), ok=True, seconds=12.5)
IN_BRIEF: dict[Level, Rung] = {"files": FILES.model_copy(update={"details": ()}), "drill": DRILL}


@pytest.fixture
def snapshots(store: Store) -> Snapshots:
    return Snapshots(store)


def publish(store: Store, manifest: Manifest) -> Manifest:
    with store.begin(manifest.deploy_id, OWNER, QUIET) as draft:
        fill(draft)
        draft.publish(manifest.to_json(), manifest.summary)
    return manifest


def capture(store: Store, deploy_id: str = "1.0", captured_at: datetime = CAPTURED) -> Manifest:
    return publish(store, sample_manifest(deploy_id, captured_at))


def verification(manifest: Manifest) -> Verification:
    captured = manifest.captured_at
    return Verification(deploy_id=manifest.deploy_id, captured_at=captured, rungs={"files": FILES, "drill": DRILL})


def without_index(store: Store) -> Snapshots:
    """The same place, as an older flagsnap has left it: nothing in the index."""
    if isinstance(store, LocalStore):
        for entry in store.root.glob(".index/*/*"):
            entry.unlink()
    else:
        assert isinstance(store, S3Store)
        store._bucket.delete([entry.name for entry in store._bucket.list(".index/")])
    assert set(store.list().values()) == {Listed()} or not store.list()
    return Snapshots(store)


def damage(store: Store, path: str) -> None:
    """Alter a byte of a file beside 1.0, and leave the index as it is."""
    raw = b"".join(store.read("1.0", path)).replace(b"1.0", b"1.1")
    if isinstance(store, LocalStore):
        (store.root / "1.0" / path).write_bytes(raw)
    else:
        assert isinstance(store, S3Store)
        store._bucket.put(f"1.0/{path}", raw)


def test_what_is_kept_is_read_back_and_listed(snapshots: Snapshots) -> None:
    manifest = capture(snapshots.store)
    capture(snapshots.store, "2.0", CAPTURED + timedelta(days=1))
    assert snapshots.verification(manifest) is None
    assert snapshots.pinned("1.0") is None
    assert snapshots.list().standings == {"1.0": Standing(), "2.0": Standing()}
    snapshots.keep_verification(verification(manifest))
    pin = snapshots.pin("1.0", "before the move")
    assert snapshots.verification(manifest) == verification(manifest)
    assert snapshots.pinned("1.0") == pin
    assert (pin.deploy_id, pin.reason) == ("1.0", "before the move")
    assert snapshots.list().standing("1.0") == Standing(pinned=True, rungs=IN_BRIEF)
    assert snapshots.list().standing("2.0") == Standing()
    listed = without_index(snapshots.store).list()
    assert listed.standing("1.0") == Standing(pinned=True, rungs=verification(manifest).rungs)
    assert [each.deploy_id for each in listed.summaries] == ["2.0", "1.0"]
    snapshots.unpin("1.0")
    snapshots.unpin("1.0")
    assert snapshots.pinned("1.0") is None
    assert not snapshots.list().standing("1.0").pinned


def test_a_listing_that_the_index_knows_reads_nothing(open_one: Opener) -> None:
    manifest = capture(open_one())
    snapshots = Snapshots(open_one())
    snapshots.keep_verification(verification(manifest))
    snapshots.pin("1.0", "")
    damage(snapshots.store, VERIFIED)
    standing = snapshots.list().standing("1.0")
    assert standing.pinned
    # A folder tells that the file has changed since, a bucket does not.
    assert standing.rungs == ({} if isinstance(snapshots.store, LocalStore) else IN_BRIEF)


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_verification_of_an_earlier_snapshot_is_none(snapshots: Snapshots, by_hand: bool) -> None:
    """Also when a run that took long keeps its results after another has captured the deploy id anew."""
    first = capture(snapshots.store)
    snapshots.keep_verification(verification(first))
    if by_hand:
        take_away(snapshots.store, "1.0")
    else:
        snapshots.store.remove("1.0")
    with pytest.raises(SnapshotMissing):
        snapshots.keep_verification(verification(first))
    second = capture(snapshots.store, "1.0", CAPTURED + timedelta(days=1))
    assert snapshots.list().standing("1.0") == Standing()
    snapshots.keep_verification(verification(first))
    assert snapshots.verification(second) is None
    assert snapshots.list().standing("1.0") == Standing()
    assert without_index(snapshots.store).list().standing("1.0") == Standing()
    snapshots.keep_verification(verification(second))
    assert snapshots.verification(second) == verification(second)


def test_a_damaged_pin_holds(snapshots: Snapshots) -> None:
    capture(snapshots.store)
    snapshots.pin("1.0", "")
    damage(snapshots.store, PIN)
    with pytest.raises(SnapshotDamaged, match=r"the pin of 1.0 is damaged"):
        snapshots.pinned("1.0")
    assert snapshots.list().standing("1.0").pinned
    assert without_index(snapshots.store).list().standing("1.0").pinned
    snapshots.unpin("1.0")
    assert not snapshots.list().standing("1.0").pinned


def test_a_damaged_verification_is_told_and_counts_for_nothing(snapshots: Snapshots) -> None:
    manifest = capture(snapshots.store)
    snapshots.keep_verification(verification(manifest))
    damage(snapshots.store, VERIFIED)
    with pytest.raises(SnapshotDamaged, match=r"the verification of 1.0 is damaged"):
        snapshots.verification(manifest)
    assert without_index(snapshots.store).list().standing("1.0") == Standing()


def test_what_is_not_there_is_missing(snapshots: Snapshots) -> None:
    with pytest.raises(SnapshotMissing, match=r"no snapshot 1.0"):
        snapshots.pin("1.0", "")
    with pytest.raises(SnapshotMissing, match=r"no snapshot 1.0"):
        snapshots.unpin("1.0")
    with pytest.raises(SnapshotMissing, match=r"no snapshot 1.0"):
        snapshots.keep_verification(verification(sample_manifest("1.0")))
    for verb in (lambda: snapshots.pin("../x", ""), lambda: snapshots.unpin("../x")):
        with pytest.raises(UsageError, match="is not a deploy id"):
            verb()
    assert snapshots.store.list() == {}


def test_the_order_leaves_archives_out(snapshots: Snapshots) -> None:
    for number, name in enumerate(("1.0", "2.0", "3.0")):
        publish(snapshots.store, with_migrations(name, number, CAPTURED + timedelta(days=number)))
    publish(snapshots.store, archive("1.0-archive-x", CAPTURED + timedelta(hours=1)))
    publish(snapshots.store, archive("3.0-archive-x", CAPTURED + timedelta(days=9)))
    for each in (snapshots, without_index(snapshots.store)):
        assert each.get("latest").deploy_id == each.name_of("latest") == "3.0"
        assert each.after("1.0").deploy_id == "2.0"
        assert each.after("2.0").deploy_id == "3.0"
        with pytest.raises(SnapshotMissing, match=r"no snapshot was captured after 3.0"):
            each.after("3.0")
        with pytest.raises(UsageError, match="is an archive"):
            each.after("1.0-archive-x")


def test_of_captures_of_the_state_that_a_deploy_ran_with_the_newest_counts(snapshots: Snapshots) -> None:
    for day, (name, migrations) in enumerate([("1.0", 0), ("2.0", 1), ("2.0-again", 1), ("3.0", 2), ("nightly", 2)]):
        publish(snapshots.store, with_migrations(name, migrations, CAPTURED + timedelta(days=day)))
    for each in (snapshots, without_index(snapshots.store)):
        assert each.after("1.0").deploy_id == "2.0-again"
        assert each.after("2.0").deploy_id == "2.0-again"
        assert each.after("2.0-again").deploy_id == each.after("3.0").deploy_id == "nightly"


def with_migrations(deploy_id: str, migrations: int, captured_at: datetime) -> Manifest:
    """A capture of so many migrations."""
    manifest = sample_manifest(deploy_id, captured_at)
    rows = tuple(AppliedRow(app="flags", name=f"000{each}", applied=CAPTURED) for each in range(migrations))
    database = manifest.database.model_copy(update={"migrations": rows})
    return manifest.model_copy(update={"databases": (database,)})


def archive(deploy_id: str, captured_at: datetime) -> Manifest:
    of = Archive(rollback_to=deploy_id.split("-", maxsplit=1)[0], whole=True, items=())
    return sample_manifest(deploy_id, captured_at).model_copy(update={"format": ARCHIVE_FORMAT, "archive": of})


class Altering(LocalStore):
    """A store behind a network that alters the first so many readings, and knows how many there were."""

    times = 0
    readings = 0

    def read(self, deploy_id: str, path: str) -> Iterator[bytes]:
        self.readings += 1
        self.times -= 1
        raw = b"".join(super().read(deploy_id, path))
        yield raw.replace(b"1.0", b"1.1") if self.times >= 0 else raw


def test_what_a_network_alters_once_is_read_again(tmp_path: Path) -> None:
    store = Altering(tmp_path / "store")
    snapshots = Snapshots(store)
    manifest = capture(store)
    snapshots.keep_verification(verification(manifest))
    pin = snapshots.pin("1.0", "")
    for read, found in (
        (lambda: snapshots.get("1.0"), manifest),
        (lambda: snapshots.verification(manifest), verification(manifest)),
        (lambda: snapshots.pinned("1.0"), pin),
    ):
        store.times = 1
        assert read() == found
        store.times = 2
        with pytest.raises(SnapshotDamaged):
            read()


def test_the_order_is_found_without_reading_what_is_beside(tmp_path: Path) -> None:
    store = Altering(tmp_path / "store")
    snapshots = Snapshots(store)
    for number in range(5):
        snapshots.keep_verification(verification(capture(store, f"{number}.0", CAPTURED + timedelta(days=number))))
    store.readings = 0
    assert snapshots.get("latest").deploy_id == "4.0"
    assert store.readings == 1
    without_index(store)
    store.readings = 0
    assert snapshots.get("latest").deploy_id == "4.0"
    assert store.readings == 5 + 1
