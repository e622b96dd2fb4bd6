"""Reading a time as people type it: ISO 8601, with an offset, with the name of a zone, or in UTC."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from flagsnap.errors import UsageError

_FORMS = 'for example "2026-11-22 09:55:37" (UTC), "2026-11-22T09:55:37+01:00" or "2026-11-22 10:55:37 Europe/Berlin"'
_TIME = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:(?:\s+|[Tt])(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?)?"
    r"\s*(?P<zone>[Zz]|[+-]\d{2}(?::?\d{2})?|[A-Za-z]\S*)?",
    re.ASCII,
)
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})?")


def moment(text: str) -> datetime:
    """The time that a text names, in UTC; without a zone it is one of UTC, without a time of day midnight.

    `django_migrations` keeps microseconds: what is finer is rounded up, so that the same rows lie before it. UsageError
    if it names none, or if the zone's clocks skip it or have it twice.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a time", _FORMS)
    zone = _zone(match["zone"] or "UTC")
    try:
        day = datetime.fromisoformat(match["date"])
        local = day.replace(hour=int(match["hour"] or 0), minute=int(match["minute"] or 0), second=_second(match))
        local += timedelta(microseconds=_microseconds(match["fraction"] or ""))
        return _in_utc(local, zone)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{text!r} is not a time: {str(error).lower()}", _FORMS) from error


def exact(when: datetime) -> str:
    """A time in UTC for people, with its microseconds if it has any."""
    fraction = f".{when.microsecond:06}" if when.microsecond else ""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S}{fraction} UTC"


def _second(match: re.Match[str]) -> int:
    return int(match["second"] or 0)


def _microseconds(fraction: str) -> int:
    nanoseconds = int(fraction.ljust(9, "0"))
    return -(-nanoseconds // 1000)


def _zone(name: str) -> tzinfo:
    if name.upper() in {"Z", "UTC", "GMT"}:
        return UTC
    if match := _OFFSET.fullmatch(name):
        sign, hours, minutes = match[1], int(match[2]), int(match[3] or 0)
        if hours > 23 or minutes > 59:
            raise UsageError(f"{name} is not an offset from UTC", _FORMS)
        offset = timedelta(hours=hours, minutes=minutes)
        return timezone(-offset if sign == "-" else offset)
    try:
        # Short names mislead: CET is summer time in summer, and EST is not.
        if "/" in name:
            return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # what is no name, a folder of names, or not known here
        pass
    raise UsageError(f"{name!r} is not a time zone that is known here", f"an offset is always understood; {_FORMS}")


def _in_utc(local: datetime, zone: tzinfo) -> datetime:
    """The one time at which the zone's clocks show that; UsageError if there is none, or are two."""
    readings = sorted({local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)})
    if len(readings) == 1:
        return readings[0]
    is_skipped = all(each.astimezone(zone).replace(tzinfo=None) != local for each in readings)
    earlier, later = map(exact, readings)
    raise UsageError(
        f"the clocks of {zone} {'skip' if is_skipped else 'show twice'} {local}",
        f'say which is meant: "{earlier}" or "{later}"',
    )
