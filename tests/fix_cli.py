"""flagsnap as a user runs it: a program of its own, with its exit code and both streams."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.fix_databases import Database


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
    """The command line, with the test's database and a store of its own in the environment."""

    store: Path
    environment: dict[str, str] = field(default_factory=dict)

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
        ended = Ended(done.returncode, done.stdout, done.stderr)
        if code is not None:
            assert ended.code == code, f"{arguments} ended with {ended.code}\n{ended.out}\n{ended.err}"
        assert "Traceback" not in ended.err
        return ended

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
def flagsnap(database: Database, tmp_path: Path) -> Flagsnap:
    """flagsnap on the test's database; the clients are the server's own."""
    store = tmp_path / "store"
    environment = {
        "FLAGSNAP_DATABASE_URL": database.url,
        "FLAGSNAP_STORE": str(store),
        "FLAGSNAP_PG_BIN": str(database.server.bin_dir),
    }
    return Flagsnap(store, environment)


