"""What going back through an operation means."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List

from django.db.migrations import operations


def flat(found: List[Any]) -> Iterator[Any]:
    """The operations that act on the database."""
    for operation in found:
        if isinstance(operation, operations.SeparateDatabaseAndState):
            yield from flat(operation.database_operations)
        else:
            yield operation


def facts(connection: Any, operation: Any) -> Dict[str, Any]:
    """What going back through an operation means."""
    return {
        "kind": type(operation).__name__,
        "reversible": bool(operation.reversible),
        "reverse_does_nothing": reverse_does_nothing(operation),
        "reverse_sql": script(connection, getattr(operation, "reverse_sql", None)),
        "runs_code": bool(operation.reversible) and runs_code(operation, "reverse_code"),
    }


def reverse_does_nothing(operation: Any) -> bool:
    """Whether the way forward runs code of the project's own, and the way back runs none."""
    if isinstance(operation, operations.RunPython):
        return operation.reversible and runs_code(operation, "code") and not runs_code(operation, "reverse_code")
    return isinstance(operation, operations.RunSQL) and bool(operation.sql) and operation.reverse_sql in ("", [], ())


def runs_code(operation: Any, way: str) -> bool:
    """Whether a way, `code` or `reverse_code`, runs Python that is not Django's."""
    if isinstance(operation, operations.RunPython):
        return getattr(operation, way) is not None and not is_empty(getattr(operation, way))
    own = not type(operation).database_backwards.__module__.startswith("django.")
    return own and not isinstance(operation, operations.RunSQL)


def script(connection: Any, statements: Any) -> str:
    """What RunSQL runs, as one text; with the parameters filled in, where this Django can."""
    compose = getattr(connection.ops, "compose_sql", lambda text, _: text)  # since Django 4.2
    several = statements if isinstance(statements, (list, tuple)) else [statements or ""]
    pairs = [each if isinstance(each, (list, tuple)) else (each, None) for each in several]
    return "\n;\n".join(str(text if params is None else compose(text, params)) for text, params in pairs)


def nothing(apps: Any, schema_editor: Any) -> None:
    """The shape of a function that does nothing."""


def is_empty(function: Any) -> bool:
    """Whether a function does nothing: RunPython.noop, or one with an empty body."""
    if function is operations.RunPython.noop:
        return True
    code = getattr(function, "__code__", None)
    return code is not None and not code.co_names and len(code.co_code) == len(nothing.__code__.co_code)
