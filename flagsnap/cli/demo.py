"""`flagsnap demo`."""

from flagsnap.cli.run import Run


def demo(run: Run) -> None:
    """Tell the whole story on an embedded PostgreSQL: deploys, rollbacks, proofs. Nothing stays behind."""
    from flagsnap.demo.story import tell
    from flagsnap.report.console import errors, output
    from flagsnap.report.story import StoryTeller

    tell(StoryTeller(errors() if run.json else output()).say)
    if run.json:
        from flagsnap.report.json import document

        print(document(run.command, {}))  # noqa: T201
