"""The baseline: the live database after a deploy as the first `verify` saw it, or as a rollback left it.

Then the record no longer says what the schema should be. The baseline, kept beside the newest capture, does from then
on, for as long as the same migrations are applied, so that a change of the schema without a migration is found.
"""

from datetime import datetime
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from flagsnap.catalog import Catalog
from flagsnap.migrations import Migration
from flagsnap.sealed import damaged, seal, unseal

FORMAT = 1
BASELINE = "live.json"


class Baseline(BaseModel):
    """A live state: the applied migrations and the catalog, as `Catalog.to_json`.

    `captured_at` is of the snapshot beside which it lies, so that one of the same deploy id cannot be taken for it;
    `after` tells of the rollback that noted it, and is empty for one that `verify` has noted.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = FORMAT
    deploy_id: str
    captured_at: datetime
    noted_at: datetime
    applied: tuple[Migration, ...]
    catalog: list[Any]
    after: str = ""

    @cached_property
    def schema_catalog(self) -> Catalog:
        """The catalog."""
        return Catalog.from_json(self.catalog)

    def to_json(self) -> bytes:
        """The bytes to store."""
        return seal(self.model_dump(mode="json"))


def read_baseline(raw: bytes, deploy_id: str) -> Baseline:
    """Read the baseline of `deploy_id`; SnapshotDamaged if it is not whole, or of a format that is not known here."""
    what = f"the baseline of {deploy_id}"
    try:
        baseline = Baseline.model_validate(unseal(raw, what, FORMAT))
        _ = baseline.schema_catalog
    except (ValidationError, ValueError) as error:
        raise damaged(what, str(error).splitlines()[0]) from error
    if baseline.deploy_id != deploy_id:
        raise damaged(what, f"it is the baseline of {baseline.deploy_id}")
    return baseline
