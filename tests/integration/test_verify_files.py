"""The rung `files`: every flipped bit is found, samples come round, and time that runs out is no proof."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from flagsnap.attached.pin import PIN
from flagsnap.attached.verification import VERIFIED, Rung, Verification
from flagsnap.progress import Silent
from flagsnap.restoring.drill import Ground
from flagsnap.results import Listing, Standing
from flagsnap.stores.snapshots import Snapshots
from flagsnap.verification import Check
from flagsnap.verifying.climb import Climb
from flagsnap.verifying.ladder import climb_ladder
from flagsnap.verifying.request import Budget, Ladder
from flagsnap.verifying.verify import in_order
from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.integration.captures import SCHEMA
from tests.unit.sample_manifests import sample_manifest
from tests.unit.sample_rehearsals import sample_rehearsal

FLIPS = 1_000


def no_ground(_: object) -> Ground:
    raise AssertionError("nothing is drilled here")


def ladder(level: str = "files", **options: object) -> Ladder:
    return Ladder(level, 2, None, no_ground, **options)  # type: ignore[arg-type]


def climbed(snapshots: Snapshots, **options: object) -> Climb:
    return climb_ladder(snapshots, "v2", ladder(**options), Silent())  # type: ignore[arg-type]


def bad(climb: Climb) -> list[Check]:
    return [check for check in climb.checks if not check.ok]


@pytest.fixture
def snapshots(flagsnap: Flagsnap, database: Database) -> Snapshots:
    """One small snapshot, v2."""
    database.execute(SCHEMA)
    flagsnap.within("capture", "--deploy-id", "v2")
    return flagsnap.snapshots


def kept(snapshots: Snapshots) -> Verification:
    found = snapshots.verification(snapshots.get("v2"))
    assert found
    return found


@pytest.mark.local_store
def test_a_flipped_bit_in_any_file_is_found(
    snapshots: Snapshots, flagsnap: Flagsnap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Must hold 1 of the issue: a thousand times, at random places of the dump and of all that lies beside it."""
    manifest = snapshots.get("v2")
    snapshots.attach_rehearsal(sample_rehearsal(manifest))
    snapshots.pin("v2", "for ever")
    flagsnap.within("verify", "v2")
    files = [path for path in (flagsnap.store / "v2").rglob("*") if path.is_file()]
    assert {"manifest.json", "rehearsal.json", PIN, VERIFIED, "toc.dat"} <= {path.name for path in files}
    # To keep each of the results takes longer than all the rest, and would mend a damaged one.
    monkeypatch.setattr("flagsnap.verifying.ladder.keep", lambda *_: None)
    assert bad(climbed(snapshots)) == []
    chosen = random.Random(6)
    missed = [flipped for _ in range(FLIPS) if (flipped := unnoticed(chosen, files, snapshots))]
    assert missed == []
    assert bad(climbed(snapshots)) == []


def unnoticed(chosen: random.Random, files: list[Path], snapshots: Snapshots) -> str | None:
    """Flip one bit, verify, and flip it back; where it was if it was not found."""
    path = chosen.choice([each for each in files if each.stat().st_size])
    whole = path.read_bytes()
    at, bit = chosen.randrange(len(whole)), 1 << chosen.randrange(8)
    path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
    found = any(check.details for check in climbed(snapshots).checks)
    path.write_bytes(whole)
    return None if found else f"{path.name}: byte {at}, bit {bit}"


@pytest.mark.parametrize("path", ["stray.txt", "dumps/other/1.dat", "dumps/default/9999.dat.zst", "sub/manifest.json"])
def test_files_that_nobody_recorded_are_found(snapshots: Snapshots, flagsnap: Flagsnap, path: str) -> None:
    flagsnap.place.put(f"v2/{path}", b"stray")
    (check,) = bad(climbed(snapshots))
    assert check.details == (f"{path} was not recorded",)


