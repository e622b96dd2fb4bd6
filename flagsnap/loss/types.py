"""What PostgreSQL's types can carry of each other."""

import re

_INTEGERS = {"smallint": 16, "integer": 32, "bigint": 64}
_VARCHAR = re.compile(r"character varying(?:\((\d+)\))?")


def carries(from_type: str, to_type: str) -> bool:
    """Whether every value of one type is a value of the other, so that a change of the type loses nothing."""
    if from_type == to_type or (to_type == "text" and _is_text(from_type)):
        return True
    if from_type in _INTEGERS and to_type in _INTEGERS:
        return _INTEGERS[from_type] <= _INTEGERS[to_type]
    narrow, wide = _VARCHAR.fullmatch(from_type), _VARCHAR.fullmatch(to_type)
    if wide and wide[1] is None:
        return _is_text(from_type)
    return bool(narrow and wide and narrow[1] and int(narrow[1]) <= int(wide[1]))


def unfit_condition(column: str, from_type: str | None, to_type: str) -> str:
    """An SQL condition for the values of a type that another cannot carry; `column` is quoted already.

    Where no rule is known every value counts.
    """
    if from_type in _INTEGERS and to_type in _INTEGERS:
        bits = _INTEGERS[to_type] - 1
        return f"{column}::numeric NOT BETWEEN -(2::numeric ^ {bits}) AND 2::numeric ^ {bits} - 1"
    if (match := _VARCHAR.fullmatch(to_type)) and match[1]:
        return f"char_length({column}::text) > {match[1]}"
    return f"{column} IS NOT NULL"


def _is_text(type_name: str) -> bool:
    return type_name == "text" or bool(_VARCHAR.fullmatch(type_name))
