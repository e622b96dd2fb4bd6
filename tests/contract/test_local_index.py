"""The index of a store on local disk: quick, private, never needed, and not believed when the files have changed."""

import multiprocessing
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from flagsnap.attached.pin import PIN
from flagsnap.attached.verification import VERIFIED
from flagsnap.errors import FlagsnapError, StoreFailed
from flagsnap.snapshot import MANIFEST
from flagsnap.stores.base import Listed
from flagsnap.stores.index import summary_entry
from flagsnap.stores.local import LocalStore
from flagsnap.stores.local_index import stamp
from flagsnap.stores.snapshots import Snapshots
from tests.contract.test_attached import BRIEF, LATER, briefs, names
from tests.contract.test_snapshots import capture
from tests.contract.test_store import OWNER, Notes, fill, publish, summary
from tests.unit.sample_manifests import CAPTURED

SECONDS = 2.0


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def attached(store: LocalStore) -> LocalStore:
    """A store with a snapshot, something attached to it, and its entries in the index."""
    publish(store, "1.0")
    store.attach("1.0", VERIFIED, b"verified", BRIEF)
    return store


def entries(store: LocalStore) -> list[Path]:
    return sorted(store.root.glob(".index/*/*"))


def test_thousands_are_listed_in_a_moment(store: LocalStore) -> None:
    """With nothing in their manifests: who read one would fail."""
    for number in range(2000):
        name = f"d{number:04}"
        made = summary(name).model_copy(update={"captured_at": CAPTURED + timedelta(hours=number)})
        (store.root / name).mkdir(parents=True)
        manifest = store.root / name / MANIFEST
        manifest.touch()
        (store.root / ".index" / name).mkdir(parents=True)
        (store.root / ".index" / name / str(summary_entry(made, stamp(manifest)))).touch()
    began = time.monotonic()
    listing = Snapshots(store).list()
    assert time.monotonic() - began < SECONDS
    assert listing.damaged == ()
    assert [each.deploy_id for each in listing.summaries] == [f"d{number:04}" for number in reversed(range(2000))]


def test_only_the_owner_may_read_it(store: LocalStore) -> None:
    before = os.umask(0)
    try:
        publish(store, "1.0")
        store.attach("1.0", VERIFIED, b"verified", BRIEF)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in entries(store)} == {0o600}
    folders = {store.root / ".index", store.root / ".index" / "1.0"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}


def test_each_file_has_one_entry(attached: LocalStore) -> None:
    for content in (b"2", b"33"):
        attached.attach("1.0", VERIFIED, content, LATER)
        attached.attach("1.0", PIN, content, {"at": "x"})
    assert len(entries(attached)) == 3
    attached.detach("1.0", PIN)
    assert len(entries(attached)) == 2


def test_a_file_that_was_changed_by_hand_must_be_read(attached: LocalStore) -> None:
    file = attached.root / "1.0" / VERIFIED
    os.utime(file, (1, 1))
    assert briefs(attached) == {VERIFIED: {}}
    file.unlink()
    assert briefs(attached) == {}
    (attached.root / "1.0" / PIN).write_text("put there by hand")
    assert briefs(attached) == {PIN: {}}


def test_a_snapshot_that_was_changed_by_hand_must_be_read(attached: LocalStore) -> None:
    """Taken from elsewhere, or restored by a tool that does not keep the times: even the size is the same."""
    os.utime(attached.root / "1.0" / MANIFEST, (1, 1))
    assert attached.list() == {"1.0": Listed()}
    shutil.rmtree(attached.root / "1.0")
    assert attached.list() == {}


def test_a_store_that_was_copied_is_listed_as_it_is(attached: LocalStore, tmp_path: Path) -> None:
    shutil.copytree(attached.root, tmp_path / "with times")
    assert LocalStore(tmp_path / "with times").list() == attached.list()
    shutil.copytree(attached.root, tmp_path / "without times", copy_function=shutil.copyfile)
    assert LocalStore(tmp_path / "without times").list() == {"1.0": Listed()}


