"""Django programs that start at once: forked from a process, one for each worker of xdist, that has Django loaded.

To load Django takes a `manage.py` half a second, and the tests run thousands. All else is as it is without: a process
of its own for each, which loads the project itself.
"""

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

from tests import ask_preloaded, preloaded
from tests.fix_servers import RUN_FOLDER

SECONDS_TO_START = 60.0


@dataclass(frozen=True)
class Preloaded:
    """The process, and where it listens."""

    process: "subprocess.Popen[bytes]"
    path: Path

    @classmethod
    def start(cls, path: Path) -> "Preloaded":
        """Start it; it ends when its standard input does, with this process at the latest."""
        process = subprocess.Popen([sys.executable, preloaded.__file__, str(path)], stdin=subprocess.PIPE)
        until = time.monotonic() + SECONDS_TO_START
        while not path.exists():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
        return cls(process, path)

    def command(self, *argv: str) -> str:
        """The command line of a Python program, `argv` without `python`."""
        return shlex.join([sys.executable, "-IS", ask_preloaded.__file__, str(self.path), *argv])

    def run(
        self, argv: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> "subprocess.CompletedProcess[str]":
        """Run one to its end."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, Path(os.devnull).open() as nothing:
            streams = [file.fileno() for file in (nothing, out, err)]
            code = ask_preloaded.ask(str(self.path), list(argv), str(folder), dict(environment), streams)
            return subprocess.CompletedProcess(list(argv), -9 if code is None else code, _text(out), _text(err))

    def end(self) -> None:
        """End it, and wait for that."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


@cache
def preloaded_django() -> Preloaded:
    """The one of this process, started if need be."""
    return Preloaded.start(Path(os.environ[RUN_FOLDER], f"preloaded-{os.getpid()}"))


def pytest_unconfigure() -> None:
    """End it."""
    if preloaded_django.cache_info().currsize:
        preloaded_django().end()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()
