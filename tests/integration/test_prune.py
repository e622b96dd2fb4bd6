"""`prune`: decides, shows, removes when confirmed; snapshots on every kind of store."""

import json
import os
import shutil
import signal
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from flagsnap.attached.pin import PIN
from flagsnap.attached.verification import Rung, Verification
from flagsnap.loss.values import RefillItem
from flagsnap.postgres.connection import Address
from flagsnap.postgres.owed import remember
from flagsnap.progress import Silent
from flagsnap.pruning import prune
from flagsnap.pruning.prune import PruneRequest, plan_prune
from flagsnap.pruning.server import opened
from flagsnap.retention import Policy
from flagsnap.snapshot import MANIFEST, Manifest
from flagsnap.stores.base import Store
from flagsnap.stores.snapshots import Snapshots
from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.integration.captures import ended_afterwards, held_up, outcome, wait_for
from tests.integration.prunes import DAY, Shelf, reasons, shelf
from tests.integration.sample_deploy import ROLLBACK, HeldProgram, deploy, said

__all__ = ["shelf"]
KEEP_ONE = ("--keep-last", "1")
CONFIRMED = (*KEEP_ONE, "--confirm")


def test_shown_first_and_done_when_confirmed(shelf: Shelf) -> None:
    shelf.days(4)
    shown = shelf.prune("--keep-last", "2")
    assert (shown["ok"], shown["confirmed"], shown["failed"], shown["limits"]) == (True, False, [], [])
    assert reasons(shown["keep"]) == {"new": "the newest, last 2", "d1": "last 2"}
    assert reasons(shown["remove"]) == dict.fromkeys(["d2", "d3", "d4"], "no rule keeps it")
    assert shown["remove"][0]["captured_at"] == (shelf.now - 2 * DAY).isoformat()
    assert shown["freed"] == 3 * shelf.manifest.summary.bytes == 3 * shown["remove"][0]["bytes"]
    assert shelf.names() == ["d1", "d2", "d3", "d4", "new"]

    done = shelf.prune("--keep-last", "2", "--confirm")
    assert done["confirmed"] is True
    assert {**done, "confirmed": False} == shown
    assert shelf.names() == ["d1", "new"]
    assert not [key for key in shelf.flagsnap.files() if "d2/" in key]
    again = shelf.prune("--keep-last", "2", "--confirm")
    assert (again["remove"], again["freed"]) == ([], 0)
    shelf.flagsnap.within("verify", "new")


def test_text(shelf: Shelf) -> None:
    shelf.days(2)
    shown = shelf.flagsnap.within("prune", *KEEP_ONE).out.splitlines()
    assert [line.split()[0] for line in shown[:4]] == ["deploy", "new", "d1", "d2"]
    assert shown[2].split()[-5:] == ["remove", "no", "rule", "keeps", "it"]
    assert shown[-1].startswith("would remove 2 snapshots, ")
    assert shown[-1].endswith(": nothing was removed; --confirm does it")
    done = shelf.flagsnap.within("prune", *CONFIRMED)
    assert done.out.splitlines()[-1].startswith("removed 2 snapshots, ")
    removed = [line for line in done.err.splitlines() if line.startswith("removed ")]
    assert removed == ["removed d2: no rule keeps it", "removed d1: no rule keeps it"], "the oldest first"
    assert shelf.flagsnap.within("prune", *CONFIRMED).out.splitlines()[-1] == "there is nothing to remove"


def test_a_policy_of_the_settings_and_its_absence(shelf: Shelf) -> None:
    shelf.days(3)
    error, hint = said(shelf.flagsnap.within("prune", "--confirm", code=2))
    assert error == "no policy says which snapshots to keep"
    assert "--keep-monthly" in hint
    shelf.flagsnap.within("prune", "--confirm", FLAGSNAP_KEEP_LAST="3")
    assert shelf.names() == ["d1", "d2", "new"]
    error, _ = said(shelf.flagsnap.within("prune", "--keep-within", "long", code=2))
    assert error == "keep-within cannot be 'long'"


