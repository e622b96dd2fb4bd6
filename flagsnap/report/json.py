"""Results as JSON: what every command prints under `--json`, one object, beside `schema`, `command` and `ok`."""

import json
from dataclasses import asdict
from functools import singledispatch
from typing import Any

from flagsnap.by_hand import ByHand
from flagsnap.diagnosis.values import Diagnosis
from flagsnap.errors import DifferencesFound, FlagsnapError
from flagsnap.history import History
from flagsnap.loss.values import RefillItem
from flagsnap.migrations import Migration
from flagsnap.plan import Plan
from flagsnap.report.doctor import diagnosis_content
from flagsnap.report.history import history_content
from flagsnap.report.listing import listing_content, pin_content, shown_content
from flagsnap.report.prune import prune_content
from flagsnap.report.status import status_content
from flagsnap.results import (
    CaptureResult,
    CopyResult,
    Listing,
    PinChanged,
    PlanShown,
    Refilled,
    RefillResult,
    RehearsalResult,
    ReverseSql,
    RollbackResult,
    SnapshotShown,
    UndoResult,
)
from flagsnap.retention import CapturedAndPruned, Pruned
from flagsnap.target import AppliedBefore
from flagsnap.verification import Verified
from flagsnap.whereabouts import Whereabouts

SCHEMA = 1


def document(command: str, content: dict[str, Any], *, ok: bool = True) -> str:
    """One object, as text."""
    return json.dumps({"schema": SCHEMA, "command": command, "ok": ok, **content}, indent=2, ensure_ascii=False)


def failure(command: str, error: FlagsnapError) -> str:
    """An error as the object that its command prints."""
    content: dict[str, Any] = {
        "error": {"kind": error.kind, "message": str(error), "hint": error.hint, "exit_code": error.exit_code}
    }
    if isinstance(error, DifferencesFound):
        content["differences"] = list(error.differences)
    return document(command, content, ok=False)


@singledispatch
def content_of(result: object) -> dict[str, Any]:
    """A result's own keys, by its type."""
    raise TypeError(f"no JSON for {type(result).__name__}")


@content_of.register
def _(result: CaptureResult) -> dict[str, Any]:
    manifest, dump = result.manifest, result.manifest.database.dump
    return {
        "deploy_id": manifest.deploy_id,
        "captured_at": manifest.captured_at.isoformat(),
        "reused": result.reused,
        "location": result.location,
        "migrations": len(manifest.database.migrations),
        "dump": {
            "bytes": dump.bytes,
            "files": len(dump.files),
            "seconds": dump.seconds,
            "compression": dump.compression,
        },
    }


@content_of.register
def _(result: Listing) -> dict[str, Any]:
    return listing_content(result)


@content_of.register
def _(result: SnapshotShown) -> dict[str, Any]:
    return shown_content(result)


@content_of.register
def _(result: PinChanged) -> dict[str, Any]:
    return pin_content(result)


@content_of.register
def _(result: PlanShown) -> dict[str, Any]:
    return {"plan": plan_content(result.plan)}


@content_of.register
def _(result: ReverseSql) -> dict[str, Any]:
    return {"deploy_id": result.deploy_id, "sql": result.sql}


@content_of.register
def _(result: RollbackResult) -> dict[str, Any]:
    return {
        "plan": plan_content(result.plan),
        "route": result.plan.route,
        "archive": result.archive,
        "refilled": _refilled(result.refilled),
        "leftovers": [asdict(each) for each in result.leftovers],
        "retired_database": result.retired_database,
        "retired_schema": result.retired_schema,
        "standby": result.standby,
        "verified": result.verified,
        "proven": ["migrations", "schema"] if result.verified else ["migrations"],
        "differences": [],
        "seconds": result.seconds,
    }


@content_of.register
def _(result: RefillResult) -> dict[str, Any]:
    return {"deploy_id": result.deploy_id, "refilled": _refilled(result.refilled), "seconds": result.seconds}


@content_of.register
def _(result: RehearsalResult) -> dict[str, Any]:
    found = result.rehearsal
    inner = {"nodes", "replaced", "effects", "migrated", "applied", "script"}  # the file in the store has them
    told = found.model_dump(mode="json", exclude=inner)
    for each, forward in zip(told["forward"], found.forward, strict=True):
        each["migration"] = forward.migration._asdict()
    for each, residue in zip(told["residue"], found.residue, strict=True):
        each["by"] = _migrations(residue.by)
    return {
        "rehearsal": {**told, "replayable": not found.obstacles, "obstacles": list(found.obstacles)},
        "accepted": result.accepted,
        "database": result.database,
        "seconds": result.seconds,
    }