def test_a_snapshot_of_an_older_flagsnap_must_be_read(store: LocalStore) -> None:
    publish(store, "1.0")
    shutil.rmtree(store.root / ".index")
    assert store.list() == {"1.0": Listed()}
    store.attach("1.0", VERIFIED, b"verified", BRIEF)
    assert store.list() == {"1.0": Listed()}


def _die(store: LocalStore, deadly: str, number: int) -> None:
    """Attach, and be killed when that happens for the so-manieth time."""
    left = [number]

    def kill(event: str, _: tuple[object, ...]) -> None:
        if event == deadly:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(kill)
    store.attach("1.0", VERIFIED, b"later", LATER)


@pytest.mark.parametrize("number", range(1, 5))
@pytest.mark.parametrize("deadly", ["os.rename", "os.mkdir", "open", "os.remove", "os.chmod", "os.listdir"])
def test_a_kill_while_attaching_leaves_nothing_false(attached: LocalStore, deadly: str, number: int) -> None:
    process = multiprocessing.get_context("fork").Process(target=_die, args=(attached, deadly, number))
    process.start()
    process.join()
    assert process.exitcode in {0, -signal.SIGKILL}
    true = {b"verified": BRIEF, b"later": LATER}[(attached.root / "1.0" / VERIFIED).read_bytes()]
    assert briefs(attached) in ({VERIFIED: true}, {VERIFIED: {}})
    assert attached.list()["1.0"].summary == summary("1.0")
    attached.attach("1.0", VERIFIED, b"again", LATER)
    assert briefs(attached) == {VERIFIED: LATER}
    assert len(entries(attached)) == 2


def test_what_tells_of_snapshots_that_are_gone_is_swept(attached: LocalStore) -> None:
    publish(attached, "2.0")
    shutil.rmtree(attached.root / "1.0")
    told = Notes()
    attached.sweep(OWNER, told)
    assert told.notes == []
    assert [path.name for path in (attached.root / ".index").iterdir()] == ["2.0"]


@pytest.fixture
def in_the_way(store: LocalStore) -> Iterator[Path]:
    """A file where the index should be: nobody can read it or make entries."""
    store.root.mkdir()
    (store.root / ".index").write_text("a file")
    yield store.root / ".index"
    assert (store.root / ".index").read_text() == "a file"


def test_without_an_index_all_goes_on(store: LocalStore, in_the_way: Path) -> None:
    told = Warnings()
    with store.begin("1.0", OWNER, told) as draft:
        fill(draft)
        draft.publish(b"manifest", summary("1.0"))
    assert told.warnings == ["the snapshot is published, but not in the index: file exists"]
    assert store.list() == {"1.0": Listed()}
    store.sweep(OWNER, told)
    store.remove("1.0")
    assert store.list() == {}


def test_rights_that_are_missing_are_told(store: LocalStore, in_the_way: Path) -> None:
    """Of the index too: with them a pin or the result of a check could not be kept."""
    with pytest.raises(StoreFailed, match="failed: file exists"):
        store.try_rights()
    assert names(store) == [".drafts", ".index"]


REFUSED = """
import pathlib, sys
from flagsnap.errors import UsageError
from flagsnap.stores.local import LocalStore
store = LocalStore(pathlib.Path(sys.argv[1]))
for folder in (store.root, store.root / ".drafts", store.root / ".index"):
    folder.chmod(0o500)
    try:
        store.try_rights()
    except UsageError as error:
        print(error, error.hint, sep="; ")
    if folder == store.root / ".index":
        folder.chmod(0)
        print(len(store.list()))
    folder.chmod(0o700)
"""


def test_rights_that_are_missing_to_a_folder(store: LocalStore) -> None:
    capture(store)
    before = names(store)
    argv = [sys.executable, "-c", REFUSED, str(store.root)]
    if os.geteuid() == 0:
        argv = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *argv]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    refused = f"the store {store.root} cannot be used: permission denied; give this user a folder that it may write to"
    assert done.stdout.splitlines() == [refused, refused, refused, "1"]
    assert names(store) == before


def test_rights_to_a_store_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(FlagsnapError, match="not a directory"):
        LocalStore(tmp_path / "file" / "store").try_rights()


class Warnings(Notes):
    """Keeps what it is warned of."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)
