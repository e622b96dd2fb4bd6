"""The manifest: what a snapshot records beside the dump, as versioned JSON.

A snapshot exists when its manifest does. `digest` covers all the rest of the manifest, so a truncated or altered one is
refused; unknown keys are kept out of the values and in the digest; a newer `format` is refused.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from flagsnap.catalog import Catalog
from flagsnap.errors import SnapshotDamaged, UsageError
from flagsnap.loss.values import RefillItem
from flagsnap.migrations import AppliedMigration, Migration
from flagsnap.sealed import CHOOSE, damaged, seal, unseal

FORMAT = 1
ARCHIVE_FORMAT = 2
"""The format of archives: a flagsnap that knows none must not take a dump of some tables for one of all."""
MANIFEST = "manifest.json"
LATEST = "latest"
_LONGEST_ID = 128
_STATE_DIGITS = 16
_DEPLOY_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{_LONGEST_ID - 1}}}")


def check_deploy_id(deploy_id: str) -> str:
    """Give back `deploy_id`; UsageError if it is none."""
    if not is_deploy_id(deploy_id):
        raise UsageError(
            f"{deploy_id!r} is not a deploy id",
            "1 to 128 letters, digits, dots, underscores and dashes, the first a letter or digit; not 'latest'",
        )
    return deploy_id


def is_deploy_id(name: str) -> bool:
    """Whether a snapshot may have that name."""
    return name != LATEST and _DEPLOY_ID.fullmatch(name) is not None


def deploy_id_from(moment: datetime) -> str:
    """The deploy id of a capture that was given none."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def archive_id_from(rollback_to: str, moment: datetime) -> str:
    """The deploy id of the archive of a rollback to that deploy id, which is cut where both are too long."""
    end = f"-archive-{deploy_id_from(moment)}"
    return rollback_to[: _LONGEST_ID - len(end)] + end


def _inside(path: str) -> str:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise ValueError("the path leads out of the snapshot")
    return path


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class DumpFile(_Value):
    """One file of the dump; `path` is relative to the snapshot's folder."""

    path: Annotated[str, AfterValidator(_inside)]
    bytes: int
    sha256: str


class Dump(_Value):
    """An untouched `pg_dump -Fd` and how it was made; `seconds` by the clock."""

    tool: str
    tool_version: str
    compression: str
    jobs: int
    seconds: float
    files: tuple[DumpFile, ...]

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(file.bytes for file in self.files)


class TableRows(_Value):
    """A table's rows in the dump's own snapshot, and PostgreSQL's counters of what was written to it so far.

    The counters are `pg_stat_user_tables`' and start anew when an administrator resets them.
    """

    schema_name: str
    table: str
    rows: int
    inserted: int = 0
    updated: int = 0
    deleted: int = 0


class Statistics(_Value):
    """What tells whether PostgreSQL's counters went on counting: when they were reset, and how many commits they know.

    A reset by hand leaves its time; a crash leaves none, and everything starts at zero.
    """

    reset_at: datetime | None
    commits: int

    def continues(self, earlier: "Statistics | None") -> bool:
        """Whether nothing was reset since, as far as that can be told."""
        return earlier is None or (self.reset_at == earlier.reset_at and self.commits >= earlier.commits)


class RoleSetting(_Value):
    """One setting of `ALTER DATABASE … SET`, or of `ALTER ROLE … IN DATABASE … SET` where `role` is given."""

    role: str | None
    setting: str
    value: str


class Grant(_Value):
    """One privilege on the database itself; `grantee` is None for PUBLIC."""

    grantee: str | None
    privilege: str
    grantable: bool


class DatabaseProperties(_Value):
    """What `CREATE DATABASE` and `ALTER DATABASE` say of a database; a restore gives it to the new one.

    `grants` is None where nobody ever changed the default privileges.
    """

    owner: str
    encoding: str
    locale_provider: str
    collate: str | None
    ctype: str | None
    locale: str | None
    icu_rules: str | None
    tablespace: str
    connection_limit: int
    comment: str | None
    settings: tuple[RoleSetting, ...] = ()
    grants: tuple[Grant, ...] | None = None


class AppliedRow(_Value):
    """A row of `django_migrations`."""

    app: str
    name: str
    applied: datetime


