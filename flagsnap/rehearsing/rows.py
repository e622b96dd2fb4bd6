"""The rows of the scratch database against those that it began with.

Nobody else writes there, so a table with the counters and the file that it had was not written to; of the others the
digests are compared, as long as there is time.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from flagsnap.loss.values import TableKey
from flagsnap.postgres.connection import Address, connect
from flagsnap.postgres.digests import Digest, digest_tables
from flagsnap.postgres.touched import Mark, read_marks

JOURNAL = "django_migrations"
"""Its rows are compared one by one, as the applied migrations."""


@dataclass(frozen=True)
class Compared:
    """The tables whose rows are others, and those of which that is not known."""

    differing: tuple[TableKey, ...] = ()
    not_digested: tuple[TableKey, ...] = ()


@dataclass
class Rows:
    """What the tables had, and how many seconds of the time to digest are left."""

    address: Address
    marks: Mapping[TableKey, Mark]
    digests: Mapping[TableKey, Digest]
    seconds: float

    @classmethod
    def now(cls, address: Address, seconds: float, since: "Rows | None" = None) -> "Rows":
        """Digest all tables, or those that were written to `since`; in half of the seconds, as more is to come."""
        began = time.monotonic()
        with connect(address, "rehearse") as connection:
            marks = read_marks(connection)
            wanted = [key for key in marks if key[1] != JOURNAL and not (since and since.marks.get(key) == marks[key])]
            digests = digest_tables(connection, wanted, seconds / 2)
        return cls(address, marks, digests, max(0.0, seconds - (time.monotonic() - began)))

    def compared_with_now(self) -> Compared:
        """Look at the tables that were written to since."""
        now = Rows.now(self.address, self.seconds, since=self)
        self.seconds = now.seconds
        written = [key for key in self.marks.keys() | now.marks.keys() if self.marks.get(key) != now.marks.get(key)]
        pairs = {key: (self.digests.get(key), now.digests.get(key)) for key in sorted(written) if key[1] != JOURNAL}
        unknown = {key for key, pair in pairs.items() if None in pair and key in self.marks and key in now.marks}
        differing = tuple(key for key, pair in pairs.items() if key not in unknown and _rows_differ(*pair))
        return Compared(differing, tuple(sorted(unknown)))


def _rows_differ(before: Digest | None, after: Digest | None) -> bool:
    """Whether there are other rows; a table that is not there has none."""
    return before != after and bool((before and before.rows) or (after and after.rows))
