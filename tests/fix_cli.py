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
from tests.fix_s3 import place

STORE = "FLAGSNAP_TEST_STORE"


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

    `store` is where snapshots are if the store is a folder.
    """

    store: Path
    environment: dict[str, str] = field(default_factory=dict)

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


@pytest.fixture
def flagsnap(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> Flagsnap:
    """flagsnap on the test's database; the clients are the server's own.

    The store is the one that FLAGSNAP_TEST_STORE names: local (the default), or a server of fix_s3.py. A test that is
    about the folder itself is marked `local_store`.
    """
    folder = tmp_path / "store"
    environment = {
        "FLAGSNAP_DATABASE_URL": database.url,
        "FLAGSNAP_STORE": str(folder),
        "FLAGSNAP_PG_BIN": str(database.server.bin_dir),
    }
    kind = os.environ.get(STORE, "local")
    if kind != "local" and not request.node.get_closest_marker("local_store"):
        there = place(kind)
        environment |= {**there.server.environment, "FLAGSNAP_STORE": there.url}
    return Flagsnap(folder, environment)


def _checked(arguments: tuple[str, ...], ended: Ended, code: int | None) -> Ended:
    if code is not None:
        assert ended.code == code, f"{arguments} ended with {ended.code}\n{ended.out}\n{ended.err}"
    assert "Traceback" not in ended.err
    return ended
