"""A rehearsal's verdict against a real rollback, on a copy of the database that nobody has written to since.

What the rollback leaves is compared by matrix_rows.py, without flagsnap.
"""

import re
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import sql

from tests.fix_databases import Database
from tests.fix_deploys import DEPLOY, Deploys
from tests.integration.matrix_rows import Rows, by_name, differences, read_rows

_TABLE = re.compile(r"(?:no table |new table )?([^ :]+)")


def rehearse(deploys: Deploys) -> dict[str, Any]:
    """Rehearse the release that is written; the exit code must be the verdict's. The live database stays as it is."""
    with deploys.untouched():
        ended = deploys.flagsnap.within("rehearse", DEPLOY, "--json", code=None)
    told: dict[str, Any] = ended.json
    assert "rehearsal" in told, told
    assert ended.code == (0 if told["accepted"] else 4)
    assert deploys.database.relatives() == [deploys.database.name]
    return dict(told["rehearsal"])


def assert_true(told: dict[str, Any], deploys: Deploys, recorded: Rows) -> None:
    """A real rollback shows what the rehearsal has told; by replay, without a project, where it said that it can."""
    copy = _copy(deploys.database)
    manage = {"FLAGSNAP_MANAGE": ""} if told["replayable"] else {"DATABASE_URL": copy.url}
    ended = deploys.flagsnap.within(
        *("rollback", "--to", DEPLOY, "--on-loss", "accept", "--archive", "none", "--moved", "--json"),
        *(() if told["replayable"] else ("--strategy", "unapply")),
        code=None,
        **{"FLAGSNAP_DATABASE_URL": copy.url, **manage},
    )
    if told["verdict"] == "irreversible":
        assert ended.code in {2, 3, 7}, ended
        return
    assert told["replayable"] or [each for each in told["obstacles"] if "Python" in each] == told["obstacles"]
    assert ended.code == 0, ended
    assert ended.json["route"] == ("replay" if told["replayable"] else "unapply")
    found = {_TABLE.match(each)[1] for each in differences(by_name(recorded), by_name(read_rows(copy)))}  # type: ignore[index]
    assert found == {each["table"] for each in told["residue"]}
    assert told["verdict"] == ("residue" if found else "exact")
    assert replace(deploys, project=replace(deploys.project, database=copy)).schema() == deploys.recorded[DEPLOY][1]


def _copy(database: Database) -> Database:
    copy = Database(database.server, f"{database.name}_copy")
    with psycopg.connect(database.server.url(), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(copy.name), sql.Identifier(database.name))
        )
    return copy
