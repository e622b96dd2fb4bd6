"""The structural losses of a real deploy, Flagsmith v2.265.0 after v2.240.0, beside counts that plain SQL makes."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flagsnap.catalog import Catalog
from flagsnap.loss.effects import AddedColumn, CreatedTable, Effect
from flagsnap.loss.structure import structural
from flagsnap.postgres.counting import Count, Counting
from flagsnap.postgres.facts import read_row_tables, read_table_rows
from flagsnap.postgres.introspect import read_catalog
from flagsnap.process import Command, run
from tests.fix_databases import Database

FLAGSMITH = Path(__file__).parents[3] / "shared" / "flagsmith"
# People use the new release: what they write is in columns and tables that the old one does not know.
WRITTEN = """
    UPDATE environments_identity SET system_traits = '{"plan": "a"}' WHERE id % 3 = 0;
    UPDATE features_featurestate SET mv_hashing_salt = 7 WHERE id % 2 = 0;
    UPDATE environments_environment SET first_evaluated_at = now();
    UPDATE organisations_organisation SET targeting_key = 'key';
    UPDATE segments_segment SET managed_by = 'somebody' WHERE id % 5 = 0;
    INSERT INTO segment_membership_segmentmembershipseed (organisation_id) SELECT id FROM organisations_organisation;
    INSERT INTO cohorts_cohort (uuid, source_type, version, created_at, environment_id, segment_id)
        SELECT gen_random_uuid(), 'csv', 1, now(), (SELECT min(id) FROM environments_environment), id
        FROM segments_segment
"""
COLUMNS = """
    SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables USING (table_name)
    WHERE columns.table_schema = 'public' AND tables.table_schema = 'public' AND table_type = 'BASE TABLE'
"""


@pytest.fixture
def two(database: Database, tmp_path: Path) -> Iterator[tuple[Database, Database]]:
    """The database before the deploy, and after it."""
    live = Database(database.server, f"{database.name}_live")
    live.create()
    for each, release in ((database, "v2.240.0"), (live, "v2.265.0")):
        script = tmp_path / "script.sql"
        script.write_bytes(gzip.decompress((FLAGSMITH / f"{release}.sql.gz").read_bytes()))
        psql = str(each.server.bin_dir / "psql")
        run(Command((psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(script), "-d", each.url)))
    try:
        yield database, live
    finally:
        live.close()


def effects() -> list[Effect]:
    """What the deploy did, read backwards from what its reverse ran."""
    migrations = json.loads((FLAGSMITH / "v2.265.0-to-v2.240.0-reverse-sql.json").read_text())
    found: list[Effect] = []
    for statement in (each for migration in migrations for each in migration["statements"]):
        if match := re.search(r'DROP TABLE "(\w+)"', statement):
            found.append(CreatedTable(match[1]))
        if match := re.search(r'ALTER TABLE "(\w+)" DROP COLUMN "(\w+)"', statement):
            found.append(AddedColumn(match[1], match[2], None))
    return found[::-1]


def plain_counts(before: Database, live: Database) -> dict[tuple[str, str], int]:
    """The rows of tables that are in the one database only, and in the others the values of such columns."""
    old, new = (set(each.rows(COLUMNS)) for each in (before, live))
    old_tables, new_tables = ({table for table, _ in each} for each in (old, new))
    assert old <= new
    counts = {
        ("table_dropped", f"public.{table}"): live.rows(f'SELECT count(*) FROM "{table}"')[0][0]
        for table in new_tables - old_tables
    }
    for table, column in new - old:
        if table in old_tables:
            rows = live.rows(f'SELECT count("{column}") FROM "{table}"')
            counts["column_dropped", f"public.{table}.{column}"] = rows[0][0]
    return counts


@pytest.mark.skipif(not FLAGSMITH.exists(), reason="the data of a real Flagsmith is not part of this repository")
def test_the_structural_losses_between_two_releases_are_exact(two: tuple[Database, Database]) -> None:
    before, live = two
    live.execute(WRITTEN)
    recorded, connection = read_catalog(before.connect()), live.connect()
    rows = read_table_rows(before.connect(), sorted(read_row_tables(before.connect())))
    recorded_rows = {(each.schema_name, each.table): each.rows for each in rows}
    catalog: Catalog = read_catalog(connection)
    questions = list(structural(recorded, catalog, effects(), recorded_rows))
    with connection.transaction():
        counts = dict(Counting.within(connection, 30).answers(questions))
    found = {(each.kind, each.object): counts[each] for each in questions}
    assert len(found) == len(questions)
    expected = plain_counts(before, live)
    assert found == {each: Count(number) for each, number in expected.items()}
    assert sum(1 for number in expected.values() if number) >= 5
    assert {each.kind for each in questions} == {"table_dropped", "column_dropped"}
    assert all(each.item and each.item.key for each in questions)
