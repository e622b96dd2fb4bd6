"""What SQL statements do to rows, by a table of rules. What no rule knows is `unknown`, and unknown means loss."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from flagsnap.loss.effects import (
    AddedColumn,
    CreatedTable,
    DroppedColumn,
    DroppedTable,
    Effect,
    RenamedColumn,
    RenamedTable,
)
from flagsnap.loss.functions import HARMLESS, MOMENTARY, NOT_CALLED, PURE, REPEATABLE
from flagsnap.loss.words import TableName, Unreadable, Words, words_of

Verb = Literal["delete", "update", "truncate", "insert", "schema", "harmless", "unknown"]


@dataclass(frozen=True)
class Statement:
    """One statement, or one data-changing part of it.

    Attributes:
        columns: those that an update sets.
        condition: SQL, the rows that are meant, to be asked of anything that goes by the table's bare name; "" for all
            rows, None where it cannot be asked.
    """

    verb: Verb
    table: TableName | None = None
    columns: tuple[str, ...] = ()
    condition: str | None = None
    text: str = ""


def classify(sql: str) -> tuple[Statement, ...]:
    """The statements of a text and their data-changing parts, in order; what has no word in it is left out."""
    try:
        return tuple(each for words in words_of(sql) for each in _read(words))
    except Unreadable:
        return (Statement("unknown", text=sql.strip()),)


def is_repeatable(condition: str) -> bool:
    """Whether a condition means the same rows in any copy of the table, at any time: it looks at the row alone."""
    return all(
        _calls(words) <= REPEATABLE and not {"SELECT", *MOMENTARY}.intersection(words.head.split())
        for words in words_of(condition)
    )


def effects_of(sql: str) -> Iterator[Effect]:
    """What SQL of a project's own does to the names of tables and columns, statement by statement."""
    try:
        statements = tuple(words_of(sql))
    except Unreadable:
        return
    for words in statements:
        for rule, read in _EFFECTS:
            if match := rule.match(words.head):
                with suppress(Unreadable):
                    yield from read(words[len(match[0].split()) :])


def _read(words: Words) -> tuple[Statement, ...]:
    try:
        read = next(read for rule, read in _RULES if rule.match(words.head))
        return tuple(replace(each, text=each.text or words.text) for each in read(words))
    except (StopIteration, Unreadable):
        return (Statement("unknown", text=words.text),)


