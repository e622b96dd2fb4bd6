"""`prune` and a bucket: an index that tells of what is gone, and credentials that may not delete (moto enforces it)."""

from pathlib import Path

from flagsnap.snapshot import MANIFEST
from tests.fix_databases import Database
from tests.fix_s3 import S3Place
from tests.integration.prunes import Shelf, reasons
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


def test_what_cannot_be_read_takes_the_place_of_nothing_that_can(
    s3: S3Place, database: Database, tmp_path: Path
) -> None:
    """The index still tells of manifests that are damaged or gone."""
    with scene(s3, database, tmp_path) as at:
        shelf = Shelf(database, at.flagsnap)
        shelf.days(9)
        s3.put(f"d1/{MANIFEST}", s3.get(f"d1/{MANIFEST}")[:-20])
        for gone in ("d2", "d6", "d7", "d8", "d9"):
            s3.delete(f"{gone}/{MANIFEST}")
        done = shelf.prune("--keep-last", "3", "--confirm", code=1)
        kept = reasons(done["keep"])
        assert kept.pop("d1").startswith("look at it: the manifest of d1 is damaged")
        assert kept == {
            "new": "the newest, last 3",
            "d3": "last 3",
            "d4": "last 3",
            "d2": "look at it: there is no manifest",
        }
        assert reasons(done["failed"]) == dict.fromkeys(["d6", "d7", "d8", "d9"], "there is no manifest; look at it")
        keys = s3.keys()
        left = {key.split("/")[0] for key in keys if key.startswith("d")}
        assert left == {"d1", "d2", "d3", "d4", "d6", "d7", "d8", "d9"}
