"""SQL as words: statements split, quotes and comments out of the way.

sqlparse splits the text into statements and words. It does not know PostgreSQL's quoting (backslashes in literals,
nested comments, `#` and `[` as operators; "Lexical Structure" in PostgreSQL's manual), so it sees the text with the
inside of all quotes and comments blanked, character by character; what it finds is then read in the original.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from sqlparse.engine import FilterStack

_PLAIN = r"[^*/] | \*(?!/) | /(?!\*)"
_FLAT = rf"/\*(?: {_PLAIN} )*+\*/"
_NESTED = rf"/\*(?: {_PLAIN} | {_FLAT} )*+\*/"
_OPAQUE = re.compile(
    rf"""
      (?P<comment> --[^\r\n]* | /\*(?: {_PLAIN} | {_NESTED} )*+\*/ )
    | (?<![\w$])[eE]'(?: [^'\\] | '' | \\. )*+'
    | '(?: [^'] | '' )*+'
    | "(?: [^"] | "" )*+"
    | (?<![\w$])\$(?P<tag> (?:[^\W\d]\w*)? )\$.*?\$(?P=tag)\$
    | (?P<open> ['"] | (?<![\w$])[uU]&['"] | /\* | (?<![\w$])\$(?:[^\W\d]\w*)?\$ )
    """,
    re.VERBOSE | re.DOTALL,
)
# What sqlparse takes for quotes and comments of other databases.
_OPERATORS = str.maketrans("[]`#@\\", "()++++")
_IDENTIFIER = re.compile(r"[^\W\d][\w$]*")

TableName = tuple[str, str]
"""Schema and name; the schema is empty where it was not written."""


class Unreadable(Exception):
    """SQL that is not understood."""


class Word(NamedTuple):
    """A word, a quoted name, a literal or an operator, in upper case and with quotes blanked; and where it stands."""

    upper: str
    start: int
    end: int


@dataclass(frozen=True)
class Words:
    """Some consecutive words of a text."""

    sql: str
    words: tuple[Word, ...]

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, part: slice) -> "Words":
        return Words(self.sql, self.words[part])

    def __contains__(self, upper: str) -> bool:
        return any(word.upper == upper for word in self.words)

    @cached_property
    def head(self) -> str:
        """All words, a space between each two, quotes blanked."""
        return " ".join(word.upper for word in self.words)

    @cached_property
    def text(self) -> str:
        """The text as it was written, without comments."""
        return self.text_with(None, "")

    def text_with(self, qualifier: str | None, instead: str) -> str:
        """The text with another name where this one qualifies a column."""
        pieces: list[str] = []
        for at, word in enumerate(self.words):
            qualifies = self.upper(at + 1) == "." and self.upper(at - 1) != "." and self.identifier(at) == qualifier
            apart = at and self.words[at - 1].end < word.start
            pieces += [" " if apart else "", instead if qualifies else self.original(at)]
        return "".join(pieces)

    def original(self, at: int) -> str:
        """One word as it was written."""
        return self.sql[self.words[at].start : self.words[at].end]

    def upper(self, at: int) -> str:
        """One word in upper case, empty behind the last."""
        return self.words[at].upper if 0 <= at < len(self.words) else ""

    def find(self, *wanted: str, start: int = 0) -> int:
        """Where the first of these words stands outside of parentheses; the number of words if nowhere."""
        depth = 0
        for at in range(start, len(self.words)):
            upper = self.words[at].upper
            if depth == 0 and upper in wanted:
                return at
            depth += (upper == "(") - (upper == ")")
        return len(self.words)

    def split(self, separator: str) -> Iterator["Words"]:
        """The parts between separators that stand outside of parentheses."""
        start = 0
        while start <= len(self.words):
            end = self.find(separator, start=start)
            yield self[start:end]
            start = end + 1

    def closing(self, opening: int) -> int:
        """Where the parenthesis closes that opens there. Unreadable if nowhere."""
        depth = 0
        for at in range(opening, len(self.words)):
            depth += (self.words[at].upper == "(") - (self.words[at].upper == ")")
            if depth == 0:
                return at
        raise Unreadable

    def identifier(self, at: int) -> str | None:
        """The name that stands there, as PostgreSQL stores it; None if it is no name."""
        if at >= len(self.words):
            return None
        word = self.original(at)
        if word.startswith('"'):
            return word[1:-1].replace('""', '"')
        return word.lower() if _IDENTIFIER.fullmatch(word) else None

    def table(self, at: int) -> tuple[TableName, int]:
        """The table whose name begins there, and where the next word stands. Unreadable if there is none."""
        parts = [self._part(at)]
        at += 1
        while self.upper(at) == ".":
            parts.append(self._part(at + 1))
            at += 2
        if len(parts) > 2:
            raise Unreadable
        return (parts[0] if parts[1:] else "", parts[-1]), at

    def _part(self, at: int) -> str:
        if (name := self.identifier(at)) is None:
            raise Unreadable
        return name


def words_of(sql: str) -> Iterator[Words]:
    """The words of each statement, empty ones left out. Unreadable if a quote or a comment does not end."""
    blanked = _OPAQUE.sub(_blank, sql).translate(_OPERATORS)
    position = 0
    for statement in FilterStack().run(blanked):  # type: ignore[no-untyped-call]
        words: list[Word] = []
        for token in statement.flatten():
            for match in re.finditer(r"\S+", token.value):
                start = position + match.start()
                words.append(Word(match[0].upper(), start, start + len(match[0])))
            position += len(token.value)
        found = Words(sql, tuple(words))
        yield from (part for part in ([found] if "ATOMIC" in found else found.split(";")) if part.words)


def _blank(match: re.Match[str]) -> str:
    if match["open"]:
        raise Unreadable
    length = len(match[0])
    if match["comment"]:
        return " " * length
    quote = '"' if match[0].startswith('"') else "'"
    return quote + "_" * (length - 2) + quote
