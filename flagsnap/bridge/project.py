"""A Django project that can be asked and told through its `manage.py`.

The probe is sent to `manage.py shell -c` on standard input: `-c` waits for slow starts, and there is no limit on
length. The time limit is on silence, not on the whole: a real Flagsmith takes seconds to start, and an unapply may
take long.
"""

import contextlib
import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from flagsnap.bridge.bundle import probe
from flagsnap.bridge.messages import (
    Committed,
    Done,
    Failed,
    GraphMessage,
    Hello,
    Message,
    Prepared,
    Sentinels,
    Unapplying,
    request,
)
from flagsnap.errors import BridgeFailed, ChildFailed, FlagsnapError, Locked, UsageError, last_words
from flagsnap.loss.effects import Effect
from flagsnap.migrations import Graph, Migration, Segment
from flagsnap.process import Child, Command

_BOOTSTRAP = "import sys; exec(sys.stdin.read(), globals())"
_MANAGE_HINT = 'for example --manage "python manage.py"'
_START_HINT = "check --manage (FLAGSNAP_MANAGE) by running it with `check`; the application's environment must be set"


@dataclass(frozen=True)
class Description:
    """What a project says of itself."""

    graph: Graph
    effects: tuple[Effect, ...]
    database: str
    system_identifier: str | None


@dataclass(frozen=True)
class UnapplyOrder:
    """What the probe is to do, and what it must find before it does."""

    database: str
    system_identifier: str | None
    recorded: Collection[Migration]
    applied: Collection[Migration]
    segments: Sequence[Segment]
    lock_key: int
    lock_timeout_ms: int


class Project:
    """The project behind a command line such as `python manage.py`."""

    def __init__(self, manage: str, silence: float, alias: str = "default") -> None:
        """`silence` is the number of seconds without a word after which the project counts as dead."""
        try:
            self._manage = tuple(shlex.split(manage))
        except ValueError as error:
            raise UsageError(f"--manage cannot be read: {str(error).lower()}", _MANAGE_HINT) from error
        if not self._manage:
            raise UsageError("--manage is empty", _MANAGE_HINT)
        self._silence = silence
        self._alias = alias

    def describe(self, recorded: Collection[Migration]) -> Description:
        """The graph, resolved for the recorded state; BridgeFailed if the project does not answer."""
        hello: Hello | None = None
        graph: GraphMessage | None = None
        for message in self._ask("describe", recorded=sorted(recorded)):
            if isinstance(message, Hello):
                hello = message
            elif isinstance(message, GraphMessage):
                graph = message
        if hello is None or graph is None:
            raise BridgeFailed("the project's answer was not whole", _START_HINT)
        return Description(graph.graph(), graph.schema_effects(), hello.database, hello.system_identifier)

    def unapply(self, order: UnapplyOrder, listener: "UnapplyListener") -> None:
        """Unapply the segments in order, in one process of the project.

        FlagsnapError if it fails; the segments that the listener was told of as committed are done, and no others.
        """
        messages = self._ask(
            "unapply",
            database=order.database,
            system_identifier=order.system_identifier,
            recorded=sorted(order.recorded),
            applied=sorted(order.applied),
            segments=[{"atomic": each.atomic, "migrations": each.migrations} for each in order.segments],
            lock_key=order.lock_key,
            lock_timeout_ms=order.lock_timeout_ms,
        )
        for message in messages:
            if isinstance(message, Hello):
                listener.started(message.pid)
            elif isinstance(message, Prepared):
                listener.prepared()
            elif isinstance(message, Unapplying):
                listener.unapplying(Migration(*message.migration))
            elif isinstance(message, Committed):
                listener.committed(len(message.migrations))

    def _ask(self, action: str, **content: object) -> Iterator[Message]:
        sentinels = Sentinels.fresh()
        source = probe() + request(sentinels, action, alias=self._alias, **content)
        command = Command((*self._manage, "shell", "-v", "0", "-c", _BOOTSTRAP), env={"PYTHONUNBUFFERED": "1"})
        with self._started(command) as child:
            with contextlib.suppress(ChildFailed):  # it ended before it read all; how, comes from `_messages`
                child.write(source.encode())
            child.close_input()
            yield from self._messages(child, sentinels)

    def _started(self, command: Command) -> Child:
        try:
            return Child(command)
        except UsageError as error:
            raise UsageError(str(error), _START_HINT) from error

    def _messages(self, child: Child, sentinels: Sentinels) -> Iterator[Message]:
        try:
            for line in child.lines(self._silence):
                message = sentinels.read(line)
                if isinstance(message, Failed):
                    raise _failure(message)
                if message is not None:
                    yield message
                if isinstance(message, Done):
                    return
            child.finish()
        except TimeoutError:
            raise BridgeFailed(
                f"the project said nothing for {self._silence:g} seconds", f"raise --silence, or {_START_HINT}"
            ) from None
        except ChildFailed as error:
            raise BridgeFailed(f"the project could not be run: {error}", _START_HINT) from error
        said = f": {last_words(child.tail)}" if child.tail else ""
        raise BridgeFailed(f"the project ended without an answer{said}", _START_HINT)


@dataclass(frozen=True)
class UnapplyListener:
    """What the caller of `Project.unapply` is told."""

    started: Callable[[int], None]
    """The process id of the PostgreSQL backend that does the work."""
    prepared: Callable[[], None]
    unapplying: Callable[[Migration], None]
    committed: Callable[[int], None]


def _failure(message: Failed) -> FlagsnapError:
    if message.kind == "locked":
        return Locked(message.error, "wait until the other run has ended")
    if message.kind == "moved":
        return FlagsnapError(message.error, "run the same command again; it plans anew")
    if message.kind == "usage":
        return UsageError(message.error, "--manage and --database-url must lead to the same database")
    hint = "mend the cause and run it again; or --strategy restore takes the snapshot instead"
    if "lock timeout" in message.error:
        hint = "another session holds a lock; end it, or raise --lock-timeout"
    return BridgeFailed(f"the project failed: {message.error}", hint)
