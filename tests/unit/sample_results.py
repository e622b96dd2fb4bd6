"""One result of every kind, with names that are long, odd, and not ASCII."""

from flagsnap.errors import SnapshotDamaged
from flagsnap.loss.values import Loss
from flagsnap.migrations import Migration, Segment
from flagsnap.plan import ClosedRoute, Plan
from flagsnap.results import (
    CaptureResult,
    Check,
    CopyResult,
    Listing,
    PlanShown,
    RollbackResult,
    SnapshotShown,
    UndoResult,
    Verified,
)
from tests.unit.sample_manifests import CAPTURED, sample_manifest

ODD = "[bold]Ä[/red] :smile: " + "a_very_long_name_" * 6
MANIFEST = sample_manifest(ticket="[/bold]", note=ODD)
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
        Loss("unapply", "column_dropped", f"public.t.{ODD}", 3, "lost"),
        *(Loss("unapply", "table_dropped", f"public.t{number}", 1_000_000, "lost") for number in range(14)),
        Loss("restore", "written_since", "public.[x]", None, "lost"),
    ),
    closed=(ClosedRoute("restore", "the role [may] not", "give it CREATEDB"),),
    kept=(("public", "[made] by hand"),),
    refused="it would lose data",
)
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
    "plan": PlanShown(PLAN),
    "rollback": RollbackResult(PLAN, None, None, verified=True, seconds=1.5),
    "restore": CopyResult("flags [copy]", 2.0),
    "undo": UndoResult("flags", "flags_flagsnap_retired_2", None),
    "verify": CHECKS,
}