def test_what_is_never_removed(shelf: Shelf) -> None:
    shelf.days(9)
    shelf.add("behind", 10 * DAY, migrations=1)
    shelf.add("owed", 11 * DAY, migrations=1)
    shelf.add("x-archive", 15 * DAY, archive_of="x")
    shelf.add("y-archive", 13 * DAY, archive_of="y")
    shelf.snapshots.pin("d3", "the auditors")
    whole = Rung(checked_at=shelf.now, ok=True)
    proven = shelf.snapshots.get("d5")
    shelf.snapshots.keep_verification(
        Verification(deploy_id="d5", captured_at=proven.captured_at, rungs={"files": whole})
    )
    with shelf.database.connect() as connection:
        remember(connection, "owed", (RefillItem("public", "state", ("value",), ("id",)),))
    shelf.flagsnap.place.put(f"d7/{MANIFEST}", b"{}")
    shelf.prune(*CONFIRMED)
    kept = shelf.snapshots.list()
    assert {each.deploy_id for each in kept.summaries} | {name for name, _ in kept.damaged} >= {
        *("new", "behind", "owed", "d3", "d5", "y-archive"),
    }
    shown = reasons(shelf.prune(*KEEP_ONE)["keep"])
    assert {name: shown[name] for name in ("new", "behind", "owed", "d3", "d5", "y-archive")} == {
        "new": "the newest, last 1",
        "behind": "behind the last deploy",
        "owed": "a refill is owed from it",
        "d3": "pinned",
        "d5": "the newest that verified",
        "y-archive": "an archive, kept for 14 d",
    }
    assert "  an archive, kept for 14 d" in shelf.flagsnap.within("prune", *KEEP_ONE).out
    assert "y-archive" in reasons(shelf.prune(*KEEP_ONE, "--keep-retired", "1d")["remove"])
    assert not {"d1", "d2", "d4", "d6", "d8", "d9", "x-archive"} & {each.deploy_id for each in kept.summaries}


def test_behind_the_last_deploy_as_the_live_database_says(shelf: Shelf) -> None:
    shelf.days(3)
    assert list(reasons(shelf.prune(*KEEP_ONE)["keep"])) == ["new"]
    shelf.database.execute("DELETE FROM django_migrations WHERE name = '0002_tag'")
    assert reasons(shelf.prune(*KEEP_ONE)["keep"])["new"] == "the newest, behind the last deploy, last 1"


def test_after_a_rollback_what_is_live_stays(shelf: Shelf) -> None:
    shelf.days(2)
    shelf.add("predeploy", 3 * DAY, migrations=1)
    shelf.database.execute("DELETE FROM django_migrations WHERE name = '0002_tag'")
    assert reasons(shelf.prune(*CONFIRMED)["keep"]) == {
        "new": "the newest, behind the last deploy, last 1",
        "predeploy": "what is live now",
    }
    shelf.database.execute("DROP TABLE django_migrations")
    assert reasons(shelf.prune(*CONFIRMED)["keep"])["predeploy"] == "before the newest state"
    assert shelf.names() == ["new", "predeploy"]


def test_after_a_deploy_that_was_tried_twice_the_first_try_stays(shelf: Shelf) -> None:
    """The first migrate died between two migrations; `new` was captured before the second."""
    shelf.add("nightly", -timedelta(minutes=1), migrations=3)
    shelf.add("try1", timedelta(minutes=6), migrations=1)
    shelf.add("d1", DAY, migrations=1)
    shelf.database.execute(
        "UPDATE django_migrations SET applied = now() - interval '5 min' WHERE name = '0002_tag';"
        "INSERT INTO django_migrations (app, name) VALUES ('features', '0003')"
    )
    assert reasons(shelf.prune(*CONFIRMED)["keep"]) == {
        "nightly": "the newest, last 1",
        "new": "behind the last deploy",
        "try1": "before the newest migrations",
    }
    assert shelf.names() == ["new", "nightly", "try1"]


def test_what_failed_its_checks_holds_no_place(shelf: Shelf) -> None:
    shelf.days(3)
    failed = Rung(checked_at=shelf.now, ok=False)
    at = shelf.snapshots.get("d1").captured_at
    shelf.snapshots.keep_verification(Verification(deploy_id="d1", captured_at=at, rungs={"files": failed}))
    assert reasons(shelf.prune("--keep-last", "2", "--confirm")["keep"]) == {
        "new": "the newest, last 2",
        "d2": "last 2",
        "d1": "look at it: its files check failed",
    }
    assert shelf.names() == ["d1", "d2", "new"]


def test_a_capture_from_the_future_is_not_the_newest(shelf: Shelf) -> None:
    shelf.days(1)
    shelf.add("ahead", -DAY)
    standby = shelf.beside("standby", shelf.now - shelf.manifest.captured_at)
    shown = shelf.prune(*CONFIRMED)
    assert reasons(shown["keep"]) == {
        "ahead": "captured in the future: a clock is wrong",
        "new": "the newest, last 1",
    }
    assert reasons(shown["databases"]["keep"]) == {standby: "the standby of new, the newest"}


def test_the_newest_counts_only_if_it_can_be_read(shelf: Shelf) -> None:
    """An index may still tell of a manifest that is damaged by now."""
    shelf.days(3)
    shelf.flagsnap.place.put(f"new/{MANIFEST}", shelf.flagsnap.place.get(f"new/{MANIFEST}")[:-20])
    shown = shelf.prune(*CONFIRMED)
    kept = reasons(shown["keep"])
    assert set(kept) == {"new", "d1"}
    assert kept["new"].startswith("look at it: the manifest of new is damaged")
    assert kept["d1"] == "the newest, last 1"


