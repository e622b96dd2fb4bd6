"""The statements that Django ran when Flagsmith's 37 migrations from v2.240.0 to v2.265.0 were unapplied.

What each one does was read by people, and is written down here; the last statement of each migration deletes its row.
"""

import json
from pathlib import Path

import pytest

from flagsnap.loss.statements import Statement, classify

RECORDED = Path(__file__).parents[3] / "shared" / "flagsmith" / "v2.265.0-to-v2.240.0-reverse-sql.json"

NOTHING = """
    workflows_core.0013_reverse_change_request_ordering webhook.0005_use_no_ssrf_url_field
    sentry.0002_use_no_ssrf_url_field segment.0007_use_no_ssrf_url_field rudderstack.0004_use_no_ssrf_url_field
    organisations.0059_use_no_ssrf_url_field oauth2_metadata.0001_create_flagsmith_cli_application
    new_relic.0005_use_no_ssrf_url_field mixpanel.0004_use_no_ssrf_url_field heap.0004_use_no_ssrf_url_field
    grafana.0003_use_no_ssrf_url_field gitlab.0004_use_no_ssrf_url_field environments.0039_use_no_ssrf_url_field
    dynatrace.0004_use_no_ssrf_url_field datadog.0005_use_no_ssrf_url_field clickhouse.0003_identities_is_deleted
    clickhouse.0002_identities_ingested_at_and_source amplitude.0007_use_no_ssrf_url_field
"""
# Tables, columns, indexes and constraints that are dropped, in this many statements.
SCHEMA = {
    "trust_relationships.0001_initial": 2,
    "tags.0010_unique_system_tags": 1,
    "segments.0031_segment_managed_by": 2,
    "segment_membership.0002_segment_membership_seed": 1,
    "organisations.0060_add_targeting_key": 1,
    "identities.0007_identity_system_traits": 1,
    "features.0067_add_feature_state_mv_hashing_salt": 2,
    "feature_versioning.0008_add_last_modified_indexes": 2,
    "experimentation.0012_warehouse_delivery_log": 1,
    "experimentation.0011_organisation_ingestion_infrastructure": 1,
    "experimentation.0010_warehouse_connection_credentials_and_status_detail": 2,
    "experimentation.0008_experiment_results": 1,
    "experimentation.0007_exposures_refresh_requested_at": 1,
    "experimentation.0006_experiment_exposures": 1,
    "cohorts.0002_cohort_deletion_requested_at": 1,
    "cohorts.0001_initial": 5,
    "environments.0038_add_first_evaluated_fields": 4,
}
DROP = Statement("schema")
EXPECTED: dict[str, list[Statement]] = {
    **{name: [] for name in NOTHING.split()},
    **{name: [DROP] * number for name, number in SCHEMA.items()},
    # A foreign key's pending checks are made before the key goes.
    "experimentation.0009_add_rollout_segment": [Statement("harmless"), DROP, DROP],
    # The reverse of its RunPython empties the column, which goes at once.
    "segments.0032_add_segment_rules_data": [
        Statement("update", ("", "segments_segment"), ("rules_data",), '"segments_segment"."rules_data" IS NOT NULL'),
        DROP,
        DROP,
    ],
}


def recorded() -> dict[str, list[str]]:
    """The statements by migration."""
    if not RECORDED.is_file():
        pytest.skip("the data of Flagsmith is not here")
    return {each["migration"]: each["statements"] for each in json.loads(RECORDED.read_text())}


def test_every_migration_is_written_down() -> None:
    assert set(recorded()) == set(EXPECTED)
    assert len(EXPECTED) == 37


@pytest.mark.parametrize("name", EXPECTED)
def test_every_statement_is_understood(name: str) -> None:
    app, migration = name.split(".")
    condition = f'("django_migrations"."app" = \'{app}\' AND "django_migrations"."name" = \'{migration}\')'
    row = Statement("delete", ("", "django_migrations"), condition=condition)
    found = [part for statement in recorded()[name] for part in classify(statement)]
    assert [Statement(part.verb, part.table, part.columns, part.condition) for part in found] == [*EXPECTED[name], row]
