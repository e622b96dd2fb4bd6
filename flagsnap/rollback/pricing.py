"""What the routes cost: counted on the live database, in a transaction that only reads."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from flagsnap.catalog import Catalog, Identity
from flagsnap.loss.behaviour import behavioural
from flagsnap.loss.effects import Effect
from flagsnap.loss.lineage import Lineage
from flagsnap.loss.structure import dropped, structural
from flagsnap.loss.unrecorded import of_whole_apps, schema_before, structural_unrecorded
from flagsnap.loss.values import Loss, Question, Route
from flagsnap.loss.writes import written_since
from flagsnap.migrations import Node
from flagsnap.postgres.connection import Connection
from flagsnap.postgres.counting import Count, Counting
from flagsnap.postgres.facts import read_statistics, set_lock_timeout
from flagsnap.snapshot import RecordedDatabase


@dataclass(frozen=True)
class Price:
    """What the routes cost, without remedies yet, and why taking back would fail on the live data."""

    losses: tuple[Loss, ...] = ()
    fails: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pricing:
    """What there is to price.

    Attributes:
        recorded: None if no snapshot recorded the state; then a restore has no price.
        route: by which the migrations are taken back.
        nodes: the migrations that are, and effects: what all extra ones did; both None if nobody knows.
        kept: what no migration made.
        stay: the apps of which migrations stay applied.
    """

    recorded: RecordedDatabase | None
    live: Catalog
    route: Route
    nodes: Sequence[Node] | None
    effects: Sequence[Effect]
    kept: Sequence[Identity]
    stay: Collection[str]

    def price(self, worker: Connection, seconds: float, lock_timeout: float) -> Price:
        """Count for so many seconds, and estimate what is left then."""
        with worker.transaction():
            counting = Counting.within(worker, seconds)
            set_lock_timeout(worker, lock_timeout)
            found = tuple(self._found())
            counts = dict(counting.answers([each for each in found if isinstance(each, Question)]))
            losses = list(_by_route(_answered(found, counts), self.route))
            if self.recorded is None:
                losses += tuple(of_whole_apps(losses, self.nodes or (), self.stay))
            else:
                losses += self._of_restore(worker, counting, self.recorded)
        fails = tuple(each.failure(count.rows) for each, count in counts.items() if each.fails and count.is_certain)
        return Price(tuple(losses), fails)

    def _of_restore(self, worker: Connection, counting: Counting, recorded: RecordedDatabase) -> Iterator[Loss]:
        """What a restore costs."""
        tables = tuple((each.schema, each.name) for each in self.kept if each.kind == "table")
        names = Lineage.following(recorded.schema_catalog, self.effects).tables
        yield from written_since(
            counting.written(recorded.tables, names, frozenset(tables)),
            reset=not read_statistics(worker).continues(recorded.statistics),
        )
        for table, count in counting.rows(tables):
            if count.rows != 0:
                yield Loss("restore", "made_by_no_migration", ".".join(table), count.rows, "lost", count.estimated)

    def _found(self) -> Iterator[Loss | Question]:
        """What taking back may cost."""
        if self.nodes is None:
            return
        if self.recorded is None:
            before = schema_before(self.live, self.effects)
            yield from structural_unrecorded(before, self.live, self.nodes, self.effects)
        else:
            before = self.recorded.schema_catalog
            rows = {(table.schema_name, table.table): table.rows for table in self.recorded.tables}
            yield from structural(before, self.live, self.effects, rows)
        yield from behavioural(self.nodes, self.live, dropped(before, self.live, self.effects), self.effects)


def _answered(found: Sequence[Loss | Question], counts: Mapping[Question, Count]) -> Iterator[Loss]:
    """What is lost, or may be; what would fail is no loss."""
    for each in found:
        if isinstance(each, Loss):
            yield each
        elif not each.fails and (count := counts[each]).rows != 0:
            yield each.answered(count.rows, estimated=count.estimated)


def _by_route(losses: Iterable[Loss], route: Route) -> Iterator[Loss]:
    """As losses of a route. A replay leaves out what ran code of the project's own, all of whose rows are dropped."""
    for each in losses:
        if not (route == "replay" and each.kind == "reverse_runs_code"):
            yield replace(each, route=route)
