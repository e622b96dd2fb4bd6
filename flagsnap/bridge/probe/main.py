"""One request, one answer."""

from __future__ import annotations

import json
import threading
import traceback
from typing import Any, Dict, Set

import django
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder

from flagsnap.bridge.probe.channel import Channel, Refused
from flagsnap.bridge.probe.effects import effects
from flagsnap.bridge.probe.facts import facts, flat
from flagsnap.bridge.probe.loading import Key, full_plan, identify, key_of, keys, load_executor
from flagsnap.bridge.probe.unapply import Unapply


def main(text: str) -> None:
    """Answer one request."""
    request = json.loads(text)
    channel = Channel(request["begin"], request["end"])
    threading.Thread(target=channel.beat, daemon=True).start()
    try:
        connection = connections[request["alias"]]
        if connection.vendor != "postgresql":
            raise Refused("usage", "the project's database is %s, not PostgreSQL" % connection.vendor)
        channel.send("hello", django=django.get_version(), **identify(connection))
        if request["action"] == "describe":
            channel.send("graph", **describe(connection, keys(request["recorded"])))
        else:
            Unapply(connection, channel, request).run()
        channel.send("done")
    except Refused as error:
        channel.send("failed", kind=error.kind, error=str(error), trace="")
    except BaseException as error:  # noqa: BLE001  # whatever it is, flagsnap has to hear it
        name = type(error).__name__
        channel.send("failed", kind="error", error=name + ": " + first_line(error), trace=traceback.format_exc())


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


def first_line(error: BaseException) -> str:
    """The first line of an error's text."""
    return (str(error).strip().splitlines() or [""])[0]
