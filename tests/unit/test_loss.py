"""Losses and questions, and what brings back what they are about."""

import pytest

from flagsnap.loss.values import ArchiveScope, Kind, Loss, Question, RefillItem, Remedy, items_with, with_remedies

ITEM = RefillItem("public", "flag", ("on",), ("id",))


def test_a_question_with_its_count_is_a_loss() -> None:
    question = Question("column_dropped", "public", "flag", "on", item=ITEM)
    assert question.answered(2) == Loss("unapply", "column_dropped", "public.flag.on", 2, "lost", item=ITEM)
    assert question.answered(2, estimated=True, detail="why").estimated
    assert question.answered(2, estimated=True, detail="why").detail == "why"


@pytest.mark.parametrize(
    ("rows", "remedy", "needed"),
    [(1, "lost", True), (None, "kept", True), (0, "lost", False), (5, "archived", False), (5, "refilled", False)],
)
def test_consent_is_needed_for_what_nothing_brings_back(rows: int | None, remedy: Remedy, needed: bool) -> None:
    loss = Loss("unapply", "table_dropped", "public.tag", rows, remedy)
    assert loss.needs_consent is needed


@pytest.mark.parametrize(
    ("kind", "item", "archive", "refill", "remedy"),
    [
        ("column_dropped", ITEM, "affected", True, "archived"),
        ("column_dropped", ITEM, "full", False, "archived"),
        ("column_dropped", ITEM, "none", True, "lost"),
        ("column_dropped", None, "affected", True, "lost"),
        ("column_emptied", ITEM, "none", True, "refilled"),
        ("type_cast", ITEM, "none", True, "refilled"),
        ("table_emptied", ITEM, "full", False, "lost"),
        ("column_emptied", None, "affected", True, "lost"),
    ],
)
def test_remedies(kind: Kind, item: RefillItem | None, archive: ArchiveScope, refill: bool, remedy: Remedy) -> None:
    loss = Loss("unapply", kind, "public.flag.on", 2, "lost", item=item)
    (found,) = with_remedies(
        [
            loss,
        ],
        archive,
        refill=refill,
    )
    assert found.remedy == remedy
    assert items_with([found, found], remedy) == ((item,) if item else ())


def test_what_stays_behind_is_kept_whatever_is_archived() -> None:
    loss = Loss("unapply", "reverse_does_nothing", "flags.0002", None, "kept")
    assert list(with_remedies([loss], "full", refill=True)) == [loss]
