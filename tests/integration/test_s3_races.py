"""Two captures of one deploy id at the same moment: one wins, the other says so, and the snapshot is the winner's."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults import FaultyProxy
from tests.fix_cli import Ended, Flagsnap
from tests.fix_databases import Database
from tests.fix_s3 import S3Place, place
from tests.integration.captures import ended_afterwards, outcome, wait_for
from tests.integration.s3_captures import CAPTURE, MIGRATIONS, Hold, Scene, said, scene, tables

DELAYS = (0.0, 0.05, 0.3)
LOCKS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'flagsnap capture lock'"


@contextmanager
def rival(at: Scene) -> Iterator[Scene]:
    """The same store, seen by a flagsnap of another database through a proxy of its own."""
    database = Database(at.database.server, f"{at.database.name}_rival")
    database.create()
    database.execute(MIGRATIONS + tables(3, 0.1))
    with FaultyProxy(at.place.server.url) as proxy:
        there = at.place.through(proxy.url).server.environment
        environment = {**at.flagsnap.environment, **there, "FLAGSNAP_DATABASE_URL": database.url}
        yield replace(at, flagsnap=replace(at.flagsnap, environment=environment), database=database, proxy=proxy)


def start_both(one: Flagsnap, other: Flagsnap, delay: float) -> tuple[Ended, Ended]:
    def run(flagsnap: Flagsnap, delay: float) -> Ended:
        time.sleep(delay)
        return flagsnap(*CAPTURE, code=None)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(run, one, 0.0), pool.submit(run, other, delay)
        return first.result(), second.result()


def assert_one_has_won(at: Scene, one: tuple[Scene, Ended], other: tuple[Scene, Ended]) -> None:
    """Exit 0 for one, 2 or 6 with an error and a hint for the other; the snapshot is whole and the winner's."""
    (winner, won), (_, lost) = sorted((one, other), key=lambda each: each[1].code)
    assert won.code == 0, won.err
    assert lost.code in {2, 6}, lost.err
    assert all(said(lost))
    assert at.manifest().database.name == winner.database.name
    at.assert_whole("v2")


def test_of_one_database_the_lock_decides(s3: S3Place, database: Database, tmp_path: Path) -> None:
    database.execute(MIGRATIONS + tables(3, 0.1))
    with scene(s3, database, tmp_path) as at:
        at.proxy.rate_limit(200_000)  # the first one is still at work when the other comes
        for delay in DELAYS:
            ended = start_both(at.flagsnap, at.flagsnap, delay)
            assert sorted(each.code for each in ended) == [0, 6]
            assert_one_has_won(at, (at, ended[0]), (at, ended[1]))
            at.empty()


def test_of_two_databases_the_claims_decide(s3: S3Place, database: Database, tmp_path: Path) -> None:
    database.execute(MIGRATIONS + tables(3, 0.1))
    with scene(s3, database, tmp_path) as at, rival(at) as other:
        for each in (at, other):
            each.proxy.rate_limit(200_000)
        for delay in DELAYS:
            one_ended, other_ended = start_both(at.flagsnap, other.flagsnap, delay)
            assert_one_has_won(at, (at, one_ended), (other, other_ended))
            at.empty()


@pytest.mark.parametrize("key", ["/toc.dat", "/manifest.json", ".index/"])
@pytest.mark.parametrize("answer", [False, True], ids=["request", "answer"])
def test_a_claim_that_arrives_late(answer: bool, key: str, s3: S3Place, database: Database, tmp_path: Path) -> None:
    """Its run has found no snapshot long ago; the other one is just about to publish, or has just done it."""
    database.execute(MIGRATIONS + tables(2, 0.1))
    claim, moment = Hold(), Hold(answer)
    with scene(s3, database, tmp_path) as at, rival(at) as other:
        other.proxy.inject(claim, "PutObject", ".drafts/")
        at.proxy.inject(moment, "PutObject", key)
        with ended_afterwards(other.flagsnap.start(*CAPTURE)) as late:
            wait_for(claim.reached.is_set, late)
            with ended_afterwards(at.flagsnap.start(*CAPTURE)) as early:
                wait_for(moment.reached.is_set, early)
                claim.go.set()
                late_ended = Ended(*outcome(late))
                moment.go.set()
                early_ended = Ended(*outcome(early))
        assert (early_ended.code, late_ended.code) == (0, 6)
        assert_one_has_won(at, (at, early_ended), (other, late_ended))


def test_a_claim_whose_answer_comes_late(s3: S3Place, database: Database, tmp_path: Path) -> None:
    """The claim is there already, so the one who comes meanwhile has lost."""
    database.execute(MIGRATIONS + tables(2, 0.1))
    claim = Hold(answer=True)
    with scene(s3, database, tmp_path) as at, rival(at) as other:
        other.proxy.inject(claim, "PutObject", ".drafts/")
        with ended_afterwards(other.flagsnap.start(*CAPTURE)) as early:
            wait_for(claim.reached.is_set, early)
            late_ended = at.flagsnap.within(*CAPTURE, code=6)
            claim.go.set()
            early_ended = Ended(*outcome(early))
        assert_one_has_won(at, (at, late_ended), (other, early_ended))


@pytest.mark.parametrize(
    ("kind", "key", "answer"),
    [
        ("moto", "/toc.dat", True),
        ("moto", "/manifest.json", False),
        ("moto", "/manifest.json", True),
        ("rclone", "/toc.dat", True),
        ("rclone", "/manifest.json", True),
    ],
)
def test_a_run_that_has_lost_its_lock(kind: str, key: str, answer: bool, database: Database, tmp_path: Path) -> None:
    """The server has ended its session, so another run takes it for dead; it is not, and must do no harm.

    What it has sent already cannot be called back: only conditional writes, which rclone does not know, refuse it.
    """
    database.execute(MIGRATIONS + tables(2, 0.1))
    hold = Hold(answer)
    with scene(place(kind), database, tmp_path) as at:
        at.proxy.inject(hold, "PutObject", key)
        with ended_afterwards(at.flagsnap.start(*CAPTURE)) as first:
            wait_for(hold.reached.is_set, first)
            database.rows(f"{LOCKS} AND datname = '{database.name}'", "postgres")
            at.flagsnap.within(*CAPTURE)
            hold.go.set()
            code, out, err = outcome(first)
        assert (code in {1, 2}, out) == (True, ""), err
        assert at.snapshots() == ["v2"]
        at.flagsnap.within("verify", "v2")
