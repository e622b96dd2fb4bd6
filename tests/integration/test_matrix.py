"""Every kind of migration, there and back: what the plan says is lost is what goes, in rows; all else comes back."""

import pytest

from tests.fix_deploys import Deploys
from tests.integration.matrix import Case, Journey, objects
from tests.integration.matrix_fields import CASES as FIELDS
from tests.integration.matrix_operations import CASES as OPERATIONS
from tests.integration.matrix_shapes import CASES as SHAPES
from tests.integration.matrix_statements import CASES as STATEMENTS

CASES: tuple[Case, ...] = (*OPERATIONS, *FIELDS, *STATEMENTS, *SHAPES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_there_and_back(deploys: Deploys, case: Case) -> None:
    journey = Journey.begin(case, deploys)
    journey.restore_and_undo()
    if case.closed:
        assert case.closed in deploys.refused("--strategy", "unapply", "--on-loss", "accept").error
        return
    ended = journey.unapply()
    losses = ended["plan"]["losses"]
    assert bool(ended["refilled"]) == bool(objects(losses, "refilled"))
    assert bool(ended["archive"]) == bool(objects(losses, "archived"))
    if ended["archive"]:
        journey.deploy_again_and_refill(ended["archive"])


def test_there_are_enough_kinds_and_each_once() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 30
