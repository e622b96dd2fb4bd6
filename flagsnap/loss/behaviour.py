"""What the reverse code of migrations does to rows, as far as it can be read."""

from collections.abc import Iterable, Iterator

from flagsnap.loss.values import Loss
from flagsnap.migrations import Node


def behavioural(nodes: Iterable[Node]) -> Iterator[Loss]:
    """Migrations whose reverse does nothing: what their forward code changed stays, in rows that nobody can count."""
    for node in nodes:
        if any(operation.reverse_does_nothing for operation in node.operations):
            yield Loss("unapply", "reverse_does_nothing", str(node.migration), None, "kept")
