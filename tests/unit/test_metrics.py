"""The metrics file: what it says of a run and of a store, and that it is valid to the letter."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from flagsnap.attached.verification import Rung
from flagsnap.errors import UsageError
from flagsnap.monitoring.files import check_replaceable, replace_file
from flagsnap.report.metrics import RunEnded, metrics_text
from flagsnap.results import Listing, Standing
from flagsnap.snapshot import Summary

ENDED = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
RUN = RunEnded("verify", "s3://bucket/prod", 0, 12.3456, ENDED)
OLD, NEW = ENDED - timedelta(days=2), ENDED - timedelta(hours=1)
SAMPLE = re.compile(
    r'flagsnap_[a-z_]+\{[a-z]+="(?:[^"\\\n]|\\[\\"n])*"(?:,[a-z]+="(?:[^"\\\n]|\\[\\"n])*")*\} -?\d+(\.\d+)?'
)


def samples(text: str) -> dict[str, float]:
    """The samples of a strictly valid file, by name, those by level as `name.level`."""
    found: dict[str, float] = {}
    assert text.endswith("\n")
    lines = text.splitlines()
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge"
        assert family.documentation
        first = next(number for number, line in enumerate(lines) if line.startswith(f"{family.name}{{"))
        assert lines[first - 2].startswith(f"# HELP {family.name} ")
        assert lines[first - 1] == f"# TYPE {family.name} gauge"
        for sample in family.samples:
            assert {"command", "store"} <= set(sample.labels)
            name = sample.name.removeprefix("flagsnap_") + (
                f".{level}" if (level := sample.labels.get("level")) else ""
            )
            assert name not in found
            found[name] = sample.value
    told = [line for line in lines if not line.startswith("# ")]
    assert all(SAMPLE.fullmatch(line) for line in told), told
    assert len(told) == len(found)
    return found


def summary(deploy_id: str, captured_at: datetime, size: int = 100, archive_of: str | None = None) -> Summary:
    return Summary(deploy_id=deploy_id, captured_at=captured_at, bytes=size, migrations=7, archive_of=archive_of)


def rung(checked_at: datetime, *, ok: bool = True, **more: float) -> Rung:
    return Rung.model_validate({"checked_at": checked_at, "ok": ok, **more})


def test_a_run_whose_store_cannot_be_listed() -> None:
    assert samples(metrics_text(RUN, None)) == {
        "run_success": 1,
        "run_exit_code": 0,
        "run_seconds": 12.346,
        "run_end_timestamp_seconds": ENDED.timestamp(),
        "store_readable": 0,
    }


@pytest.mark.parametrize("code", [1, 3, 130])
def test_a_run_that_failed(code: int) -> None:
    found = samples(metrics_text(RunEnded("prune", "", code, 0.0, ENDED), None))
    assert (found["run_success"], found["run_exit_code"]) == (0, code)


def test_an_empty_store() -> None:
    found = samples(metrics_text(RUN, Listing((), ())))
    assert (found["store_readable"], found["snapshots"], found["store_bytes"]) == (1, 0, 0)
    assert not [name for name in found if name.startswith(("newest", "verified", "drill"))]


def test_the_newest_and_the_sums() -> None:
    before = NEW - timedelta(hours=1)
    summaries = (summary("a", NEW, 30, archive_of="v2"), summary("v2", before, 20), summary("v1", OLD, 10))
    listing = Listing(summaries, (("v0", "its manifest is damaged"),), {"v1": Standing(pinned=True)})
    found = samples(metrics_text(RUN, listing))
    assert (found["snapshots"], found["archives"], found["snapshots_damaged"], found["snapshots_pinned"]) == (
        2,
        1,
        1,
        1,
    )
    assert (found["store_bytes"], found["newest_capture_bytes"], found["newest_capture_migrations"]) == (60, 20, 7)
    assert found["newest_capture_timestamp_seconds"] == before.timestamp()


def test_what_verified() -> None:
    sampled = Rung(checked_at=NEW, ok=True, share=0.05, whole_at=OLD)
    standings = {
        "v3": Standing(rungs={"files": rung(NEW, share=0.05)}),
        "v2": Standing(rungs={"manifest": rung(NEW, ok=False), "files": sampled, "drill": rung(OLD, seconds=61.5)}),
        "v1": Standing(rungs={"files": rung(OLD - timedelta(days=1)), "drill": rung(NEW, ok=False, seconds=1)}),
    }
    listing = Listing((summary("v3", NEW), summary("v2", OLD), summary("v1", OLD - timedelta(days=9))), (), standings)
    found = samples(metrics_text(RUN, listing))
    assert (found["verified_ok.manifest"], found["verified_ok.files"], found["verified_ok.drill"]) == (0, 1, 0)
    assert "verified_ok.toc" not in found
    assert "verified_timestamp_seconds.manifest" not in found
    assert found["verified_timestamp_seconds.files"] == OLD.timestamp()
    assert found["verified_capture_timestamp_seconds.files"] == OLD.timestamp()
    assert found["verified_timestamp_seconds.drill"] == OLD.timestamp()
    assert found["drill_seconds"] == 61.5


def test_an_archive_that_failed_is_told_and_is_no_capture() -> None:
    standings = {"a": Standing(rungs={"files": rung(NEW, ok=False), "toc": rung(NEW)})}
    found = samples(metrics_text(RUN, Listing((summary("a", NEW, archive_of="v1"),), (), standings)))
    assert (found["verified_ok.files"], found["verified_ok.toc"]) == (0, 1)
    assert "verified_timestamp_seconds.toc" not in found


@pytest.mark.parametrize("store", ['/a "b"', "/back\\slash\\n", "/new\nline", "/ä", '\\"', ""])
def test_labels_come_back_as_they_were(store: str) -> None:
    text = metrics_text(RunEnded("verify", store, 0, 1.0, ENDED), Listing((), ()))
    samples(text)
    (labels,) = {
        tuple(sample.labels.items()) for each in text_string_to_metric_families(text) for sample in each.samples
    }
    assert dict(labels) == {"command": "verify", "store": store}


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "flagsnap.prom"
    replace_file(path, "one\n")
    before = path.stat().st_ino
    replace_file(path, "two\n")
    assert (path.read_text(), oct(path.stat().st_mode & 0o777)) == ("two\n", "0o644")
    assert path.stat().st_ino != before
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    replace_file(tmp_path / "link", "x\n")
    assert (tmp_path / "file").read_text() == "x\n"
    assert (tmp_path / "link").is_symlink()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "flagsnap.prom"
    replace_file(path, "one\n")
    with pytest.raises(UnicodeEncodeError):
        replace_file(path, "\udc80")
    assert path.read_text() == "one\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be(tmp_path: Path) -> None:
    check_replaceable(tmp_path / "new.prom")
    with pytest.raises(UsageError, match="there is no folder"):
        check_replaceable(tmp_path / "missing" / "new.prom")
    with pytest.raises(UsageError, match="is no file"):
        check_replaceable(tmp_path)
