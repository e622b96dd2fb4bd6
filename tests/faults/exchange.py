"""One request and its answer on their way through the proxy: the means that the faults are made of."""

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from tests.faults.http import BODILESS, Body, Head, Reader
from tests.faults.requests import Request
from tests.faults.wire import Gone, Hangup, Pace, Wire

Change = Callable[[Body], Iterable[bytes]]


@dataclass(frozen=True)
class Answer:
    """The server's answer, its body not yet read."""

    head: Head
    body: Body


class Exchange:
    """One request and its answer; a context that ends the connection to the server, one for each request.

    So nothing that is done to one request can touch another, and no connection can have gone stale.
    """

    def __init__(
        self, head: Head, client: Reader, server: tuple[str, int], cut: threading.Event, limit: Pace | None
    ) -> None:
        self.request = Request.of(head)
        self._head = head
        self._client = client
        self._body = Body(client, head, is_request=True)
        self._server = server
        self._cut = cut
        self._limit = limit
        self._wire: Wire | None = None
        self.keeps_alive = head.keeps_alive

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        if self._wire:
            # A body that stops in the middle must not look like one that ends there.
            self._wire.close(reset=failed is not None)

    def pause(self, seconds: float) -> None:
        """Say nothing for a while."""
        self._client.wire.pause(seconds)

    def body(self, change: Change = iter) -> Iterator[bytes]:
        """The request's body as it arrives, within the proxy's limit; the client may wait to be asked for it."""
        if self._head.get("Expect").lower() == "100-continue":
            self._client.wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._limit is None:
            yield from change(self._body)
            return
        for piece in in_pieces(change(self._body), self._limit.piece):
            self.pause(self._limit.delay(len(piece)))
            yield piece

    def forward(self, change: Change = iter) -> Answer:
        """Send the request to the server; its answer."""
        wire = self._wire = Wire(socket.create_connection(self._server), self._cut)
        # The proxy has asked for the body itself, and no signature covers this header.
        self._send(wire, self._head.without("Expect").encode(), self.body(change))
        return self._answer(Reader(wire))

    def pass_back(self, answer: Answer, change: Change = iter) -> None:
        """Send the server's answer to the client."""
        wire = self._client.wire
        wire.send(answer.head.encode())
        for piece in filter(None, change(answer.body)):
            wire.send(answer.body.frame(piece))
        wire.send(answer.body.end)
        delimited = answer.body.chunked or answer.body.length is not None
        self.keeps_alive = self.keeps_alive and answer.head.keeps_alive and delimited

    def pass_on(self, up: Change = iter, down: Change = iter) -> None:
        """The whole exchange, its bodies changed on the way."""
        self.pass_back(self.forward(up), down)

    def answer(self, status: int, content: bytes, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Answer in the server's place; the request's body has been read."""
        own = (("Content-Type", "application/xml"), ("Content-Length", str(len(content))))
        lines = (f"{name}: {value}" for name, value in (*own, ("x-amz-request-id", "FAULTYPROXY"), *headers))
        head = Head(f"HTTP/1.1 {status} Injected", tuple(lines))
        self._client.wire.send(head.encode() + (b"" if self.request.method == "HEAD" else content))

    def _send(self, wire: Wire, head: bytes, pieces: Iterator[bytes]) -> None:
        """Send a request; a server that has heard enough may answer early and not listen any more."""
        try:
            wire.send(head)
            for piece in filter(None, pieces):
                wire.send(self._body.frame(piece))
            wire.send(self._body.end)
        except Gone as gone:
            if gone.wire is not wire:
                raise
            for _ in pieces:  # the client reads no answer before it has sent all
                pass

    def _answer(self, server: Reader) -> Answer:
        head = server.head()
        while head and 100 <= head.status < 200:
            head = server.head()
        if head is None:
            raise Hangup(reset=True)
        bodiless = self.request.method == "HEAD" or head.status in BODILESS
        return Answer(head, Body(server, head, is_request=False, bodiless=bodiless))


def in_pieces(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of at most this size."""
    for piece in pieces:
        for start in range(0, len(piece), size):
            yield piece[start : start + size]


def first(pieces: Iterable[bytes], count: int) -> Iterator[bytes]:
    """The first bytes only; not one more piece is read than they need."""
    for piece in pieces if count else ():
        yield piece[:count]
        count -= len(piece[:count])
        if not count:
            return
