"""A replay that goes otherwise than rehearsed: what was open is undone, and the project goes on, or nobody does."""

from dataclasses import replace

import pytest

from flagsnap.rehearsal.values import Rehearsal
from tests.cli.terminals import on_a_terminal
from tests.fix_deploys import Deploys, refusal
from tests.fix_projects import run_sql
from tests.integration.replays import (
    ACCEPT,
    NO_PROJECT,
    REPLAY,
    captured,
    deployed,
    next_release,
    script_of,
    stored,
    with_another_fingerprint,
    with_another_statement,
)

FIRST, LAST = "0005_gone", "0002_colours"
DIVIDES = "SELECT 1 / count(*)\n  FROM flags_two WHERE name = 'nobody'"
DIVISION = f"{DIVIDES.splitlines()[0]}: division by zero"


@pytest.fixture
def rehearsal(deploys: Deploys) -> Rehearsal:
    return deployed(deploys)


def test_a_statement_fails_and_the_project_goes_on(deploys: Deploys, rehearsal: Rehearsal) -> None:
    deploys.snapshots.attach_rehearsal(with_another_statement(rehearsal, FIRST, DIVIDES))
    ended = deploys.rollback("--json", *ACCEPT)
    assert f"the replay met a surprise and goes on by unapplying: flags.{FIRST}: {DIVISION}" in ended.err
    assert ended.json["route"] == "unapply"
    assert len([each for each in deploys.snapshots.list().summaries if each.archive_of]) == 1
    deploys.assert_back()
    assert deploys.database.rows("SELECT gone FROM flags_five") == [("captured",)]
    assert ended.json["refilled"][0]["rows"] == 1


def test_what_fails_undoes_the_segment(deploys: Deploys, rehearsal: Rehearsal) -> None:
    """What is deferred is checked migration by migration, so that it is known whose it was."""
    deferred = (
        "ALTER TABLE flags_one ADD UNIQUE (name) DEFERRABLE INITIALLY DEFERRED;"
        " INSERT INTO flags_one (id, name, gone, colour) VALUES (99, 'one', '', '')"
    )
    reasons = {DIVIDES: DIVISION, "ROLLBACK": "ROLLBACK: it ended the transaction", deferred: "duplicate key value"}
    for statement, reason in reasons.items():
        deploys.snapshots.attach_rehearsal(with_another_statement(rehearsal, FIRST, statement))
        refused = deploys.refused(*REPLAY, code=1)
        assert refused.error.startswith(f"nothing was changed: flags.{FIRST}: {reason}")
        assert "--strategy unapply" in refused.hint
        refused = deploys.refused(*ACCEPT, *NO_PROJECT, code=1)
        assert refused.error.startswith(f"nothing was changed: flags.{FIRST}: {reason}")
        assert refused.error.endswith("; cannot roll back by unapply: no project was named")
        assert "FLAGSNAP_MANAGE" in refused.hint
        assert "--strategy restore" in refused.hint


def test_a_statement_fails_behind_what_is_done(deploys: Deploys, rehearsal: Rehearsal) -> None:
    """A migration that is no transaction is back in part: the project would do that part again."""
    deploys.snapshots.attach_rehearsal(with_another_statement(rehearsal, LAST, DIVIDES))
    refused = refusal(deploys.rollback(*ACCEPT, code=7))
    assert refused.error == (
        f"stopped half-way: 3 of 5 migrations are replayed and flags.0003_indexes in part; flags.{LAST}: {DIVISION}"
    )
    assert refused.hint == (
        "mend the cause; the same command then goes on from there, or --strategy restore takes the snapshot instead"
    )
    assert deploys.names() == {"flags.0001_initial", "flags.0002_colours", "flags.0003_indexes"}
    refused = refusal(deploys.rollback(*ACCEPT, code=1))
    assert refused.error == (
        f"nothing was changed: flags.{LAST}: {DIVISION};"
        " flags.0003_indexes is back in part, which unapplying would do again"
    )
    deploys.snapshots.attach_rehearsal(rehearsal)
    assert deploys.back(*ACCEPT)["route"] == "replay"
    assert deploys.database.rows("SELECT gone FROM flags_five") == [("captured",)]


