"""A process that is confined: it starts no other, and opens no connection but to databases.

This holds for what goes through Python. Code in C that opens connections of its own, other than psycopg, is not seen;
neither is anybody stopped who takes this apart on purpose: migrations are code of one's own, which may be careless.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import sys
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Iterator, Tuple

_PROCESS = "start processes"
_NETWORK = "use the network"
# The events of https://docs.python.org/3/library/audit_events.html that lead out of the process.
_REFUSED = {
    "subprocess.Popen": _PROCESS,
    "os.system": _PROCESS,
    "os.exec": _PROCESS,
    "os.fork": _PROCESS,
    "os.forkpty": _PROCESS,
    "os.posix_spawn": _PROCESS,
    "os.spawn": _PROCESS,
    "os.startfile": _PROCESS,
    "pty.spawn": _PROCESS,
    "socket.connect": _NETWORK,
    "socket.sendto": _NETWORK,
    "socket.sendmsg": _NETWORK,
    "ctypes.dlopen": "load libraries",
}
_connecting: ContextVar[bool] = ContextVar("connecting", default=False)


class Confined(PermissionError):
    """What a rehearsal may not do.

    An OSError, so that libraries take it for an address that cannot be reached: telemetry goes without.
    """


def confine() -> None:
    """Confine this process, for good."""
    with contextlib.suppress(ImportError):
        import ctypes  # noqa: F401, PLC0415  # loads Python itself as a library, which later imports of it may not
    with contextlib.suppress(ImportError):
        import _posixsubprocess  # noqa: PLC0415  # not on Windows

        # How multiprocessing starts its processes, which tells no audit hook.
        _posixsubprocess.fork_exec = _no_process
    cut_connections()
    sys.addaudithook(_hook)


@contextlib.contextmanager
def connecting() -> Iterator[None]:
    """Let Django's backends open connections: some drivers are written in Python, and some ask for a token first."""
    before = _connecting.set(True)
    try:
        yield
    finally:
        _connecting.reset(before)


def is_connecting() -> bool:
    """Whether Django opens a connection right now."""
    return _connecting.get()


def cut_connections() -> None:
    """End all connections that the process holds: the project may have opened some when it started."""
    with contextlib.suppress(OSError):
        for number in sorted(int(path.name) for path in Path("/dev/fd").iterdir()):
            if number > 2:  # the standard streams are the way to flagsnap
                _cut(number)


def _cut(number: int) -> None:
    with contextlib.suppress(OSError):  # closed in between, or connected to nobody
        if stat.S_ISSOCK(os.fstat(number).st_mode):
            with socket.socket(fileno=os.dup(number)) as found:
                # A pair of sockets within the process, such as an event loop has, has no names.
                if found.getpeername():
                    found.shutdown(socket.SHUT_RDWR)


def _hook(event: str, _: Tuple[Any, ...]) -> None:
    if event in _REFUSED and not (_REFUSED[event] is _NETWORK and is_connecting()):
        raise Confined("a rehearsal may not %s (%s)" % (_REFUSED[event], event))


def _no_process(*_: object) -> int:
    raise Confined("a rehearsal may not start processes (fork_exec)")