def _with(words: Words) -> Iterator[Statement]:
    """The data-changing parts of WITH, and the statement behind them."""
    start = words.find("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "VALUES", start=1)
    parts = [words[at + 1 : words.closing(at)] for at in range(start) if words.upper(at) == "("]
    changing = [part for part in parts if _CHANGES.match(part.head) or part.upper(0) == "INSERT"]
    if start == len(words) or (not changing and _CHANGES.search(words[:start].head)):
        raise Unreadable
    for part in parts:
        if part not in changing:
            yield from _unknown_calls(part)
    for part in (*changing, words[start:]):
        for each in _read(part):
            # A sub-select may look at another part of WITH, which can only be asked here.
            yield replace(each, condition=None) if "SELECT" in part else each


def _delete(words: Words) -> Iterator[Statement]:
    table, alias, at = _target(words, 2)
    yield Statement("delete", table, condition=_where(words, table, alias, at))
    yield from _unknown_calls(words[at:])


def _update(words: Words) -> Iterator[Statement]:
    table, alias, at = _target(words, 1)
    if words.upper(at) != "SET":
        raise Unreadable
    end = words.find("FROM", "WHERE", "RETURNING", start=at)
    while end < len(words) and words.upper(end - 1) == "DISTINCT":  # IS DISTINCT FROM
        end = words.find("FROM", "WHERE", "RETURNING", start=end + 1)
    yield Statement("update", table, _set_columns(words[at + 1 : end]), _where(words, table, alias, end))
    yield from _unknown_calls(words[at:])


def _truncate(words: Words) -> Iterator[Statement]:
    end = words.find("RESTART", "CONTINUE", "CASCADE", "RESTRICT")
    for part in words[2 if words.upper(1) == "TABLE" else 1 : end].split(","):
        yield Statement("truncate", _target(part, 0)[0], condition="")


def _insert(words: Words) -> Iterator[Statement]:
    table, at = words.table(2)
    yield Statement("insert", table)
    conflict = words.find("DO", start=words.find("CONFLICT", start=at))
    if _CHANGES.search(words[at:conflict].head):
        raise Unreadable
    if words[conflict : conflict + 3].head == "DO UPDATE SET":
        end = words.find("WHERE", "RETURNING", start=conflict)
        yield Statement("update", table, _set_columns(words[conflict + 3 : end]))
    yield from _unknown_calls(words[at:])


def _block(words: Words) -> Iterator[Statement]:
    """The statements of DO in PL/pgSQL. They may run often, or not at all, where there is more than BEGIN and END."""
    body = next(words.original(at) for at in range(len(words)) if words.upper(at).startswith("'"))
    quote = _QUOTE.match(body)
    if quote is None:
        raise Unreadable
    inner = body[quote.end() : -quote.end()]
    plain, begun, found = True, False, list[Statement]()
    for part in words_of(inner.replace("''", "'") if quote[0] == "'" else inner):
        begun |= "BEGIN" in part
        opening = {"BEGIN", "THEN", "ELSE", "LOOP"} if begun else {part.upper(len(part) - 1)}
        start = max((at + 1 for at in range(len(part)) if part.upper(at) in opening), default=0)
        control, statement = part[:start], part[start:]
        if _CHANGES.search(control.head) or not _calls(control) <= HARMLESS:
            raise Unreadable
        plain &= control.head in {"", "BEGIN"}
        if statement.words and not _PLPGSQL.match(statement.head):
            found += _read(statement)
    found = [each for each in found if each.verb != "harmless"] or [Statement("schema")]
    yield from (each if plain else replace(each, condition=None) for each in found)


def _schema(words: Words) -> Iterator[Statement]:
    if ("ATOMIC" in words and not _ATOMIC.match(words.head)) or _TAKES_ALONG.match(words.head):
        raise Unreadable
    yield Statement("schema")


def _created_from_query(words: Words) -> Iterator[Statement]:
    yield Statement("schema")
    query = words[words.find("AS") + 1 :]
    yield from (each for each in _read(query) if each.verb != "harmless")


def _select(words: Words) -> Iterator[Statement]:
    if _CHANGES.search(words.head) or not _calls(words) <= HARMLESS:
        raise Unreadable
    yield Statement("schema" if "INTO" in words else "harmless")


def _harmless(words: Words) -> Iterator[Statement]:
    if _CHANGES.search(words.head):
        raise Unreadable
    yield Statement("harmless")


def _target(words: Words, at: int) -> tuple[TableName, str | None, int]:
    """The table that is changed, its alias, and where the next word stands."""
    table, at = words.table(at + (words.upper(at) == "ONLY"))
    at += words.upper(at) == "*"
    at += words.upper(at) == "AS"
    if words.upper(at) in {"", "SET", "USING", "WHERE", "RETURNING"}:
        return table, None, at
    return table, words.identifier(at), at + 1


def _set_columns(words: Words) -> tuple[str, ...]:
    """The columns in front of each `=` of SET."""
    found: list[str | None] = []
    for part in words.split(","):
        several = part[1 : part.closing(0)].split(",") if part.upper(0) == "(" else [part]
        found += [each.identifier(0) for each in several]
    columns = tuple(column for column in found if column is not None)
    if len(columns) < len(found):
        raise Unreadable
    return columns


def _where(words: Words, table: TableName, alias: str | None, at: int) -> str | None:
    """The condition, None where it cannot be asked of the table alone, or asking it might change something."""
    start = words.find("WHERE", "RETURNING", start=at)
    if words.upper(at) in {"USING", "FROM"}:
        return None
    if words.upper(start) != "WHERE":
        return ""
    condition = words[start + 1 : words.find("RETURNING", start=start)]
    if _UNASKABLE.search(condition.head) or _CHANGES.search(condition.head) or not _calls(condition) <= PURE:
        return None
    own_name = '"' + table[1].replace('"', '""') + '"'
    if alias is None:
        return condition.text
    return None if "SELECT" in condition else condition.text_with(alias, own_name)


def _unknown_calls(words: Words) -> Iterator[Statement]:
    """A function of which nothing is known may do anything, wherever it is called."""
    if not _calls(words) <= HARMLESS:
        yield Statement("unknown")


def _calls(words: Words) -> frozenset[str]:
    """The functions that are called; quoted ones and those of a schema are under names that no list holds."""
    found: set[str] = set()
    for at in range(len(words) - 1):
        if (
            words.original(at + 1) == "("
            and words.identifier(at) is not None
            and words.upper(at - 1) not in _NAMES_COLUMNS
        ):
            path = words[at - 2 : at].head if words.upper(at - 1) == "." else ""
            found.add(words.upper(at) if path in {"", "PG_CATALOG ."} else path + words.upper(at))
    return frozenset(found - NOT_CALLED)


def _created_table(words: Words) -> Iterator[Effect]:
    yield CreatedTable(words.table(0)[0][1])


def _dropped_tables(words: Words) -> Iterator[Effect]:
    for part in words.split(","):
        yield DroppedTable(part.table(0)[0][1])


def _altered_table(words: Words) -> Iterator[Effect]:
    (_, table), at = words.table(0)
    for action in words[at:].split(","):
        match = _ACTION.match(action.head)
        name = action.identifier(len(match[0].split())) if match else None
        to = action.identifier(action.find("TO") + 1)
        if match is None or name is None:
            continue
        if match[1] == "ADD":
            yield AddedColumn(table, name, None)
        elif match[1] == "DROP":
            yield DroppedColumn(table, name)
        elif match[0] == "RENAME TO ":
            yield RenamedTable(table, name)
        elif to is not None:
            yield RenamedColumn(table, name, to)


# What follows them with parentheses is a name for a table and its columns.
_NAMES_COLUMNS = frozenset({"AS", "ORDINALITY"})
# Wherever one of these words stands, something may happen to rows.
_CHANGES = re.compile(r"\b(DELETE|UPDATE|TRUNCATE|MERGE|DO|EXECUTE|CALL)\b")
# Parameters that were not filled in, and cursors.
_UNASKABLE = re.compile(r"% ?[S(]|\$ ?\d|^CURRENT OF ")
_QUOTE = re.compile(r"'|\$\w*\$")
_ATOMIC = re.compile(r"CREATE (OR REPLACE )?(FUNCTION|PROCEDURE) .* BEGIN ATOMIC .* END( ;)?$")
# They say of nothing what goes.
_TAKES_ALONG = re.compile(
    r"DROP (OWNED\b|(DOMAIN|EXTENSION|FOREIGN DATA WRAPPER|LANGUAGE|SCHEMA|SERVER|TYPE)\b.* CASCADE( ;)?$)"
)
_PLPGSQL = re.compile(r"(END( IF| LOOP| CASE)?|NULL|RAISE (NOTICE|WARNING|INFO|DEBUG|LOG) [^(]*)$")
_ACTION = re.compile(
    r"(ADD|DROP|RENAME) (TO (?=\S+$)|(COLUMN )?(IF (NOT )?EXISTS )?"
    r"(?!(COLUMN|IF|TO|CONSTRAINT|PRIMARY|UNIQUE|CHECK|FOREIGN|EXCLUDE|NOT)\b))"
)
_SCHEMA = (
    "ALTER|CLUSTER|COMMENT|CREATE|DROP|GRANT|IMPORT FOREIGN SCHEMA|REASSIGN|REFRESH MATERIALIZED VIEW|REINDEX|REVOKE|"
    "SECURITY LABEL"
)
_HARMLESS = (
    "ANALYZE|BEGIN|COMMIT|DISCARD|END|LISTEN|LOCK|NOTIFY|RELEASE|RESET|SAVEPOINT|SHOW|START TRANSACTION|UNLISTEN"
)

_RULES: tuple[tuple[re.Pattern[str], Callable[[Words], Iterator[Statement]]], ...] = (
    (re.compile(r"WITH\b"), _with),
    (re.compile(r"DELETE FROM\b"), _delete),
    (re.compile(r"UPDATE\b"), _update),
    (re.compile(r"TRUNCATE\b"), _truncate),
    (re.compile(r"INSERT INTO\b"), _insert),
    (re.compile(r"DO ('_*'( LANGUAGE PLPGSQL)?|LANGUAGE PLPGSQL '_*')$"), _block),
    (re.compile(r"CREATE (\w+ )?(TABLE|MATERIALIZED VIEW) [^(]* AS (WITH|SELECT)\b"), _created_from_query),
    (re.compile(rf"({_SCHEMA})\b"), _schema),
    # Where names are looked up decides what all that follows is about.
    (re.compile(r"SET (?!((LOCAL|SESSION) )?(SEARCH_PATH|SCHEMA)\b)"), _harmless),
    (re.compile(rf"({_HARMLESS})\b"), _harmless),
    (re.compile(r"(SELECT|VALUES|PERFORM)\b"), _select),
)
_EFFECTS: tuple[tuple[re.Pattern[str], Callable[[Words], Iterator[Effect]]], ...] = (
    (re.compile(r"CREATE (UNLOGGED )?TABLE (?!IF )"), _created_table),
    (re.compile(r"DROP TABLE (IF EXISTS )?"), _dropped_tables),
    (re.compile(r"ALTER TABLE (IF EXISTS )?(ONLY )?"), _altered_table),
)
