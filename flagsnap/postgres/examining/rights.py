"""What the role may do: one question, one function, one statement."""

from psycopg import sql

from flagsnap.diagnosis.rights import Foreigners, Owned, Rights
from flagsnap.postgres.connection import Connection
from flagsnap.postgres.databases import sessions_staying
from flagsnap.postgres.facts import read_name
from flagsnap.postgres.introspect.scope import OUR_RELATION, OUR_TYPE, ours

_SERVICES = ("rds_superuser", "cloudsqlsuperuser", "alloydbsuperuser", "azure_pg_admin")
"""The roles of managed services' administrators, who may do some of what PostgreSQL keeps for superusers."""

_OWNERS = sql.SQL("""
    SELECT CASE c.relkind WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' WHEN 'm' THEN 'view' ELSE 'table' END AS kind,
        c.relowner AS owner, format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND c.relpersistence <> 't' AND {relation}
    UNION ALL
    SELECT 'function', p.proowner, p.oid::regprocedure::text
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {routine}
    UNION ALL
    SELECT 'type', t.typowner, format('%I.%I', n.nspname, t.typname)
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype IN ('e', 'd', 'r') AND {type}
    UNION ALL
    SELECT 'schema', n.nspowner, format('%I', n.nspname)
    FROM pg_namespace n WHERE n.nspname <> 'public' AND {schema}
""").format(
    relation=OUR_RELATION,
    routine=ours("pg_proc", "p.oid"),
    type=OUR_TYPE,
    schema=ours("pg_namespace", "n.oid"),
)
_NO_OWNER = sql.SQL("""
    SELECT r.rolname, r.rolsuper, kind, count(*)::int, min(name)
    FROM ({owners}) AS object JOIN pg_roles r ON r.oid = object.owner
    WHERE NOT pg_has_role(r.oid, 'USAGE') GROUP BY 1, 2, 3 ORDER BY kind <> 'table', 3, 1
""").format(owners=_OWNERS)
# pg_dump locks and reads tables, reads sequences, and looks names up in their schemas. Large objects of others take a
# grant of their own (lo_open), which pg_read_all_data does not stand for.
_HIDDEN = sql.SQL("""
    SELECT format('the schema %I', n.nspname) FROM pg_namespace n
    WHERE {schema} AND NOT has_schema_privilege(n.oid, 'USAGE')
    UNION ALL
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relpersistence <> 't' AND {relation}
      AND CASE c.relkind WHEN 'S' THEN NOT has_sequence_privilege(c.oid, 'SELECT')
                         WHEN 'r' THEN NOT has_table_privilege(c.oid, 'SELECT')
                         WHEN 'p' THEN NOT has_table_privilege(c.oid, 'SELECT') ELSE false END
    UNION ALL
    SELECT 'large object ' || l.oid FROM pg_largeobject_metadata l
    WHERE NOT pg_has_role(l.lomowner, 'USAGE')
      AND NOT EXISTS (SELECT FROM aclexplode(l.lomacl) a WHERE a.privilege_type = 'SELECT'
                      AND CASE a.grantee WHEN 0 THEN true ELSE pg_has_role(a.grantee, 'USAGE') END)
    ORDER BY 1
""").format(schema=ours("pg_namespace", "n.oid"), relation=OUR_RELATION)


def read_rights(connection: Connection) -> Rights:
    """What the role may do in the connected database as a whole."""
    # To give a database away, the role must be able to become the new owner; since 16 that is a right of its own.
    become = "SET" if connection.info.server_version >= 160000 else "MEMBER"
    row = connection.execute(
        """
        SELECT r.rolname, pg_get_userbyid(d.datdba), r.rolsuper, r.rolcreatedb OR r.rolsuper,
               pg_has_role(d.datdba, 'USAGE'), pg_has_role(d.datdba, %s),
               has_database_privilege(d.oid, 'CREATE'), o.rolsuper,
               coalesce((SELECT s.rolname FROM pg_roles s
                         WHERE s.rolname = ANY(%s) AND pg_has_role(s.oid, 'MEMBER') AND NOT r.rolsuper LIMIT 1), '')
        FROM pg_database d JOIN pg_roles o ON o.oid = d.datdba, pg_roles r
        WHERE d.datname = current_database() AND r.rolname = current_user
        """,
        (become, list(_SERVICES)),
    ).fetchone()
    role, owner, superuser, createdb, usage, give, schemas, owner_super, service = row or ("", "", *[False] * 6, "")
    return Rights(role, owner, superuser, createdb, usage, give, schemas, owner_super, service)


def read_not_owned(connection: Connection) -> tuple[Owned, ...]:
    """The application's objects that belong to roles whose rights this role does not have; tables first.

    The schema public is left out: who may create in it may use it, whoever owns it.
    """
    return tuple(Owned(*row) for row in connection.execute(_NO_OWNER).fetchall())


def read_hidden(connection: Connection) -> tuple[str, ...]:
    """What pg_dump reads and the role may not."""
    return tuple(name for (name,) in connection.execute(_HIDDEN).fetchall())


def read_policed(connection: Connection) -> tuple[str, ...]:
    """The tables whose policies hold for the role, so that pg_dump, which turns them off, would fail."""
    rows = connection.execute(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relrowsecurity AND row_security_active(c.oid) ORDER BY 1"
    ).fetchall()
    return tuple(name for (name,) in rows)


def read_sessions(connection: Connection) -> Foreigners:
    """The other sessions of the connected database."""
    database = read_name(connection)
    row = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()", (database,)
    ).fetchone()
    return Foreigners(int(row[0]) if row else 0, sessions_staying(connection, [database]))


def read_restore_points(connection: Connection) -> tuple[bool, str]:
    """Whether the role may create restore points, and the server's `wal_level`."""
    row = connection.execute(
        "SELECT has_function_privilege('pg_create_restore_point(text)', 'EXECUTE'), current_setting('wal_level')"
    ).fetchone()
    return (bool(row[0]), str(row[1])) if row else (False, "")
