"""A Django project that can be asked and told through its `manage.py`.

The probe is sent to `manage.py shell -c` on standard input: `-c` waits for slow starts, and there is no limit on
length. The time limit is on silence, not on the whole: a real Flagsmith takes seconds to start, and an unapply may
take long.
"""

import contextlib
import shlex
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from flagsnap.bridge.bundle import probe
from flagsnap.bridge.messages import (
    Committed,
    Done,
    Failed,
    GraphMessage,
    Hello,
    Message,
    Migrated,
    Prepared,
    Recorded,
    Sentinels,
    SessionMessage,
    Unapplying,
    request,
)
from flagsnap.errors import (
    BridgeFailed,
    ChildFailed,
    FlagsnapError,
    Locked,
    MigrationFailed,
    UsageError,
    last_words,
)
from flagsnap.loss.effects import Effect
from flagsnap.migrations import Graph, Migration, Segment
from flagsnap.process import Child, Command
from flagsnap.rehearsal.recording import RecordedMigration, Session
from flagsnap.rehearsal.values import ForwardMigration

_BOOTSTRAP = "import sys; exec(sys.stdin.read(), globals())"
_MANAGE_HINT = 'for example --manage "python manage.py"'
_START_HINT = "check --manage (FLAGSNAP_MANAGE) by running it with `check`; the application's environment must be set"
_CONFINED_HINT = "a rehearsal is kept away from everything but its database; have the migration leave that to others"
_REFUSALS: Mapping[str, tuple[type[FlagsnapError], str]] = {
    "locked": (Locked, "wait until the other run has ended"),
    "moved": (FlagsnapError, "run the same command again; it plans anew"),
    "usage": (UsageError, "--manage and --database-url must lead to the same database"),
    "unreachable": (UsageError, "a pooler does not know it: for the rehearsal use the direct address of the server"),
}


@dataclass(frozen=True)
class Description:
    """What a project says of itself."""

    graph: Graph
    effects: tuple[Effect, ...]
    database: str
    system_identifier: str | None

    def refuse_other(self, database: str, system_identifier: str | None) -> None:
        """UsageError if the project works on another database than that one, on which flagsnap works."""
        same_server = None in (self.system_identifier, system_identifier) or (
            self.system_identifier == system_identifier
        )
        if self.database == database and same_server:
            return
        raise UsageError(
            f"the project is connected to the database {self.database}"
            + ("" if same_server else " of another server")
            + f", flagsnap to {database}",
            "--manage and --database-url must lead to the same database",
        )


@dataclass(frozen=True)
class Redirect:
    """The scratch database that a project is to work on, and the live one that it must not touch."""

    database: str
    nonce: str
    """The comment of the scratch database, which nobody else knows: COMMENT ON DATABASE."""
    live_database: str
    live_started: str
    """`SELECT extract(epoch FROM pg_postmaster_start_time())::text`, which tells servers apart."""


@dataclass(frozen=True)
class UnapplyOrder:
    """What the probe is to do, and what it must find before it does.

    With `record`, the listener is told of every statement too.
    """

    database: str
    system_identifier: str | None
    recorded: Collection[Migration]
    applied: Collection[Migration]
    segments: Sequence[Segment]
    lock_key: int
    lock_timeout_ms: int
    record: bool = False


class ProjectLike(Protocol):
    """What a rollback needs of a project."""

    def describe(self, recorded: Collection[Migration]) -> Description:
        """The graph, resolved for the recorded state."""

    def unapply(self, order: UnapplyOrder, listener: "UnapplyListener") -> None:
        """Unapply the segments in order."""


