"""A process that has Django loaded, and forks a Python program off whenever it is asked to: `preloaded.py SOCKET`.

Nothing of any project is loaded before the fork. The program has the arguments, the folder, the environment and the
streams of whoever asks, see ask_preloaded.py, and is killed when that process dies.
"""

import atexit
import fcntl
import gc
import importlib
import marshal
import os
import runpy
import selectors
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

MODULES = (
    "django.core.management.commands.migrate",
    "django.core.management.commands.shell",
    "django.db.backends.postgresql.base",
    "django.db.migrations.executor",
    "django.db.models.sql.compiler",
)
LENGTH = 4


def serve(path: str) -> None:
    """Fork until standard input ends."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"{path}.new")
    listening.listen(100)
    Path(f"{path}.new").rename(path)  # whoever finds it can connect
    for module in MODULES:
        importlib.import_module(module)
    gc.freeze()  # a collection in a child would copy the memory that it looks at
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ready = selectors.DefaultSelector()
    ready.register(listening, selectors.EVENT_READ)
    ready.register(0, selectors.EVENT_READ)
    while all(key.fileobj is listening for key, _ in ready.select()):
        asked, _ = listening.accept()
        with asked:
            if os.fork() == 0:
                ready.close()
                listening.close()
                _become(asked)
        _reap()


def _become(asked: socket.socket) -> None:
    """Be the program, to its end."""
    head, streams, _, _ = socket.recv_fds(asked, LENGTH, 3)
    argv, folder, environment = marshal.loads(asked.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL))
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    _live_as_long_as(asked)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = argv
    sys.path[0] = str(Path(argv[0]).resolve().parent)
    code = _run(argv[0])
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    fcntl.fcntl(asked, fcntl.F_SETFL, 0)
    asked.sendall(str(code).encode())
    os._exit(0)


def _live_as_long_as(asked: socket.socket) -> None:
    """Have the kernel kill this process at the next that happens to the socket: the other end is closed."""
    if sys.platform == "linux":
        fcntl.fcntl(asked, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(asked, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(asked, fcntl.F_SETFL, os.O_ASYNC)


def _run(program: str) -> int:
    """Run it as the interpreter does."""
    try:
        runpy.run_path(program, run_name="__main__")
    except SystemExit as exit_:
        if exit_.code is None or isinstance(exit_.code, int):
            return exit_.code or 0
        sys.stderr.write(f"{exit_.code}\n")
        return 1
    except BaseException:  # noqa: BLE001 # it ends here in any case
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _reap() -> None:
    with suppress(ChildProcessError):  # there is none
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    serve(sys.argv[1])
