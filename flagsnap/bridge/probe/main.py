"""One request, one answer."""

from __future__ import annotations

import json
import threading
import traceback
from typing import Any, Dict, Optional, Set

import django
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder

from flagsnap.bridge.probe.channel import Channel, Refused
from flagsnap.bridge.probe.confine import Confined
from flagsnap.bridge.probe.effects import effects
from flagsnap.bridge.probe.facts import facts, flat
from flagsnap.bridge.probe.forward import Forward
from flagsnap.bridge.probe.loading import Key, full_plan, identify, key_of, keys, load_executor
from flagsnap.bridge.probe.redirect import redirect
from flagsnap.bridge.probe.unapply import Unapply
from flagsnap.bridge.probe.watching import MigrationRaised


def main(text: str) -> None:
    """Answer one request."""
    request = json.loads(text)
    channel = Channel(request["begin"], request["end"])
    threading.Thread(target=channel.beat, daemon=True).start()
    try:
        if "redirect" in request:
            redirect(request["redirect"], request["alias"])
        connection = connections[request["alias"]]
        if connection.vendor != "postgresql":
            raise Refused("usage", "the project's database is %s, not PostgreSQL" % connection.vendor)
        channel.send("hello", django=django.get_version(), **identify(connection))
        if request["action"] == "unapply":
            Unapply(connection, channel, request).run()
        else:
            if request["action"] == "migrate":
                Forward(connection, channel).run()
            channel.send("graph", **describe(connection, keys(request["recorded"])))
        channel.send("done")
    except Refused as error:
        channel.send("failed", kind=error.kind, error=str(error), trace="")
    except MigrationRaised as error:
        cause = error.__cause__ or error
        kind = "confined" if is_confined(cause) else "migration"
        channel.send("failed", kind=kind, migration=error.key, **told(cause))
    except BaseException as error:  # noqa: BLE001  # whatever it is, flagsnap has to hear it
        channel.send("failed", kind="error", **told(error))


def describe(connection: Any, recorded: Set[Key]) -> Dict[str, Any]:
    """The graph, and for what is applied beyond the recorded state its operations and what they do to the schema."""
    executor = load_executor(connection, recorded)
    applied = set(MigrationRecorder(connection).applied_migrations())
    plan = full_plan(executor)
    wanted = applied - recorded
    for migration in plan:  # a squashed migration stands for what it replaces, also before its own row is written
        if keys(migration.replaces) & wanted:
            wanted.add(key_of(migration))
        elif migration.replaces and keys(migration.replaces) <= recorded:  # and its row alone stands for nothing
            wanted.discard(key_of(migration))
    graph, disk = executor.loader.graph, executor.loader.disk_migrations
    return {
        "nodes": [
            {
                "key": key_of(migration),
                "parents": sorted(parent.key for parent in graph.node_map[key_of(migration)].parents),
                "replaces": list(migration.replaces),
                "atomic": migration.atomic,
                "operations": [
                    facts(connection, each) for each in flat(migration.operations) if key_of(migration) in wanted
                ],
            }
            for migration in plan
        ],
        "replaced": [{"key": key, "replaces": list(each.replaces)} for key, each in disk.items() if each.replaces],
        "effects": list(effects(connection, executor, plan, wanted)),
    }


def is_confined(error: Optional[BaseException]) -> bool:
    """Whether it comes of what a rehearsal may not do, as far as who raised it has told."""
    while error is not None:
        if isinstance(error, Confined) or any(isinstance(each, Confined) for each in error.args):
            return True
        error = error.__cause__ or error.__context__
    return False


def told(error: BaseException) -> Dict[str, str]:
    """An error's name with the first line of its text, and where it is from."""
    line = (str(error).strip().splitlines() or [""])[0]
    return {"error": type(error).__name__ + ": " + line, "trace": traceback.format_exc()}
