"""What is said of the server, the way to it, and the programs for it."""

from dataclasses import dataclass
from datetime import timedelta

from flagsnap.diagnosis.values import Finding

OLDEST = 15
NEWEST = 18
MOST_SKEW = timedelta(seconds=10)
_SOME_SKEW = timedelta(seconds=1)
_DIRECT = "give flagsnap the direct address of the server in --database-url, past the pooler"


@dataclass(frozen=True)
class Way:
    """How a connection gets to the server.

    A server tells each connection the process id of its backend (BackendKeyData, see PostgreSQL, "Message Formats");
    PgBouncer makes up one of its own for each client (welcome_client in client.c), as other poolers do.

    Attributes:
        told: the process id that the connection was told of.
        backend: the one that pg_backend_pid() gives.
        shared: whether two connections that were open at once have used the same backend.
    """

    told: int
    backend: int
    shared: bool

    @property
    def is_direct(self) -> bool:
        """Whether nothing answers in the server's place."""
        return self.told == self.backend


def pooler(way: Way) -> Finding:
    """In transaction mode pg_dump's empty search_path reaches the application (PgBouncer's issue 452)."""
    if way.is_direct:
        return Finding("pooler", "ok", "the connection is direct")
    if way.shared:
        found = "a pooler in transaction mode is in between: pg_dump's settings would reach the application's sessions"
        return Finding("pooler", "failed", found, _DIRECT)
    found = "a pooler is in between, in session mode as far as can be told; it may not know the other databases"
    return Finding("pooler", "advice", found, _DIRECT)


def version(server_version: int) -> Finding:
    """Of a server that is not too old, since to such a one there is no connection."""
    major = server_version // 10000
    if major <= NEWEST:
        return Finding("server version", "ok", f"PostgreSQL {major}")
    found = f"PostgreSQL {major}, which this flagsnap was not tested with"
    return Finding("server version", "advice", found, "look for a newer flagsnap, and rehearse the next deploy")


def primary(in_recovery: bool) -> Finding:
    """Whether the server may be written to."""
    if not in_recovery:
        return Finding("primary", "ok", "the server is no standby")
    found = "the server is a standby, or still recovering"
    return Finding("primary", "failed", found, "give flagsnap the address of the primary")


def clock(ahead: timedelta) -> Finding:
    """How far this machine's clock is ahead of the server's, measured to half a round trip."""
    seconds = abs(ahead).total_seconds()
    if abs(ahead) <= _SOME_SKEW:
        return Finding("clock", "ok", "this machine and the server agree")
    way = "ahead of" if ahead > timedelta(0) else "behind"
    found = f"the clock of this machine is {seconds:,.0f} s {way} the server's"
    mend = "have both synchronise their clocks (NTP)"
    return Finding("clock", "failed" if abs(ahead) > MOST_SKEW else "advice", found, mend)


@dataclass(frozen=True)
class Connections:
    """How many connections this role can still open, and what sets that limit."""

    free: int
    limit: str


def connections(found: Connections, jobs: int) -> Finding:
    """A restore holds four connections beside those of its jobs."""
    needed = jobs + 4
    if found.free >= needed:
        return Finding("connections", "ok", f"{found.free} are free ({found.limit}), {needed} are needed")
    said = f"{max(0, found.free)} are free ({found.limit}), {needed} are needed with --jobs {jobs}"
    return Finding("connections", "advice", said, f"raise {found.limit}, or lower --jobs (FLAGSNAP_JOBS)")


@dataclass(frozen=True)
class Programs:
    """PostgreSQL's client programs that were found; `zstd` says whether pg_dump can compress with it."""

    version: str
    major: int
    folder: str
    zstd: bool


def programs(found: Programs, server_major: int | None) -> Finding:
    """Of those that are not older than the server; None if that is not known."""
    said = f"{found.version} in {found.folder}, " + ("with zstd" if found.zstd else "without zstd")
    if server_major is None:
        return Finding("client programs", "unchecked", f"{said}; whether they fit the server is not known")
    if found.major > server_major:
        return Finding(
            "client programs",
            "advice",
            f"{said}, newer than the server",
            f"install the package postgresql-client-{server_major}",
        )
    return Finding("client programs", "ok", said)