class Project:
    """The project behind a command line such as `python manage.py`."""

    def __init__(self, manage: str, silence: float, alias: str = "default", redirect: Redirect | None = None) -> None:
        """`silence` is the number of seconds without a word after which the project counts as dead."""
        try:
            self._manage = tuple(shlex.split(manage))
        except ValueError as error:
            raise UsageError(f"--manage cannot be read: {str(error).lower()}", _MANAGE_HINT) from error
        if not self._manage:
            raise UsageError("--manage is empty", _MANAGE_HINT)
        self._silence = silence
        self._alias = alias
        self._redirect = redirect

    def redirected(self, redirect: Redirect) -> "Project":
        """The same project, led to a scratch database; it can write nowhere else, start nothing, call nobody."""
        return Project(shlex.join(self._manage), self._silence, self._alias, redirect)

    def describe(self, recorded: Collection[Migration]) -> Description:
        """The graph, resolved for the recorded state; BridgeFailed if the project does not answer."""
        return _description(self._ask("describe", recorded=sorted(recorded)))

    def migrate(self, recorded: Collection[Migration], on_migrated: Callable[[ForwardMigration], None]) -> Description:
        """Apply all that is not applied, as `migrate` does; then the graph, resolved for the recorded state.

        MigrationFailed if that fails: at one migration, or around them all. Those that the caller was told of are
        done.
        """

        def told() -> Iterator[Message]:
            for message in self._ask("migrate", recorded=sorted(recorded)):
                if isinstance(message, Migrated):
                    on_migrated(message.forward())
                yield message

        return _description(told())

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
            record=order.record,
        )
        for message in messages:
            if isinstance(message, Hello):
                listener.started(message.pid)
            elif isinstance(message, Prepared):
                listener.prepared()
            elif isinstance(message, Unapplying):
                listener.unapplying(Migration(*message.migration))
            elif isinstance(message, SessionMessage):
                listener.session(message.session())
            elif isinstance(message, Recorded):
                listener.recorded(message.recorded())
            elif isinstance(message, Committed):
                listener.committed(len(message.migrations))

    def _ask(self, action: str, **content: object) -> Iterator[Message]:
        sentinels = Sentinels.fresh()
        redirect = {"redirect": asdict(self._redirect)} if self._redirect else {}
        source = probe() + request(sentinels, action, alias=self._alias, **redirect, **content)
        command = Command((*self._manage, "shell", "-v", "0", "-c", _BOOTSTRAP), env={"PYTHONUNBUFFERED": "1"})
        with self._started(command) as child:
            # Beside, since a pipe holds less than the probe, and a project that hangs while it starts reads nothing.
            threading.Thread(target=_feed, args=(child, source), daemon=True).start()
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


def _ignore(_: object) -> None:
    """For those who need not know."""


@dataclass(frozen=True)
class UnapplyListener:
    """What the caller of `Project.unapply` is told."""

    started: Callable[[int], None]
    """The process id of the PostgreSQL backend that does the work."""
    prepared: Callable[[], None]
    unapplying: Callable[[Migration], None]
    committed: Callable[[int], None]
    session: Callable[[Session], None] = _ignore
    """Where the order says so, before all else."""
    recorded: Callable[[RecordedMigration], None] = _ignore
    """Each migration, before its segment is committed."""


def _feed(child: Child, source: str) -> None:
    with contextlib.suppress(ChildFailed):  # it ended before it read all; how, comes from `_messages`
        child.write(source.encode())
    child.close_input()


def _description(messages: Iterator[Message]) -> Description:
    hello: Hello | None = None
    graph: GraphMessage | None = None
    for message in messages:
        if isinstance(message, Hello):
            hello = message
        elif isinstance(message, GraphMessage):
            graph = message
    if hello is None or graph is None:
        raise BridgeFailed("the project's answer was not whole", _START_HINT)
    return Description(graph.graph(), graph.schema_effects(), hello.database, hello.system_identifier)


def _failure(message: Failed) -> FlagsnapError:
    migration = Migration(*message.migration) if message.migration else None
    error = f"{migration}: {message.error}" if migration else message.error
    if refusal := _REFUSALS.get(message.kind):
        kind, hint = refusal
        return kind(error, hint)
    if message.kind == "confined":
        return UsageError(f"it cannot be rehearsed: {error.replace('Confined: ', '', 1)}", _CONFINED_HINT)
    hint = "mend the cause and run it again; or --strategy restore takes the snapshot instead"
    if "lock timeout" in message.error:
        hint = "another session holds a lock; end it, or raise --lock-timeout"
    if message.kind == "migration":
        return MigrationFailed(f"the project failed: {error}", hint, migration)
    return BridgeFailed(f"the project failed: {error}", hint)
