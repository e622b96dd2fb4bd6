"""What hangs on the connected database, and would not follow when another one takes its place."""

from flagsnap.diagnosis.swap import Extension
from flagsnap.postgres.connection import Connection

_USUAL_BACKENDS = ("client backend", "autovacuum worker", "parallel worker", "walsender")
_REPLICATION = "logical replication%"


def read_extensions(connection: Connection) -> tuple[Extension, ...]:
    """The extensions but plpgsql, which every database has.

    Who may create the database's objects may create trusted ones (CREATE EXTENSION); the rest takes a superuser.
    """
    rows = connection.execute(
        """
        SELECT e.extname, e.extversion, a.default_version,
               r.rolsuper OR coalesce(v.trusted, false) AND has_database_privilege(current_database(), 'CREATE')
        FROM pg_roles r, pg_extension e
        LEFT JOIN pg_available_extensions a ON a.name = e.extname
        LEFT JOIN pg_available_extension_versions v ON (v.name, v.version) = (a.name, a.default_version)
        WHERE r.rolname = current_user AND e.extname <> 'plpgsql' ORDER BY 1
        """
    ).fetchall()
    return tuple(Extension(*row) for row in rows)


def read_slots(connection: Connection) -> tuple[str, ...]:
    """The logical replication slots of this database."""
    return _names(
        connection,
        "SELECT slot_name FROM pg_replication_slots WHERE database = current_database() AND NOT temporary ORDER BY 1",
    )


def read_subscriptions(connection: Connection) -> tuple[str, ...]:
    """The subscriptions of this database."""
    return _names(
        connection,
        "SELECT s.subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid"
        " WHERE d.datname = current_database() ORDER BY 1",
    )


def read_publications(connection: Connection) -> tuple[str, ...]:
    """The publications of this database."""
    return _names(connection, "SELECT pubname FROM pg_publication ORDER BY 1")


def read_event_triggers(connection: Connection) -> tuple[str, ...]:
    """The event triggers that are not an extension's."""
    return _names(
        connection,
        "SELECT t.evtname FROM pg_event_trigger t WHERE NOT EXISTS (SELECT FROM pg_depend d"
        " WHERE d.classid = 'pg_event_trigger'::regclass AND d.objid = t.oid AND d.deptype = 'e') ORDER BY 1",
    )


def read_prepared(connection: Connection) -> tuple[str, ...]:
    """The prepared transactions of this database."""
    return _names(connection, "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY 1")


def read_workers(connection: Connection) -> tuple[str, ...]:
    """Background workers that are connected to this database, and pg_cron's, which is told its name."""
    rows = connection.execute(
        """
        SELECT 'pg_cron (cron.database_name)' WHERE current_setting('cron.database_name', true) = current_database()
        UNION
        SELECT backend_type FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type <> ALL(%s) AND backend_type NOT LIKE %s
        ORDER BY 1
        """,
        (list(_USUAL_BACKENDS), _REPLICATION),
    ).fetchall()
    return tuple(name for (name,) in rows)


def _names(connection: Connection, statement: str) -> tuple[str, ...]:
    return tuple(name for (name,) in connection.execute(statement.encode()).fetchall())
