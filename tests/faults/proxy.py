"""The proxy itself: it listens, has one thread for each connection, and decides which fault a request gets."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from tests.faults.exchange import Exchange
from tests.faults.faults import Fault, PassOn
from tests.faults.http import Head, Reader
from tests.faults.requests import Request
from tests.faults.wire import TICK, Hangup, Pace, Wire, reset_socket


@dataclass
class Rule:
    """Which requests a fault happens to; `played` counts how often it has."""

    fault: Fault
    operation: str | None
    key_contains: str
    times: int | None
    after: int
    played: int = 0

    def takes(self, request: Request) -> bool:
        """Whether the fault happens to this request; counts."""
        if self.operation not in {None, request.operation} or self.key_contains not in request.key:
            return False
        if self.times is not None and self.played >= self.times:
            return False
        if self.after:
            self.after -= 1
            return False
        self.played += 1
        return True


class FaultyProxy:
    """A context; at its end all connections are cut and all threads have ended."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._server = (parts.hostname or "", parts.port or 80)
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._rules: list[Rule] = []
        self._limit: Pace | None = None
        self._threads: set[threading.Thread] = set()
        self._cut = threading.Event()  # a new one each time the proxy comes up again
        self._stopped = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._listener.settimeout(TICK)
        self._acceptor = threading.Thread(target=self._accept, name="faulty-proxy")
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._acceptor.join()
        self._listener.close()
        self.down()

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in the order in which they came."""
        with self._lock:
            return list(self._requests)

    @property
    def operations(self) -> list[str]:
        """The S3 operations of all requests so far."""
        return [each.operation for each in self.requests]

    def inject(
        self,
        fault: Fault,
        operation: str | None = None,
        key_contains: str = "",
        times: int | None = 1,
        after: int = 0,
    ) -> Rule:
        """Let a fault happen to the next matching requests, after those to be spared; `times=None` is for ever.

        A request gets the fault of the first rule that takes it. Rules compare the key in the path, which requests
        about a bucket (listings, `DeleteObjects`) do not have.
        """
        rule = Rule(fault, operation, key_contains, times, after)
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Forget all rules and requests, and the rate limit."""
        with self._lock:
            self._rules.clear()
            self._requests.clear()
            self._limit = None

    def rate_limit(self, bytes_per_second: float | None) -> None:
        """Let the bodies of all requests from now on share so many bytes a second; None is no limit."""
        with self._lock:
            self._limit = None if bytes_per_second is None else Pace(bytes_per_second)

    def down(self) -> None:
        """Reset all connections, and new ones until it is up again; the open ones are gone when this returns."""
        with self._lock:
            self._cut.set()
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    def up(self) -> None:
        """Serve again."""
        with self._lock:
            if self._cut.is_set():
                self._cut = threading.Event()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            with suppress(TimeoutError, ConnectionAbortedError):
                client, _ = self._listener.accept()
                self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            if self._cut.is_set():
                reset_socket(client)
                return
            thread = threading.Thread(target=self._converse, args=(client, self._cut), name="faulty-proxy-connection")
            self._threads = {each for each in self._threads if each.is_alive()}
            self._threads.add(thread)
            thread.start()

    def _converse(self, client: socket.socket, cut: threading.Event) -> None:
        """Serve one connection to its end."""
        reset = True
        wire = Wire(client, cut)
        try:
            for exchange in self._exchanges(Reader(wire), cut):
                with exchange:
                    self._fault_for(exchange.request).play(exchange)
            reset = False
        except Hangup as hangup:
            reset = hangup.reset
        except OSError:
            pass  # the server cannot be reached: its client sees the connection break
        finally:
            wire.close(reset=reset)

    def _exchanges(self, client: Reader, cut: threading.Event) -> Iterator[Exchange]:
        keeps_alive = True
        while keeps_alive and (head := client.head()):
            exchange = self._exchange(head, client, cut)
            yield exchange
            keeps_alive = exchange.keeps_alive

    def _exchange(self, head: Head, client: Reader, cut: threading.Event) -> Exchange:
        with self._lock:
            exchange = Exchange(head, client, self._server, cut, self._limit)
            self._requests.append(exchange.request)
            return exchange

    def _fault_for(self, request: Request) -> Fault:
        with self._lock:
            return next((rule.fault for rule in self._rules if rule.takes(request)), PassOn())