def test_a_statement_without_a_transaction_fails(deploys: Deploys, rehearsal: Rehearsal) -> None:
    """What it left is dropped by the next run."""
    name = next(part.statements[0] for part in script_of(rehearsal).segments[1].parts)
    assert "CREATE INDEX CONCURRENTLY" in name
    deploys.database.execute("INSERT INTO flags_four (name, gone) VALUES ('four', 'again')")
    unique = name.replace("CREATE INDEX", "CREATE UNIQUE INDEX")
    segments = list(script_of(rehearsal).segments)
    segments[1] = replace(segments[1], parts=(replace(segments[1].parts[0], statements=(unique,)),))
    other = rehearsal.model_copy(update={"script": replace(script_of(rehearsal), segments=tuple(segments))})
    deploys.snapshots.attach_rehearsal(other)
    refused = refusal(deploys.rollback(*ACCEPT, code=7))
    assert refused.error.startswith(
        "stopped half-way: 3 of 5 migrations are replayed and flags.0003_indexes in part; flags.0003_indexes: CREATE"
    )
    assert deploys.database.rows("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(1,)]
    deploys.snapshots.attach_rehearsal(rehearsal)
    assert deploys.back(*ACCEPT)["route"] == "replay"


def test_another_schema_behind_a_segment(deploys: Deploys, rehearsal: Rehearsal) -> None:
    deploys.snapshots.attach_rehearsal(with_another_fingerprint(rehearsal, 0))
    refused = deploys.refused(*REPLAY, code=1)
    assert refused.error == (
        "nothing was changed: behind flags.0006_last, flags.0005_gone, flags.0004_more"
        " the schema is not the rehearsed one"
    )
    assert deploys.rollback("--json", *ACCEPT).json["route"] == "unapply"
    deploys.assert_back()


def test_a_difference_behind_the_last_segment_is_named(deploys: Deploys, rehearsal: Rehearsal) -> None:
    deploys.snapshots.attach_rehearsal(with_another_statement(rehearsal, LAST, "SELECT now()"))
    error = refusal(deploys.rollback(*REPLAY, code=7)).error
    assert error.endswith("the schema is not the rehearsed one: column public.flags_one.colour was not recorded")


def test_a_row_that_is_there_twice(deploys: Deploys, rehearsal: Rehearsal) -> None:
    deploys.database.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('flags', '0005_gone', now())")
    refused = deploys.refused(*REPLAY, code=1)
    assert refused.error == (
        "nothing was changed: flags.0005_gone: the row of flags.0005_gone was there 2 times, not once"
    )
    assert deploys.rollback("--json", *ACCEPT).json["route"] == "unapply"
    deploys.assert_back()


def test_tried_again_within_the_same_second(deploys: Deploys, rehearsal: Rehearsal) -> None:
    """Each run has an archive of its own, named by the second."""
    deploys.snapshots.attach_rehearsal(with_another_statement(rehearsal, FIRST, DIVIDES))
    for _ in range(3):
        assert "division by zero" in refusal(deploys.rollback(*REPLAY, code=1)).error
    assert len([each for each in deploys.snapshots.list().summaries if each.archive_of]) == 3


def test_a_role_that_may_not(deploys: Deploys, rehearsal: Rehearsal) -> None:
    """What is made again must belong to the role that the project connects as."""
    role, name = deploys.database.role("other", "LOGIN"), deploys.database.name
    deploys.database.execute(f"GRANT ALL ON DATABASE {name} TO {role}; GRANT ALL ON SCHEMA public TO {role}")
    deploys.database.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    url = deploys.database.server.url(name, role)
    refused = deploys.refused(*REPLAY, "--archive", "none", "--no-refill", code=1, FLAGSNAP_DATABASE_URL=url)
    assert refused.error.startswith("nothing was changed: flags.0006_last, ")
    assert refused.error.endswith('permission denied to set role "postgres"')


def test_what_nobody_agreed_to(deploys: Deploys) -> None:
    """The way that is left would lose what the agreed one did not."""
    captured(deploys)
    next_release(deploys)
    forgets = run_sql("UPDATE flags_six SET name = 'deployed'", "")
    deploys.project.migration("flags", "0007_forgets", forgets, dependencies=[("flags", "0006_last")])
    deploys.project.write()
    deploys.flagsnap.within("rehearse", "v2", code=4)
    rehearsal = with_another_statement(stored(deploys), "0007_forgets", DIVIDES)
    unaware = tuple(replace(node, operations=()) for node in rehearsal.nodes)
    deploys.snapshots.attach_rehearsal(rehearsal.model_copy(update={"nodes": unaware}))
    deploys.deploy()
    assert (deploys.plan()["route"], deploys.plan()["refused"]) == ("replay", "")
    refused = deploys.refused("--strategy", "auto", code=4)
    assert refused.error == ("data would be lost, and nobody agreed to it: flags.0007_forgets (rows unknown)")
    asked = on_a_terminal(deploys.flagsnap, "rollback", "--to", "v2", answers={"go ahead?": "y\n"})
    assert asked.code == 4, asked.err
    assert "loses more than was agreed to: flags.0007_forgets (rows unknown)" in asked.err
    assert deploys.back(*ACCEPT)["route"] == "unapply"


def test_the_question_offers_the_snapshot(deploys: Deploys, rehearsal: Rehearsal) -> None:
    deploys.database.execute("UPDATE flags_two SET colour = 'blue'")
    command = ("rollback", "--to", "v2", "--archive", "none")
    asked = on_a_terminal(deploys.flagsnap, *command, answers={"accept, restore or no?": "restore\n"})
    assert asked.code == 0, asked.err
    assert "replay: LOSES 2 values of 2 columns that nothing brings back" in asked.err
    assert "restored the snapshot" in asked.out
    deploys.assert_back()
