"""The reverse SQL as a script for psql, and the words of the route that replays it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from flagsnap.loss.values import Loss
from flagsnap.migrations import AppliedMigration, Migration, Segment
from flagsnap.plan import Plan
from flagsnap.rehearsal.place import Place
from flagsnap.rehearsal.recording import Session
from flagsnap.rehearsal.script import Part, Script, ScriptSegment
from flagsnap.rehearsal.sql_text import sql_text
from flagsnap.rehearsal.values import Rehearsal
from flagsnap.results import PlanShown, ReverseSql, RollbackResult
from tests.unit.sample_results import LOSSLESS
from tests.unit.test_report import text_of

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ONE, TWO, ODD, PRUNED = (Migration("flags", name) for name in ("0001", "0002", "it's", "0000_pruned"))
SESSION = Session("app", {"search_path": '"$user", public', "TimeZone": "UTC"})
SCRIPT = Script(
    SESSION,
    (
        ScriptSegment(True, (Part(ODD, ("DROP TABLE a;", "DROP TABLE b -- gone"), (ODD,)),)),
        ScriptSegment(False, (Part(TWO, (" DROP INDEX CONCURRENTLY i ",)),)),
        ScriptSegment(True, (Part(TWO, (), (TWO,)),)),
    ),
)
REHEARSAL = Rehearsal(
    deploy_id="v2",
    captured_at=NOW,
    rehearsed_at=NOW,
    flagsnap_version="1",
    schema_only=False,
    tidy=False,
    verdict="exact",
    applied=(ONE, TWO, ODD),
    script=SCRIPT,
)
RECORDED = (AppliedMigration(*ONE, NOW),)
HEAD = """\
-- The reverse SQL of deploy v2, rehearsed 2026-01-02 03:04:05 UTC.
-- It leads back to the state before that deploy, captured 2026-01-02 03:04:05 UTC.
-- `flagsnap rollback` also archives what goes, refills what the deploy had dropped, and proves the result.
"""
BODY = r"""-- recorded by the role app
\set ON_ERROR_STOP on

BEGIN;
SET LOCAL search_path = "$user", public;
SET LOCAL TimeZone = 'UTC';

-- flags.it's
DROP TABLE a;
DROP TABLE b -- gone
;
DELETE FROM django_migrations WHERE (app, name) IN (('flags', 'it''s'));
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
COMMIT;

-- It cannot run in a transaction.
SET SESSION search_path = "$user", public;
SET SESSION TimeZone = 'UTC';

-- flags.0002
DROP INDEX CONCURRENTLY i;
RESET search_path;
RESET TimeZone;

BEGIN;
SET LOCAL search_path = "$user", public;
SET LOCAL TimeZone = 'UTC';

-- flags.0002
DELETE FROM django_migrations WHERE (app, name) IN (('flags', '0002'));
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
COMMIT;
"""
BOOKKEEPING = """
-- Rows that stand for no change of the schema.
BEGIN;
DELETE FROM django_migrations WHERE (app, name) IN (('flags', '0001'));
INSERT INTO django_migrations (app, name, applied) VALUES ('flags', '0000_pruned', '2026-01-02T03:04:05+00:00');
COMMIT;
"""


def test_the_whole_script() -> None:
    assert sql_text(REHEARSAL, RECORDED) == HEAD + BODY


def test_bookkeeping_rows_are_set_right_at_the_end() -> None:
    assert sql_text(REHEARSAL, (AppliedMigration(*PRUNED, NOW),)) == HEAD + BODY + BOOKKEEPING


def test_it_says_why_it_may_not_be_replayed() -> None:
    odd = REHEARSAL.model_copy(update={"script": replace(SCRIPT, obstacles=("this\n  way", "that"))})
    assert sql_text(odd, RECORDED) == f"{HEAD}-- not to be replayed: this way\n-- not to be replayed: that\n{BODY}"
    irreversible = REHEARSAL.model_copy(update={"script": None, "reason": "irreversible: flags.0002"})
    assert sql_text(irreversible, RECORDED) == f"{HEAD}-- not to be replayed: irreversible: flags.0002\n"


@pytest.mark.parametrize("path", ["", '""'])
def test_an_empty_search_path(path: str) -> None:
    session = Session("app", {"search_path": path})
    empty = REHEARSAL.model_copy(update={"script": replace(SCRIPT, session=session)})
    assert f"SET LOCAL search_path = '{path}';" in sql_text(empty, RECORDED)


def test_the_sql_is_printed_as_it_is() -> None:
    sql = "SELECT '\t[red]  " + "long " * 40 + "';\n"
    assert text_of(ReverseSql("v2", sql)) == sql


def plan(**changes: object) -> Plan:
    steps = (Segment(True, (TWO, ONE)), Segment(False, (ONE,)))
    return replace(LOSSLESS, route="replay", steps=steps, losses=(), place=Place(0), **changes)  # type: ignore[arg-type]


def test_the_words_of_a_plan_and_its_result() -> None:
    lost = Loss("replay", "rows_deleted", "public.flags_tag", 2, "lost")
    text = text_of(PlanShown(plan()), 200)
    assert text.startswith("replay the reverse SQL of 2 migrations, back to the state before deploy")
    words = [line.split() for line in text.splitlines()]
    assert ["replay", "flags.0002,", "flags.0001", "one", "transaction"] in words
    assert ["replay", "flags.0001", "no", "transaction"] in words
    costly = text_of(PlanShown(replace(plan(), losses=(lost,))), 200)
    assert "LOSES 2 rows of 1 table that nothing brings back" in costly
    assert "replay, as chosen: LOSES" in costly
    done = text_of(RollbackResult(plan(), None, None, verified=True, seconds=0.04), 200)
    assert ": replayed " in done
    assert " in 0.0 s\n" in done
