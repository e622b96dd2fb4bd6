"""Captures while the network and the store fail: each fault is survived, or told, and no half snapshot is ever listed."""

import threading
import time
from collections.abc import Iterator
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
    Rule,
    Slow,
    Stall,
    Status,
    TruncatedResponse,
)
from tests.faults.faults import Fault
from tests.fix_cli import Ended
from tests.fix_databases import Database
from tests.fix_s3 import KINDS, S3Place, place
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
def test_a_step_that_always_fails_ends_the_capture(
    step: tuple[str, str], at: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_SECONDS", 1)
    rule = at.proxy.inject(Status(503), *step, times=None)
    ended = capture(at)
    assert rule.played >= 3
    if step[0] not in {"ListMultipartUploads", "DeleteObjects"}:  # it goes without, and says so
        assert said(ended) == (f"the store {at.place.url} cannot be used: it is overloaded", "run the same command again")
    assert_invariant(at, ended, 1)


@pytest.mark.parametrize("position", [77])
@pytest.mark.parametrize("step", [step for step in STEPS if step[0].startswith(("Put", "Up", "Com", "Del"))], ids=" ".join)
def test_a_bit_flips_on_the_way_up(step: tuple[str, str], position: int, at: Scene) -> None:
    rule = at.proxy.inject(FlipRequest(position), *step)
    ended = capture(at)
    print(ended.code, ended.err)
    assert rule.played == 1
    assert_invariant(at, ended, 1, 2, 6)


@pytest.mark.parametrize("position", [77])
@pytest.mark.parametrize("step", STEPS, ids=" ".join)
def test_a_bit_flips_on_the_way_down(step: tuple[str, str], position: int, at: Scene) -> None:
    rule = at.proxy.inject(FlipResponse(position), *step)
    ended = capture(at)
    print(ended.code, ended.err)
    assert rule.played == 1
    assert_invariant(at, ended, 1, 2, 6)
