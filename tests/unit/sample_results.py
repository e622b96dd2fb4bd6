"""One result of every kind, with names that are long, odd, and not ASCII."""

from dataclasses import replace
from datetime import timedelta

from flagsnap.attached.pin import Pin
from flagsnap.attached.verification import Rung, Verification
from flagsnap.by_hand import ByHand, Line, Way
from flagsnap.catalog import Identity
from flagsnap.diagnosis.values import Diagnosis, Finding
from flagsnap.errors import SnapshotDamaged
from flagsnap.history import Batch, Gone, History
from flagsnap.loss.values import Loss, RefillItem
from flagsnap.migrations import AppliedMigration, Migration, Segment, SetDifference
from flagsnap.plan import ClosedRoute, Plan
from flagsnap.rehearsal.values import ForwardMigration, Residue, TableLock
from flagsnap.results import (
    CaptureResult,
    CopyResult,
    Leftover,
    Listing,
    PinChanged,
    PlanShown,
    Refilled,
    RefillResult,
    RehearsalResult,
    ReverseSql,
    RollbackResult,
    SnapshotShown,
    Standing,
    UndoResult,
)
from flagsnap.retention import Aside, CapturedAndPruned, Division, Pruned, PrunePlan, Verdict
from flagsnap.snapshot import Archive
from flagsnap.target import AppliedBefore, OtherSnapshot, WithinDeploy
from flagsnap.verification import LEVELS, Check, Drilled, Verified
from flagsnap.whereabouts import Distance, Holder, LastCheck, Live, Stored, Whereabouts
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
BY_TIME = replace(PLAN, before=AppliedBefore(CAPTURED, within=WithinDeploy(CAPTURED, 2, 8)))
BY_TIME_ALONE = replace(
    PLAN,
    to="applied-before-20261122T140200Z",
    captured_at=None,
    before=AppliedBefore(CAPTURED + timedelta(microseconds=1), OtherSnapshot(MANIFEST, 3, 1)),
)
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
ALL_CHECKED = Verified(
    (
        *(Check(level, "2.265.0") for level in LEVELS),
        Check("manifest", "2.264.0"),
        Check("files", "2.264.0", unchecked="no time left"),
        Check("age", "/store", said="the newest capture, 2.265.0, is 4 h old"),
    ),
    (Drilled("2.265.0", 12.34, 210_000_000, "the live server", "flags_2"),),
)
CHECKS = Verified(
    (
        Check("manifest", MANIFEST.deploy_id),
        Check("files", MANIFEST.deploy_id, ("dumps/default/1.dat.gz is missing", f"{ODD} was not recorded")),
    )
)
PRUNED = Pruned(
    PrunePlan(
        CAPTURED + timedelta(days=3),
        Division(
            (
                Verdict(MANIFEST.deploy_id, "capture", "the newest, last 3", CAPTURED, 2_000),
                Verdict(ODD, "damaged", f"look at it: {ODD}"),
            ),
            (Verdict(f"old {ODD}", "archive", "no older capture is kept", CAPTURED - timedelta(days=9), 7_000_000),),
        ),
        Division(
            (Verdict("flags_flagsnap_retired_2", "retired", "retired 3 d ago, kept for 14 d", CAPTURED, 5_000),),
            (Verdict(f"flags_{ODD}", "scratch", "left by an interrupted run", CAPTURED),),
        ),
        (f"something was not looked at: {ODD}",),
    ),
    failed={f"flags_{ODD}": "must be owner of [it]"},
)
SAMPLED = Rung(checked_at=CAPTURED, ok=True, seconds=2.5, share=0.05)
FAILED = Rung(checked_at=CAPTURED, ok=False, seconds=2.5, details=tuple(f"{number} {ODD}" for number in range(14)))
PIN = Pin(deploy_id=MANIFEST.deploy_id, pinned_at=CAPTURED, reason=ODD)
VERIFICATION = Verification(
    deploy_id=MANIFEST.deploy_id, captured_at=CAPTURED, rungs={"manifest": SAMPLED, "files": FAILED, "drill": SAMPLED}
)
DAMAGED = SnapshotDamaged("the manifest of 2.264.0 is damaged: it is not whole JSON")

_ROWS = tuple(AppliedMigration("[app]", f"{ODD}{number}", CAPTURED) for number in range(3))
HISTORY = History(
    has_table=True,
    batches=(
        Batch(_ROWS, (_ROWS[2].migration,), MANIFEST.deploy_id, exact=True),
        Batch(_ROWS[:2], (), ODD),
        Batch(_ROWS[:1], (_ROWS[0].migration,)),
    ),
    unfollowed=(MANIFEST.summary,),
    gone=Gone(MANIFEST.deploy_id, (Migration("[app]", ODD),), (Migration("[app]", ODD),), (Migration("[app]", ODD),)),
    set_back=2,
    notes=(f"without the project: {ODD}",),
)

