"""The rehearsal of a snapshot, whole and valid."""

from datetime import UTC, datetime
from typing import Any

from flagsnap.catalog import Catalog
from flagsnap.migrations import Migration
from flagsnap.rehearsal.recording import Session
from flagsnap.rehearsal.script import Part, Script, ScriptSegment
from flagsnap.rehearsal.values import ForwardMigration, Rehearsal
from flagsnap.snapshot import Manifest

SCRIPT = Script(
    Session("owner", {"TimeZone": "UTC"}),
    (ScriptSegment(True, (Part(Migration("a", "0003"), ("DROP TABLE a",), (Migration("a", "0003"),)),)),),
)
REHEARSED = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)


def sample_rehearsal(manifest: Manifest, **other: Any) -> Rehearsal:
    """One that went well: the way back took 58 s through Django, and 0.06 s replayed."""
    fields: dict[str, Any] = {
        "deploy_id": manifest.deploy_id,
        "captured_at": manifest.captured_at,
        "rehearsed_at": REHEARSED,
        "flagsnap_version": "0.1.0",
        "schema_only": False,
        "tidy": False,
        "verdict": "exact",
        "back_seconds": 58.0,
        "replay_seconds": 0.06,
        "migrated": Catalog(()).to_json(),
        "script": SCRIPT,
        "forward": (ForwardMigration(migration=Migration("a", "0003"), seconds=1.0, atomic=True),),
    }
    return Rehearsal.model_validate({**fields, **other})
