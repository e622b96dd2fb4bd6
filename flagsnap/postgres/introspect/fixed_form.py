"""Brings expressions as PostgreSQL prints them into the form which survives a dump and a restore.

PostgreSQL stores parsed expressions and prints them anew; a restore parses what was printed. Two things do
not come back as they were [tried on PostgreSQL 15 to 18]:

- `name IN ('a', 'b')` on a varchar column is stored as one cast of an array, `(ARRAY['a'::character varying,
  'b'::character varying])::text[]`. Parsed again, the cast goes to the elements (transformTypeCast in
  parse_expr.c): `ARRAY[('a'::character varying)::text, ('b'::character varying)::text]`.
- `a BETWEEN 1 AND 2 AND b` is stored as `((a >= 1) AND (a <= 2)) AND b`. Parsed again, the left of two nested
  ANDs is joined with the outer one (makeAndExpr in gram.y): `(a >= 1) AND (a <= 2) AND b`. The same holds for
  OR.

Both are undone here on the printed text. It is fully parenthesised and needs no precedence; what stands in
literals and in quoted names is never touched. White space, which is indentation only, becomes single spaces.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_NAME = r"""(?:[\w$]+|"(?:[^"]|"")*")"""
_TOKEN = re.compile(
    rf"""
      [eE]?'(?:[^']|'')*'                                         # a literal
    | ::{_NAME}(?:\.{_NAME})?(?:\ varying|\ precision)?            # a cast: the type's name,
      (?:\([\d,]+\))?(?:\ with(?:out)?\ time\ zone)?(?:\[\])?     # its length, and whether it is an array
    | "(?:[^"]|"")*"                                              # a quoted name
    | \s+ | [()\[\],:] | [^\s()\[\],'":]+
    """,
    re.VERBOSE,
)
_CLOSING = {"(": ")", "[": "]"}
_MAY_CHANGE = re.compile(r"\n| AND | OR |\(ARRAY\[")


class _Group(NamedTuple):
    """What stands between two brackets."""

    opening: str
    parts: "list[str | _Group]"


_Parts = list[str | _Group]


def fixed_form(text: str) -> str:
    """The form in which this expression or definition survives any number of dumps and restores."""
    if not _MAY_CHANGE.search(text):
        return text.strip()
    tokens = _TOKEN.findall(text)
    rest = iter(tokens)
    parts = _parse(rest)
    if "".join(tokens) != text or next(rest, None):  # not what PostgreSQL prints; better left alone than half read
        return text.strip()
    return _print(parts)


def _parse(tokens: Iterator[str]) -> _Parts:
    """The parts up to the closing bracket, the innermost groups brought into their form first."""
    parts: _Parts = []
    for token in tokens:
        if token in _CLOSING:
            parts.append(_Group(token, _parse(tokens)))
        elif token in _CLOSING.values():
            break
        else:
            parts.append(" " if token.isspace() else token)
    return _with_flat_conditions(_with_cast_elements(_stripped(parts)))


def _stripped(parts: _Parts) -> _Parts:
    start, end = parts[:1] == [" "], len(parts) - (parts[-1:] == [" "])
    return parts[start:end]


def _with_cast_elements(parts: _Parts) -> _Parts:
    """`(ARRAY[a, b])::t[]` as `ARRAY[(a)::t, (b)::t]`."""
    result: _Parts = []
    for part in parts:
        match result[-1:], part:
            case [_Group("(", ["ARRAY", _Group("[", elements)])], str(cast) if cast[:2] == "::" and cast[-2:] == "[]":
                result[-1:] = ["ARRAY", _Group("[", _cast_each(elements, cast.removesuffix("[]")))]
            case _:
                result.append(part)
    return result


def _cast_each(elements: _Parts, cast: str) -> _Parts:
    result: _Parts = []
    element: _Parts = []
    for part in [*elements, ","]:
        if part == ",":
            result += [*_cast(_stripped(element), cast), ",", " "]
            element = []
        else:
            element.append(part)
    return result[:-2]


def _cast(element: _Parts, cast: str) -> _Parts:
    match element:
        case ["ARRAY", _Group("[", inner)]:
            return ["ARRAY", _Group("[", _cast_each(inner, cast))]
        # A constant that is cast to its own type with a length is printed with one cast only, and a number with a point
        # is a numeric (get_coercion_expr and get_const_expr in ruleutils.c).
        case [str(constant), str(own)] if cast.startswith(own + "("):
            return [constant, cast]
        case [str(constant)] if "." in constant and cast.startswith("::numeric("):
            return [constant, cast]
    return [_Group("(", element), cast]


def _with_flat_conditions(parts: _Parts) -> _Parts:
    """`(a AND b) AND c` as `a AND b AND c`, and the same for OR."""
    word = _connector(parts)
    if not word:
        return parts
    result: _Parts = []
    for position, part in enumerate(parts):
        before, after = parts[max(0, position - 2) : position], parts[position + 1 : position + 3]
        match part:
            case _Group("(", inner) if (
                _connector(inner) == word and before in ([], [word, " "]) and after in ([], [" ", word])
            ):
                result += inner
            case _:
                result.append(part)
    return result


def _connector(parts: _Parts) -> str | None:
    """The word between conditions, if it is one and the same everywhere in this group."""
    words = {part for part in parts if isinstance(part, str) and part in {"AND", "OR"}}
    return words.pop() if len(words) == 1 else None


def _print(parts: _Parts) -> str:
    return "".join(
        part if isinstance(part, str) else f"{part.opening}{_print(part.parts)}{_CLOSING[part.opening]}"
        for part in parts
    )
