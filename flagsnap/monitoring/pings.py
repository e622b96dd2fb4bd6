"""Pings: what a watchdog of cron jobs is told of a run, as Healthchecks has it: URL/start, then URL, or URL/fail.

A ping never changes how a run ends, and its URL is a secret: whoever has it can call the run well. So it is shown as
scheme and host only.
"""

import threading
import time
from collections.abc import Callable
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import SplitResult, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from flagsnap import __version__
from flagsnap.errors import UsageError

SECONDS = 10.0
TRIES = 3
PAUSE = 1.0
START_SECONDS = 3.0
"""How long the end of a run waits for the start's ping, so that the two arrive in order."""
_TOO_MANY_REQUESTS = 429
_HINT = "such as --ping https://hc-ping.com/your-uuid"


class Pings:
    """The pings of one run. `warn` gets a sentence for each that did not arrive."""

    def __init__(self, url: str, warn: Callable[[str], None]) -> None:
        """UsageError if the URL is none of http or https."""
        self._url = _checked(url)
        self._warn = warn
        self._start: _Call | None = None

    def start(self) -> None:
        """Tell that the run begins: once, and without waiting for an answer."""
        self._start = _Call(self._address("/start"))

    def end(self, *, ok: bool) -> None:
        """Tell how it ended, and wait for the answer: three tries of ten seconds at most."""
        self._said("start", self._start.failure(START_SECONDS) if self._start else "")
        failure = ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(PAUSE)
            call = _Call(self._address("" if ok else "/fail"))
            failure = call.failure(SECONDS)
            if not failure or call.is_final:
                break
        self._said("success" if ok else "failure", failure)

    def _address(self, word: str) -> str:
        """The word goes behind the path, before a query."""
        return self._url._replace(path=self._url.path.rstrip("/") + word if word else self._url.path).geturl()

    def _said(self, what: str, failure: str) -> None:
        if failure:
            host = f"{self._url.scheme}://{self._url.netloc}"
            self._warn(f"the ping of the {what} did not arrive at {host}: {failure}")


class _Call:
    """One GET, in a thread of its own: looking up a name, or an answer in drops, is bounded by no timeout of urllib."""

    def __init__(self, address: str) -> None:
        self.is_final = False
        self._answer: str | None = None
        self._thread = threading.Thread(target=self._get, args=(address,), name="ping", daemon=True)
        self._thread.start()

    def failure(self, seconds: float) -> str:
        """Wait so long; why it failed, in words without the URL, empty if it did not."""
        self._thread.join(seconds)
        return "no answer in time" if self._answer is None else self._answer

    def _get(self, address: str) -> None:
        request = Request(address, headers={"User-Agent": f"flagsnap/{__version__}"})  # noqa: S310  # see _checked
        try:
            _opener().open(request, timeout=SECONDS).close()
            self._answer = ""
        except HTTPError as error:
            error.close()
            self.is_final = error.code < 500 and error.code != _TOO_MANY_REQUESTS  # it would be the same again
            self._answer = f"status {error.code}"
        except (OSError, HTTPException, ValueError) as error:
            self._answer = _reason(getattr(error, "reason", error))


def _reason(reason: object) -> str:
    """In words; the text of other errors may hold the URL."""
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    said = reason.strerror if isinstance(reason, OSError) else reason if isinstance(reason, str) else ""
    return (said or type(reason).__name__).lower()


def _opener() -> OpenerDirector:
    """What urllib makes, without its handlers of other schemes, to which a redirect could lead."""
    opener = OpenerDirector()
    for handler in (
        ProxyHandler(),
        HTTPHandler(),
        HTTPSHandler(),
        HTTPRedirectHandler(),
        HTTPErrorProcessor(),
        HTTPDefaultErrorHandler(),
        UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _checked(url: str) -> SplitResult:
    """Take a URL apart; the errors do not show it."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # ValueError
    except ValueError:
        raise UsageError("the URL of --ping cannot be read", _HINT) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError("the URL of --ping is none of http or https", _HINT)
    if parts.username is not None or not url.isascii() or not url.isprintable() or " " in url:
        raise UsageError("the URL of --ping has what no ping can send: a user name, spaces or other characters", _HINT)
    return parts._replace(fragment="")
