"""flagsnap with a person before it: standard input and standard error are a terminal."""

import os
import pty
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

from tests.fix_cli import Ended, Flagsnap

SECONDS = 60


@dataclass
class Terminal:
    """A terminal of 80 columns, and what has been written to it."""

    master: int
    slave: int
    written: bytearray = field(default_factory=bytearray)

    def read(self) -> None:
        """Read until the last program has closed it."""
        with suppress(OSError):
            while chunk := os.read(self.master, 4096):
                self.written += chunk

    def wait_for(self, text: str) -> None:
        """Wait until the program has written `text`."""
        until = time.monotonic() + SECONDS
        while text.encode() not in self.written:
            assert time.monotonic() < until, f"never saw {text!r} in {bytes(self.written)!r}"
            time.sleep(0.01)


def on_a_terminal(flagsnap: Flagsnap, *arguments: str, answers: dict[str, str] | None = None, **env: str) -> Ended:
    """Run it on a terminal, standard output apart; `answers` are typed when their questions appear, in order."""
    terminal = Terminal(*pty.openpty())
    process = subprocess.Popen(
        # The shell opens the terminal as the leader of a session: from then on it is the one whose keys send signals.
        [
            "sh",
            "-c",
            'exec "$@" <"$0" 2>"$0"',
            os.ttyname(terminal.slave),
            sys.executable,
            "-m",
            "flagsnap",
            *arguments,
        ],
        env={**os.environ, **flagsnap.environment, "TERM": "xterm-256color", **env},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    reader = threading.Thread(target=terminal.read)
    reader.start()
    try:
        for question, answer in (answers or {}).items():
            terminal.wait_for(question)
            os.write(terminal.master, answer.encode())
        out, _ = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
        process.wait()
        os.close(terminal.slave)
        reader.join()
        os.close(terminal.master)
    return Ended(process.returncode, out, terminal.written.decode())
