"""The recorded rows of some tables: only their files are fetched, and pg_restore prints them."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flagsnap.catalog import Catalog
from flagsnap.loss.values import TableKey
from flagsnap.postgres.clients import Clients
from flagsnap.postgres.connection import Connection
from flagsnap.postgres.dump import TOC, data_command, dump_id, entries_of, entry_description, toc_entries
from flagsnap.postgres.refill.copying import Script, copy_rows, make_table, names_in, recorded_values
from flagsnap.process import Child, run
from flagsnap.progress import Progress
from flagsnap.restoring.restore import Source, clients_for, toc_list
from flagsnap.snapshot import RecordedDatabase


@contextmanager
def recorded_rows(
    source: Source, tables: Collection[TableKey], worker: Connection, progress: Progress
) -> Iterator["RecordedRows"]:
    """Have the files of these tables on this machine, each with its recorded hash. SnapshotDamaged, StoreFailed.

    A table that the dump does not have has no rows. `worker` tells the server's version.
    """
    clients = clients_for(source, worker)
    recorded = source.recorded
    content = source.snapshots.content(source.manifest, source.jobs, progress)
    place = f"dumps/{recorded.alias}"
    with content.on_disk(only={f"{place}/{TOC}"}) as folder:
        entries = toc_entries(clients, folder / place)
    holders = {table: (table, *_partitions(recorded.schema_catalog, table)) for table in tables}
    wanted = {holder: tuple(entries_of(entries, "TABLE DATA", *holder)) for each in holders.values() for holder in each}
    ids = {str(dump_id(entry)) for found in wanted.values() for entry in found}
    files = {file.path: file.bytes for file in recorded.dump.files if Path(file.path).name.split(".dat")[0] in ids}
    with content.on_disk(only={f"{place}/{TOC}", *files}) as folder:
        sizes = {int(Path(path).name.split(".dat")[0]): size for path, size in files.items()}
        yield RecordedRows(clients, folder / place, recorded, holders, wanted, sizes, tuple(entries))


@dataclass(frozen=True)
class RecordedRows:
    """The rows of some tables.

    Attributes:
        holders: which tables have the rows of each: itself, and its partitions.
        entries: the lines of the table of contents that may be of each of those.
        sizes: of the files, by dump id.
        toc: the whole table of contents.
    """

    clients: Clients
    folder: Path
    recorded: RecordedDatabase
    holders: Mapping[TableKey, tuple[TableKey, ...]]
    entries: Mapping[TableKey, tuple[str, ...]]
    sizes: Mapping[int, int]
    toc: tuple[str, ...]

    def has(self, table: TableKey) -> bool:
        """Whether the dump has rows of that table, if only none; an archive's has those of some tables."""
        return bool(self._entries(table))

    def columns(self, table: TableKey) -> tuple[str, ...]:
        """The columns that the dump has; those that PostgreSQL computes it has not. Empty if there is no such table."""
        columns = self.recorded.schema_catalog.columns(*table)
        return tuple(name for name, column in columns.items() if not column.attributes.get("generated"))

    def bytes_of(self, table: TableKey) -> int:
        """The size of a table's files."""
        return sum(self.sizes.get(dump_id(entry), 0) for entry in self._entries(table))

    def load(
        self, connection: Connection, table: TableKey, into: str, on_bytes: Callable[[int], None] | None = None
    ) -> int:
        """Make the temporary table `into` and copy a table's rows into it; gives their number.

        It has the dump's columns, with the types that they have in the live table of that name, and goes with the
        transaction that is open. `on_bytes` is told of the file's bytes that have been read, about.
        """
        make_table(connection, into, table, self.columns(table))
        entries = self._entries(table)
        if not entries:
            return 0
        rows = sum(self.recorded.rows_of(*holder) or 0 for holder in self.holders[table])
        advance = _share(self.bytes_of(table), rows, on_bytes or (lambda _: None))
        with (
            toc_list(entries) as path,
            Child(data_command(self.clients, self.folder, path)) as child,
        ):
            child.close_input()
            copied = copy_rows(connection, into, Script(child.chunks()), self.holders[table], advance)
            child.finish()
        return copied

    def sequences(self) -> Mapping[TableKey, int]:
        """The recorded values of all sequences that had been used."""
        entries = [entry for entry in self.toc if entry_description(entry).startswith("SEQUENCE SET ")]
        if not entries:
            return {}
        with toc_list(entries) as path:
            return recorded_values(run(data_command(self.clients, self.folder, path)))

    def _entries(self, table: TableKey) -> list[str]:
        found = (entry for holder in self.holders[table] for entry in self.entries[holder])
        return list(dict.fromkeys(found))


def _share(size: int, rows: int, on_bytes: Callable[[int], None]) -> Callable[[int], None]:
    """Turn a number of rows into their share of the files' bytes."""
    done = told = 0

    def advance(amount: int) -> None:
        nonlocal done, told
        done += amount
        share = size * min(done, rows) // rows if rows else size
        on_bytes(share - told)
        told = share

    return advance


def _partitions(catalog: Catalog, table: TableKey) -> Iterator[TableKey]:
    """The tables that hold a partitioned table's rows, at any depth."""
    for item in catalog.objects:
        parent = str(item.attributes.get("partition of") or "")
        if item.identity.kind == "table" and names_in(parent) == table:
            below = (item.identity.schema, item.identity.name)
            yield below
            yield from _partitions(catalog, below)
