"""Refill: put back from a snapshot what the deploy had destroyed, or from an archive what unapplying did.

One transaction, all or none. The recorded rows are loaded into temporary tables first, while others go on writing;
then the tables are locked, and everything else is a few statements on whole sets. Rows that were deleted since are not
resurrected into tables that are still there, and nothing comes back that refers to what is gone.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby

from flagsnap.errors import FlagsnapError, SnapshotDamaged
from flagsnap.loss.values import RefillItem, TableKey
from flagsnap.postgres.connection import Address, Connection, connect, translated
from flagsnap.postgres.owed import settle
from flagsnap.postgres.refill import filling
from flagsnap.postgres.refill.columns import Columns, has_values, measure, update
from flagsnap.postgres.refill.quiet import begin, lock, release
from flagsnap.postgres.refill.row_sql import Loaded, Unfit, Written
from flagsnap.postgres.refill.targets import Target, parents_first, read_target
from flagsnap.progress import Progress
from flagsnap.refilling.recorded_rows import RecordedRows, recorded_rows
from flagsnap.restoring.restore import Source
from flagsnap.results import Refilled

_STAYS = "nobody knows how what is there came there, so it stays"


def refill(
    source: Source,
    items: Sequence[RefillItem],
    address: Address,
    lock_timeout: float,
    progress: Progress,
    settles: str | None,
) -> tuple[Refilled, ...]:
    """Put the items back, all or none; what is owed from the snapshot `settles` is settled with it.

    What there is no place for any more, or what does not fit, is told in a `detail`. FlagsnapError names the object
    that failed; the database is then as it was.
    """
    tables = {item.table_key for item in items}
    with connect(address, "refill") as connection:
        with recorded_rows(source, tables, connection, progress) as rows, connection.transaction():
            begin(connection, lock_timeout)
            targets = {key: target for key in tables if (target := read_target(connection, key))}
            work = _Refill(connection, rows, targets, address, progress)
            work.run(tuple(dict.fromkeys(items)))
            if settles:
                settle(connection, settles)
        work.analyze()
    return tuple(work.done[item] for item in dict.fromkeys(items) if item in work.done)


@dataclass
class _Refill:
    """One refill, in a transaction that is open; `done` is what came of each item."""

    connection: Connection
    rows: RecordedRows
    targets: Mapping[TableKey, Target]
    address: Address
    progress: Progress
    done: dict[RefillItem, Refilled] = field(default_factory=dict)
    written: list[Target] = field(default_factory=list)

    def run(self, items: Sequence[RefillItem]) -> None:
        """Do all of it."""
        items = self._with_a_place(items)
        self.written = [self.targets[key] for key in dict.fromkeys(item.table_key for item in items)]
        loaded = self._load(items)
        columns = {
            (item.table_key, name) for item in items for name in item.columns or self.rows.columns(item.table_key)
        }
        undone = lock(self.connection, self.written, columns)
        with self.progress.task("refill", len(items)) as task:
            for item, source in self._that_come_back(items, loaded):
                with self._naming(item.object):
                    self._fill(item, source)
                task.advance(1)
            for group in _groups(items):
                with self._naming(group[0].object):
                    self._update(Columns(loaded[_place(group[0])], group))
                task.advance(len(group))
        with self._naming("what refers to other tables"):
            release(self.connection, undone)
        recorded = self.rows.sequences() if self.written else {}
        for target in self.written:
            filling.set_sequences(self.connection, target, recorded)

    def analyze(self) -> None:
        """Give the planner fresh statistics, once all is done; autovacuum will if this cannot."""
        try:
            with translated(self.address):
                filling.analyze_tables(self.connection, self.written)
        except FlagsnapError as error:
            self.progress.warn(f"the refill is done, but not its planner statistics: {error}")

    def _set_by(self, item: RefillItem) -> set[str]:
        """The columns that may be given other values in rows that are there."""
        return set(item.columns) or set(self.rows.columns(item.table_key)) - set(item.key)

    def _with_a_place(self, items: Sequence[RefillItem]) -> list[RefillItem]:
        """The items that can come back; of the others is told why not.

        A partition's rows come back with those of the table that it is a partition of, if that is an item too.
        """
        able: list[RefillItem] = []
        for item in items:
            recorded = self.rows.columns(item.table_key) if self.rows.has(item.table_key) else ()
            if why := _obstacle(item, self.targets.get(item.table_key), recorded):
                self.done[item] = Refilled(item.object, 0, detail=why)
            else:
                able.append(item)
        return [
            item
            for item in able
            if not any(
                other.table_key in self.targets[item.table_key].roots[1:] and _covers(other, item) for other in able
            )
        ]

    def _load(self, items: Sequence[RefillItem]) -> dict["_Place", Loaded]:
        """Load the recorded rows: once for each item of whole rows, once for all columns of a table."""
        places = {_place(item): item for item in items}
        loaded: dict[_Place, Loaded] = {}
        size = sum(self.rows.bytes_of(item.table_key) for item in places.values())
        with self.progress.task("load", size, "bytes") as task:
            for number, (place, item) in enumerate(places.items()):
                table, name = item.table_key, f"flagsnap_refill_{number}"
                with self._naming(item.object):
                    rows = self.rows.load(self.connection, table, name, task.advance)
                    loaded[place] = Loaded(self.targets[table], name, self.rows.columns(table), rows)
                    filling.analyze(self.connection, loaded[place], item.key)
        return loaded

    def _that_come_back(
        self, items: Sequence[RefillItem], loaded: Mapping["_Place", Loaded]
    ) -> list[tuple[RefillItem, Loaded]]:
        """The items of whole rows, parents first, without rows that nobody means or whose parents are gone."""
        whole: dict[RefillItem, Loaded] = {}
        for item in items:
            if not item.columns:
                try:
                    whole[item] = filling.keep_only(self.connection, loaded[_place(item)], item.condition)
                except Unfit as error:
                    self.done[item] = Refilled(
                        item.object, 0, detail=f"which rows are meant cannot be found out: {error}"
                    )
        sources = list(whole.values())
        while any(filling.drop_orphans(self.connection, source, sources) for source in sources):
            pass  # who referred to these rows is an orphan now
        order = parents_first([source.target for source in sources])
        return sorted(whole.items(), key=lambda each: order.index(each[1].target))

    def _fill(self, item: RefillItem, source: Loaded) -> None:
        target, kept = source.target, filling.count_rows(self.connection, source)
        orphans = source.rows - kept
        detail = ""
        if filling.is_empty(self.connection, target):
            written = Written(filling.insert(self.connection, source))
        elif not item.overwrite or (item.condition and not item.key):
            written, detail = Written(0, 0, kept), f"the table is not empty; {_STAYS}"
        elif item.key:
            written, detail = filling.merge(self.connection, source, item.key), "there were rows already"
        else:
            written, detail = filling.replace_all(self.connection, source), "all rows that were there gave way"
        self.done[item] = Refilled(item.object, written.rows, written.replaced, written.skipped + orphans, detail)

    def _update(self, columns: Columns) -> None:
        target = columns.loaded.target
        stay = [item for item in columns.items if not item.overwrite and has_values(self.connection, target, item)]
        self.done |= {item: Refilled(item.object, 0, 0, columns.loaded.rows, f"not empty; {_STAYS}") for item in stay}
        items = tuple(item for item in columns.items if item not in stay)
        if not items:
            return
        columns = Columns(columns.loaded, items)
        try:
            counts = measure(self.connection, columns)
        except Unfit as error:
            if len(items) > 1:  # one of them does not fit
                for item in items:
                    self._update(Columns(columns.loaded, (item,)))
            else:
                self.done[items[0]] = Refilled(items[0].object, 0, detail=f"the values do not fit: {error}")
            return
        if any(each.rows for each in counts):
            update(self.connection, columns)
        for item, each in zip(items, counts, strict=True):
            self.done[item] = Refilled(item.object, each.rows, each.replaced, each.skipped)

    @contextmanager
    def _naming(self, what: str) -> Iterator[None]:
        try:
            with translated(self.address):
                yield
        except SnapshotDamaged:
            raise
        except FlagsnapError as error:
            raise FlagsnapError(f"the refill of {what} failed: {error}", error.hint or _AS_BEFORE) from error


_AS_BEFORE = "the database is as it was before the refill; run it again when the cause is gone"
_Place = tuple[TableKey, RefillItem | None]


def _place(item: RefillItem) -> _Place:
    """What is loaded for it: an item of whole rows has a temporary table of its own."""
    return (item.table_key, None if item.columns else item)


def _groups(items: Sequence[RefillItem]) -> Iterator[tuple[RefillItem, ...]]:
    """Items whose columns can come back in one UPDATE."""
    parts = sorted((item for item in items if item.columns), key=_together)
    for _, group in groupby(parts, _together):
        yield tuple(group)


def _together(item: RefillItem) -> tuple[TableKey, tuple[str, ...], str, str, str]:
    return (item.table_key, item.key, item.condition, item.through, item.nulls)


def _covers(one: RefillItem, other: RefillItem) -> bool:
    """Whether an item of a partitioned table brings back what one of its partitions asks for."""
    return (
        set(other.columns) <= set(one.columns)
        and bool(other.columns) == bool(one.columns)
        and (one.condition, one.through, one.nulls) == (other.condition, other.through, other.nulls)
    )


def _obstacle(item: RefillItem, target: Target | None, recorded: Sequence[str]) -> str:
    """Why an item cannot come back; empty if it can."""
    if target is None:
        return "there is no such table"
    if not recorded:
        return "the snapshot has no such table"
    if item.columns and not item.key:
        return "the table has no key by which rows could find each other"
    needed = (*item.columns, *item.key)
    there = set(target.writable(needed)) & set(recorded)
    missing = [name for name in needed if name not in there]
    return f"there is no column {', '.join(missing)} to write" if missing else ""
