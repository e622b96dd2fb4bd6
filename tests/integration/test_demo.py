"""The demo: its story in every kind of store, and nothing of it stays behind, however it ends."""

import os
import re
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fix_cli import Flagsnap, Folder
from tests.fix_s3 import KINDS, S3Place, place
from tests.integration.captures import descendants, ended_afterwards, outcome, wait_for


def demo_in(there: Folder | S3Place, folder: Path) -> Flagsnap:
    """flagsnap as a user has it who has not set anything but what a bucket needs."""
    return Flagsnap(folder, there, there.server.environment if isinstance(there, S3Place) else {})


@pytest.fixture(params=["folder", *KINDS])
def given(request: pytest.FixtureRequest, tmp_path: Path) -> Flagsnap:
    """A store in which somebody has something already."""
    there = Folder(tmp_path / "store") if request.param == "folder" else place(request.param)
    there.put("v2/manifest.json", b"somebody's")
    return demo_in(there, tmp_path / "store")


def test_the_story_without_a_store_leaves_the_users_alone(tmp_path: Path) -> None:
    store = tmp_path / "store"
    ended = demo_in(Folder(store), store)("demo", "--json", FLAGSNAP_STORE=str(store))
    assert ended.json["ok"] is True
    assert "/flagsnap-demo-" in ended.err
    assert "proven: the applied migrations and the schema equal what was recorded" in ended.err
    assert not store.exists()


def test_the_story_in_a_store(given: Flagsnap) -> None:
    ended = given("demo", "--store", given.place.url, COLUMNS="200")
    assert f"The snapshots go to {given.place.url}/demo-" in ended.out
    assert f"  {given.place.url}/demo-" in ended.out.partition("$ flagsnap capture --deploy-id v3")[2]
    assert ended.out.count("proven: the applied migrations and the schema equal what was recorded") == 3
    assert "exact: the way back gives the recorded state again" in ended.out
    assert re.search(r"; back: [\d.]+ s by the project, [\d.]+ s by replay\n", ended.out)
    assert "back to the state before deploy v2.1: replayed 8 migrations" in ended.out
    assert ended.out.endswith("The server is stopped, and everything it had is removed.\n")
    assert left(given) == []


def test_an_interrupted_story_leaves_nothing(given: Flagsnap) -> None:
    with ended_afterwards(given.start("demo", "--store", given.place.url)) as process:
        wait_for(lambda: [key for key in given.files("demo-") if key.endswith("/v2/manifest.json")], process)
        process.send_signal(signal.SIGINT)
        code, _, err = outcome(process)
    assert code == 130
    assert err.endswith("error: interrupted\nhint: the same command again goes on, or starts anew\n")
    assert left(given) == []


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for temporary files; pytest's own cannot be entered by the user that the server runs as."""
    with tempfile.TemporaryDirectory(prefix="flagsnap-test-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


def test_a_story_whose_capture_is_killed_leaves_nothing(given: Flagsnap, temporary: Path) -> None:
    with ended_afterwards(given.start("demo", "--store", given.place.url, TMPDIR=str(temporary))) as process:
        wait_for(lambda: [key for key in given.files("demo-") if "/.drafts/" in key], process)
        (capture,) = (pid for pid, line in descendants(process.pid).items() if "flagsnap capture" in line)
        os.kill(capture, signal.SIGKILL)
        code, _, err = outcome(process)
    assert code == 1
    assert "error: `flagsnap capture --deploy-id v2` ended with exit code -9, not 0\n" in err
    assert left(given) == []
    assert list(temporary.iterdir()) == []


def test_a_store_that_cannot_be_used_ends_it_before_the_story_begins(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "store")
    folder.put("in the way", b"a file")
    ended = demo_in(folder, folder.root)("demo", "--store", f"{folder.root}/in the way", code=1)
    assert ended.out == ""
    assert "failed: not a directory\n" in ended.err


def left(flagsnap: Flagsnap) -> list[str]:
    """What the store has that was not there before, even empty folders."""
    folders = [path.name for path in flagsnap.store.glob("*") if path.name != "v2"]
    return [*folders, *(key for key in flagsnap.files() if key != "v2/manifest.json")]
