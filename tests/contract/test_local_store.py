"""What only a store on local disk promises: its layout, its permissions, its addresses, and what a disk does."""

import multiprocessing
import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from flagsnap.errors import FlagsnapError, SnapshotMissing, UsageError
from flagsnap.rehearsal.values import REHEARSAL
from flagsnap.snapshot import MANIFEST
from flagsnap.stores import open_store
from flagsnap.stores.local import LocalStore
from tests.contract.test_store import FILES, publish, swept


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


def test_only_the_owner_may_read(root: Path) -> None:
    before = os.umask(0)
    try:
        publish(open_store(str(root)), "1.0")
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in [root, *root.rglob("*")] if path.is_dir()}
    assert modes == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*") if path.is_file()} == {0o600}


def test_a_folder_that_is_there_keeps_its_permissions(root: Path) -> None:
    root.mkdir(mode=0o755)
    publish(open_store(str(root)), "1.0")
    assert stat.S_IMODE(root.stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "1.0").stat().st_mode) == 0o700


def test_the_layout_is_the_documented_one(root: Path) -> None:
    publish(open_store(str(root)), "1.0", b"manifest")
    entry, *files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    assert entry.startswith(".index/1.0/captured_at=2026-11-22T14%3A02%3A00.123456%2B00%3A00&bytes=100008&")
    assert files == [
        "1.0/dumps/default/3401.dat.gz",
        "1.0/dumps/default/toc.dat",
        "1.0/manifest.json",
    ]


def test_a_symbolic_link_may_lead_to_the_store(root: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    root.symlink_to(tmp_path / "disk")
    publish(open_store(str(root)), "1.0")
    assert (tmp_path / "disk" / "1.0" / MANIFEST).is_file()
    assert list(open_store(str(root)).list()) == ["1.0"]


@pytest.mark.parametrize("name", ["store", "with space", "per%cent", "Ähre", "que?ry#x", "a~b"])
def test_a_plain_path_is_taken_as_it_is(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    publish(open_store(name), "1.0")
    assert (tmp_path / name / "1.0").is_dir()
    assert open_store(str(tmp_path / name)).url == str(tmp_path / name)


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_store("~/snapshots").url == str(tmp_path / "snapshots")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///var/lib/flagsnap", "/var/lib/flagsnap"),
        ("FILE:///var/lib", "/var/lib"),
        ("file://localhost/var/lib", "/var/lib"),
        ("file:///a%20b/per%25cent/%C3%84hre", "/a b/per%cent/Ähre"),
        ("file:///a%3Fb%23c", "/a?b#c"),
    ],
)
def test_file_urls(url: str, path: str) -> None:
    assert open_store(url).url == path


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://key:sesame@host/x", "there are no https:// stores"),
        ("file://host/x", "is not a folder of this machine"),
        ("file:relative", "is not a folder of this machine"),
        ("file:///a?b", "is not a folder of this machine"),
        ("file://[x", "is not a folder of this machine"),
        ("~no-such-user/x", "there is no such user"),
    ],
)
def test_other_addresses_are_refused(url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        open_store(url)
    assert refused.value.hint
    assert "sesame" not in str(refused.value)


def test_a_kill_while_removing_leaves_no_half_snapshot(root: Path) -> None:
    store = LocalStore(root)
    publish(store, "1.0")
    killed = multiprocessing.get_context("fork").Process(target=_remove_and_die, args=(store,))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert list(root.glob(".drafts/*/1.0/dumps/default/toc.dat")), "it was killed before it had deleted anything"
    assert list(store.list()) == []
    assert swept(store) == ["1.0"]
    assert sorted(path.name for path in root.rglob("*")) == [".drafts", ".index"]


@pytest.mark.parametrize("event", ["flagsnap.nothing", "os.rename"])
def test_a_kill_while_attaching_leaves_the_earlier_file(root: Path, event: str) -> None:
    store = LocalStore(root)
    publish(store, "1.0")
    store.attach("1.0", REHEARSAL, b"first")
    process = multiprocessing.get_context("fork").Process(target=_attach_and_die, args=(store, event))
    process.start()
    process.join()
    killed = event == "os.rename"
    assert process.exitcode == (-signal.SIGKILL if killed else 0)
    assert b"".join(store.read("1.0", REHEARSAL)) == (b"first" if killed else b"second")
    assert set(store.files("1.0")) == {*FILES, MANIFEST, REHEARSAL}
    assert len(list(root.glob(".drafts/*"))) == killed
    assert list(store.list()) == ["1.0"]
    assert swept(store) == (["1.0"] if killed else [])
    assert list(root.glob(".drafts/*")) == []


def test_only_the_owner_may_read_what_is_attached(root: Path) -> None:
    publish(LocalStore(root), "1.0")
    before = os.umask(0)
    try:
        LocalStore(root).attach("1.0", REHEARSAL, b"secret")
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / "1.0" / REHEARSAL).stat().st_mode) == 0o600


def test_what_is_attached_to_a_snapshot_that_goes_meanwhile(root: Path) -> None:
    store = LocalStore(root)
    publish(store, "1.0")
    process = multiprocessing.get_context("fork").Process(target=_remove_and_attach, args=(store,))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert sorted(path.name for path in root.rglob("*")) == [".drafts", ".index"]


def test_a_folder_without_a_manifest_is_no_snapshot(root: Path) -> None:
    (root / "1.0" / "dumps").mkdir(parents=True)
    (root / "lost+found").mkdir()
    (root / "lost+found" / MANIFEST).write_text("x")
    store = LocalStore(root)
    assert list(store.list()) == []


@pytest.mark.parametrize("below", ["", "sub/folder"])
def test_a_file_in_the_way_is_told(root: Path, below: str) -> None:
    root.write_text("a file")
    store = LocalStore(root / below)
    for verb in (store.list, lambda: publish(store, "1.0")):
        with pytest.raises(FlagsnapError, match=r"failed: (not a directory|file exists)") as failed:
            verb()
        assert "--store" in failed.value.hint
    assert root.read_text() == "a file"


def _remove_and_die(store: LocalStore) -> None:
    """Python tells its audit hooks when a tree is about to be deleted."""
    sys.addaudithook(lambda event, _: os.kill(os.getpid(), signal.SIGKILL) if event == "shutil.rmtree" else None)
    store.remove("1.0")


def _attach_and_die(store: LocalStore, deadly: str) -> None:
    """It is renamed last."""
    sys.addaudithook(lambda event, _: os.kill(os.getpid(), signal.SIGKILL) if event == deadly else None)
    store.attach("1.0", REHEARSAL, b"second")


def _remove_and_attach(store: LocalStore) -> None:
    """Another run removes the snapshot just before the file would be put beside it."""
    others: list[str] = []

    def remove(event: str, _: tuple[object, ...]) -> None:
        if event == "os.rename" and not others:
            others.append("remove")
            LocalStore(store.root).remove("1.0")

    sys.addaudithook(remove)
    with pytest.raises(SnapshotMissing, match=r"no snapshot 1.0"):
        store.attach("1.0", REHEARSAL, b"late")
