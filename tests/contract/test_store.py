"""What every store promises (flagsnap/stores/base.py), whatever it is made of."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection

import pytest

from flagsnap.errors import SnapshotExists, SnapshotMissing
from flagsnap.snapshot import MANIFEST
from flagsnap.stores.base import Draft, Store
from tests.contract.fix_stores import Opener

FILES = {"dumps/default/toc.dat": b"contents", "dumps/default/3401.dat.gz": b"\0" * 100_000}


def fill(draft: Draft, files: dict[str, bytes] = FILES) -> None:
    for path, content in files.items():
        target = draft.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        draft.add(path)


def publish(store: Store, deploy_id: str, manifest: bytes = b"manifest") -> None:
    with store.begin(deploy_id) as draft:
        fill(draft)
        draft.publish(manifest)


def test_an_empty_or_missing_store_has_nothing(store: Store) -> None:
    assert list(store.deploy_ids()) == []
    assert list(store.sweep()) == []
    with pytest.raises(SnapshotMissing, match=r"no snapshot 1.0"):
        store.read("1.0", MANIFEST)
    with pytest.raises(SnapshotMissing), store.checkout("1.0", []):
        pass
    with pytest.raises(SnapshotMissing):
        store.remove("1.0")


def test_what_was_published_is_there_for_everybody(open_one: Opener) -> None:
    publish(open_one(), "1.0", b"the manifest")
    other = open_one()
    assert list(other.deploy_ids()) == ["1.0"]
    assert other.read("1.0", MANIFEST) == b"the manifest"
    with other.checkout("1.0", list(FILES)) as folder:
        assert {path: (folder / path).read_bytes() for path in FILES} == FILES
    assert list(other.sweep()) == []


def test_a_draft_has_an_empty_folder_of_its_own(store: Store) -> None:
    with store.begin("1.0") as one, store.begin("1.0") as other, store.begin("2.0") as third:
        folders = {one.folder, other.folder, third.folder}
        assert len(folders) == 3
        assert all(list(folder.iterdir()) == [] for folder in folders)


def test_a_draft_is_invisible_until_it_is_published(open_one: Opener) -> None:
    watcher = open_one()
    with open_one().begin("1.0") as draft:
        fill(draft)
        assert list(watcher.deploy_ids()) == []
        with pytest.raises(SnapshotMissing):
            watcher.read("1.0", "dumps/default/toc.dat")
        draft.publish(b"manifest")
        assert list(watcher.deploy_ids()) == ["1.0"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, None])
def test_left_without_publishing_nothing_stays(open_one: Opener, error: type[BaseException] | None) -> None:
    store = open_one()
    folders = []

    def leave() -> None:
        with store.begin("1.0") as draft:
            folders.append(draft.folder)
            fill(draft)
            if error:
                raise error

    if error:
        with pytest.raises(error):
            leave()
    else:
        leave()
    assert not folders[0].exists()
    assert list(open_one().deploy_ids()) == []
    assert list(open_one().sweep()) == []


def test_a_published_snapshot_is_never_replaced(store: Store) -> None:
    publish(store, "1.0", b"first")
    with pytest.raises(SnapshotExists, match=r"1.0"):
        publish(store, "1.0", b"second")
    assert store.read("1.0", MANIFEST) == b"first"
    assert list(store.deploy_ids()) == ["1.0"]
    assert list(store.sweep()) == []


def test_of_two_drafts_of_one_id_the_first_to_publish_wins(open_one: Opener) -> None:
    one, other = open_one(), open_one()
    with one.begin("1.0") as early, other.begin("1.0") as late:
        fill(early, {"dumps/x": b"early"})
        fill(late, {"dumps/x": b"late"})
        late.publish(b"late")
        with pytest.raises(SnapshotExists):
            early.publish(b"early")
    assert one.read("1.0", MANIFEST) == b"late"
    with one.checkout("1.0", ["dumps/x"]) as folder:
        assert (folder / "dumps/x").read_bytes() == b"late"


def test_one_of_many_publishing_at_once_wins(open_one: Opener) -> None:
    def try_to_publish(number: int) -> bool:
        try:
            publish(open_one(), "1.0", str(number).encode())
        except SnapshotExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = [number for number, done in enumerate(pool.map(try_to_publish, range(8))) if done]
    assert [open_one().read("1.0", MANIFEST)] == [str(number).encode() for number in won]


def test_files_may_be_added_from_several_threads(store: Store) -> None:
    files = {f"dumps/default/{number}.dat": str(number).encode() for number in range(50)}
    with store.begin("1.0") as draft:
        (draft.folder / "dumps/default").mkdir(parents=True)
        for path, content in files.items():
            (draft.folder / path).write_bytes(content)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(draft.add, files))
        draft.publish(b"manifest")
    with store.checkout("1.0", list(files)) as folder:
        assert {path: (folder / path).read_bytes() for path in files} == files


def test_ids_are_kept_apart(store: Store) -> None:
    for deploy_id in ("1.0", "1.0.1", "1", "A", "x" * 128):
        publish(store, deploy_id, deploy_id.encode())
    assert sorted(store.deploy_ids()) == sorted(["1.0", "1.0.1", "1", "A", "x" * 128])
    store.remove("1.0")
    assert sorted(store.deploy_ids()) == sorted(["1.0.1", "1", "A", "x" * 128])


def test_what_was_removed_is_gone_and_may_come_again(store: Store) -> None:
    publish(store, "1.0", b"first")
    store.remove("1.0")
    assert list(store.deploy_ids()) == []
    with pytest.raises(SnapshotMissing):
        store.read("1.0", MANIFEST)
    publish(store, "1.0", b"second")
    assert store.read("1.0", MANIFEST) == b"second"


def test_a_missing_file_of_a_snapshot(store: Store) -> None:
    publish(store, "1.0")
    with pytest.raises(SnapshotMissing, match=r"rehearsal\.json"):
        store.read("1.0", "rehearsal.json")
    with store.checkout("1.0", ["dumps/default/gone"]) as folder:
        assert not (folder / "dumps/default/gone").exists()


def test_a_draft_of_a_living_process_is_left_alone(open_one: Opener) -> None:
    with _drafting(open_one, "1.0") as child:
        assert list(open_one().sweep()) == []
        child.send("publish")
        assert child.recv() == "published"
    assert open_one().read("1.0", MANIFEST) == b"manifest"


def test_a_draft_of_a_killed_process_is_swept(open_one: Opener) -> None:
    publish(open_one(), "0.9")
    with _drafting(open_one, "1.0") as child:
        child.send("die")
    assert list(open_one().deploy_ids()) == ["0.9"]
    assert list(open_one().sweep()) == ["1.0"]
    assert list(open_one().sweep()) == []
    publish(open_one(), "1.0")
    assert sorted(open_one().deploy_ids()) == ["0.9", "1.0"]


def test_sweeping_all_the_time_takes_no_draft_away(open_one: Opener) -> None:
    with ThreadPoolExecutor(1) as pool:
        done: list[bool] = []

        def sweep_on() -> None:
            while not done:
                open_one().sweep()

        sweeping = pool.submit(sweep_on)
        try:
            for number in range(60):
                publish(open_one(), f"d{number}")
        finally:
            done.append(True)
        sweeping.result()
    assert len(open_one().deploy_ids()) == 60
    for number in range(60):
        with open_one().checkout(f"d{number}", list(FILES)) as folder:
            assert {path: (folder / path).read_bytes() for path in FILES} == FILES


@contextmanager
def _drafting(open_one: Opener, deploy_id: str) -> Iterator[Connection]:
    """Another process with a filled draft; it does what it is told and ends."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_draft, args=(open_one, deploy_id, here, there))
    process.start()
    there.close()
    assert here.recv() == "filled"
    try:
        yield here
    finally:
        here.close()
        process.join(20)
        assert process.exitcode is not None


def _draft(open_one: Callable[[], Store], deploy_id: str, parents_end: Connection, orders: Connection) -> None:
    parents_end.close()  # so that the end of the test is the end of the orders
    with open_one().begin(deploy_id) as draft:
        fill(draft)
        orders.send("filled")
        if orders.recv() == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        draft.publish(b"manifest")
        orders.send("published")
