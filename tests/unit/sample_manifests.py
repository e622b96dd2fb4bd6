"""A small manifest, whole and valid."""

from datetime import UTC, datetime

from flagsnap.catalog import Catalog
from flagsnap.snapshot import (
    AppliedRow,
    DatabaseProperties,
    Dump,
    DumpFile,
    Manifest,
    RecordedDatabase,
    TableRows,
)

CAPTURED = datetime(2026, 11, 22, 14, 2, tzinfo=UTC)
PROPERTIES = DatabaseProperties(
    owner="app",
    encoding="UTF8",
    locale_provider="c",
    collate="C.UTF-8",
    ctype="C.UTF-8",
    locale=None,
    icu_rules=None,
    tablespace="pg_default",
    connection_limit=-1,
    comment=None,
)


def sample_manifest(deploy_id: str = "2.265.0", captured_at: datetime = CAPTURED, **labels: str) -> Manifest:
    """The manifest of a database with one table and two migrations."""
    catalog = Catalog(())
    database = RecordedDatabase(
        alias="default",
        name="flagsmith",
        system_identifier="7311",
        server_version=180001,
        collation_version=None,
        wal_position="0/16B3748",
        restore_point=f"flagsnap:{deploy_id}",
        bytes=7_654_321,
        properties=PROPERTIES,
        has_migrations_table=True,
        migrations=(
            AppliedRow(app="features", name="0001_initial", applied=CAPTURED),
            AppliedRow(app="features", name="0002_tag", applied=CAPTURED),
        ),
        tables=(TableRows(schema_name="public", table="features_feature", rows=42, inserted=50, deleted=8),),
        fingerprint=catalog.fingerprint,
        catalog=catalog.to_json(),
        dump=Dump(
            tool="pg_dump",
            tool_version="18.1",
            compression="gzip:1",
            jobs=2,
            seconds=1.25,
            files=(
                DumpFile(path="dumps/default/3401.dat.gz", bytes=1024, sha256="ab" * 32),
                DumpFile(path="dumps/default/toc.dat", bytes=976, sha256="cd" * 32),
            ),
        ),
    )
    return Manifest(
        deploy_id=deploy_id, captured_at=captured_at, flagsnap_version="0.1.0", labels=labels, databases=(database,)
    )
