"""Consent: what a plan loses has been agreed to, or nothing is done."""

from collections.abc import Iterator, Sequence

from flagsnap.errors import LossRefused
from flagsnap.loss.values import Loss
from flagsnap.plan import Plan

_NAMED = 5


def require_consent(plan: Plan) -> None:
    """LossRefused if the plan is refused."""
    if plan.refused:
        lost = [loss for loss in plan.price if loss.needs_consent]
        named = "; ".join(f"{loss.object} ({count(loss)})" for loss in lost[:_NAMED])
        more = f"; and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
        raise LossRefused(f"{plan.refused}: {named}{more}", ", ".join(_ways_out(plan, lost)))


def refuse_other_losses(agreed: Plan, plan: Plan) -> None:
    """LossRefused if a plan loses what the agreed one did not, or nothing that is archived yet would bring back."""
    known = {(loss.kind, loss.object) for loss in agreed.price}
    other = [loss for loss in plan.price if (loss.kind, loss.object) not in known]
    if any(loss.needs_consent or loss.remedy == "archived" for loss in other):
        named = "; ".join(f"{loss.object} ({count(loss)})" for loss in other[:_NAMED])
        raise LossRefused(
            f"the way that is left loses more than was agreed to: {named}", "--strategy unapply shows it, and asks"
        )


def _ways_out(plan: Plan, lost: Sequence[Loss]) -> Iterator[str]:
    if plan.route == "restore":
        yield "--on-loss restore goes ahead; the retired database keeps what goes, and `flagsnap undo` brings it back"
        return
    if any(loss.could_be == "archived" for loss in lost):
        yield "--archive affected keeps a copy of what can be kept"
    if any(loss.could_be == "refilled" for loss in lost):
        yield "without --no-refill the snapshot brings back what it has"
    yield "--on-loss accept goes ahead all the same"
    if not any(each.route == "restore" for each in plan.closed):
        yield "--on-loss restore takes the snapshot instead"


def count(loss: Loss) -> str:
    """A loss's rows in words."""
    if loss.rows is None:
        return "rows unknown"
    vague = "up to " if loss.at_most else "about " if loss.estimated else ""
    return f"{vague}{loss.rows:,} row" + ("" if loss.rows == 1 else "s")