class RecordedDatabase(_Value):
    """The recorded state of one database, and its dump."""

    alias: str
    name: str
    system_identifier: str | None
    server_version: int
    collation_version: str | None
    wal_position: str | None
    restore_point: str | None
    bytes: int
    properties: DatabaseProperties
    has_migrations_table: bool
    migrations: tuple[AppliedRow, ...]
    tables: tuple[TableRows, ...]
    statistics: Statistics | None = None
    fingerprint: str
    catalog: list[Any]
    dump: Dump

    @cached_property
    def schema_catalog(self) -> Catalog:
        """The catalog; SnapshotDamaged if it is not the one of the fingerprint."""
        try:
            catalog = Catalog.from_json(self.catalog)
        except ValueError as error:
            raise SnapshotDamaged(f"the manifest's catalog cannot be read: {error}", CHOOSE) from error
        if catalog.fingerprint != self.fingerprint:
            raise SnapshotDamaged("the manifest's catalog does not have the manifest's fingerprint", CHOOSE)
        return catalog

    @property
    def applied(self) -> tuple[AppliedMigration, ...]:
        """The rows of `django_migrations`, oldest first."""
        return tuple(AppliedMigration(row.app, row.name, row.applied) for row in self.migrations)

    @property
    def applied_set(self) -> tuple[Migration, ...]:
        """The keys of the applied migrations, oldest first."""
        return tuple(Migration(row.app, row.name) for row in self.migrations)

    @property
    def server_major(self) -> int:
        """The server's major version."""
        return self.server_version // 10000

    def rows_of(self, schema: str, table: str) -> int | None:
        """How many rows a table had, None if it was not recorded."""
        return self._rows.get((schema, table))

    @cached_property
    def _rows(self) -> Mapping[tuple[str, str], int]:
        return {(table.schema_name, table.table): table.rows for table in self.tables}


class Archive(_Value):
    """What makes a snapshot an archive: the rollback that it was taken for, and what it has to bring back.

    Attributes:
        rollback_to: the deploy id whose recorded state the rollback went to.
        whole: whether the dump has every table; else it has those of `items` only, and cannot be restored from.
    """

    rollback_to: str
    whole: bool
    items: tuple[RefillItem, ...]


class Summary(_Value):
    """The part of a manifest that `list` shows.

    Attributes:
        archive_of: what an archive's rollback went to.
        state: a digest of the applied migrations' keys: two captures with the same one recorded the same set.
    """

    deploy_id: str
    captured_at: datetime
    labels: Mapping[str, str] = {}
    bytes: int
    migrations: int
    archive_of: str | None = None
    state: str | None = None


class Manifest(_Value):
    """A snapshot's manifest."""

    format: int = FORMAT
    deploy_id: str
    captured_at: datetime
    flagsnap_version: str
    labels: Mapping[str, str] = {}
    archive: Archive | None = None
    databases: Annotated[tuple[RecordedDatabase, ...], Field(min_length=1)]

    @property
    def database(self) -> RecordedDatabase:
        """The one database of today's manifests."""
        return self.databases[0]

    @property
    def files(self) -> tuple[DumpFile, ...]:
        """All files of all dumps."""
        return tuple(file for database in self.databases for file in database.dump.files)

    @property
    def summary(self) -> Summary:
        """What `list` shows of it."""
        return Summary(
            deploy_id=self.deploy_id,
            captured_at=self.captured_at,
            labels=self.labels,
            bytes=sum(file.bytes for file in self.files),
            migrations=len(self.database.migrations),
            archive_of=self.archive.rollback_to if self.archive else None,
            state=state_of(self.database.applied_set),
        )

    def to_json(self) -> bytes:
        """The bytes to publish."""
        return seal(self.model_dump(mode="json"))


def state_of(applied: Iterable[Migration]) -> str:
    """A short digest of a set of applied migrations, for `Summary.state`."""
    keys = "\n".join(sorted(f"{app}.{name}" for app, name in applied))
    return hashlib.sha256(keys.encode()).hexdigest()[:_STATE_DIGITS]


def require_whole(manifest: Manifest) -> Manifest:
    """Give back the manifest; UsageError if it is of an archive that has only some tables, so no way back."""
    if manifest.archive and not manifest.archive.whole:
        raise UsageError(
            f"{manifest.deploy_id} is an archive of some tables, which no database can be restored from",
            f"`flagsnap refill --from {manifest.deploy_id}` puts back what it has, once its version is deployed again",
        )
    return manifest


def read_manifest(raw: bytes, deploy_id: str) -> Manifest:
    """Read the manifest of `deploy_id`.

    SnapshotDamaged if it is truncated, altered, of another deploy id or of a format that this version does not know.
    """
    what = f"the manifest of {deploy_id}"
    content = unseal(raw, what, ARCHIVE_FORMAT)
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise damaged(what, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if manifest.deploy_id != deploy_id:
        raise damaged(what, f"it is the manifest of {manifest.deploy_id}")
    return manifest


def newest_first(summaries: Sequence[Summary]) -> tuple[Summary, ...]:
    """By the time of capture."""
    return tuple(sorted(summaries, key=lambda summary: summary.captured_at, reverse=True))
