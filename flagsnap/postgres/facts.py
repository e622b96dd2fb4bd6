"""What is read of a database beside its catalog: one question, one function, one statement."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from psycopg import errors as pg_errors
from psycopg import sql

from flagsnap.catalog import Catalog
from flagsnap.loss.values import TableKey
from flagsnap.migrations import AppliedMigration
from flagsnap.postgres.connection import Address, Connection, lift_time_limits
from flagsnap.postgres.introspect import read_catalog
from flagsnap.postgres.introspect.scope import OWED_TABLE
from flagsnap.snapshot import DatabaseProperties, Grant, RoleSetting, Statistics, TableRows

OWN_SCHEMAS = "flagsnap\\_retired\\_%"
"""LIKE pattern of the schemas in which an in-place restore keeps the old objects; they are no part of the schema."""


@dataclass(frozen=True)
class ServerFacts:
    """What identifies a database, and what the role may do there."""

    database: str
    system_identifier: str | None
    version: int
    bytes: int
    collation_version: str | None
    can_create_databases: bool
    is_superuser: bool
    in_recovery: bool

    @property
    def major(self) -> int:
        """The server's major version."""
        return self.version // 10000


@dataclass(frozen=True)
class LiveState:
    """The applied migrations and the catalog of a database, as of one moment."""

    has_migrations_table: bool
    applied: tuple[AppliedMigration, ...]
    catalog: Catalog


def read_server(connection: Connection) -> ServerFacts:
    """Identify the connected database."""
    row = connection.execute(
        """
        SELECT d.datname, pg_database_size(d.oid), d.datcollversion, r.rolcreatedb OR r.rolsuper, r.rolsuper,
               pg_is_in_recovery()
        FROM pg_database d, pg_roles r
        WHERE d.datname = current_database() AND r.rolname = current_user
        """
    ).fetchone()
    name, size, collation_version, createdb, superuser, recovery = row or (None,) * 6
    return ServerFacts(
        database=str(name),
        system_identifier=read_system_identifier(connection),
        version=connection.info.server_version,
        bytes=int(size or 0),
        collation_version=collation_version,
        can_create_databases=bool(createdb),
        is_superuser=bool(superuser),
        in_recovery=bool(recovery),
    )


def owner_of(server: ServerFacts, address: Address) -> str:
    """Whose drafts a capture of that database makes, as a store is told."""
    return f"{server.system_identifier or address}/{server.database}"


def read_name(connection: Connection) -> str:
    """What the server calls the connected database; a pooler may have another name for it."""
    row = connection.execute("SELECT current_database()").fetchone()
    return str(row[0]) if row else ""


def read_system_identifier(connection: Connection) -> str | None:
    """The cluster's identifier (pg_control_system), None where a managed service does not let the role read it."""
    try:
        with connection.transaction():
            row = connection.execute("SELECT system_identifier::text FROM pg_control_system()").fetchone()
    except pg_errors.InsufficientPrivilege:
        return None
    return str(row[0]) if row else None


def read_started(connection: Connection) -> str:
    """When the server was started, which tells it from every other one; the same text in any session."""
    row = connection.execute("SELECT extract(epoch FROM pg_postmaster_start_time())::text").fetchone()
    return str(row[0]) if row else ""


def read_state(connection: Connection) -> LiveState:
    """The applied migrations and the catalog, in the transaction that is open."""
    applied = read_migrations(connection)
    return LiveState(has_migrations_table=applied is not None, applied=applied or (), catalog=read_catalog(connection))


def read_current_state(connection: Connection, lock_timeout: float = 10.0) -> LiveState:
    """The same in a transaction of its own, both as of one moment.

    PostgreSQL locks what it prints the definition of, so this waits for whoever is altering a table, if not for ever.
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        set_lock_timeout(connection, lock_timeout)
        lift_time_limits(connection)
        return read_state(connection)


def set_lock_timeout(connection: Connection, seconds: float) -> None:
    """Bound the wait for locks in the transaction that is open."""
    connection.execute("SELECT set_config('lock_timeout', %s, true)", (f"{int(seconds * 1000)}ms",))


def read_migrations(connection: Connection) -> tuple[AppliedMigration, ...] | None:
    """The rows of `django_migrations` in the order in which they were written, None if there is no such table."""
    found = connection.execute("SELECT to_regclass('django_migrations')").fetchone()
    if not found or found[0] is None:
        return None
    rows = connection.execute("SELECT app, name, applied FROM django_migrations ORDER BY id").fetchall()
    return tuple(AppliedMigration(*row) for row in rows)


def read_applied(connection: Connection, lock_timeout: float) -> tuple[AppliedMigration, ...] | None:
    """The same in a transaction of its own; it waits so many seconds for whoever is altering that table."""
    with connection.transaction():
        set_lock_timeout(connection, lock_timeout)
        lift_time_limits(connection)
        return read_migrations(connection)


def read_table_rows(connection: Connection, tables: Sequence[tuple[str, str]]) -> tuple[TableRows, ...]:
    """Count the rows of tables exactly, beside PostgreSQL's write counters."""
    counters = read_write_counters(connection)
    return tuple(
        TableRows(
            schema_name=schema,
            table=table,
            rows=count_rows(connection, schema, table),
            **dict(zip(("inserted", "updated", "deleted"), counters.get((schema, table), (0, 0, 0)), strict=True)),
        )
        for schema, table in tables
    )


def count_rows(connection: Connection, schema: str, table: str) -> int:
    """Count one table's own rows, without those of its partitions or heirs."""
    statement = sql.SQL("SELECT count(*) FROM ONLY {}").format(sql.Identifier(schema, table))
    row = connection.execute(statement).fetchone()
    return int(row[0]) if row else 0


