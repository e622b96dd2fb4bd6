"""All rows of a database, and what became of them: counted without flagsnap, by PostgreSQL's own identities.

A table is its oid and a column its number in the table, so renames need no guess, and what was dropped and made anew is
another one. Values are compared as text.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from tests.fix_databases import Database

Key = tuple[str | int | None, ...]
Row = Mapping[int, str | None]
Went = dict[tuple[str, str], int]

_NOT_OURS = ("public.django_migrations",)
_COLUMNS = """
    SELECT c.oid::bigint, n.nspname || '.' || c.relname, a.attnum, a.attname,
        format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END,
        a.attgenerated <> '', coalesce(a.attnum = ANY (i.indkey), false)
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
    ORDER BY c.oid, a.attnum
"""
_SEQUENCES = """
    SELECT n.nspname || '.' || c.relname, quote_ident(n.nspname) || '.' || quote_ident(c.relname),
        quote_ident(a.attname),
        pg_get_serial_sequence(quote_ident(n.nspname) || '.' || quote_ident(c.relname), a.attname)
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
        AND pg_get_serial_sequence(quote_ident(n.nspname) || '.' || quote_ident(c.relname), a.attname) IS NOT NULL
"""


@dataclass(frozen=True)
class Column:
    """A column; NOT NULL belongs to its type."""

    name: str
    type: str
    is_generated: bool


@dataclass(frozen=True)
class Table:
    """A table with all its rows; `key` are the numbers of the primary key's columns, none without one."""

    oid: int
    name: str
    columns: Mapping[int, Column]
    key: tuple[int, ...]
    rows: tuple[Row, ...]

    def keyed(self, common: Collection[int]) -> dict[Key, Row]:
        """The rows by their key; without one, by the values of the columns in `common` and a number for equal rows."""
        columns = self.key if self.key and set(self.key) <= set(common) else sorted(common)
        seen: Counter[Key] = Counter()
        found: dict[Key, Row] = {}
        for row in self.rows:
            key = tuple(row[number] for number in columns)
            found[(*key, seen[key])] = row
            seen[key] += 1
        return found


@dataclass(frozen=True)
class Rows:
    """The rows of all tables at one moment, by the tables' oids."""

    tables: Mapping[int, Table]

    def named(self, name: str) -> Table | None:
        """The table of that name."""
        return next((table for table in self.tables.values() if table.name == name), None)


def read_rows(database: Database) -> Rows:
    """Read them all; `django_migrations` is left out."""
    columns: dict[int, dict[int, Column]] = {}
    names: dict[int, str] = {}
    keys: dict[int, list[int]] = {}
    for oid, table, number, name, type_name, is_generated, in_key in database.rows(_COLUMNS):
        names[oid] = table
        columns.setdefault(oid, {})
        if number is not None:
            columns[oid][number] = Column(name, type_name, is_generated)
        if in_key:
            keys.setdefault(oid, []).append(number)
    tables = {
        oid: Table(oid, name, columns[oid], tuple(keys.get(oid, ())), _rows_of(database, name, columns[oid]))
        for oid, name in names.items()
        if name not in _NOT_OURS
    }
    return Rows(tables)


def _rows_of(database: Database, name: str, columns: Mapping[int, Column]) -> tuple[Row, ...]:
    if not columns:
        return ()
    schema, _, table = name.partition(".")
    selected = ", ".join(f"{_quoted(column.name)}::text" for column in columns.values())
    found = database.rows(f"SELECT {selected} FROM {_quoted(schema)}.{_quoted(table)}")
    return tuple(dict(zip(columns, values, strict=True)) for values in found)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def what_went(before: Rows, after: Rows, recorded: Rows, defaults: Mapping[str, str]) -> Went:
    """What was there before a rollback and is not afterwards: rows and values, by how it went and the object.

    `defaults` are values of columns that are no loss, beside NULL. A value that another type has changed is none if it
    is the recorded one again.
    """
    went: Went = {}
    for table in before.tables.values():
        now = after.tables.get(table.oid)
        if now is None:
            went["table", table.name] = len(table.rows)
        else:
            went |= _went_of(table, now, recorded.named(now.name), defaults)
    return {what: number for what, number in went.items() if number}


def _went_of(table: Table, now: Table, recorded: Table | None, defaults: Mapping[str, str]) -> Went:
    common = set(table.columns) & set(now.columns)
    rows, rows_now = table.keyed(common), now.keyed(common)
    went: Went = {("rows", table.name): len(rows.keys() - rows_now.keys())}
    for number, column in table.columns.items():
        name = f"{table.name}.{column.name}"
        if number not in now.columns:
            values = [row[number] for row in table.rows if not column.is_generated]
            went["column", name] = sum(value not in {None, defaults.get(name)} for value in values)
            continue
        changed = [key for key in rows.keys() & rows_now.keys() if rows[key][number] != rows_now[key][number]]
        if column.type != now.columns[number].type:
            was = _values(recorded, now.columns[number].name)
            changed = [key for key in changed if key not in was or rows_now[key][number] != was[key]]
            went["narrowed", name] = len(changed)
        else:
            went["changed", table.name] = went.get(("changed", table.name), 0) + len(changed)
    return went


