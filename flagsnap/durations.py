"""Durations as people write them: `26h`, `90m`, `30d`, `2w`, or several together, `1d12h`."""

import re
from datetime import timedelta

from flagsnap.errors import UsageError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SHOWN = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_TWO_OF_IT = 2


def duration(text: str) -> timedelta:
    """Read a duration; UsageError if it is none."""
    compact = text.replace(" ", "").lower()
    parts = _PART.findall(compact)
    try:
        if not parts or "".join(number + unit for number, unit in parts) != compact:
            raise ValueError(text)
        return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{text!r} is not a duration", "write it as 90m, 26h, 30d, 2w or 1d12h") from error


def in_words(span: timedelta) -> str:
    """A duration for people, in the largest unit of which there are at least two: `3 d`, `26 h`, `90 min`, `4 s`."""
    seconds = max(0.0, span.total_seconds())
    unit, size = next((each for each in _SHOWN if seconds >= _TWO_OF_IT * each[1]), _SHOWN[-1])
    return f"{seconds / size:.0f} {unit}"
