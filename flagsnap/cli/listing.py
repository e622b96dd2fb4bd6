"""`flagsnap list`."""

from flagsnap.cli.run import Run


def list_(run: Run) -> None:
    """List the snapshots, newest first."""
    run.show(run.snapshots.list())
