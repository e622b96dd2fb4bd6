"""What PostgreSQL's types can carry of each other, and what a cast does to the values that do not fit.

The casts are those of Django's AlterField, `ALTER COLUMN c TYPE t USING c::t`: an explicit cast to `varchar(n)` cuts
silently. Between two types of varchar Django writes no USING (DatabaseSchemaEditor._using_sql), and the assignment
fails on what is longer. Values are compared in UTC, as Django's connections have it.
"""

import re
from dataclasses import dataclass
from functools import cached_property

_INTEGERS = {"smallint": 15, "integer": 31, "bigint": 63}
_FLOATS = {"real", "double precision"}
_NUMBERS = {*_INTEGERS, *_FLOATS, "numeric"}
_TEXTS = {"text", "character varying", "character"}
_TIMESTAMPS = {"timestamp with time zone", "timestamp without time zone"}
_DIGITS = {"smallint": 5, "integer": 10, "bigint": 19}
_ANY = 1 << 20
_LAST_DAY = "294276-12-31"  # of a timestamp; a date goes on for longer
_WIDTHS = {"boolean": 5, "smallint": 6, "integer": 11, "bigint": 20, "uuid": 36}
# What PostgreSQL rounds to infinity, and to zero, is an error where the value was neither.
_REAL_TOO_LARGE, _REAL_TOO_SMALL = "3.4028235677973366e38", "7.006492321624085e-46"
_ALWAYS_CARRIED = {
    ("boolean", "integer"),
    ("smallint", "real"),
    ("smallint", "double precision"),
    ("integer", "double precision"),
    ("real", "double precision"),
    ("jsonb", "json"),
    ("timestamp with time zone", "timestamp without time zone"),
    ("timestamp without time zone", "timestamp with time zone"),
}
_BOTH_WAYS = {("integer", "boolean"), *((stamp, "date") for stamp in _TIMESTAMPS)}
_TYPE = re.compile(r"(.+?)(?:\((-?\d+)(?:,(-?\d+))?\))?( with(?:out)? time zone)?")


@dataclass(frozen=True)
class Cast:
    """What a cast does to values, as SQL conditions; empty for none of them.

    Attributes:
        cut: the values that come out changed: the cast back would not give them again.
        fails: the values that PostgreSQL refuses to cast.
    """

    cut: str = ""
    fails: str = ""


@dataclass(frozen=True)
class _Type:
    """A type as format_type prints it, taken apart."""

    name: str
    modifiers: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> "_Type":
        match = _TYPE.fullmatch(text)
        name, *modifiers, zone = match.groups() if match else (text, None)
        return cls(str(name) + (zone or ""), tuple(int(each) for each in modifiers if each is not None))


@dataclass(frozen=True)
class _Change:
    """A value, as SQL, and the types between which it is cast."""

    value: str
    from_type: str
    to_type: str

    @cached_property
    def source(self) -> _Type:
        return _Type.parse(self.from_type)

    @cached_property
    def target(self) -> _Type:
        return _Type.parse(self.to_type)

    @property
    def names(self) -> tuple[str, str]:
        return (self.source.name, self.target.name)

    @property
    def changed(self) -> str:
        """The condition that the way there and back changes the value."""
        return f"({self.value}::{self.to_type})::{self.from_type} IS DISTINCT FROM {self.value}"

    @property
    def invalid(self) -> str:
        """The condition that the value's text is none of the type; PostgreSQL can tell since version 16."""
        literal = self.to_type.replace("'", "''")
        return f"NOT pg_input_is_valid({self.value}::text, '{literal}')"


def carries(from_type: str, to_type: str) -> bool:
    """Whether every value of one type is a value of the other, so that a change of the type loses nothing."""
    return cast("", from_type, to_type) == Cast()


def cast(value: str, from_type: str, to_type: str) -> Cast:
    """What the cast does to `value`, which is SQL. Where no rule is known it changes every value."""
    change = _Change(value, from_type, to_type)
    found = (rule(change) for rule in _RULES)
    return next((each for each in found if each is not None), Cast(f"{value} IS NOT NULL"))


def _carried(change: _Change) -> Cast | None:
    return Cast() if change.from_type == change.to_type or change.names in _ALWAYS_CARRIED else None


