"""A proxy before a PostgreSQL server that changes what the server tells of itself, as poolers do.

with rewriting(url, pretend_pid) as through:
    psycopg.connect(through)
"""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

Rewrite = Callable[[bytes, bytes], bytes]
"""The type and the payload of a server's message; gives back the payload to pass on."""


def pretend_pid(kind: bytes, payload: bytes) -> bytes:
    """Another process id in BackendKeyData, as PgBouncer makes one up for each client."""
    return struct.pack("!i", 1 + struct.unpack("!i", payload[:4])[0]) + payload[4:] if kind == b"K" else payload


def pretend_version(version: str) -> Rewrite:
    """Another `server_version` in ParameterStatus."""

    def rewrite(kind: bytes, payload: bytes) -> bytes:
        is_version = kind == b"S" and payload.startswith(b"server_version\0")
        return b"server_version\0" + version.encode() + b"\0" if is_version else payload

    return rewrite


@contextmanager
def rewriting(url: str, rewrite: Rewrite) -> Iterator[str]:
    """Listen on a free port; gives the URL that leads through it, without encryption, so that messages can be read."""
    parts = urlsplit(url)
    server = (parts.hostname or "127.0.0.1", parts.port or 5432)
    user = parts.netloc.rpartition("@")[0]
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        sockets: list[socket.socket] = []
        threads = [threading.Thread(target=_serve, args=(listener, server, rewrite, sockets))]
        threads[0].start()
        netloc = f"{user}@127.0.0.1:{listener.getsockname()[1]}"
        try:
            yield parts._replace(netloc=netloc, query="sslmode=disable&gssencmode=disable").geturl()
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            threads[0].join()
            for each in sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()


def _serve(listener: socket.socket, server: tuple[str, int], rewrite: Rewrite, sockets: list[socket.socket]) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:  # the listener was shut down
            return
        upstream = socket.create_connection(server)
        for each in (client, upstream):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # messages are small, and waited for
            sockets.append(each)
        threading.Thread(target=_pass_on, args=(client, upstream), daemon=True).start()
        threading.Thread(target=_pass_back, args=(upstream, client, rewrite), daemon=True).start()


def _pass_on(client: socket.socket, upstream: socket.socket) -> None:
    with suppress(OSError):
        while piece := client.recv(1 << 16):
            upstream.sendall(piece)
        upstream.shutdown(socket.SHUT_WR)


def _pass_back(upstream: socket.socket, client: socket.socket, rewrite: Rewrite) -> None:
    """Message by message: a byte of type, four of length, which counts itself, and the payload."""
    with suppress(OSError), upstream.makefile("rb") as stream:
        while head := stream.read(5):
            kind, length = head[:1], struct.unpack("!i", head[1:])[0]
            payload = rewrite(kind, stream.read(length - 4))
            client.sendall(kind + struct.pack("!i", len(payload) + 4) + payload)
        client.shutdown(socket.SHUT_WR)
