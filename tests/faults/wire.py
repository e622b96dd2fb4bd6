"""One end of a TCP connection that another thread can cut, and the pace at which bytes go over it.

All waiting happens in ticks or on the event `cut`: neither a silent peer nor one that does not read can hold a thread.
"""

import socket
import struct
import threading
import time
from contextlib import suppress

PIECE = 256 * 1024
TICK = 0.05
RESET = struct.pack("ii", 1, 0)


class Hangup(Exception):
    """The connection to the client ends here: reset, or closed in order."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__("reset" if reset else "closed")
        self.reset = reset


class Gone(Hangup):
    """The peer has broken the connection."""

    def __init__(self, wire: "Wire") -> None:
        super().__init__(reset=True)
        self.wire = wire


class Wire:
    """A connected socket; whatever is done with it raises `Hangup` once the connection has been cut."""

    def __init__(self, peer: socket.socket, cut: threading.Event) -> None:
        peer.settimeout(TICK)
        with suppress(OSError):  # the peer may have gone already
            # Head and body are sent apart: Nagle's algorithm would hold the second back for 40 ms.
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = peer
        self._cut = cut

    def receive(self, limit: int) -> bytes:
        """What has arrived, at least one byte; nothing means that the peer has sent all."""
        while True:
            self.pause(0)
            try:
                return self._socket.recv(limit)
            except TimeoutError:
                continue
            except ConnectionError as error:
                raise Gone(self) from error

    def send(self, data: bytes) -> None:
        """Send all of it."""
        rest = memoryview(data)
        while rest:
            self.pause(0)
            try:
                rest = rest[self._socket.send(rest) :]
            except TimeoutError:
                continue
            except ConnectionError as error:
                raise Gone(self) from error

    def pause(self, seconds: float) -> None:
        """Wait, unless the connection is cut meanwhile."""
        if self._cut.wait(seconds) if seconds > 0 else self._cut.is_set():
            raise Hangup(reset=True)

    def close(self, *, reset: bool = False) -> None:
        """Close it in order, or so that the peer sees a reset."""
        if reset:
            reset_socket(self._socket)
        else:
            self._socket.close()


class Pace:
    """So many bytes a second, for all who share it."""

    def __init__(self, bytes_per_second: float) -> None:
        self._rate = bytes_per_second
        self._free_at = 0.0
        self._lock = threading.Lock()

    @property
    def piece(self) -> int:
        """How many bytes to move at a time, so that they flow rather than jump."""
        return max(1, min(PIECE, int(self._rate / 20)))

    def delay(self, count: int) -> float:
        """How many seconds to wait before these bytes may pass."""
        with self._lock:
            now = time.monotonic()
            self._free_at = max(now, self._free_at) + count / self._rate
            return self._free_at - now


def reset_socket(peer: socket.socket) -> None:
    """Close a socket without the usual farewell: the peer gets a reset."""
    with suppress(OSError):  # the peer may have gone already
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    peer.close()