def test_a_damaged_verification_fails_once_and_is_replaced(snapshots: Snapshots, flagsnap: Flagsnap) -> None:
    flagsnap.within("verify", "v2")
    flagsnap.place.put(f"v2/{VERIFIED}", flagsnap.place.get(f"v2/{VERIFIED}")[:-9])
    found = flagsnap.within("verify", "v2", "--json", code=3).json
    assert [check["name"] for check in found["checks"] if not check["ok"]] == ["verification"]
    assert "the verification of v2 is damaged" in str(found)
    flagsnap.within("verify", "v2")


# Samples.


def test_samples_come_round_and_do_not_hide_an_older_whole_pass(snapshots: Snapshots) -> None:
    sizes = {file.path: file.bytes for file in snapshots.get("v2").files}
    climbed(snapshots)
    whole = kept(snapshots).rungs["files"]
    assert (whole.share, whole.whole_at, whole.is_whole) == (1.0, None, True)
    shares, starts = [], []
    for _ in range(len(sizes) + 1):
        starts.append(kept(snapshots).resume)
        climb = climbed(snapshots, share=0.05)
        assert bad(climb) == []
        assert climb.checks[-1].said.endswith("% of the bytes")
        rung = kept(snapshots).rungs["files"]
        shares.append(rung.share)
        assert rung.is_whole
        if starts[-1] != "" and kept(snapshots).resume < starts[-1]:
            break
        assert rung.verified_at == whole.checked_at
    assert 0 < max(shares) < 1
    assert sum(shares) >= 0.99  # every byte has been read
    came_round = kept(snapshots).rungs["files"].verified_at
    assert came_round
    assert came_round > whole.checked_at


def test_a_sample_that_fails_stays_failed_until_that_file_is_whole(snapshots: Snapshots, flagsnap: Flagsnap) -> None:
    last = max(file.path for file in snapshots.get("v2").files if file.bytes)
    content = flagsnap.place.get(f"v2/{last}")
    climbed(snapshots)
    flagsnap.place.put(f"v2/{last}", content[:-1] + bytes([content[-1] ^ 1]))
    for _ in range(20):
        if bad(climbed(snapshots, share=0.05)):
            break
    for _ in range(2):
        (check,) = bad(climbed(snapshots, share=0.01))
        assert last in check.details[0]
        assert not kept(snapshots).rungs["files"].is_whole
    flagsnap.place.put(f"v2/{last}", content)
    assert bad(climbed(snapshots, share=0.01)) == []
    assert kept(snapshots).rungs["files"].ok
    assert not kept(snapshots).rungs["files"].is_whole  # nobody has looked at the others since
    climbed(snapshots)
    assert kept(snapshots).rungs["files"].is_whole


def test_a_missing_file_is_found_by_any_sample(snapshots: Snapshots, flagsnap: Flagsnap) -> None:
    last = max(file.path for file in snapshots.get("v2").files)
    flagsnap.place.delete(f"v2/{last}")
    (check,) = bad(climbed(snapshots, share=0.01))
    assert check.details == (f"{last} is missing",)


@pytest.mark.parametrize("share", ["0%", "101%", "five", "-1%", "nan"])
def test_shares_that_are_none(flagsnap: Flagsnap, share: str) -> None:
    assert "is not a share of the bytes" in flagsnap.within("verify", f"--sample={share}", code=2).err


def test_levels_at_which_there_is_nothing_to_sample(flagsnap: Flagsnap) -> None:
    for level in ("manifest", "drill"):
        ended = flagsnap.within("verify", "--level", level, "--sample", "5%", code=2)
        assert "there is nothing to sample" in ended.err


# Time.


def test_no_time_is_no_proof(snapshots: Snapshots) -> None:
    climb = climbed(snapshots, budget=Budget(timedelta(seconds=-1)))
    (check,) = bad(climb)
    assert (check.name, check.unchecked) == ("files", "no time left")
    assert "files" not in kept(snapshots).rungs


def _is_spent(looks: Iterator[int], _: Budget) -> bool:
    return next(looks, None) is None


