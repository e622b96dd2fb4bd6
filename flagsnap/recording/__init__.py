"""Making snapshots: the state is recorded and dumped in one database snapshot, for a capture or for an archive."""
