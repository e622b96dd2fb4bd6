"""A project whose way leads to the scratch database, and which can touch nothing else.

Every alias that is the live database becomes the scratch database; from the others may be read. What an alias is, its
database is asked: names and addresses may differ. What holds here must hold for connections that are opened later, in
other threads, by other handlers: so Django's and the drivers' own functions are replaced, before which every
connection has to pass.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, Callable, Dict, List, Optional, Tuple

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from flagsnap.bridge.probe.channel import Refused
from flagsnap.bridge.probe.confine import Confined, confine, connecting
from flagsnap.bridge.probe.drivers import Border, ask, guard_drivers, refuse

READ_ONLY = "-c default_transaction_read_only=on"
PATIENCE_SECONDS = 10


def redirect(wanted: Dict[str, str], alias: str) -> None:
    """Redirect the project, and confine its process; Refused if its alias is not the live database.

    Afterwards, no connection is open but the alias's, which leads to the scratch database.
    """
    border = Border(wanted)
    if connections[alias].vendor != "postgresql":
        return  # `main` refuses it
    known = _known()
    _close(known)
    found = {each.alias: _ask_alias(each) for each in known}
    answer = found[alias]
    if isinstance(answer, Exception):
        raise Refused("usage", "the project's database cannot be reached: %s" % _words(answer))
    if not border.is_live(answer):
        where = border.live[0] + (" of another server" if answer[0] == border.live[0] else "")
        raise Refused("usage", "the project is connected to the database %s, flagsnap to %s" % (answer[0], where))
    for each in known:
        who = found[each.alias]
        _point(each, border, is_live=not isinstance(who, Exception) and border.is_live(who))
    guard_drivers(border)
    _guard_django(border)
    confine()
    _try_scratch(connections[alias], border)


def _known() -> List[Any]:
    """Django's connections, without those whose driver is not installed: nobody can use them."""
    known = []
    for alias in connections:
        with contextlib.suppress(ImproperlyConfigured):
            known.append(connections[alias])
    return known


def _close(known: List[Any]) -> None:
    """Close what the project has opened when it started, and have it open no pools."""
    for connection in known:
        connection.close()
        if "pool" in _options(connection):
            connection.close_pool()  # since Django 5.1, as the option is
            _set_options(connection, pool=None)


def _ask_alias(connection: Any) -> Any:
    """What an alias's database says of itself, or the error; an empty answer if it is not PostgreSQL.

    By the driver, so that neither Django nor the project's receivers do anything in it.
    """
    if connection.vendor != "postgresql":
        return ()
    try:
        parameters = connection.get_connection_params()
        parameters.setdefault("connect_timeout", PATIENCE_SECONDS)
        with contextlib.closing(connection.get_new_connection(parameters)) as opened:
            return ask(opened)
    except Exception as error:  # noqa: BLE001  # whatever it is: from this alias nothing can be read either
        return error


def _point(connection: Any, border: Border, is_live: bool) -> None:
    """Point an alias to the scratch database if it is the live one, else make it read only.

    The settings are changed in place: Django's connections of all threads and `settings.DATABASES` hold the same ones.
    """
    if connection.vendor != "postgresql":
        return
    if is_live:
        connection.settings_dict["NAME"] = border.database
        _set_options(connection, dbname=None, database=None)  # they would take the place of NAME
    else:
        given = _options(connection).get("options", os.environ.get("PGOPTIONS", ""))
        _set_options(connection, options="%s %s" % (given, READ_ONLY))


def _guard_django(border: Border) -> None:
    """Have every connection that Django opens, in whatever thread, checked."""
    connect = BaseDatabaseWrapper.connect

    def checked(self: Any) -> None:
        with connecting():
            connect(self)
            if self.vendor == "postgresql":
                _check(self, lambda: border.admit(ask(self.connection)))
        if self.vendor != "postgresql":
            if self.vendor == "sqlite":
                self.connection.execute("PRAGMA query_only = 1")
            if _only_reading not in self.execute_wrappers:
                self.execute_wrappers.insert(0, _only_reading)

    BaseDatabaseWrapper.connect = checked


def _check(connection: Any, admit: Callable[[], str]) -> None:
    """Once more, for backends with a driver of their own, and for connections from a pool of their own."""
    try:
        admit()
    except BaseException:
        connection.close()
        raise


def _only_reading(execute: Any, sql: Any, params: Any, many: bool, context: Dict[str, Any]) -> Any:
    connection = context["connection"]
    refuse(str(sql), "read", "the %s database %r" % (connection.display_name, connection.alias))
    return execute(sql, params, many, context)


def _try_scratch(connection: Any, border: Border) -> None:
    try:
        connection.ensure_connection()
    except Confined as error:
        raise Refused("usage", "%s is not the scratch database of this run (%s)" % (border.database, error)) from error
    except Exception as error:
        said = "the scratch database %s cannot be reached by the project: %s" % (border.database, _words(error))
        raise Refused("unreachable", said) from error
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(DISTINCT srvname, ', ') FROM pg_user_mappings")
        servers: Tuple[Any, ...] = cursor.fetchone()
    if servers[0] is not None:
        raise Refused(
            "usage", "a migration could write through the foreign server %s: drop its user mappings" % servers
        )


def _options(connection: Any) -> Dict[str, Any]:
    found: Dict[str, Any] = connection.settings_dict["OPTIONS"]
    return found


def _set_options(connection: Any, **changes: Optional[str]) -> None:
    """Set options, or leave them out; as a new object, since aliases may share one."""
    changed = dict(_options(connection), **changes)
    connection.settings_dict["OPTIONS"] = {
        name: value for name, value in changed.items() if name not in changes or value is not None
    }


def _words(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
