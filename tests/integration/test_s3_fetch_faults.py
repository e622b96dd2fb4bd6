"""Reading a bucket while the network and the store fail: nothing is restored from bytes that do not hash."""

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from flagsnap.stores.s3 import patience
from tests.faults import (
    AnswerLost,
    FlipResponse,
    Reset,
    ResetResponse,
    Slow,
    Stall,
    Status,
    TruncatedResponse,
)
from tests.faults.faults import Fault
from tests.fix_cli import Ended
from tests.fix_databases import Database
from tests.fix_s3 import KINDS, SECRET, place
from tests.integration.s3_captures import Scene, said
from tests.integration.s3_faults import Instead, Traced, captured, database_for_all, traced

CUT = b'<?xml version="1.0"?><ListBucketResult><Name>bucket</Name><IsTruncated>false</IsTruncated><Contents><Key>v'
FILES = ("GetObject", "dumps/")
MANIFEST = ("GetObject", "manifest.json")
LISTING = ("ListObjectsV2", "")
PASSING = (
    Status(500),
    Status(503),
    Reset(),
    ResetResponse(),
    ResetResponse(5_000),
    ResetResponse(3_000_000),
    TruncatedResponse(),
    TruncatedResponse(5_000),
    TruncatedResponse(3_000_000),
    AnswerLost(),
    Stall(1),
    Slow(8e6),
)
VERIFY, RESTORE = ("verify", "v2"), ("restore", "v2", "--into")


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with database_for_all() as made:
        yield made


@pytest.fixture(scope="module", params=KINDS)
def shared(
    request: pytest.FixtureRequest, database: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    with captured(place(request.param), database, tmp_path_factory.mktemp("fetch")) as made:
        yield made


@pytest.fixture
def at(shared: Scene) -> Iterator[Scene]:
    """A scene with a snapshot, of which nothing is changed; whatever the test did, it is whole afterwards."""
    shared.proxy.clear()
    yield shared
    shared.proxy.clear()
    shared.assert_whole("v2")


@pytest.fixture
def programs(at: Scene, tmp_path: Path) -> Traced:
    return traced(at.database, tmp_path)


def restore(at: Scene, programs: Traced) -> Ended:
    """Restore into a copy; it is there and proven, or there is none and pg_restore was not even started."""
    copy = f"{at.database.name}_copy"
    ended = at.flagsnap.within(*RESTORE, copy, code=None, FLAGSNAP_PG_BIN=str(programs.folder))
    assert SECRET not in ended.err
    assert programs.restored == (ended.code == 0)
    if ended.code:
        assert at.database.relatives() == [at.database.name]
        assert all(said(ended))
    else:
        query = "SELECT count(*), md5(string_agg(large0::text, '' ORDER BY n)) FROM large0"
        assert at.database.rows(query, copy) == at.database.rows(query)
        at.database.drop(copy)
    return ended


@pytest.mark.parametrize("fault", [*PASSING, FlipResponse(77), FlipResponse(-1)], ids=str)
def test_a_restore_survives_what_passes(fault: Fault, at: Scene, programs: Traced) -> None:
    steps = (MANIFEST, ("GetObject", "toc.dat"), FILES)
    rules = [at.proxy.inject(fault, *step) for step in steps]
    assert restore(at, programs).code == 0
    assert [rule.played for rule in rules] == [1] * len(steps)


@pytest.mark.parametrize("fault", PASSING, ids=str)
def test_list_show_and_verify_survive_what_passes(fault: Fault, at: Scene) -> None:
    for words in (("list",), ("show", "v2"), VERIFY):
        clean = _ageless(at.flagsnap.within(*words).out)
        at.proxy.inject(fault, *LISTING)
        at.proxy.inject(fault, *MANIFEST)
        at.proxy.inject(fault, *FILES)
        assert _ageless(at.flagsnap.within(*words).out) == clean
        at.proxy.clear()


def _ageless(text: str) -> str:
    """Without how long ago the snapshot was verified, and how long that took."""
    return " ".join(re.sub(r"\d+ \w+ ago(, in [\d.]+ s)?|\d{4}-\S+ [\d:]+ UTC", "", text).split())


@pytest.mark.parametrize("at_", [0, 77, 5_000_000, -1])
def test_nothing_is_restored_from_bytes_that_do_not_hash(at_: int, at: Scene, programs: Traced) -> None:
    at.proxy.inject(FlipResponse(at_), "GetObject", "dumps/", times=None)
    ended = restore(at, programs)
    assert ended.code == 5
    assert said(ended)[0].startswith("the snapshot is damaged: dumps/default/")
    at.flagsnap.within(*VERIFY, code=3)
    at.proxy.clear()
    at.proxy.inject(FlipResponse(at_), *MANIFEST, times=None)
    assert restore(at, programs).code == 5


@pytest.mark.parametrize("fault", [Status(503), Reset(), ResetResponse(), TruncatedResponse()], ids=str)
@pytest.mark.parametrize("step", [MANIFEST, FILES, LISTING], ids=" ".join)
def test_what_lasts_is_told(
    step: tuple[str, str], fault: Fault, at: Scene, programs: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_SECONDS", 1)
    at.proxy.inject(fault, *step, times=None)
    assert all(said(at.flagsnap.within(*VERIFY, code=1)))
    if step != LISTING:  # a restore does without
        assert restore(at, programs).code == 1


def test_a_connection_that_breaks_off_again_and_again_gets_there(at: Scene, programs: Traced) -> None:
    rule = at.proxy.inject(TruncatedResponse(1_000_000), "GetObject", times=None)
    assert restore(at, programs).code == 0
    assert rule.played > 10


@pytest.mark.parametrize("content", [CUT, b"", CUT[:40]], ids=["cut", "empty", "head"])
@pytest.mark.parametrize("words", [("list",), VERIFY], ids=" ".join)
def test_half_a_listing_is_no_listing(
    words: tuple[str, ...], content: bytes, at: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = _ageless(at.flagsnap.within(*words).out)
    at.proxy.inject(Instead(content), *LISTING, times=2)
    assert _ageless(at.flagsnap.within(*words).out) == clean
    monkeypatch.setattr(patience, "_SECONDS", 1)
    at.proxy.inject(Instead(content), *LISTING, times=None)
    ended = at.flagsnap.within(*words, code=1)
    assert all(said(ended))


@pytest.mark.parametrize("seed", range(15))
def test_whatever_happens(seed: int, at: Scene, programs: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_SECONDS", 2)
    random = Random(f"{seed} {at.place.server.kind}")
    story = []
    for _ in range(random.randint(1, 4)):
        offset = random.choice([0, 10, 1000, 100_000, 5_000_000, -1])
        faults = (*PASSING, FlipResponse(offset), TruncatedResponse(abs(offset)), ResetResponse(abs(offset)))
        fault, (operation, key) = random.choice(faults), random.choice([MANIFEST, FILES, LISTING])
        times, after = random.choice([1, 2, 3, None]), random.choice([0, 0, 1, 3])
        at.proxy.inject(fault, operation, key, times, after)
        story.append(f"{fault} at {operation} {key} {times} times after {after}")
    ended = restore(at, programs)
    print(*story, ended, sep="\n")  # noqa: T201
    assert ended.code in {0, 1, 5}
    verified = at.flagsnap.within(*VERIFY, code=None)
    assert verified.code in {0, 1, 3, 5}
