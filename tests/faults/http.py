"""As much HTTP/1.1 as a proxy needs: heads are passed on as they came, bodies by length, in chunks or to the end."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.faults.wire import PIECE, Hangup, Wire

END_OF_HEAD = b"\r\n\r\n"
LONGEST_HEAD = 64 * 1024
BODILESS = (204, 304)


@dataclass(frozen=True)
class Head:
    """The start line and headers of a message, byte for byte."""

    start: str
    headers: tuple[str, ...]

    def get(self, name: str) -> str:
        """A header's value; empty if it is missing."""
        prefix = f"{name.lower()}:"
        return next((each[len(prefix) :].strip() for each in self.headers if each.lower().startswith(prefix)), "")

    def without(self, name: str) -> "Head":
        """The same without one header."""
        prefix = f"{name.lower()}:"
        return Head(self.start, tuple(each for each in self.headers if not each.lower().startswith(prefix)))

    def encode(self) -> bytes:
        """The bytes to send."""
        return "\r\n".join((self.start, *self.headers, "", "")).encode("latin-1")

    @property
    def status(self) -> int:
        """The status of an answer."""
        return int(self.start.split(" ")[1])

    @property
    def keeps_alive(self) -> bool:
        """Whether another message may follow on the connection."""
        asked = self.get("Connection").lower()
        return asked == "keep-alive" if "HTTP/1.0" in self.start else asked != "close"


class Reader:
    """What arrives on a connection, taken apart."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._buffer = b""

    def head(self) -> Head | None:
        """The next message's head; None if the peer has closed the connection before it."""
        while END_OF_HEAD not in self._buffer:
            if len(self._buffer) > LONGEST_HEAD or not self._more():
                return None
        head, _, self._buffer = self._buffer.partition(END_OF_HEAD)
        start, *headers = head.decode("latin-1").split("\r\n")
        return Head(start, tuple(headers))

    def line(self) -> bytes:
        """The next line, with its end."""
        while b"\n" not in self._buffer:
            self._need()
        line, end, self._buffer = self._buffer.partition(b"\n")
        return line + end

    def pieces(self, count: int) -> Iterator[bytes]:
        """So many bytes, as they arrive."""
        while count:
            if not self._buffer:
                self._need(min(count, PIECE))
            piece, self._buffer = self._buffer[:count], self._buffer[count:]
            count -= len(piece)
            yield piece

    def rest(self) -> Iterator[bytes]:
        """All until the peer closes."""
        while self._buffer or self._more():
            piece, self._buffer = self._buffer, b""
            yield piece

    def _need(self, limit: int = PIECE) -> None:
        if not self._more(limit):
            raise Hangup(reset=True)  # the peer has gone in the middle of a message

    def _more(self, limit: int = PIECE) -> bool:
        piece = self.wire.receive(limit)
        self._buffer += piece
        return bool(piece)


class Body:
    """A message's body, to be iterated over once, and how it is framed."""

    def __init__(self, reader: Reader, head: Head, *, is_request: bool, bodiless: bool = False) -> None:
        self._reader = reader
        self.chunked = not bodiless and "chunked" in head.get("Transfer-Encoding").lower()
        self.trailer = b"\r\n"
        self.length: int | None = None  # not known before the end
        if bodiless or (is_request and not head.get("Content-Length")):
            self.length = None if self.chunked else 0
        elif not self.chunked and head.get("Content-Length"):
            self.length = int(head.get("Content-Length"))

    def __iter__(self) -> Iterator[bytes]:
        """The content, without the framing."""
        if self.chunked:
            return self._chunks()
        return self._reader.rest() if self.length is None else self._reader.pieces(self.length)

    def frame(self, piece: bytes) -> bytes:
        """A piece of content as it is sent."""
        return b"%x\r\n%b\r\n" % (len(piece), piece) if self.chunked else piece

    @property
    def end(self) -> bytes:
        """What is sent after the last piece."""
        return b"0\r\n" + self.trailer if self.chunked else b""

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._reader.line().split(b";")[0], 16):
            yield from self._reader.pieces(size)
            self._reader.line()
        lines = [self._reader.line()]
        while lines[-1].strip():
            lines.append(self._reader.line())
        self.trailer = b"".join(lines)