def _arrays(change: _Change) -> Cast | None:
    if not (change.from_type.endswith("[]") and change.to_type.endswith("[]")):
        return None
    of_each = cast("each.value", change.from_type.removesuffix("[]"), change.to_type.removesuffix("[]"))
    cut, fails = (
        condition and f"EXISTS (SELECT FROM unnest({change.value}) AS each (value) WHERE {condition})"
        for condition in (of_each.cut, of_each.fails)
    )
    return Cast(cut, fails)


def _to_text(change: _Change) -> Cast | None:
    value, source, target = change.value, change.source, change.target
    if target.name not in _TEXTS:
        return None
    if target.name == "character":
        return Cast(change.changed)
    widest = source.modifiers[0] if source.name in _TEXTS and source.modifiers else _WIDTHS.get(source.name)
    if not target.modifiers or (widest is not None and widest <= target.modifiers[0]):
        return Cast()
    length = target.modifiers[0]
    longer = f"char_length({value}::text) > {length}"
    if source.name != target.name:
        return Cast(longer)
    # An assignment cuts nothing but blanks.
    rest = f"rtrim(substr({value}, {length + 1}), ' ')"
    return Cast(f"{longer} AND {rest} = ''", f"{rest} <> ''")


def _from_text(change: _Change) -> Cast | None:
    return Cast(change.changed, change.invalid) if change.source.name in _TEXTS else None


def _to_integer(change: _Change) -> Cast | None:
    value, (source, target) = change.value, change.names
    if source not in _NUMBERS or target not in _INTEGERS:
        return None
    limit = 1 << _INTEGERS[target]
    if source not in _INTEGERS:
        return Cast(f"{value} <> round({value})", f"round({value}) >= {limit} OR round({value}) < {-limit}")
    narrower = _INTEGERS[source] > _INTEGERS[target]
    return Cast(fails=f"{value} NOT BETWEEN {-limit} AND {limit - 1}" if narrower else "")


def _to_numeric(change: _Change) -> Cast | None:
    value, source, target = change.value, change.source, change.target
    if source.name not in _NUMBERS or target.name != "numeric":
        return None
    if not target.modifiers:
        return Cast(change.changed if source.name in _FLOATS else "")
    precision, scale = target.modifiers
    digits, decimals = _digits(source)
    if digits - decimals <= precision - scale and decimals <= scale:
        return Cast()
    rounded = f"round({value}::numeric, {scale})"
    return Cast(change.changed, f"abs({rounded}) >= 1e{precision - scale} AND {rounded} <> 'NaN'")


def _digits(number: _Type) -> tuple[int, int]:
    """How many digits a number has at most, and how many of them are decimals."""
    if number.name == "numeric" and number.modifiers:
        return (number.modifiers[0], number.modifiers[1])
    return (_DIGITS.get(number.name, _ANY), 0 if number.name in _INTEGERS else _ANY)


def _to_float(change: _Change) -> Cast | None:
    value, (source, target) = change.value, change.names
    if source not in _NUMBERS or target not in _FLOATS:
        return None
    if target == "double precision" or source in _INTEGERS:
        return Cast(change.changed)
    large = f"abs({value}) >= {_REAL_TOO_LARGE} AND abs({value}) < 'Infinity'"
    return Cast(change.changed, f"{large} OR {value} <> 0 AND abs({value}) <= {_REAL_TOO_SMALL}")


def _documents(change: _Change) -> Cast | None:
    if change.names != ("json", "jsonb"):
        return None
    return Cast(f"{change.value}::jsonb::text IS DISTINCT FROM {change.value}::text", change.invalid)


def _dates(change: _Change) -> Cast | None:
    if change.source.name != "date" or change.target.name not in _TIMESTAMPS:
        return None
    return Cast(fails=f"isfinite({change.value}) AND {change.value} > '{_LAST_DAY}'")


def _there_and_back(change: _Change) -> Cast | None:
    same = change.source.name == change.target.name
    return Cast(change.changed) if same or change.names in _BOTH_WAYS else None


_RULES = (
    _carried,
    _arrays,
    _to_text,
    _from_text,
    _to_integer,
    _to_numeric,
    _to_float,
    _documents,
    _dates,
    _there_and_back,
)
