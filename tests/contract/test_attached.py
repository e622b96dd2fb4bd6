"""What every store promises of the files beside a snapshot, and of what `list` tells of them in brief."""

import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from flagsnap.attached.pin import PIN
from flagsnap.attached.verification import VERIFIED
from flagsnap.errors import SnapshotMissing, StoreFailed
from flagsnap.rehearsal.values import REHEARSAL
from flagsnap.stores.base import Listed, Store
from flagsnap.stores.local import LocalStore
from flagsnap.stores.s3 import S3Store
from tests.contract.fix_stores import Opener
from tests.contract.test_store import FILES, OWNER, QUIET, content, contents, fill, publish, summary, swept

BRIEF = {"files": "20261122T140200Z~ok~1~2.5", "odd": "ä/&=% ~"}
LATER = {"files": "20261123T140200Z~failed~0.05~2.5"}


def briefs(store: Store, deploy_id: str = "1.0") -> Mapping[str, Mapping[str, str]] | None:
    """What the listing says of attached files that have something to say."""
    found = store.list()[deploy_id].briefs
    return None if found is None else {path: brief for path, brief in found.items() if path != REHEARSAL}


def names(store: Store) -> list[str]:
    """All that there is, folders too where there are any."""
    if isinstance(store, LocalStore):
        return sorted(path.relative_to(store.root).as_posix() for path in store.root.rglob("*"))
    assert isinstance(store, S3Store)
    return sorted(entry.name for entry in store._bucket.list(""))


def take_away(store: Store, deploy_id: str) -> None:
    """Remove a snapshot as people do: with `rm -r`, or its twin for buckets."""
    if isinstance(store, LocalStore):
        shutil.rmtree(store.root / deploy_id)
    else:
        assert isinstance(store, S3Store)
        store._bucket.delete([entry.name for entry in store._bucket.list(f"{deploy_id}/")])


def test_what_was_published_is_listed_with_its_summary(open_one: Opener) -> None:
    publish(open_one(), "1.0")
    publish(open_one(), "2.0")
    assert open_one().list() == {"1.0": Listed(summary("1.0"), {}), "2.0": Listed(summary("2.0"), {})}


def test_briefs_are_listed_as_long_as_they_are_true(open_one: Opener) -> None:
    store, watcher = open_one(), open_one()
    publish(store, "1.0")
    publish(store, "2.0")
    store.attach("1.0", REHEARSAL, b"has no brief")
    assert briefs(watcher) == {}
    store.attach("1.0", VERIFIED, b"first", BRIEF)
    store.attach("1.0", PIN, b"pin", {"at": "x"})
    assert briefs(watcher) == {VERIFIED: BRIEF, PIN: {"at": "x"}}
    store.attach("1.0", VERIFIED, b"second", LATER)
    assert briefs(watcher) == {VERIFIED: LATER, PIN: {"at": "x"}}
    store.detach("1.0", PIN)
    assert briefs(watcher) == {VERIFIED: LATER}
    assert briefs(watcher, "2.0") == {}
    assert watcher.list()["1.0"].summary == summary("1.0")
    assert contents(watcher, "1.0") == {**FILES, REHEARSAL: b"has no brief", VERIFIED: b"second"}
    assert swept(watcher) == []


def test_the_same_brief_again(store: Store) -> None:
    publish(store, "1.0")
    for each in (b"one", b"two", b"two"):
        store.attach("1.0", VERIFIED, each, BRIEF)
        assert briefs(store) == {VERIFIED: BRIEF}


@pytest.mark.parametrize("brief", [{"long": "x" * 300}, {}])
def test_a_brief_that_is_too_long_or_empty_says_that_the_file_must_be_read(store: Store, brief: dict[str, str]) -> None:
    publish(store, "1.0")
    store.attach("1.0", VERIFIED, b"first", BRIEF)
    store.attach("1.0", VERIFIED, b"second", brief)
    assert briefs(store) == {VERIFIED: {}}
    store.attach("1.0", VERIFIED, b"third", LATER)
    assert briefs(store) == {VERIFIED: LATER}


def test_what_is_detached_is_gone(open_one: Opener) -> None:
    store = open_one()
    publish(store, "1.0")
    store.attach("1.0", PIN, b"pin", {"at": "x"})
    for _ in range(2):  # the second time nothing happens
        store.detach("1.0", PIN)
        assert briefs(open_one()) == {}
        with pytest.raises(SnapshotMissing, match=r"pin\.json"):
            content(open_one(), "1.0", PIN)
    assert contents(store, "1.0") == FILES
    with pytest.raises(SnapshotMissing, match=r"no snapshot 2.0"):
        store.detach("2.0", PIN)


def test_a_snapshot_without_a_summary_has_no_briefs_either(store: Store) -> None:
    """Then its attached files must be read as well: who has put them there may have known no index."""
    with store.begin("1.0", OWNER, QUIET) as draft:
        fill(draft)
        draft.publish(b"manifest", summary("1.0", long="x" * 300))
    store.attach("1.0", VERIFIED, b"first", BRIEF)
    assert store.list() == {"1.0": Listed()}


@pytest.mark.parametrize("by_hand", [False, True])
def test_nothing_is_told_of_an_earlier_snapshot(store: Store, by_hand: bool) -> None:
    publish(store, "1.0")
    store.attach("1.0", VERIFIED, b"of the first", BRIEF)
    store.attach("1.0", PIN, b"of the first", {"at": "x"})
    if by_hand:
        take_away(store, "1.0")
    else:
        store.remove("1.0")
        assert [name for name in names(store) if "1.0" in name] == []
    assert store.list() == {}
    second = summary("1.0", second="one").model_copy(update={"bytes": 7})
    with store.begin("1.0", OWNER, QUIET) as draft:
        fill(draft)
        draft.publish(b"the second manifest", second)
    assert store.list() == {"1.0": Listed(second, {})}
    store.attach("1.0", VERIFIED, b"of the second", LATER)
    assert briefs(store) == {VERIFIED: LATER}


def test_of_many_that_attach_at_once_no_brief_is_of_another(open_one: Opener) -> None:
    publish(open_one(), "1.0")
    open_one().attach("1.0", VERIFIED, b"the first", BRIEF)

    def attach(number: int) -> None:
        with suppress(StoreFailed):  # it was overtaken each time, and says so
            open_one().attach("1.0", VERIFIED, b"%d" % number, {"number": str(number)})

    for _ in range(2):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(attach, range(4)))
        found = content(open_one(), "1.0", VERIFIED).decode()
        assert briefs(open_one()) in ({VERIFIED: {"number": found}}, {VERIFIED: {}})
    open_one().attach("1.0", VERIFIED, b"the last", LATER)
    assert briefs(open_one()) == {VERIFIED: LATER}


def test_rights_are_tried_and_nothing_stays(open_one: Opener) -> None:
    store = open_one()
    store.try_rights()
    assert names(store) == []
    publish(store, "1.0")
    store.attach("1.0", VERIFIED, b"first", BRIEF)
    before = names(store)
    store.try_rights()
    assert names(store) == before
    assert open_one().list() == {"1.0": Listed(summary("1.0"), {VERIFIED: BRIEF})}
    assert swept(store) == []
