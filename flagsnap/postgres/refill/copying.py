"""The rows of a dump on their way into a database: what pg_restore prints, pumped into a temporary table untouched."""

import codecs
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NoReturn

from psycopg import sql

from flagsnap.errors import SnapshotDamaged
from flagsnap.loss.values import TableKey
from flagsnap.postgres.connection import Connection

SCHEMA = "pg_temp"
_END = b"\n\\.\n"
_ENCODING = re.compile(rb"SET client_encoding = '([^']+)';")
_NAME = re.compile(r'"((?:[^"]|"")+)"|([^\s,."]+)')
_COPY = re.compile(r'COPY ((?:"(?:[^"]|"")+"|[^\s"])+) (?:\((.*)\))? ?FROM stdin;', re.DOTALL)
# pg_dump writes `setval('schema.name', value, is_called)`; a sequence that was never called has given nothing away.
_SETVAL = re.compile(r"^SELECT pg_catalog\.setval\('((?:[^']|'')+)', (-?\d+), true\);$", re.MULTILINE)


def names_in(text: str) -> tuple[str, ...]:
    """The identifiers of a list or a path, as PostgreSQL prints them: quoted where they have to be."""
    return tuple(quoted.replace('""', '"') if quoted else plain for quoted, plain in _NAME.findall(text))


def recorded_values(script: str) -> Mapping[TableKey, int]:
    """The values of the sequences that a script of pg_restore sets, without those that were never used."""
    found = ((names_in(path.replace("''", "'")), int(value)) for path, value in _SETVAL.findall(script))
    return {(path[0], path[1]): value for path, value in found}


class Script:
    """A script of pg_restore for the rows of tables: some settings, then one COPY after the other."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""
        self.encoding = "UTF8"

    def tables(self) -> Iterator[tuple[TableKey, tuple[str, ...]]]:
        """Each COPY's table and columns; its `rows` are to be taken before the next one."""
        while (line := self._line()) is not None:
            if setting := _ENCODING.match(line):
                self.encoding = setting[1].decode()
            elif line.startswith(b"COPY "):
                while not line.endswith(b" FROM stdin;"):  # a name may have a line break
                    more = self._line()
                    line += b"\n" + (_missing() if more is None else more)
                header = _COPY.fullmatch(line.decode(_codec(self.encoding)))
                path, columns = header.groups() if header else _missing()
                schema, table = names_in(path)
                yield (schema, table), names_in(columns or "")

    def rows(self) -> Iterator[bytes]:
        """The rows as text, in blocks that begin and end anywhere, up to the line that ends them."""
        seam, skipped = b"\n" + self._rest, 1  # as if a line had ended before the first
        while (at := seam.find(_END)) < 0:
            if len(seam) >= len(_END):
                yield seam[skipped : 1 - len(_END)]
                seam, skipped = seam[1 - len(_END) :], 0  # what may be the beginning of the end waits
            seam += next(self._chunks, None) or _missing()
        yield seam[skipped : at + 1]
        self._rest = seam[at + len(_END) :]

    def _line(self) -> bytes | None:
        while (at := self._rest.find(b"\n")) < 0:
            more = next(self._chunks, None)
            if more is None:
                return None
            self._rest += more
        line, self._rest = self._rest[:at], self._rest[at + 1 :]
        return line


def make_table(connection: Connection, into: str, table: TableKey, columns: Collection[str]) -> None:
    """Make a temporary table with the types that these columns have in a live table, text where it has no such one."""
    there = {
        name
        for (name,) in connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
            (sql.Identifier(*table).as_string(),),
        ).fetchall()
    }
    selected = [
        sql.Identifier(name) if name in there else sql.SQL("NULL::text AS {}").format(sql.Identifier(name))
        for name in columns
    ]
    source = sql.SQL("FROM {}").format(sql.Identifier(*table)) if there else sql.SQL("")
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} {} WITH NO DATA").format(
            sql.Identifier(into), sql.SQL(", ").join(selected), source
        )
    )


def copy_rows(
    connection: Connection, into: str, script: Script, tables: Collection[TableKey], on_rows: Callable[[int], None]
) -> int:
    """Copy the rows of these tables, whatever else the script has, into a temporary table; gives their number.

    `on_rows` is told how many have gone over, about. SnapshotDamaged if the script ends before its rows do.
    """
    copied = 0
    for table, columns in script.tables():
        if table not in tables:
            deque(script.rows(), maxlen=0)
            continue
        statement = sql.SQL("COPY {} ({}) FROM STDIN (ENCODING {})").format(
            sql.Identifier(SCHEMA, into), sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Literal(script.encoding)
        )
        with connection.cursor() as cursor:
            with cursor.copy(statement) as copy:
                for block in script.rows():
                    copy.write(block)
                    on_rows(block.count(b"\n"))
            copied += cursor.rowcount
    return copied


def _codec(encoding: str) -> str:
    """Python's name of one of PostgreSQL's encodings; names of tables are ASCII where it has none."""
    try:
        return codecs.lookup(encoding.replace("WIN", "cp")).name
    except LookupError:
        return "utf-8"


def _missing() -> NoReturn:
    raise SnapshotDamaged(
        "the dump ends in the middle of a table's rows", "choose another snapshot with `flagsnap list`"
    )
