"""One result of every kind, with names that are long, odd, and not ASCII."""

from dataclasses import replace

from flagsnap.catalog import Identity
from flagsnap.errors import SnapshotDamaged
from flagsnap.loss.values import Loss, RefillItem
from flagsnap.migrations import Migration, Segment
from flagsnap.plan import ClosedRoute, Plan
from flagsnap.rehearsal.values import ForwardMigration, Residue, TableLock
from flagsnap.results import (
    CaptureResult,
    Check,
    CopyResult,
    Leftover,
    Listing,
    PlanShown,
    Refilled,
    RefillResult,
    RehearsalResult,
    ReverseSql,
    RollbackResult,
    SnapshotShown,
    UndoResult,
    Verified,
)
from flagsnap.snapshot import Archive
from tests.unit.sample_manifests import CAPTURED, sample_manifest
from tests.unit.sample_rehearsals import sample_rehearsal

ODD = "[bold]Ä[/red] :smile: " + "a_very_long_name_" * 6
MANIFEST = sample_manifest(ticket="[/bold]", note=ODD)
ARCHIVED = RefillItem("public", "t", (ODD,), ("id",))
REFILLED = RefillItem("public", "t", ("a",), ("id",))
PLAN = Plan(
    to=MANIFEST.deploy_id,
    captured_at=CAPTURED,
    route="unapply",
    live_is_gone=False,
    extra=(Migration("features", "0003_x"), Migration("[app]", ODD)),
    missing=(),
    bookkeeping=(Migration("features", "0001_squashed_0002"),),
    rows_to_remove=(Migration("features", "0001_squashed_0002"),),
    rows_to_add=(),
    covered=(),
    steps=(
        Segment(atomic=True, migrations=tuple(Migration("features", f"{number:04}_step") for number in range(20))),
        Segment(atomic=False, migrations=(Migration("[app]", ODD),)),
    ),
    losses=(
        Loss("unapply", "column_dropped", f"public.t.{ODD}", 3, "archived", item=ARCHIVED),
        *(Loss("unapply", "table_dropped", f"public.t{number}", 1_000_000, "archived") for number in range(14)),
        Loss("unapply", "column_emptied", "public.t.a", 1_204, "refilled", estimated=True, item=REFILLED),
        Loss("unapply", "column_dropped", "public.keyless.b", 40, "lost", detail="no key to match by"),
        Loss("unapply", "reverse_runs_code", "features.0019_step", None, "lost"),
        Loss("unapply", "reverse_does_nothing", "features.0018_step", None, "kept"),
        Loss("restore", "written_since", "public.[x]", None, "lost"),
    ),
    closed=(ClosedRoute("restore", "the role [may] not", "give it CREATEDB"),),
    kept=(Identity("table", "public", "", "[made] by hand"),),
    refused="it would lose data",
    archive="affected",
    to_archive=(ARCHIVED,),
    to_refill=(REFILLED,),
)
LOSSLESS = replace(PLAN, losses=PLAN.losses[:1] + PLAN.losses[-1:], closed=(), refused="")
RESTORE = replace(PLAN, route="restore", steps=(), archive="none", to_archive=(), to_refill=())
DONE = RollbackResult(
    PLAN,
    None,
    None,
    verified=True,
    seconds=1.5,
    archive="2.265.0-archive-20261122T140200Z",
    refilled=(Refilled("public.t.a", 1_204, 3, 2, "2 rows were deleted since"), Refilled(f"public.{ODD}", 1)),
    leftovers=(Leftover("public.auth_permission", 32), Leftover(f"public.{ODD}", 8)),
)
ARCHIVE = MANIFEST.model_copy(update={"archive": Archive(rollback_to="2.265.0", whole=False, items=(ARCHIVED,))})
CHECKS = Verified(
    (
        Check("manifest", MANIFEST.deploy_id),
        Check("files", MANIFEST.deploy_id, ("dumps/default/1.dat.gz is missing", f"{ODD} was not recorded")),
    )
)
DAMAGED = SnapshotDamaged("the manifest of 2.264.0 is damaged: it is not whole JSON")

RESULTS: dict[str, object] = {
    "capture": CaptureResult(MANIFEST, "/store/2.265.0", reused=False),
    "reused": CaptureResult(MANIFEST, "/store/2.265.0", reused=True),
    "list": Listing((MANIFEST.summary,), (("2.264.0", str(DAMAGED)),)),
    "empty list": Listing((), ()),
    "show": SnapshotShown(MANIFEST),
    "show rehearsed": SnapshotShown(MANIFEST, sample_rehearsal(MANIFEST, verdict="fails", reason=ODD)),
    "archive": SnapshotShown(ARCHIVE),
    "list of archives": Listing((ARCHIVE.summary,), ()),
    "plan": PlanShown(PLAN),
    "lossless plan": PlanShown(LOSSLESS),
    "restore plan": PlanShown(RESTORE),
    "rollback": DONE,
    "refill": RefillResult("2.265.0-archive-20261122T140200Z", DONE.refilled, 3.25),
    "restore": CopyResult("flags [copy]", 2.0),
    "undo": UndoResult("flags", "flags_flagsnap_retired_2", None),
    "verify": CHECKS,
    "sql": ReverseSql("2.265.0", "BEGIN;\n\tSELECT '[bold] :smile:';\nCOMMIT;\n"),
    "rehearse": RehearsalResult(
        sample_rehearsal(
            MANIFEST,
            verdict="residue",
            reason=ODD,
            residue=(Residue(table=ODD, added=1, removed=2, changed=3, by=(Migration("[app]", ODD),)),),
            advice=(ODD,),
            not_digested=(ODD,),
            again=ODD,
            forward=(
                ForwardMigration(
                    migration=Migration("[app]", ODD),
                    seconds=1,
                    atomic=True,
                    locks=(TableLock(table=ODD, mode="ShareLock", seconds=1.25),),
                    rewritten=(ODD,),
                ),
            ),
        ),
        accepted=False,
        database=ODD,
        seconds=3.0,
    ),
}