def count_cheaply(connection: Connection) -> None:
    """For the transaction that is open: leave the other processors to pg_dump, and do not compile statements.

    To compile a `count(*)` costs more than it saves: twice the time for tables of 150 MB on PostgreSQL 17.
    """
    connection.execute("SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off")


def read_write_counters(connection: Connection) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Rows inserted, updated and deleted so far, by table (pg_stat_user_tables)."""
    rows = connection.execute(
        "SELECT schemaname, relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables"
    ).fetchall()
    return {(schema, table): (inserted, updated, deleted) for schema, table, inserted, updated, deleted in rows}


def read_statistics(connection: Connection) -> Statistics:
    """Since when, and for how many commits, PostgreSQL counts what is done in this database."""
    row = connection.execute(
        "SELECT stats_reset, xact_commit FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone()
    reset_at, commits = row or (None, 0)
    return Statistics(reset_at=reset_at, commits=int(commits))


def read_row_tables(connection: Connection) -> dict[tuple[str, str], int]:
    """The tables that hold rows of their own and that pg_dump dumps, with their size on disk in bytes.

    Tables of extensions are left out as pg_dump leaves them out; partitioned parents hold nothing.
    """
    rows = connection.execute(
        """
        SELECT n.nspname, c.relname, pg_table_size(c.oid)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r' AND c.relpersistence <> 't'
          AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE %s AND c.relname <> %s
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                          AND d.deptype = 'e')
        ORDER BY pg_table_size(c.oid) DESC, 1, 2
        """,
        (OWN_SCHEMAS, OWED_TABLE),
    ).fetchall()
    return {(schema, table): int(size) for schema, table, size in rows}


def with_heirs(connection: Connection, tables: Collection[TableKey]) -> set[TableKey]:
    """Tables and all that have inherited from them, such as their partitions; what is not there is left out."""
    rows = connection.execute(
        """
        WITH RECURSIVE wanted (oid) AS (
            SELECT c.oid FROM unnest(%s::text[], %s::text[]) AS t (schema, name)
            JOIN pg_namespace n ON n.nspname = t.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.name
            WHERE c.relkind IN ('r', 'p')
            UNION
            SELECT i.inhrelid FROM pg_inherits i JOIN wanted ON i.inhparent = wanted.oid
        )
        SELECT n.nspname, c.relname
        FROM wanted JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace
        """,
        ([schema for schema, _ in tables], [table for _, table in tables]),
    ).fetchall()
    return {(schema, table) for schema, table in rows}


def read_properties(connection: Connection) -> DatabaseProperties:
    """What `CREATE DATABASE` and `ALTER DATABASE` say of the connected database."""
    # The locale's column was renamed in PostgreSQL 17, and ICU rules came with 16.
    version = connection.info.server_version
    locale = "d.datlocale" if version >= 170000 else "d.daticulocale"
    rules = "d.daticurules" if version >= 160000 else "NULL"
    row = connection.execute(
        f"""
        SELECT pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding), d.datlocprovider::text,
               d.datcollate, d.datctype, {locale}, {rules}, t.spcname, d.datconnlimit,
               shobj_description(d.oid, 'pg_database'), d.datacl IS NULL
        FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace
        WHERE d.datname = current_database()
        """  # noqa: S608  # both parts are constants above
    ).fetchone()
    owner, encoding, provider, collate, ctype, icu, icu_rules, tablespace, limit, comment, default_acl = (
        row or (None,) * 11
    )
    return DatabaseProperties(
        owner=str(owner),
        encoding=str(encoding),
        locale_provider=str(provider),
        collate=collate,
        ctype=ctype,
        locale=icu,
        icu_rules=icu_rules,
        tablespace=str(tablespace),
        connection_limit=-1 if limit is None else int(limit),
        comment=comment,
        settings=_read_settings(connection),
        grants=None if default_acl else _read_grants(connection),
    )


def _read_settings(connection: Connection) -> tuple[RoleSetting, ...]:
    rows = connection.execute(
        """
        SELECT r.rolname, split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1)
        FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) AS setting
        WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
        ORDER BY 1 NULLS FIRST, 2
        """
    ).fetchall()
    return tuple(RoleSetting(role=role, setting=setting, value=value) for role, setting, value in rows)


def _read_grants(connection: Connection) -> tuple[Grant, ...]:
    rows = connection.execute(
        """
        SELECT CASE a.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(a.grantee) END, a.privilege_type, a.is_grantable
        FROM pg_database d, aclexplode(d.datacl) a WHERE d.datname = current_database()
        ORDER BY 1 NULLS FIRST, 2
        """
    ).fetchall()
    return tuple(Grant(grantee=who, privilege=what, grantable=grantable) for who, what, grantable in rows)


def wal_position(connection: Connection) -> str | None:
    """The position in the write-ahead log, None on a standby."""
    row = connection.execute(
        "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text"
    ).fetchone()
    return row[0] if row else None


def create_restore_point(connection: Connection, name: str) -> str | None:
    """Mark this moment for point-in-time recovery, where the role may and the server can; gives back the name.

    PostgreSQL limits the name to 63 bytes, and refuses where `wal_level` is minimal or the server is a standby.
    """
    short = name if len(name) <= 63 else name[:63]
    try:
        with connection.transaction():
            connection.execute("SELECT pg_create_restore_point(%s)", (short,))
    except (pg_errors.InsufficientPrivilege, pg_errors.ObjectNotInPrerequisiteState):
        return None
    return short
