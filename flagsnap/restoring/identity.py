"""Whether a snapshot is of the database at hand."""

from flagsnap.errors import UsageError
from flagsnap.postgres.connection import Address
from flagsnap.snapshot import Manifest

_HINT = "check --store and --database-url; if the database was moved there, say so with --moved"


def refuse_other(
    manifest: Manifest, address: Address, database: str, identifier: str | None, hint: str = _HINT
) -> None:
    """UsageError unless a snapshot is of that database, by its name and its server's identifier, where both are known.

    `address` is what the user has named.
    """
    recorded = manifest.database
    other_server = None not in (identifier, recorded.system_identifier) and identifier != recorded.system_identifier
    if recorded.name == database and not other_server:
        return
    where = "" if recorded.name != database else " of another server"
    raise UsageError(
        f"snapshot {manifest.deploy_id} is of the database {recorded.name}{where}, not of {address}",
        hint,
    )
