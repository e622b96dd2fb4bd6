"""The server's part of a prune: its locks, what the live database says of the snapshots, and what is beside it."""

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from flagsnap.errors import ConnectionFailed, UsageError
from flagsnap.history import batches_of, in_order
from flagsnap.postgres import databases
from flagsnap.postgres.asides import drop_database, drop_retired_schemas, read_asides, read_retired_schemas
from flagsnap.postgres.connection import Address, Connection, connect, translated
from flagsnap.postgres.facts import ServerFacts, owner_of, read_migrations, read_server, set_lock_timeout
from flagsnap.postgres.locks import holding, key_of, wait_for_unapply
from flagsnap.postgres.owed import read_owed
from flagsnap.retention import Aside, Live, Verdict
from flagsnap.snapshot import state_of

_PURPOSE = "prune"


@dataclass(frozen=True)
class Server:
    """The server with the locks held.

    Attributes:
        live: a connection to the live database.
        keeper: the connection that holds its lock.
        maintenance: a connection to another database, None if the role may not have one.
    """

    address: Address
    facts: ServerFacts
    live: Connection
    keeper: Connection
    maintenance: Connection | None
    lock_timeout: float

    @property
    def owner(self) -> str:
        """Whose drafts in the store are dead, now that the lock is held."""
        return owner_of(self.facts, self.address)

    def described(self) -> Live:
        """The state of the live database, and when it was migrated last."""
        with self.live.transaction():
            set_lock_timeout(self.live, self.lock_timeout)
            rows = read_migrations(self.live) or ()
        batches = batches_of(in_order(rows))
        return Live(state_of(row.migration for row in rows), batches[-1][0].applied if batches else None)

    def owed(self) -> Collection[str]:
        """The deploy ids from which a refill is owed."""
        with self.live.transaction():
            set_lock_timeout(self.live, self.lock_timeout)
            return read_owed(self.live)

    def asides(self) -> tuple[Aside, ...]:
        """What flagsnap has beside the live objects."""
        beside = read_asides(self.maintenance, self.facts.database) if self.maintenance else ()
        return (*read_retired_schemas(self.live), *beside)

    def drop(self, verdict: Verdict) -> None:
        """Drop what the plan says; FlagsnapError if that cannot be, and then it is as it was."""
        with translated(self.address):
            if verdict.kind == "retired schemas":
                drop_retired_schemas(self.live, verdict.name, self.lock_timeout)
            elif self.maintenance:
                drop_database(self.maintenance, verdict.name)

    def check_lock(self) -> None:
        """ConnectionFailed if the connection that holds the lock is lost, and the lock with it."""
        self.keeper.execute("SELECT")


@contextmanager
def opened(address: Address, lock_timeout: float) -> Iterator[Server]:
    """Take the locks of a rollback, so that nothing goes that a capture or a rollback uses. Locked, ConnectionFailed.

    UsageError on a hot standby, where the primary's locks are not seen (PostgreSQL, "Hot Standby"). Where the role may
    not connect to the maintenance database, no other run can swap databases either.
    """
    database = address.database
    with ExitStack() as stack:
        maintenance = _maintenance(address, stack)
        keeper = stack.enter_context(connect(address, "lock"))
        live = stack.enter_context(connect(address, _PURPOSE))
        stack.enter_context(holding(keeper, database))
        wait_for_unapply(live, database, 0)
        facts = read_server(live)
        if facts.in_recovery:
            raise UsageError(f"{address} is a hot standby", "give flagsnap the address of the primary")
        yield Server(address, facts, live, keeper, maintenance, lock_timeout)


def _maintenance(address: Address, stack: ExitStack) -> Connection | None:
    """A connection for work on databases, beside one that holds the lock."""
    try:
        keeper = stack.enter_context(databases.maintenance(address, "lock"))
    except ConnectionFailed:
        return None  # if the server is not there, the live database says so next
    stack.enter_context(holding(keeper, address.database, key_of(address.database)))
    return stack.enter_context(connect(address.to(keeper.info.dbname), _PURPOSE))
