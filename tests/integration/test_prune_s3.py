"""`prune` and a bucket whose credentials may not delete; moto enforces it here."""

from pathlib import Path

from tests.fix_databases import Database
from tests.integration.prunes import Shelf
from tests.integration.s3_captures import said, scene
from tests.integration.test_s3_iam import MANY, Guarded, guarded, without

__all__ = ["guarded"]
CONFIRMED = ("prune", "--keep-last", "1", "--confirm")


def test_without_the_right_to_delete_nothing_is_begun(guarded: Guarded, database: Database, tmp_path: Path) -> None:
    """A removal that was begun would be ended by the next run that may delete, whatever was pinned meanwhile."""
    with scene(guarded.place_for(without("s3:DeleteObject")), database, tmp_path) as at:
        shelf = Shelf(database, at.flagsnap)
        shelf.days(2)
        ended = at.flagsnap.within(*CONFIRMED, code=1)
        guarded.enforce(after=MANY)
        assert said(ended) == (
            f"the store {at.place.url} cannot be used: these credentials lack s3:DeleteObject",
            "allow it; the README has the whole policy",
        )
        assert shelf.names() == ["d1", "d2", "new"]
        keys = at.place.keys()
        assert b'"removal"' not in b"".join(at.place.get(key) for key in keys if ".drafts/" in key)
        at.flagsnap.within(*CONFIRMED)
        assert shelf.names() == ["new"]
        keys = at.place.keys()
        assert not [key for key in keys if key.startswith((".drafts/", "d1", "d2"))]