def test_what_is_read_in_time_is_gone_on_from(snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flagsnap.verifying.reading._BATCH", 1)
    files = sorted(file.path for file in snapshots.get("v2").files if file.bytes)
    assert len(files) > 3
    for number in range(1, 9):
        looks = iter(range(3))
        monkeypatch.setattr(Budget, "is_spent", property(partial(_is_spent, looks)))
        climb = climbed(snapshots, budget=Budget(timedelta(seconds=30)))
        rung = kept(snapshots).rungs["files"]
        if rung.is_whole:
            break
        assert "no time left: " in bad(climb)[0].unchecked
        assert "the next run goes on" in bad(climb)[0].unchecked
        assert number < 8
    assert rung.whole_at


def test_all_and_the_newest(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    for deploy_id in ("v1", "v2", "v3"):
        flagsnap.within("capture", "--deploy-id", deploy_id)
    flagsnap.within("verify", "v3")
    text = flagsnap.within("verify", "--all").out.splitlines()
    assert text[2] == "ok         manifest, files: v3"
    assert sorted(text[:3]) == [f"ok         manifest, files: {each}" for each in ("v1", "v2", "v3")]
    found = flagsnap.within("verify", "--newest", "2", "--no-live", "--json").json
    assert {check["subject"] for check in found["checks"]} == {"v2", "v3"}
    ended = flagsnap.within("verify", "--all", "--no-live", "--budget", "0s", "--json", code=1)
    assert [check["detail"] for check in ended.json["checks"]] == ["no time left"] * 3
    assert flagsnap.within("verify", "--all", "--budget", "soon", code=2).err.startswith("error: 'soon' is not")


def test_the_longest_unchecked_goes_first() -> None:
    base = sample_manifest().summary
    captured = {name: base.captured_at - timedelta(days=day) for day, name in enumerate(("v4", "v3", "v2", "v1"))}
    summaries = [base.model_copy(update={"deploy_id": name, "captured_at": at}) for name, at in captured.items()]
    archive = base.model_copy(update={"deploy_id": "v3-archive", "archive_of": "v3"})

    def checked(days_ago: int) -> Standing:
        at = base.captured_at - timedelta(days=days_ago)
        return Standing(rungs={"files": Rung(checked_at=at, ok=days_ago != 3)})

    standings = {"v4": checked(1), "v3": checked(3), "v1": checked(2)}
    listing = Listing((*summaries[:2], archive, *summaries[2:]), (), standings)
    assert in_order(listing, 0, "files") == ("v3-archive", "v2", "v3", "v1", "v4")
    assert in_order(listing, 3, "files") == ("v2", "v3", "v4")
    assert in_order(listing, 2, "drill") == ("v4", "v3")


def test_all_with_one_that_is_damaged(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    for deploy_id in ("v1", "v2"):
        flagsnap.within("capture", "--deploy-id", deploy_id)
    manifest = flagsnap.place.get("v1/manifest.json")
    flagsnap.place.put("v1/manifest.json", manifest[:-30])
    text = flagsnap.within("verify", "--no-live", "--all", code=3).out
    assert "failed     manifest: v1\n" in text
    assert "files: v2\n" in text
    # Its place in the order is known if there is an index of it; it is not one of the newest then.
    text = flagsnap.within("verify", "--no-live", "--newest", "1", code=None).out
    assert "files: v2\n" in text


@pytest.mark.parametrize("arguments", [("v2", "--all"), ("--all", "--newest", "2"), ("v2", "--newest", "1")])
def test_one_or_several(flagsnap: Flagsnap, arguments: tuple[str, ...]) -> None:
    assert "name one snapshot, or --newest N, or --all" in flagsnap.within("verify", *arguments, code=2).err


@pytest.mark.parametrize("arguments", [("--all",), ("--newest", "2")])
def test_an_empty_store_is_not_green(flagsnap: Flagsnap, arguments: tuple[str, ...]) -> None:
    (check,) = flagsnap.within("verify", *arguments, "--no-live", "--json", code=1).json["checks"]
    assert (check["name"], check["checked"], check["detail"]) == ("store", False, "there is no snapshot")
    (check,) = flagsnap.within("verify", *arguments, "--no-live", "--max-age", "26h", "--json", code=3).json["checks"]
    assert check["name"] == "age"


# Age.


def test_an_age(flagsnap: Flagsnap, snapshots: Snapshots) -> None:
    found = flagsnap.within("verify", "--max-age", "26h", "--no-live", "--json").json
    assert found["checks"][-1]["name"] == "age"
    assert found["checks"][-1]["said"].startswith("the newest capture, v2, is ")
    found = flagsnap.within("verify", "--max-age", "0s", "--no-live", "--json", code=3).json
    assert "more than 0 s" in found["checks"][-1]["detail"]


@pytest.mark.local_store
@pytest.mark.parametrize(("minutes", "code"), [(4, 0), (120, 3)])
def test_a_capture_of_the_future_is_not_young(
    flagsnap: Flagsnap, snapshots: Snapshots, minutes: int, code: int
) -> None:
    manifest = snapshots.get("v2")
    ahead = manifest.model_copy(update={"captured_at": datetime.now(UTC) + timedelta(minutes=minutes)})
    flagsnap.place.put("v2/manifest.json", ahead.to_json())
    arguments = ("verify", "--level", "manifest", "--max-age", "26h", "--no-live", "--json")
    age = flagsnap.within(*arguments, code=code).json["checks"][-1]
    assert age["name"] == "age"
    assert ("ahead of the clock here" in age["detail"]) is bool(code)


def test_an_empty_store_is_too_old_for_any_age(flagsnap: Flagsnap) -> None:
    found = flagsnap.within("verify", "--max-age", "26h", "--json", code=3).json
    assert [(check["name"], check["detail"]) for check in found["checks"]] == [("age", "there is no capture")]


def test_a_damaged_capture_is_no_young_one(flagsnap: Flagsnap, snapshots: Snapshots) -> None:
    manifest = snapshots.get("v2")
    failed = Rung(checked_at=datetime.now(UTC), ok=False, details=("gone",))
    snapshots.keep_verification(Verification(deploy_id="v2", captured_at=manifest.captured_at, rungs={"toc": failed}))
    found = flagsnap.within("verify", "--level", "manifest", "--max-age", "26h", "--no-live", "--json", code=3).json
    assert found["checks"][-1]["detail"] == "there is no capture that is whole"


# The store.


@pytest.mark.local_store
def test_results_that_cannot_be_kept_are_warned_of(
    snapshots: Snapshots, flagsnap: Flagsnap, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("flagsnap.stores.local.locked_folder", refuse)
    ended = flagsnap.within("verify", "v2")
    assert "warning: the results of v2 could not be kept: the store" in ended.err


@pytest.mark.local_store
def test_a_store_that_fails_is_no_proof(snapshots: Snapshots, flagsnap: Flagsnap, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")
    ended = flagsnap.within("verify", "--store", str(file), "--json", code=1)
    (check,) = ended.json["checks"]
    assert (ended.json["ok"], check["name"], check["checked"]) == (False, "store", False)
    assert "could not check it: the store" in flagsnap.within("verify", "--store", str(file), "--all", code=1).out


def test_two_at_once_keep_what_both_have_found(snapshots: Snapshots) -> None:
    """What another run has found meanwhile, at another level or later, stays."""
    manifest = snapshots.get("v2")
    later = datetime.now(UTC) + timedelta(hours=1)
    found = Verification(
        deploy_id="v2",
        captured_at=manifest.captured_at,
        rungs={
            "drill": Rung(checked_at=later, ok=True, seconds=3),
            "files": Rung(checked_at=later, ok=True, seconds=4),
        },
    )
    snapshots.keep_verification(found)
    climbed(snapshots)
    assert kept(snapshots).rungs["files"].seconds == 4
    assert set(kept(snapshots).rungs) == {"manifest", "files", "drill"}
