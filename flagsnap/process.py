"""Children: the only place that starts programs.

A program is started from an argument list, never through a shell. Both of its pipes are drained while it runs, so
that a verbose child cannot hang; the tail of its standard error is kept for the error message. A child runs in a
session of its own and is ended, with all that it started, when its `with` block is left before it has finished.

A child that tells on its standard error what it does can be held back: while nobody reads its words, it waits with the
next. That needs no signal, so nothing stays stopped if flagsnap is killed: who writes to a reader that is gone ends.
"""

import contextlib
import os
import queue
import select
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

from flagsnap.errors import ChildFailed, UsageError

TAIL_LINES = 12
GRACE_SECONDS = 5.0
_CHUNK = 1 << 16
_LOOK_UP_SECONDS = 0.5
_HOLD_SECONDS = 0.02

LineHandler = Callable[[str], None]
HoldBack = Callable[[], bool]
Watch = Callable[[], None]


@dataclass(frozen=True)
class Command:
    """A program with its arguments, what is added to its environment, its folder, and its user (for root only)."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    folder: Path | None = None
    user: str | None = None

    @property
    def program(self) -> str:
        """The program's name without its folder."""
        return Path(self.argv[0]).name


class Child:
    """A running program; use it in a `with` block."""

    def __init__(
        self, command: Command, on_error_line: LineHandler | None = None, hold_back: HoldBack | None = None
    ) -> None:
        """Start it; UsageError if there is no such program.

        `on_error_line` is called for each line of standard error, from a thread of the child's own; what it raises,
        `chunks` raises. While `hold_back` is true, the lines are not read, and there is room for very few.
        """
        self._command = command
        self._on_error_line = on_error_line
        self._hold_back = hold_back
        self._handler_failed: Exception | None = None
        self._leaving = False
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._errors, errors = _narrow_pipe() if hold_back else _pipe_pair()
        try:
            self._process = subprocess.Popen(
                command.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **command.env},
                cwd=command.folder,
                user=command.user,
                start_new_session=True,
            )
        except OSError as error:
            self._errors.close()
            raise UsageError(f"cannot run {command.argv[0]}: {error.strerror}") from error
        finally:
            os.close(errors)
        self._drain = threading.Thread(target=self._drain_stderr, daemon=True)
        self._drain.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving = True
        if self._process.poll() is None:
            self._end()
        self._drain.join(timeout=GRACE_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            if pipe:
                # A child that is gone no longer reads what was still buffered for it; there is nothing to save.
                with contextlib.suppress(OSError):
                    pipe.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def tail(self) -> str:
        """The last lines of its standard error."""
        return "\n".join(self._tail).strip()

    def write(self, data: bytes) -> None:
        """Write to its standard input; ChildFailed with its last words if it has ended."""
        try:
            _pipe(self._process.stdin).write(data)
        except (BrokenPipeError, ValueError) as error:
            self.finish()
            raise ChildFailed(self._command.program, 0, "it stopped reading") from error

    def close_input(self) -> None:
        """Tell it that there is no more input."""
        with contextlib.suppress(BrokenPipeError):  # it has ended; `finish` tells how
            _pipe(self._process.stdin).close()

    def chunks(self, watch: Watch | None = None) -> Iterator[bytes]:
        """Its standard output, until it ends; `watch` is called again and again, and may raise."""
        output = _pipe(self._process.stdout).fileno()
        while True:
            # A signal does not always break off a read that is waiting; Python acts on it when this returns.
            while not select.select([output], [], [], _LOOK_UP_SECONDS)[0]:
                self._raise_handlers_failure()
                if watch:
                    watch()
            if not (chunk := os.read(output, _CHUNK)):
                return
            yield chunk

    def lines(self, silence: float) -> Iterator[str]:
        """Its standard output line by line; TimeoutError after `silence` seconds without one.

        Bytes that are not UTF-8 are replaced.
        """
        waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=self._read_lines, args=(waiting,), daemon=True).start()
        while True:
            try:
                line = waiting.get(timeout=silence)
            except queue.Empty:
                raise TimeoutError from None
            if line is None:
                return
            yield line.decode(errors="replace")

    def finish(self) -> None:
        """Wait for the end; ChildFailed unless the exit code is zero."""
        code = self._process.wait()
        self._drain.join(timeout=GRACE_SECONDS)
        self._raise_handlers_failure()
        if code:
            raise ChildFailed(self._command.program, code, self.tail)

    def _read_lines(self, waiting: "queue.SimpleQueue[bytes | None]") -> None:
        with contextlib.suppress(ValueError):  # the pipe was closed because nobody waits any more
            for line in _pipe(self._process.stdout):
                waiting.put(line)
        waiting.put(None)

    def _drain_stderr(self) -> None:
        with contextlib.suppress(ValueError):  # as above
            for raw in self._errors:
                line = raw.decode(errors="replace").rstrip("\n")
                self._tail.append(line)
                if self._on_error_line and not self._handler_failed:
                    try:
                        self._on_error_line(line)
                    except Exception as error:  # noqa: BLE001  # raised where the child is waited for
                        self._handler_failed = error
                while self._hold_back and not self._leaving and self._process.poll() is None and self._hold_back():
                    time.sleep(_HOLD_SECONDS)

    def _raise_handlers_failure(self) -> None:
        if self._handler_failed:
            raise self._handler_failed

    def _end(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):  # it ended by itself in between
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=GRACE_SECONDS)
                return


def run(
    command: Command,
    on_error_line: LineHandler | None = None,
    hold_back: HoldBack | None = None,
    watch: Watch | None = None,
) -> str:
    """Run a program to its end and give back its standard output; ChildFailed unless it ends with zero.

    An error that `on_error_line` or `watch` raises ends the program and is raised here.
    """
    with Child(command, on_error_line, hold_back) as child:
        child.close_input()
        output = b"".join(child.chunks(watch))
        child.finish()
        return output.decode(errors="replace")


def pump(source: Command, sink: Command, before: str = "", after: Sequence[str] = ()) -> None:
    """Send `before`, then all that `source` prints, then `after`, to the standard input of `sink`.

    `after` is sent only when `source` has ended well: a sink that commits on its last line never commits half of the
    input, not even when flagsnap itself is killed. ChildFailed tells which of the two failed.
    """
    with Child(sink) as reader, Child(source) as writer:
        writer.close_input()
        reader.write(before.encode())
        for chunk in writer.chunks():
            reader.write(chunk)
        writer.finish()
        for line in after:
            reader.write(line.encode())
        reader.close_input()
        for _ in reader.chunks():
            pass
        reader.finish()


def _pipe_pair() -> tuple[IO[bytes], int]:
    """A pipe: the end to read from, and the descriptor to write to."""
    reading, writing = os.pipe()
    return os.fdopen(reading, "rb"), writing


def _narrow_pipe() -> tuple[IO[bytes], int]:
    """The same, with room for a few lines only.

    A pipe holds 64 KiB. A socket's buffers can be made small: Linux counts the sender's, macOS the receiver's.
    """
    reading, writing = socket.socketpair()
    reading.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    writing.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    return os.fdopen(reading.detach(), "rb"), writing.detach()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RuntimeError("the child was started without that pipe")
    return pipe
