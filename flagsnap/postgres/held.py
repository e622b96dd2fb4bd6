"""Who holds flagsnap's locks: looked up in pg_locks, so that nobody is kept waiting by the question."""

from flagsnap.postgres.connection import Connection
from flagsnap.postgres.locks import REPLAY_SESSION, RUN_KEY, UNAPPLY_KEY, UNAPPLY_SESSION, drill_key_of, key_of
from flagsnap.whereabouts import Holder, Work


def read_holders(connection: Connection, live: str) -> tuple[Holder, ...]:
    """The sessions that hold a lock of `live`, in whichever database, and those that unapply there without one.

    A key of 64 bits is shown as its two halves, with objsubid 1 (PostgreSQL, "pg_locks"). What a session does is
    hidden from roles without the rights of its own; its name is not.
    """
    works: dict[int, Work] = {
        RUN_KEY: "run",
        UNAPPLY_KEY: "unapply",
        key_of(live): "restore",
        drill_key_of(live): "drill",
    }
    rows = connection.execute(
        """
        WITH held AS (
            SELECT l.pid, d.datname, (l.classid::bigint << 32) | l.objid::bigint AS key
            FROM pg_locks l JOIN pg_database d ON d.oid = l.database
            WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
        )
        SELECT key, application_name, pid, xact_start FROM held JOIN pg_stat_activity USING (pid)
        WHERE key = ANY(%(keys)s::bigint[]) AND (held.datname = %(live)s OR key <> ALL(%(local)s::bigint[]))
        UNION ALL
        SELECT %(unapply)s, application_name, pid, xact_start FROM pg_stat_activity
        WHERE datname = %(live)s AND application_name = ANY(%(names)s) AND state IS DISTINCT FROM 'idle'
          AND pid NOT IN (SELECT pid FROM held)
        ORDER BY 4 NULLS LAST, 3
        """,
        {
            "keys": list(works),
            "local": [RUN_KEY, UNAPPLY_KEY],
            "live": live,
            "unapply": UNAPPLY_KEY,
            "names": [UNAPPLY_SESSION, REPLAY_SESSION],
        },
    ).fetchall()
    return tuple(Holder(works[key], name or "a session without a name", pid, since) for key, name, pid, since in rows)
