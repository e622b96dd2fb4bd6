"""flagsnap as a user runs it, with exit code and both streams: a program of its own, or the same within the test."""

import io
import json
import os
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flagsnap.cli.app import main
from flagsnap.config import load_settings
from flagsnap.stores import open_store
from flagsnap.stores.snapshots import Snapshots
from tests.fix_databases import Database
from tests.fix_s3 import S3Place, place

STORE = "FLAGSNAP_TEST_STORE"


@dataclass(frozen=True)
class Folder:
    """A folder as a place of objects, with the verbs of an S3Place: a key is a path below it."""

    root: Path

    @property
    def url(self) -> str:
        """The place as flagsnap names it."""
        return str(self.root)

    def keys(self) -> list[str]:
        """All files below it; os.walk bears with folders that go meanwhile."""
        found = (Path(folder, name) for folder, _, names in os.walk(self.root) for name in names)
        return sorted(path.relative_to(self.root).as_posix() for path in found)

    def get(self, key: str) -> bytes:
        """A file's content."""
        return (self.root / key).read_bytes()

    def put(self, key: str, body: bytes) -> None:
        """Write a file, or replace it; its folder is there afterwards."""
        (self.root / key).parent.mkdir(parents=True, exist_ok=True)
        (self.root / key).write_bytes(body)

    def delete(self, key: str) -> None:
        """Remove a file; one that is not there is no error."""
        (self.root / key).unlink(missing_ok=True)


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on standard output."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass
class Flagsnap:
    """The command line, with the test's database and a store of its own in the environment.

    `place` has the store's files, wherever it is; `store` is its folder if the test is marked `local_store`.
    """

    store: Path
    place: Folder | S3Place
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def is_local(self) -> bool:
        """Whether the store is a folder."""
        return isinstance(self.place, Folder)

    def files(self, below: str = "") -> list[str]:
        """The keys of all files in the store that begin so."""
        keys = self.place.keys()
        return [key for key in keys if key.startswith(below)]

    def fetched(self, deploy_id: str) -> Path:
        """A snapshot's folder on this machine; from a bucket its files are copied, as `aws s3 cp` does."""
        if isinstance(self.place, S3Place):
            for key in self.files(f"{deploy_id}/"):
                Folder(self.store).put(key, self.place.get(key))
        return self.store / deploy_id

    @property
    def snapshots(self) -> Snapshots:
        """The store, read by the product."""
        settings = load_settings({}, {**os.environ, **self.environment}, None)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                if name.startswith("AWS_"):
                    patch.setenv(name, value)
            snapshots = Snapshots(open_store(settings.store, settings.store_options))
            snapshots.store.list()  # boto3 looks for its settings now, and not later
            return snapshots

    def __call__(self, *arguments: str, code: int | None = 0, **environment: str) -> Ended:
        """Run it to its end; the exit code must be `code`, unless that is None."""
        done = subprocess.run(
            [sys.executable, "-m", "flagsnap", *arguments],
            env={**os.environ, **self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )
        return _checked(arguments, Ended(done.returncode, done.stdout, done.stderr), code)

    def within(self, *arguments: str, code: int | None = 0, **environment: str) -> Ended:
        """The same within this process: it saves the second that a program takes to start."""
        out, err = io.StringIO(), io.StringIO()
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name, value in {**self.environment, **environment}.items():
                patch.setenv(name, value)
            patch.setattr("sys.stdin", io.StringIO())
            try:
                with pytest.raises(SystemExit) as exit_:
                    main(arguments)
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
        return _checked(arguments, Ended(int(exit_.value.code or 0), out.getvalue(), err.getvalue()), code)

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """Start it in the background, to be killed or waited for by the test."""
        return subprocess.Popen(
            [sys.executable, "-m", "flagsnap", *arguments],
            env={**os.environ, **self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With another store than a folder, leave out the tests for which it makes no difference."""
    if os.environ.get(STORE, "local") != "local":
        left_out = [item for item in items if not _uses_the_store(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if _uses_the_store(item)]


def _uses_the_store(item: pytest.Item) -> bool:
    return "flagsnap" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("local_store")


@pytest.fixture
def flagsnap(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> Flagsnap:
    """flagsnap on the test's database; the clients are the server's own.

    The store is the one that FLAGSNAP_TEST_STORE names: local (the default), or a server of fix_s3.py. A test that is
    about the folder itself is marked `local_store`.
    """
    kind = os.environ.get(STORE, "local")
    is_local = kind == "local" or request.node.get_closest_marker("local_store")
    there = Folder(tmp_path / "store") if is_local else place(kind)
    environment = {
        "FLAGSNAP_DATABASE_URL": database.url,
        "FLAGSNAP_STORE": there.url,
        "FLAGSNAP_PG_BIN": str(database.server.bin_dir),
    }
    if isinstance(there, S3Place):
        environment |= there.server.environment
    return Flagsnap(tmp_path / "store", there, environment)


def _checked(arguments: tuple[str, ...], ended: Ended, code: int | None) -> Ended:
    if code is not None:
        assert ended.code == code, f"{arguments} ended with {ended.code}\n{ended.out}\n{ended.err}"
    assert "Traceback" not in ended.err
    return ended
