"""Captures while the network and the store fail: each fault is survived or told, and no half snapshot is listed."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from flagsnap.stores.s3 import patience
from tests.faults import (
    AnswerLost,
    ErrorInside,
    FlipRequest,
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
from tests.fix_s3 import S3Place
from tests.integration.captures import wait_for
from tests.integration.s3_captures import CAPTURE, Scene, dumps_of, said, scene
from tests.integration.s3_faults import Instead, assert_invariant, database_for_all

STEPS = (
    ("GetObject", "manifest.json"),
    ("ListObjectsV2", ""),
    ("GetObject", ".drafts/"),
    ("PutObject", ".drafts/"),
    ("ListMultipartUploads", ""),
    ("PutObject", "dumps/"),
    ("CreateMultipartUpload", ""),
    ("UploadPart", ""),
    ("CompleteMultipartUpload", ""),
    ("PutObject", "manifest.json"),
    ("PutObject", ".index/"),
    ("DeleteObjects", ""),
)
PASSING = (
    Status(500),
    Status(503),
    Reset(),
    Reset(100),
    Reset(1_000_000),
    ResetResponse(),
    TruncatedResponse(),
    AnswerLost(),
    ErrorInside(),
    Stall(1),
    Slow(4e6),
)
ANY = (*PASSING, FlipRequest(), FlipResponse(), TruncatedResponse(100), ResetResponse(100), Status(403), Instead(b""))
MANIFEST = ("PutObject", "manifest.json")
CLAIM = ("PutObject", ".drafts/")
CARRY = {"PutObject", "UploadPart", "CompleteMultipartUpload", "DeleteObjects"}


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with database_for_all() as made:
        yield made


@pytest.fixture
def at(s3: S3Place, database: Database, tmp_path: Path) -> Iterator[Scene]:
    with scene(s3, database, tmp_path) as made:
        yield made


def capture(at: Scene) -> Ended:
    return at.flagsnap.within(*CAPTURE, code=None)


@pytest.mark.parametrize("fault", PASSING, ids=str)
def test_each_step_fails_once_in_passing(fault: Fault, at: Scene) -> None:
    # Elsewhere an answer of 200 is no error whatever it says.
    steps = STEPS if fault != ErrorInside() else (STEPS[8], STEPS[11])
    rules = [at.proxy.inject(fault, *step) for step in steps]
    at.flagsnap.within(*CAPTURE)
    assert [rule.played for rule in rules] == [1] * len(steps)
    at.proxy.clear()
    at.assert_whole("v2")


@pytest.mark.parametrize("step", [step for step in STEPS if step[1] != ".index/"], ids=" ".join)
@pytest.mark.parametrize("s3", ["moto"], indirect=True)
def test_a_step_that_always_fails_ends_the_capture(
    step: tuple[str, str], at: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_SECONDS", 1)
    rule = at.proxy.inject(Status(503), *step, times=None)
    ended = capture(at)
    assert rule.played >= 3
    if step[0] in {"ListMultipartUploads", "DeleteObjects"}:  # it goes without, and says so
        assert ended.code == 0
        assert "warning: " in ended.err
    else:
        overloaded = f"the store {at.place.url} cannot be used: it is overloaded"
        assert said(ended) == (overloaded, "run the same command again")
    assert_invariant(at, ended, 1)


@pytest.mark.parametrize("step", [step for step in STEPS if step[0] in CARRY], ids=" ".join)
def test_a_bit_flips_on_the_way_up(step: tuple[str, str], at: Scene) -> None:
    """Neither server looks at the checksums; S3 itself would refuse what arrives."""
    rule = at.proxy.inject(FlipRequest(77), *step)
    ended = capture(at)
    assert rule.played == 1
    if "dumps/" in step or "UploadPart" in step:
        assert "is not what was sent" in said(ended)[0]
    elif step in {MANIFEST, CLAIM}:
        assert ended.code == 0
    assert_invariant(at, ended, 1)


@pytest.mark.parametrize("step", STEPS, ids=" ".join)
def test_a_bit_flips_on_the_way_down(step: tuple[str, str], at: Scene) -> None:
    at.proxy.inject(FlipResponse(77), *step)
    assert_invariant(at, capture(at), 1, 2, 6)


@pytest.mark.parametrize(
    "step", [MANIFEST, CLAIM, ("CompleteMultipartUpload", ""), ("PutObject", "dumps/")], ids=" ".join
)
def test_no_answer_ever_comes_back(step: tuple[str, str], at: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_SECONDS", 1)
    rule = at.proxy.inject(AnswerLost(), *step, times=None)
    ended = capture(at)
    assert rule.played >= 3
    assert ended.code == 1
    assert_invariant(at, ended, 1)


def test_the_network_is_gone_for_good(at: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_SECONDS", 3)
    at.proxy.rate_limit(4e6)
    with during_the_uploads(at, at.proxy.down):
        began = time.monotonic()
        ended = capture(at)
    assert time.monotonic() - began < 60
    error, hint = said(ended)
    assert "nobody answers at" in error or "the connection broke off" in error
    assert "FLAGSNAP_S3_ENDPOINT_URL and the network" in hint
    assert "warning: something of v2 was left, the next capture tries to remove it" in ended.err
    assert not dumps_of(at.database)
    assert list(at.scratch.iterdir()) == []
    assert_invariant(at, ended, 1)


@pytest.mark.parametrize("fault", [None, Status(503), Status(500), Stall(3), AnswerLost()], ids=str)
def test_everything_fails_for_seconds(fault: Fault | None, at: Scene) -> None:
    """More requests fail than botocore itself would send again."""

    def fail() -> None:
        if fault:
            at.proxy.inject(fault, times=None)
        else:
            at.proxy.down()
        time.sleep(3)
        at.proxy.clear()
        at.proxy.up()

    at.proxy.rate_limit(8e6)
    with during_the_uploads(at, fail):
        at.flagsnap.within(*CAPTURE)
    at.assert_whole("v2")


@contextmanager
def during_the_uploads(at: Scene, happen: Callable[[], None]) -> Iterator[None]:
    """Let something happen as soon as parts are on their way."""

    def watch() -> None:
        wait_for(lambda: "UploadPart" in at.proxy.operations)
        happen()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@pytest.mark.parametrize("seed", range(10))
def test_whatever_happens(seed: int, at: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few faults of any kind, at any moment, once or for ever."""
    monkeypatch.setattr(patience, "_SECONDS", 2)
    random = Random(f"{seed} {at.place.server.kind}")
    story = []
    for _ in range(random.randint(1, 4)):
        fault, (operation, key) = random.choice(ANY), random.choice(STEPS)
        times, after = random.choice([1, 1, 2, None]), random.choice([0, 0, 1, 3])
        at.proxy.inject(fault, operation, key, times, after)
        story.append(f"{fault} at {operation} {key} {times} times after {after}")
    if random.random() < 0.3:
        at.proxy.inject(random.choice(PASSING), times=random.randint(1, 5), after=random.randint(0, 30))
    ended = capture(at)
    print(*story, ended, sep="\n")  # noqa: T201
    assert_invariant(at, ended, 1, 2, 5, 6)
