"""What can go wrong with one request, each fault a small class; a new one needs only `play`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from tests.faults.exchange import Exchange, first, in_pieces
from tests.faults.http import Body
from tests.faults.wire import Hangup, Pace

CODES = {
    301: "PermanentRedirect",
    400: "InvalidRequest",
    403: "AccessDenied",
    404: "NoSuchKey",
    409: "OperationAborted",
    412: "PreconditionFailed",
    500: "InternalError",
    501: "NotImplemented",
    503: "SlowDown",
}
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


class Fault(Protocol):
    """Something that happens to one request instead of passing it on."""

    def play(self, exchange: Exchange) -> None:
        """Let it happen; the request has been read up to its body."""


class PassOn:
    """No fault at all."""

    def play(self, exchange: Exchange) -> None:
        """Pass the request and the answer on as they are."""
        exchange.pass_on()


@dataclass(frozen=True)
class Status:
    """The server answers with an error of S3's; without a code, with the one that is usual for the status."""

    status: int
    code: str | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def play(self, exchange: Exchange) -> None:
        """Read the request, forward nothing, answer."""
        _drain(exchange.body())
        code = self.code or CODES.get(self.status, "InternalError")
        exchange.answer(self.status, _error(code), self.headers)


@dataclass(frozen=True)
class Reset:
    """The connection breaks on the way to the server, which never hears of the request."""

    after_bytes: int = 0

    def play(self, exchange: Exchange) -> None:
        """Read so much of the request's body, then reset; a client that is not asked for a body sends none."""
        if self.after_bytes:
            _drain(first(exchange.body(), self.after_bytes))
        raise Hangup(reset=True)


@dataclass(frozen=True)
class ResetResponse:
    """The connection breaks within the answer's body, with a reset."""

    after_bytes: int = 0

    def play(self, exchange: Exchange) -> None:
        """Forward, answer so much, then reset."""
        exchange.pass_on(down=partial(_broken_off, count=self.after_bytes, reset=True))


@dataclass(frozen=True)
class TruncatedResponse:
    """The answer ends too early, in an orderly way: fewer bytes than its Content-Length says."""

    after_bytes: int = 0

    def play(self, exchange: Exchange) -> None:
        """Forward, answer so much, then close; a chunked answer lacks its last chunk."""
        exchange.pass_on(down=partial(_broken_off, count=self.after_bytes, reset=False))


@dataclass(frozen=True)
class FlipRequest:
    """One bit of the request's body is not what the client sent."""

    at: int = 0

    def play(self, exchange: Exchange) -> None:
        """Flip the lowest bit of the byte at that offset; see `_flipped`."""
        exchange.pass_on(up=partial(_flipped, at=self.at))


@dataclass(frozen=True)
class FlipResponse:
    """One bit of the answer's body is not what the server sent."""

    at: int = 0

    def play(self, exchange: Exchange) -> None:
        """Flip the lowest bit of the byte at that offset; see `_flipped`."""
        exchange.pass_on(down=partial(_flipped, at=self.at))


@dataclass(frozen=True)
class Slow:
    """The bodies of request and answer crawl."""

    bytes_per_second: float

    def play(self, exchange: Exchange) -> None:
        """Pass everything on, so many bytes a second in each direction."""
        crawl = partial(_crawling, exchange, self.bytes_per_second)
        exchange.pass_on(up=crawl, down=crawl)


@dataclass(frozen=True)
class Stall:
    """Silence, and then all is well."""

    seconds: float

    def play(self, exchange: Exchange) -> None:
        """Say nothing that long, then pass everything on."""
        exchange.pause(self.seconds)
        exchange.pass_on()


@dataclass(frozen=True)
class AnswerLost:
    """The request has happened, and the client does not know."""

    def play(self, exchange: Exchange) -> None:
        """Forward, wait for the whole answer, throw it away and reset."""
        _drain(exchange.forward().body)
        raise Hangup(reset=True)


@dataclass(frozen=True)
class ErrorInside:
    """Status 200 with an error in the body, as S3 answers to requests that take long or are about many keys."""

    code: str = "InternalError"

    def play(self, exchange: Exchange) -> None:
        """Forward nothing; `DeleteObjects` is told of an error for each of its keys."""
        content = b"".join(exchange.body())
        if exchange.request.operation == "DeleteObjects":
            exchange.answer(200, _delete_errors(self.code, content))
        else:
            exchange.answer(200, _error(self.code))


def _drain(pieces: Iterable[bytes]) -> None:
    for _ in pieces:
        pass


def _broken_off(body: Body, count: int, *, reset: bool) -> Iterator[bytes]:
    yield from first(body, count)
    raise Hangup(reset=reset)


def _flipped(body: Body, at: int) -> Iterator[bytes]:
    """Flip a bit; `at` counts round a body of known length, so that -1 is its last byte and something always flips."""
    position = at % body.length if body.length else at
    for piece in body:
        if 0 <= position < len(piece):
            changed = bytearray(piece)
            changed[position] ^= 1
            yield bytes(changed)
        else:
            yield piece
        position -= len(piece)


def _crawling(exchange: Exchange, bytes_per_second: float, body: Body) -> Iterator[bytes]:
    pace = Pace(bytes_per_second)
    for piece in in_pieces(body, pace.piece):
        exchange.pause(pace.delay(len(piece)))
        yield piece


def _error(code: str) -> bytes:
    content = (
        f"<Error><Code>{code}</Code><Message>injected by a test</Message><RequestId>FAULTYPROXY</RequestId></Error>"
    )
    return (DECLARATION + content).encode()


def _delete_errors(code: str, request: bytes) -> bytes:
    keys = [element.text or "" for element in ET.fromstring(request).iter() if element.tag.endswith("Key")]
    errors = "".join(
        f"<Error><Key>{escape(key)}</Key><Code>{code}</Code><Message>injected by a test</Message></Error>"
        for key in keys
    )
    return f'{DECLARATION}<DeleteResult xmlns="{NAMESPACE}">{errors}</DeleteResult>'.encode()
