"""The baseline: the live database after a deploy as the first `verify` saw it, or as a rollback left it.

Then the record no longer says what the schema should be. The baseline, kept beside the newest capture, does from then
on, for as long as the same migrations are applied, so that a change of the schema without a migration is found.
"""

from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar

from flagsnap.attached.document import Document
from flagsnap.catalog import Catalog
from flagsnap.migrations import Migration

BASELINE = "live.json"


class Baseline(Document):
    """A live state: the applied migrations and the catalog, as `Catalog.to_json`.

    `captured_at` is of the snapshot beside which it lies, so that one of the same deploy id cannot be taken for it;
    `after` tells of the rollback that noted it, and is empty for one that `verify` has noted.
    """

    TITLE: ClassVar[str] = "baseline"

    captured_at: datetime
    noted_at: datetime
    applied: tuple[Migration, ...]
    catalog: list[Any]
    after: str = ""

    @cached_property
    def schema_catalog(self) -> Catalog:
        """The catalog."""
        return Catalog.from_json(self.catalog)

    def require_whole(self) -> None:
        """The catalog can be read."""
        _ = self.schema_catalog
