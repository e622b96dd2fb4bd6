"""The file of a rehearsal: written, read back, refused; what is acceptable; what it advises."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from flagsnap.catalog import Catalog, CatalogObject, Identity
from flagsnap.errors import SnapshotDamaged
from flagsnap.loss import effects
from flagsnap.migrations import Migration, Node, Operation
from flagsnap.rehearsal.advice import advice_on, advice_on_irreversible, authors
from flagsnap.rehearsal.recording import Session
from flagsnap.rehearsal.script import Part, Script, ScriptSegment
from flagsnap.rehearsal.values import ForwardMigration, Rehearsal, Residue, TableLock

MIGRATION = Migration("features", "0079")
CATALOG = Catalog((CatalogObject(Identity("table", "public", "", "flag"), {"kind": "ordinary"}),))
SCRIPT = Script(
    Session("owner", {"TimeZone": "UTC"}),
    (ScriptSegment(True, (Part(MIGRATION, ("DROP TABLE flag",), (MIGRATION,)),), "sha256:1"),),
)


def rehearsal(**fields: Any) -> Rehearsal:
    now = datetime.now(UTC)
    given = {
        "deploy_id": "v2",
        "captured_at": now,
        "rehearsed_at": now,
        "flagsnap_version": "1",
        "schema_only": False,
        "tidy": False,
        "verdict": "exact",
    }
    return Rehearsal.model_validate(given | fields)


def test_all_of_it_comes_back() -> None:
    written = rehearsal(
        verdict="residue",
        residue=(Residue(table="public.flag", added=1, removed=2, changed=3, by=(MIGRATION,)),),
        forward=(
            ForwardMigration(
                migration=MIGRATION,
                seconds=1.5,
                atomic=True,
                locks=(TableLock(table="public.flag", mode="ShareLock", seconds=0.5),),
                rows={"public.flag": 7},
            ),
        ),
        nodes=(Node(MIGRATION, (MIGRATION,), operations=(Operation("RunSQL", True, True),)),),
        replaced=((MIGRATION, (MIGRATION,)),),
        effects=(
            effects.CreatedTable("a"),
            effects.DroppedTable("a"),  # the same fields, another meaning
            effects.RanCode("code", MIGRATION),
            effects.RenamedColumn("a", "b", "c"),
            effects.DroppedColumn("a", "b", comes_back=False),
        ),
        migrated=CATALOG.to_json(),
        applied=(MIGRATION,),
        script=SCRIPT,
    )
    read = Rehearsal.read(written.to_json(), "v2")
    assert read == written
    assert read.effects == written.effects
    assert (read.script, read.migrated_catalog, read.graph) == (SCRIPT, CATALOG, written.graph)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda raw: raw[: len(raw) // 2], "not whole JSON"),
        (lambda raw: raw.replace(b'"exact"', b'"residue"'), "altered"),
        (lambda raw: raw.replace(b'"format": 1', b'"format": 2'), "format 2"),
        (lambda _: b"[]", "not a JSON object"),
    ],
)
def test_what_is_not_whole_is_refused(change: Any, why: str) -> None:
    with pytest.raises(SnapshotDamaged, match=why):
        Rehearsal.read(change(rehearsal().to_json()), "v2")


def test_another_deploys_rehearsal_is_refused() -> None:
    with pytest.raises(SnapshotDamaged, match="of v2"):
        Rehearsal.read(rehearsal().to_json(), "v3")


def test_unknown_keys_are_left_out() -> None:
    content = json.loads(rehearsal().to_json()) | {"later": 1}
    del content["digest"]
    assert Rehearsal.model_validate(content).verdict == "exact"


@pytest.mark.parametrize(
    ("fields", "acceptable", "accepted"),
    [
        ({}, {}, True),
        ({"rows": 5}, {}, False),
        ({"rows": 5}, {"public.flag": 5}, True),
        ({"rows": 6}, {"public.flag": 5}, False),
        ({"rows": 6}, {"public.flag": True}, True),
        ({"rows": 6}, {"public.flag": False}, False),
        ({"rows": 6}, {"public.other": True}, False),
        ({"verdict": "irreversible"}, {"public.flag": True}, False),
        ({"verdict": "fails"}, {}, False),
        ({"again": "it fails"}, {}, False),
        ({"not_digested": ("public.flag",)}, {}, False),
        ({"not_digested": ("public.flag",)}, {"public.flag": 1000}, False),
        ({"not_digested": ("public.flag",)}, {"public.flag": True}, True),
    ],
)
def test_what_is_acceptable(fields: dict[str, Any], acceptable: dict[str, int | bool], accepted: bool) -> None:
    if rows := fields.pop("rows", 0):
        residue = Residue(table="public.flag", added=rows - 2, removed=1, changed=1)
        fields |= {"verdict": "residue", "residue": (residue,)}
    assert rehearsal(**fields).accepted(acceptable) is accepted


def test_obstacles() -> None:
    assert rehearsal(script=SCRIPT).obstacles == ()
    assert rehearsal(reason="irreversible: a.b").obstacles == ("irreversible: a.b",)


def test_the_advice_names_the_migration_and_the_rows() -> None:
    forward = (
        ForwardMigration(migration=MIGRATION, seconds=1, atomic=True, rows={"public.flag": 1204}),
        ForwardMigration(migration=Migration("features", "0080"), seconds=1, atomic=True, rewritten=("public.flag",)),
    )
    by = authors("public.flag", forward)
    residue = (
        Residue(table="public.flag", added=0, removed=0, changed=1204, by=by),
        Residue(table="public.auth_permission", added=3, removed=0, changed=0),
        Residue(table="public.other", added=3, removed=0, changed=0),
    )
    nothing, partly, django, others = advice_on(
        residue, forward, [Node(MIGRATION, operations=(Operation("", True, True),))]
    )
    assert nothing.startswith("features.0079 has a reverse that does nothing and wrote 1,204 rows of public.flag")
    assert partly.startswith("features.0080 rewrote public.flag, and its reverse does not")
    assert "--tidy" in django
    assert "no migration wrote" in others


def test_the_advice_on_what_has_no_way_back() -> None:
    nodes = [Node(MIGRATION, operations=(Operation("RunPython", False, False), Operation("AddField", True, False)))]
    assert list(advice_on_irreversible(nodes)) == [
        "features.0079 cannot be reversed: give RunPython a reverse, or count on --strategy restore"
    ]
