"""The rung `toc`: whether a dump's table of contents is that of what was recorded."""

import re
from collections.abc import Iterator, Mapping, Sequence

from flagsnap.postgres.dump import TOC, dump_id, entries_of, entry_description
from flagsnap.snapshot import RecordedDatabase

_DATA_FILE = re.compile(r"(\d+)\.dat(\.\w+)?")
_TABLE_DATA = "TABLE DATA"
# Large objects have files of their own, and lists of them (pg_backup_directory.c).
_BLOBS = re.compile(r"blobs?_\d*\.?(toc|dat)?.*|blobs\.toc")


def toc_problems(entries: Sequence[str], recorded: RecordedDatabase) -> Iterator[str]:
    """What does not fit between the entries, the recorded tables and the recorded files, in words."""
    prefix = f"dumps/{recorded.alias}/"
    names = [file.path.removeprefix(prefix) for file in recorded.dump.files]
    files = {int(match[1]): name for name in names if (match := _DATA_FILE.fullmatch(name))}
    ids = {dump_id(entry): entry for entry in entries}
    yield from _tables_without_data(entries, recorded, files)
    for number, entry in ids.items():
        if entry_description(entry).startswith(f"{_TABLE_DATA} ") and number not in files:
            yield f"the dump has no file for {entry_description(entry)}"
    for number, name in files.items():
        if number not in ids:
            yield f"{name} is not in the dump's table of contents"
    for name in names:
        if name != TOC and not _DATA_FILE.fullmatch(name) and not _BLOBS.fullmatch(name):
            yield f"{name} is no file of a dump"


def _tables_without_data(entries: Sequence[str], recorded: RecordedDatabase, files: Mapping[int, str]) -> Iterator[str]:
    for table in recorded.tables:
        found = entries_of(entries, _TABLE_DATA, table.schema_name, table.table)
        if not any(dump_id(entry) in files for entry in found):
            yield f"the rows of {table.schema_name}.{table.table} are not in the dump"