@content_of.register
def _(result: CopyResult) -> dict[str, Any]:
    return {"database": result.database, "seconds": result.seconds, "verified": True}


@content_of.register
def _(result: UndoResult) -> dict[str, Any]:
    return {
        "database": result.database,
        "retired_database": result.retired_database,
        "retired_schema": result.retired_schema,
    }


@content_of.register
def _(result: Verified) -> dict[str, Any]:
    return {
        "checks": [
            {
                "name": check.name,
                "subject": check.subject,
                "ok": check.ok,
                "checked": check.checked,
                "detail": "; ".join(check.details) or check.unchecked,
                "said": check.said,
            }
            for check in result.checks
        ],
        "drills": [asdict(each) for each in result.drills],
    }


@content_of.register
def _(result: Diagnosis) -> dict[str, Any]:
    return diagnosis_content(result)


@content_of.register
def _(result: Pruned) -> dict[str, Any]:
    return prune_content(result)


@content_of.register
def _(result: CapturedAndPruned) -> dict[str, Any]:
    return {**content_of(result.capture), "pruned": prune_content(result.pruned) if result.pruned else None}


@content_of.register
def _(result: Whereabouts) -> dict[str, Any]:
    return status_content(result)


@content_of.register
def _(result: ByHand) -> dict[str, Any]:
    notes, commands = list(result.notes), list(result.commands)
    return {"deploy_id": result.way.deploy_id, "commands": commands, "notes": notes}


@content_of.register
def _(result: History) -> dict[str, Any]:
    return history_content(result)


def plan_content(plan: Plan) -> dict[str, Any]:
    """A plan as JSON."""
    return {
        "to": plan.to if plan.is_recorded else None,
        "captured_at": plan.captured_at.isoformat() if plan.captured_at else None,
        **_applied_before(plan.before),
        "route": plan.route,
        "extra": _migrations(plan.extra),
        "missing": _migrations(plan.missing),
        "bookkeeping": _migrations(plan.bookkeeping),
        "losses": [
            {
                "route": loss.route,
                "kind": loss.kind,
                "object": loss.object,
                "rows": loss.rows,
                "remedy": loss.remedy,
                "estimated": loss.estimated,
                "at_most": loss.at_most,
                "detail": loss.detail,
            }
            for loss in plan.losses
        ],
        "standby": plan.standby,
        "archive": plan.archive,
        "to_archive": _items(plan.to_archive),
        "to_refill": _items(plan.to_refill),
        "steps": [
            {"segment": number, "atomic": step.atomic, "migrations": _migrations(step.migrations)}
            for number, step in enumerate(plan.steps, 1)
        ],
        "closed": [{"route": each.route, "reason": each.reason, "hint": each.hint} for each in plan.closed],
        "kept": [{"kind": each.kind, "object": each.path} for each in plan.kept],
        "refused": plan.refused,
    }


def _applied_before(before: AppliedBefore | None) -> dict[str, Any]:
    """The time that was named, and what is to be known of it."""
    other, within = (before.other, before.within) if before else (None, None)
    return {
        "applied_before": before.moment.isoformat() if before else None,
        "other_snapshot": {
            "deploy_id": other.deploy_id,
            "captured_at": other.captured_at.isoformat(),
            "added": other.added,
            "gone": other.gone,
        }
        if other
        else None,
        "within_deploy": {"began": within.began.isoformat(), "stay": within.stay, "total": within.total}
        if within
        else None,
    }


def _items(items: tuple[RefillItem, ...]) -> list[dict[str, Any]]:
    return [
        {
            "object": item.object,
            "table": f"{item.schema}.{item.table}",
            "columns": list(item.columns),
            "key": list(item.key),
        }
        for item in items
    ]


def _refilled(refilled: tuple[Refilled, ...]) -> list[dict[str, Any]]:
    return [asdict(each) for each in refilled]


def _migrations(migrations: tuple[Migration, ...]) -> list[dict[str, str]]:
    return [migration._asdict() for migration in migrations]