def _values(table: Table | None, column: str) -> dict[Key, str | None]:
    number = next((number for number, each in table.columns.items() if each.name == column), None) if table else None
    if table is None or number is None:
        return {}
    return {key: row[number] for key, row in table.keyed(table.columns).items()}


Named = dict[str, dict[Key, dict[str, str | None]]]
ANY = "<whatever>"


def by_name(rows: Rows) -> Named:
    """The rows by the names of tables and columns, as people see them."""
    return {
        table.name: {
            key: {table.columns[number].name: value for number, value in row.items()}
            for key, row in table.keyed(table.columns).items()
        }
        for table in rows.tables.values()
    }


def expected_after(recorded: Rows, deployed: Rows, written: Rows) -> Named:
    """What a rollback should leave: the recorded rows with what people wrote between `deployed` and `written`."""
    return {table.name: _expected(table, deployed, written) for table in recorded.tables.values()}


def _expected(table: Table, deployed: Rows, written: Rows) -> dict[Key, dict[str, str | None]]:
    then, now = deployed.tables.get(table.oid), written.tables.get(table.oid)
    if then is None or now is None:
        return by_name(Rows({table.oid: table}))[table.name]
    common = set(table.columns) & set(then.columns)
    before, after = then.keyed(common), now.keyed(common)
    found: dict[Key, dict[str, str | None]] = {}
    for key, row in table.keyed(common).items():
        if key not in before or key in after:
            values = {
                number: _value(table, then, number, (row, before.get(key), after.get(key))) for number in table.columns
            }
            found[_key(table, key, values)] = _named(table, values)
    for key, new in after.items():
        if key not in before and key not in table.keyed(common):
            values = {number: new[number] if number in common else ANY for number in table.columns}
            found[_key(table, key, values)] = _named(table, values)
    return found


def _value(table: Table, then: Table, number: int, rows: tuple[Row, Row | None, Row | None]) -> str | None:
    """The recorded value, or what people have made of it since."""
    recorded, before, after = rows
    if before is None or after is None or number not in then.columns or before[number] == after[number]:
        return recorded[number]
    return after[number] if table.columns[number].type == then.columns[number].type else ANY


def _key(table: Table, key: Key, values: Row) -> Key:
    """The key under which `by_name` has the row."""
    return key if table.key else (*(values[number] for number in sorted(table.columns)), key[-1])


def _named(table: Table, values: Row) -> dict[str, str | None]:
    return {table.columns[number].name: value for number, value in values.items()}


def differences(expected: Named, found: Named) -> list[str]:
    """In words, each with the row's key."""
    return [*_table_differences(expected, found), *_row_differences(expected, found)]


def _table_differences(expected: Named, found: Named) -> Iterator[str]:
    yield from (f"no table {name}" for name in sorted(expected.keys() - found.keys()))
    yield from (f"new table {name}" for name in sorted(found.keys() - expected.keys()))


def _row_differences(expected: Named, found: Named) -> Iterator[str]:
    for name in sorted(expected.keys() & found.keys()):
        for key in sorted(expected[name].keys() | found[name].keys(), key=str):
            shown = ", ".join(map(str, key[:-1]))
            was, now = expected[name].get(key), found[name].get(key)
            if was is None or now is None:
                yield f"{name}: {'new' if was is None else 'no'} row {shown}"
                continue
            for column in sorted(was.keys() | now.keys()):
                value = was.get(column)
                if value != ANY and value != now.get(column):
                    yield f"{name}: {column} of {shown} is {now.get(column)}, not {value}"


def sequences_behind(database: Database) -> list[str]:
    """Sequences whose next value is taken already."""
    found = []
    for name, table, column, sequence in database.rows(_SEQUENCES):
        query = f"SELECT max({column}) >= (SELECT last_value + CASE WHEN is_called THEN 1 ELSE 0 END FROM {sequence})"
        if database.rows(f"{query} FROM {table}")[0][0]:
            found.append(name)
    return found


def partition_roots(database: Database) -> dict[str, str]:
    """The partitioned table of each partition."""
    return dict(
        database.rows(
            """
            SELECT n.nspname || '.' || c.relname, rn.nspname || '.' || r.relname
            FROM pg_class AS c
            JOIN pg_namespace AS n ON n.oid = c.relnamespace
            JOIN pg_class AS r ON r.oid = pg_partition_root(c.oid)
            JOIN pg_namespace AS rn ON rn.oid = r.relnamespace
            WHERE c.relispartition AND c.relkind = 'r'
            """
        )
    )