class Counted(Snapshots):
    """Snapshots that know whose manifests were read."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.read: list[str] = []

    def get(self, deploy_id: str) -> Manifest:
        self.read.append(deploy_id)
        return super().get(deploy_id)


def test_of_many_those_only_are_read_that_are_kept(shelf: Shelf) -> None:
    shelf.days(6)
    snapshots = Counted(shelf.snapshots.store)
    asked = replace(request(shelf), snapshots=snapshots, policy=Policy(last=3))
    with opened(Address.parse(shelf.database.url), 10.0) as server:
        plan_prune(asked, server)
    assert snapshots.read == ["new", "d1", "d2"]


def request(shelf: Shelf, *, confirm: bool = True) -> PruneRequest:
    address = Address.parse(shelf.database.url)
    return PruneRequest(address, shelf.snapshots, Policy(last=1), DAY, 10.0, confirm)


def test_what_has_changed_since_it_was_decided_is_spared(shelf: Shelf) -> None:
    shelf.days(5)
    asked = request(shelf)
    with opened(Address.parse(shelf.database.url), 10.0) as server:
        plan = plan_prune(asked, server)
        shelf.snapshots.pin("d1", "")
        shelf.snapshots.pin("d2", "")
        shelf.flagsnap.place.put(f"d2/{PIN}", b"not JSON")
        shelf.snapshots.store.remove("d3")
        shelf.add("d3", 7 * DAY)
        shelf.snapshots.store.remove("d4")
        done = prune._Removal(shelf.snapshots, server, Silent()).run(plan)
    assert dict(done.failed) == {}
    assert set(done.spared) == {"d1", "d2", "d3"}
    assert (done.spared["d1"], done.spared["d3"]) == ("pinned meanwhile", "captured anew meanwhile")
    assert done.spared["d2"].startswith("a pin that cannot be read holds: ")
    assert [each.name for each in done.snapshots.remove] == ["d4", "d5"]
    assert shelf.names() == ["d1", "d2", "d3", "new"]


def test_a_store_of_another_database(shelf: Shelf) -> None:
    shelf.days(3)
    shelf.add("theirs", -timedelta(minutes=1), name="billing")
    before = shelf.names()
    error, hint = said(shelf.flagsnap.within("prune", *CONFIRMED, code=2))
    assert error.startswith("snapshot theirs is of the database billing, not of ")
    assert hint.startswith("check --store and --database-url")
    shelf.snapshots.store.remove("theirs")
    shelf.add("elsewhere", -timedelta(minutes=1), system_identifier="1")
    error, _ = said(shelf.flagsnap.within("prune", *CONFIRMED, code=2))
    assert "of another server" in error
    assert set(shelf.names()) == set(before) - {"theirs"} | {"elsewhere"}


def test_a_capture_that_came_to_the_store_of_another_database_opens_it_to_nobody(shelf: Shelf) -> None:
    for age in range(1, 4):
        shelf.add(f"t{age}", age * DAY, system_identifier="1")
    error, _ = said(shelf.flagsnap.within("prune", *CONFIRMED, code=2))
    assert error.startswith("snapshot t1 is of the database ")


def test_without_a_database(shelf: Shelf) -> None:
    """It must be asked for: nobody else knows from which snapshot a refill is owed."""
    shelf.days(2)
    shelf.add("behind", 3 * DAY, migrations=1)
    scratch = shelf.beside("scratch", DAY)
    shelf.flagsnap.environment.update(FLAGSNAP_DATABASE_URL="", DATABASE_URL="")
    error, hint = said(shelf.flagsnap.within("prune", *CONFIRMED, code=2))
    assert error == "no database URL was given"
    assert "; --no-database prunes " in hint
    plan = shelf.flagsnap.within("prune", *KEEP_ONE, "--json").json
    assert shelf.names() == ["behind", "d1", "d2", "new"]
    shown = shelf.flagsnap.within("prune", *CONFIRMED, "--no-database", "--json").json
    assert reasons(shown["keep"]) == {"new": "the newest, last 1", "behind": "behind the last deploy"}
    assert shown["databases"] == {"keep": [], "remove": []}
    assert plan["limits"] == shown["limits"]
    assert all(word in shown["limits"][0] for word in ("live state", "newest migrations", "refill", "other run"))
    assert shelf.names() == ["behind", "new"]
    shelf.flagsnap.environment["FLAGSNAP_DATABASE_URL"] = shelf.database.url
    shelf.prune(*CONFIRMED, "--no-database")
    assert scratch in shelf.database.relatives()


def test_without_a_connection_nothing_is_removed(shelf: Shelf) -> None:
    shelf.days(2)
    shelf.beside("scratch", DAY)
    relatives = shelf.database.relatives()
    for url in ("postgresql://127.0.0.1:1/x", shelf.database.url + "_gone"):
        error, _ = said(shelf.flagsnap.within("prune", *CONFIRMED, code=1, FLAGSNAP_DATABASE_URL=url))
        assert error.startswith("no connection to ")
    assert shelf.names() == ["d1", "d2", "new"]
    assert shelf.database.relatives() == relatives


def test_no_prune_during_a_capture(shelf: Shelf) -> None:
    shelf.days(2)
    with held_up(shelf.database, shelf.flagsnap, "--deploy-id", "newer") as working:
        for options in (KEEP_ONE, CONFIRMED):
            ended = shelf.flagsnap.within("prune", *options, code=6)
            assert f"error: another flagsnap works on {shelf.database.name}\n" in ended.err
        code, _, _ = working.let_go()
    assert code == 0
    assert shelf.names() == ["d1", "d2", "new", "newer"]


def test_no_prune_during_a_rollback(database: Database, flagsnap: Flagsnap, tmp_path: Path) -> None:
    deploy(database, flagsnap)
    held = HeldProgram.make(tmp_path / "bin", database.server.bin_dir, "pg_restore", "--use-list")
    with ended_afterwards(flagsnap.start(*ROLLBACK, FLAGSNAP_PG_BIN=str(held.folder))) as working:
        held.wait(working)
        relatives = database.relatives()
        assert "another flagsnap works on" in flagsnap.within("prune", *CONFIRMED, code=6).err
        assert database.relatives() == relatives
        held.go_on()
        assert outcome(working)[0] == 0


def test_a_killed_prune_leaves_what_the_next_one_needs(shelf: Shelf) -> None:
    shelf.days(20)
    names = shelf.names()
    with ended_afterwards(shelf.flagsnap.start("prune", *CONFIRMED)) as working:
        wait_for(lambda: not shelf.flagsnap.files(f"d20/{MANIFEST}"), working)
        os.kill(working.pid, signal.SIGKILL)
        working.wait()
    left = shelf.names()
    assert set(left) < set(names)
    assert "new" in left
    shelf.prune(*CONFIRMED)
    assert shelf.names() == ["new"]
    kept = [key for key in shelf.flagsnap.files() if not key.startswith(("new/", ".index", ".drafts/index"))]
    assert kept == []


@pytest.mark.local_store
def test_a_store_in_which_nothing_can_be_removed(shelf: Shelf) -> None:
    """It is found out before anything is removed, and the server is left alone too."""
    shelf.days(2)
    scratch = shelf.beside("scratch", DAY)
    shutil.rmtree(shelf.flagsnap.store / ".drafts")
    (shelf.flagsnap.store / ".drafts").touch()
    error, _ = said(shelf.flagsnap.within("prune", *CONFIRMED, code=1))
    assert error.startswith(f"the store {shelf.flagsnap.store} failed: ")
    assert shelf.names() == ["d1", "d2", "new"]
    assert scratch in shelf.database.relatives()


def test_capture_and_prune(shelf: Shelf) -> None:
    shelf.days(3)
    found = shelf.flagsnap.within("capture", "--deploy-id", "newer", "--prune", "--keep-last", "2", "--json").json
    assert (found["deploy_id"], found["reused"]) == ("newer", False)
    assert found["pruned"]["confirmed"] is True
    assert list(reasons(found["pruned"]["remove"])) == ["d1", "d2", "d3"]
    assert shelf.names() == ["new", "newer"]
    again = shelf.flagsnap.within("capture", "--deploy-id", "newer", "--prune", FLAGSNAP_KEEP_LAST="1").out
    assert "kept the snapshot of newer" in again
    assert "removed 1 snapshot, " in again
    assert shelf.names() == ["newer"]


def test_no_capture_without_the_policy_that_its_prune_needs(shelf: Shelf) -> None:
    error, _ = said(shelf.flagsnap.within("capture", "--deploy-id", "newer", "--prune", code=2))
    assert error == "no policy says which snapshots to keep"
    error, hint = said(shelf.flagsnap.within("capture", "--deploy-id", "newer", *KEEP_ONE, code=2))
    assert (error, hint) == ("--keep-last is for pruning", "add --prune, or leave it out")
    assert shelf.names() == ["new"]


def test_a_prune_that_fails_does_not_fail_the_capture(shelf: Shelf) -> None:
    shelf.days(2, system_identifier="1")
    found = shelf.flagsnap.within("capture", "--deploy-id", "new", "--prune", *KEEP_ONE, "--json")
    assert json.loads(found.out)["pruned"] is None
    assert "warning: the snapshot was captured, but nothing was pruned: snapshot d1 is of the database " in found.err
    assert shelf.names() == ["d1", "d2", "new"]