HERE = Whereabouts(
    database="flags on db:5432",
    now=CAPTURED + timedelta(hours=3),
    live=Live(
        "there",
        (Migration("[app]", ODD),),
        {MANIFEST.deploy_id: 2},
        (Holder("drill", "flagsnap drill", 12, CAPTURED), Holder("unapply", ODD, 13, None)),
        (
            Aside(f"flags_flagsnap_retired_{ODD}", "retired", CAPTURED, 10**9),
            Aside("flagsnap_retired_2", "retired schemas", CAPTURED, None),
        ),
    ),
    stored=Stored(
        captures=2,
        newest=MANIFEST.summary,
        at="2.264.0",
        before=MANIFEST.deploy_id,
        verified=LastCheck("2.264.0", "drill", CAPTURED),
        rehearsal="residue",
        damaged=(("2.263.0", ODD),),
    ),
    distance=Distance(SetDifference((Migration("[app]", ODD),), (Migration("a", "b"),)), same_schema=False),
    problems=(f"the schema: {ODD}",),
)

RESULTS: dict[str, object] = {
    "capture": CaptureResult(MANIFEST, "/store/2.265.0", reused=False),
    "reused": CaptureResult(MANIFEST, "/store/2.265.0", reused=True),
    "list": Listing((MANIFEST.summary,), (("2.264.0", str(DAMAGED)),)),
    "empty list": Listing((), ()),
    "list of verified ones": Listing((MANIFEST.summary,), (), {MANIFEST.deploy_id: Standing(True, VERIFICATION.rungs)}),
    "show": SnapshotShown(MANIFEST),
    "show rehearsed": SnapshotShown(MANIFEST, sample_rehearsal(MANIFEST, verdict="fails", reason=ODD)),
    "show verified": SnapshotShown(MANIFEST, verification=VERIFICATION, pin=PIN),
    "pin": PinChanged(MANIFEST.deploy_id, PIN),
    "unpin": PinChanged(MANIFEST.deploy_id, None),
    "archive": SnapshotShown(ARCHIVE),
    "list of archives": Listing((ARCHIVE.summary,), ()),
    "plan": PlanShown(PLAN),
    "plan by time": PlanShown(BY_TIME),
    "plan by time alone": PlanShown(BY_TIME_ALONE),
    "lossless plan": PlanShown(LOSSLESS),
    "restore plan": PlanShown(RESTORE),
    "rollback": DONE,
    "rollback by time alone": replace(DONE, plan=BY_TIME_ALONE, verified=False, refilled=(), leftovers=()),
    "refill": RefillResult("2.265.0-archive-20261122T140200Z", DONE.refilled, 3.25),
    "restore": CopyResult("flags [copy]", 2.0),
    "undo": UndoResult("flags", "flags_flagsnap_retired_2", None),
    "verify": CHECKS,
    "verify all": ALL_CHECKED,
    "doctor": Diagnosis(
        (
            Finding("connection", "ok", "flags on db:5432"),
            Finding("clock", "advice", ODD, ODD),
            Finding("store", "failed", ODD, "set it"),
            Finding("store rights", "unchecked", "no store"),
            Finding("snapshots", "unchecked", "no store"),
        )
    ),
    "status": HERE,
    "status of nothing": replace(HERE, live=Live("unknown"), stored=None, distance=None),
    "prune": PRUNED,
    "pruned": replace(PRUNED, confirmed=True, spared={f"old {ODD}": "pinned meanwhile"}),
    "nothing to prune": Pruned(PrunePlan(CAPTURED, Division())),
    "capture and prune": CapturedAndPruned(CaptureResult(MANIFEST, "/store/2.265.0", reused=False), PRUNED),
    "capture and no prune": CapturedAndPruned(CaptureResult(MANIFEST, "/store/2.265.0", reused=False), None),
    "history": HISTORY,
    "history of nothing": History(has_table=False),
    "commands": ByHand(
        Way("2.265.0", "--to 2.265.0", f"the state before {ODD}"),
        (Line("[app]", ODD, unapplies=(Migration("[app]", ODD),)), Line("features", "zero")),
        (Migration("[app]", ODD),),
        (Migration("[app]", ODD),),
    ),
    "no commands": ByHand(Way(None, "--applied-before x", "x"), ()),
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
