"""Settings: option, then environment, then file, then default."""

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

from flagsnap.durations import duration
from flagsnap.errors import UsageError

DEFAULT_FILE = Path("flagsnap.toml")


@dataclass(frozen=True)
class Settings:
    """What all commands share. Durations are in seconds where they are numbers.

    Attributes:
        database_url: the live database, as a URL or keyword string of libpq; never printed.
        store: where snapshots are kept.
        store_options: what an S3 store needs to know beside its URL, by name.
        manage: the command line of the project's manage.py, empty if there is none.
        jobs: how many tables are dumped, restored and analysed at once; 0 chooses by the machine.
        pg_bin: the folder of PostgreSQL's client programs, None to search.
        silence: after how long without a word the project counts as dead.
        lock_timeout: how long a reverse migration or a capture waits for a lock; 0 means without end.
        count_seconds: how long to count what a rollback would lose; what is left then is estimated.
        digest_seconds: how long a rehearsal compares rows; what is left then is listed.
        acceptable_residue: how many rows of each table may be others after a rehearsed rollback; True for any number.
        keep_last: how many of the newest captures a prune keeps; this and the next four together are its policy.
        keep_within: how young a capture must be to be kept.
        keep_daily: of how many days the newest capture is kept; so `keep_weekly` and `keep_monthly`.
        keep_retired: how long a prune keeps what a restore has replaced, and archives at least.
    """

    database_url: str = field(default="", repr=False)
    store: str = ""
    store_options: Mapping[str, str] = field(default_factory=dict)
    manage: str = ""
    jobs: int = 0
    pg_bin: Path | None = None
    silence: float = 120.0
    lock_timeout: float = 10.0
    count_seconds: float = 30.0
    digest_seconds: float = 120.0
    acceptable_residue: Mapping[str, int | bool] = field(default_factory=dict)
    keep_last: int = 0
    keep_within: timedelta = timedelta(0)
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_retired: timedelta = timedelta(days=14)

    def need_database(self) -> str:
        """The database URL; UsageError if there is none."""
        if not self.database_url:
            raise UsageError(
                "no database URL was given",
                "set FLAGSNAP_DATABASE_URL (or DATABASE_URL) to postgresql://user:password@host:5432/name",
            )
        return self.database_url

    def need_store(self) -> str:
        """The store; UsageError if there is none."""
        if not self.store:
            raise UsageError("no store was given", "set FLAGSNAP_STORE or --store to a folder or to s3://bucket/prefix")
        return self.store

    @property
    def workers(self) -> int:
        """How many things are done at once."""
        return self.jobs or max(2, min(8, os.cpu_count() or 2))


_NAMES = [each.name for each in fields(Settings)]
_STORE_OPTION = "FLAGSNAP_S3_"
_MINIMUM = {
    "jobs": 0,
    "silence": 0.1,
    "lock_timeout": 0.0,
    "count_seconds": 0.0,
    "digest_seconds": 0.0,
    "keep_last": 0,
    "keep_daily": 0,
    "keep_weekly": 0,
    "keep_monthly": 0,
}
_MOST_KEPT = 1_000_000
_MAXIMUM = dict.fromkeys(("keep_last", "keep_daily", "keep_weekly", "keep_monthly"), _MOST_KEPT)
_DURATIONS = frozenset({"keep_within", "keep_retired"})
_RESIDUE = "acceptable_residue"


def load_settings(options: Mapping[str, Any], environment: Mapping[str, str], file: Path | None) -> Settings:
    """Merge the sources; UsageError for a value or a name that makes no sense.

    `options` holds what the command line gave, None for what it did not. Without `file`, flagsnap.toml is read if it is
    there.
    """
    merged: dict[str, Any] = {}
    store_options: dict[str, str] = {}
    for source in (_from_file(file), _from_environment(environment), options):
        store_options.update(_store_options(source.get("store_options")))
        merged.update({name: value for name, value in source.items() if value is not None})
    merged["store_options"] = store_options
    return Settings(**{name: _typed(name, value) for name, value in merged.items()})


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {name: environment.get(f"FLAGSNAP_{name.upper()}") or None for name in _NAMES}
    found[_RESIDUE] = None  # a table, which only a file can have
    found["store_options"] = {
        name.removeprefix(_STORE_OPTION).lower(): value
        for name, value in environment.items()
        if name.startswith(_STORE_OPTION) and value
    }
    found["database_url"] = found["database_url"] or environment.get("DATABASE_URL") or None
    return found


def _from_file(file: Path | None) -> dict[str, Any]:
    if file is None and not DEFAULT_FILE.is_file():
        return {}
    path = file or DEFAULT_FILE
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise UsageError(
            f"the file {path} cannot be read: {(error.strerror or '').lower()}", "check --config"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the file {path} is not TOML: {error}") from error
    for name in content:
        if name not in _NAMES:
            near = difflib.get_close_matches(name, _NAMES, 1)
            raise UsageError(
                f"the file {path} has an unknown setting {name}", f"did you mean {near[0]}?" if near else ""
            )
    return content


def _store_options(given: Any) -> dict[str, str]:
    """A table of the file, or the NAME=VALUE texts of the command line."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {name: str(value) for name, value in given.items()}
    options = {}
    for text in given if isinstance(given, list) else [given]:
        name, equals, value = str(text).partition("=")
        if not (name and equals):
            raise UsageError(f"{text!r} is not a store option", "write it as NAME=VALUE")
        options[name.replace("-", "_")] = value
    return options


def _residue(given: Any) -> dict[str, int | bool]:
    """Rows by table: a number, or true for any."""
    hint = 'write [acceptable_residue], then "schema.table" = the most rows, or true for any number'
    if not isinstance(given, Mapping):
        raise UsageError("acceptable-residue is not a table of tables", hint)
    for table, rows in given.items():
        if not isinstance(rows, int) or rows < 0 or "." not in table:
            raise UsageError(f"acceptable-residue cannot be {table!r} = {rows!r}", hint)
    return dict(given)


def _duration(name: str, given: Any) -> timedelta:
    if isinstance(given, timedelta):
        return given
    try:
        return duration(str(given))
    except UsageError as error:
        raise UsageError(f"{name.replace('_', '-')} cannot be {given!r}", error.hint) from error


def _typed(name: str, value: Any) -> Any:
    default = getattr(Settings(), name)
    try:
        if name == "pg_bin":
            return Path(value)
        if name == "store_options":
            return value
        if name == _RESIDUE:
            return _residue(value)
        if name in _DURATIONS:
            return _duration(name, value)
        typed = type(default)(value)
        if name in _MINIMUM and not _MINIMUM[name] <= typed <= _MAXIMUM.get(name, typed):
            raise ValueError(name)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name.replace('_', '-')} cannot be {value!r}", _bounds(name)) from error
    return typed


def _bounds(name: str) -> str:
    """What a number may be, in words; nothing for what is no number."""
    if name in _MAXIMUM:
        return f"give it a number from {_MINIMUM[name]:g} to {_MAXIMUM[name]}"
    return f"give it a number, {_MINIMUM[name]:g} or more" if name in _MINIMUM else ""
