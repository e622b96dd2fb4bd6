"""Ask the process of fix_preloaded.py for a program, and wait for its end.

`python -IS ask_preloaded.py SOCKET PROGRAM ...` is to whoever starts it `python PROGRAM ...`; so this imports little.
Of a program that leaves by `os._exit` it says, other than `python`, that it was killed.
"""

import marshal
import os
import signal
import socket
import sys

LENGTH = 4


def ask(path: str, argv: list[str], folder: str, environment: dict[str, str], streams: list[int]) -> int | None:
    """Run a Python program to its end; its exit code, None if it was killed. If this process dies, it is killed too."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(path)
        order = marshal.dumps((argv, folder, environment))
        socket.send_fds(asking, [len(order).to_bytes(LENGTH, "big")], streams)
        asking.sendall(order)
        said = asking.recv(20)
        return int(said) if said else None


def _main(path: str, *argv: str) -> int:
    code = ask(path, list(argv), os.getcwd(), dict(os.environ), [0, 1, 2])  # noqa: PTH109 # pathlib takes longer
    if code is None:
        os.kill(os.getpid(), signal.SIGKILL)  # as it ended
    return code or 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
