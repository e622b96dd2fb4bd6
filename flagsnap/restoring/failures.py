"""Why a restore failed: for a reason of the server and its surroundings, or because the dump cannot be restored."""

import re

from flagsnap.errors import ChildFailed, FlagsnapError, RestoreFailed

_DISK = re.compile(r"No space left|could not extend file|Disk quota exceeded")
_ROLE = re.compile(r'role ".*" does not exist')
_EXTENSION = re.compile(r"extension .* is not available|could not open extension control file|could not access file")
# What PostgreSQL and its clients say when it is not the dump: messages of the server's source, as they stand there.
_SURROUNDINGS = re.compile(
    r"permission denied|must be (superuser|owner|member|able)|Must be superuser|terminating connection|server closed"
    r"|could not connect|connection to server|connection to database|no connection|lost synchronization"
    r"|the database system is|too many (clients|connections)|remaining connection slots|out of (shared )?memory"
    r"|canceling statement|lock timeout|deadlock detected|(database|tablespace|collation) \".*\" does not exist"
    r"|could not (create locale|open collator)|does not support compression|unsupported version"
    r"|unrecognized configuration parameter|could not (load library|find .* library)|read-only transaction"
    r"|recovery is in progress|Input/output error|recreated|was concurrently"
)


def restore_failed(error: ChildFailed) -> FlagsnapError:
    """A failed restore in words; RestoreFailed if nothing speaks for the server or its surroundings."""
    said, hint = error.tail, "the live database was not touched"
    if _DISK.search(said):
        hint += "; free space on the database server, and run the same command again"
    elif _ROLE.search(said):
        hint += "; create the role that it names, and run the same command again"
    elif _EXTENSION.search(said):
        hint += "; install the extension that it names on the server, and run the same command again"
    elif error.code >= 0 and not _SURROUNDINGS.search(said):
        return RestoreFailed(f"the restore failed: {error}", hint)
    return FlagsnapError(f"the restore failed: {error}", hint)
