"""Rows that stay behind when migrations are unapplied: told after the rollback, and removed with `--tidy`.

`Watch.before` looks at the live database while the migrations are still recorded there; `Watch.after` compares with
the snapshot once the recorded state is proven, and gives the rows of the deploy that are still there:

    watch = Watch.before(worker, recorded, nodes, effects)    # before the archive, and before anything is unapplied
    watch.tables                                              # with --tidy: what the archive should take as well
    leftovers = watch.after(source, address, tidy=..., lock_timeout=..., progress=...)

`nodes` are those that will be unapplied (`plan.steps_of`), `effects` are the project's (`Description.effects`); both
are empty where nothing is unapplied: `after` then knows no rows of migrations, but the content types and permissions
that an earlier rollback left.

Only what can be proven to be the deploy's is one of its leftovers: see `flagsnap.postgres.leftovers` for the proofs.
Everything else may be somebody's work, and is neither called a leftover nor removed.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from flagsnap.errors import FlagsnapError, HalfWay
from flagsnap.loss.effects import Effect
from flagsnap.loss.lineage import Lineage
from flagsnap.loss.mentions import authors, codes_of, mentioned, values_made
from flagsnap.loss.values import TableKey
from flagsnap.migrations import Node
from flagsnap.postgres import tidying
from flagsnap.postgres.connection import Address, Connection, connect, lift_time_limits
from flagsnap.postgres.facts import count_rows, set_lock_timeout
from flagsnap.postgres.leftovers import DJANGOS, Counters, Rows, read_authors, read_rows
from flagsnap.postgres.refill import quiet
from flagsnap.progress import Progress
from flagsnap.refilling.recorded_rows import RecordedRows, recorded_rows
from flagsnap.restoring.restore import Source
from flagsnap.results import Leftover
from flagsnap.snapshot import RecordedDatabase


@dataclass(frozen=True)
class Watch:
    """What may stay behind.

    Attributes:
        rows: what the deploy's migrations made in recorded tables, or why that cannot be told of a table.
        tables: the tables, as they are called now, that `after` may remove rows from. Those that Django fills are among
            them if they have more or fewer rows than were recorded.
    """

    rows: tuple[Rows, ...]
    tables: tuple[TableKey, ...]

    @classmethod
    def before(
        cls,
        worker: Connection,
        recorded: RecordedDatabase,
        nodes: Sequence[Node],
        effects: Sequence[Effect],
        lock_timeout: float = 10.0,
    ) -> "Watch":
        """Look for what the migrations made, while their rows in `django_migrations` tell their transactions."""
        if not nodes:
            return cls((), ())
        with worker.transaction():
            set_lock_timeout(worker, lock_timeout)
            lift_time_limits(worker)
            rows = tuple(_made_by_migrations(worker, recorded, nodes, effects))
            changed = (table for table in _djangos(recorded) if count_rows(worker, *table) != recorded.rows_of(*table))
            return cls(rows, (*(each.live for each in rows if not each.doubt), *changed))

    def after(
        self, source: Source, address: Address, *, tidy: bool, lock_timeout: float, progress: Progress
    ) -> tuple[Leftover, ...]:
        """Compare with the snapshot, in one transaction in which `tidy` removes what nothing refers to.

        A failure leaves the rows as they are. It is HalfWay if they were to be removed, since a deploy of the same
        version may then collide with them; a warning otherwise.
        """
        try:
            with progress.task("see what stays behind"), connect(address, "leftovers") as connection:
                return self._after(connection, source, tidy=tidy, lock_timeout=lock_timeout, progress=progress)
        except FlagsnapError as error:
            if tidy:
                raise HalfWay(
                    f"the recorded state is there again, but what stayed behind was not removed: {error}",
                    f"{error.hint or 'look at the rows'}; a deploy of the same version may collide with them",
                ) from error
            progress.warn(f"what rows of the deploy stayed behind cannot be told: {error}")
            return ()

    def _after(
        self, connection: Connection, source: Source, *, tidy: bool, lock_timeout: float, progress: Progress
    ) -> tuple[Leftover, ...]:
        djangos = _djangos(source.recorded)
        if not (djangos and tidying.made_by_django(connection, djangos[1], djangos[0], None)):
            djangos = ()
        rows = tuple(each for each in self.rows if not each.doubt)
        doubtful = [each for each in self.rows if each.doubt]
        leftovers: tuple[Leftover, ...] = ()
        if tables := (*djangos, *(each.table for each in rows)):
            with (
                recorded_rows(source, tables, connection, progress) as recorded,
                connection.transaction(),
            ):
                quiet.begin(connection, lock_timeout)
                found = [*_by_django(connection, recorded, djangos), *_still_there(connection, recorded, rows)]
                doubtful += [each for each in found if each.doubt]
                found = [each for each in found if not each.doubt]
                removed = tidying.remove(connection, found) if tidy else {}
                leftovers = tuple(
                    Leftover(".".join(each.table), len(each.keys), removed.get(each.table, 0)) for each in found
                )
        for each in doubtful:
            progress.note(
                f"whether rows of the deploy stayed behind in {'.'.join(each.table)} is not known: {each.doubt}"
            )
        return leftovers


def _made_by_migrations(
    worker: Connection, recorded: RecordedDatabase, nodes: Iterable[Node], effects: Sequence[Effect]
) -> Iterator[Rows]:
    made_by = read_authors(worker, {each: values_made(effects, each) for each in authors(nodes)})
    if not made_by:
        return
    codes = codes_of(effects)
    counters = Counters.read(worker, recorded)
    names = Lineage.following(recorded.schema_catalog, effects).tables
    mentions = mentioned({name for tables in names.items() for _, name in tables}, codes)
    for then, now in names.items():
        if mentions & {then[1], now[1]} and then not in _djangos(recorded):
            found = read_rows(worker, now, then, made_by, counters)
            if found:
                yield found


def _still_there(connection: Connection, recorded: RecordedRows, made: Iterable[Rows]) -> Iterator[Rows]:
    for number, rows in enumerate(made):
        into = f"flagsnap_recorded_{number}"
        recorded.load(connection, rows.table, into)
        if found := tidying.born_since(connection, rows, into):
            yield found


def _by_django(connection: Connection, recorded: RecordedRows, tables: Sequence[TableKey]) -> tuple[Rows, ...]:
    if not tables:
        return ()
    names = tuple(f"flagsnap_recorded_{table}" for _, table in tables)
    for table, name in zip(tables, names, strict=True):
        recorded.load(connection, table, name)
    return tidying.made_by_django(connection, tables[1], tables[0], (names[1], names[0]))


def _djangos(recorded: RecordedDatabase) -> tuple[TableKey, ...]:
    """The recorded permissions and content types; empty unless both were."""
    found = {table.table: (table.schema_name, table.table) for table in recorded.tables}
    return tuple(found[name] for name in DJANGOS) if set(DJANGOS) <= set(found) else ()
