"""What a project's state calls things: tables, columns, defaults."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from django.db.backends.utils import truncate_name
from django.db.models import NOT_PROVIDED


def after(operation: Any, app: str, state: Any) -> Any:
    """The state after an operation; the one before it stays as it is."""
    changed = state.clone()
    operation.state_forwards(app, changed)
    return changed


def model_of(state: Any, app: str, name: str) -> Any:
    """A model's state."""
    return state.models[app, name.lower()]


def table(connection: Any, model: Any) -> str:
    """A model's table, as Options.contribute_to_class names it."""
    name = model.options.get("db_table") or "%s_%s" % (model.app_label, model.name.lower())
    return str(truncate_name(name, connection.ops.max_name_length()))


def has_table(model: Any) -> bool:
    """Whether migrations make a table for a model: not for a proxy, and not for one that is not managed."""
    return bool(model.options.get("managed", True)) and not model.options.get("proxy", False)


def tables(connection: Any, state: Any, app: str, name: str) -> List[str]:
    """A model's table and those of its many-to-many fields, in the order of the fields; empty if it has none."""
    model = state.models.get((app, name.lower()))
    if model is None or not has_table(model):
        return []
    many = [join[0] for key, join in joins(connection, state).items() if key[:2] == (app, name.lower())]
    return [table(connection, model), *many]


def joins(connection: Any, state: Any) -> Dict[Tuple[str, ...], List[str]]:
    """The tables of many-to-many fields and their columns, named as by create_many_to_many_intermediary_model."""
    found: Dict[Tuple[str, ...], List[str]] = {}
    for (app, name), model in state.models.items():
        for field_name, field in model.fields.items():
            if not (has_table(model) and field.many_to_many and field.remote_field.through is None):
                continue
            own = field.db_table or "%s_%s" % (table(connection, model), field_name)
            target = getattr(field.remote_field.model, "__name__", field.remote_field.model).split(".")[-1].lower()
            source, target = (name, target) if target not in ("self", name) else ("from_" + name, "to_" + name)
            own = str(truncate_name(own, connection.ops.max_name_length()))
            found[app, name, field_name] = [own, source + "_id", target + "_id"]
    return found


def column(field: Any, name: str) -> Optional[str]:
    """A field's column, None if it has none."""
    return None if field is None or field.many_to_many else bound(field, name).column


def bound(field: Any, name: str) -> Any:
    """A field that knows its name and column."""
    known = field.clone()
    known.set_attributes_from_name(name)
    return known


def fills_nulls(old: Any, new: Any) -> bool:
    """Whether AlterField gives a value to NULLs, as BaseDatabaseSchemaEditor._alter_field does."""
    return bool(old.null and not new.null and (new.has_default() or getattr(new, "has_db_default", bool)()))


def altered(connection: Any, old: Any, new: Any) -> Dict[str, Any]:
    """What AlterField changes of a column, that going back may not be able to undo for every row."""
    changes: Dict[str, Any] = {}
    if new.null and not old.null:
        changes["not_null"] = True
    was, is_now = ((db_type(connection, field), refers_to(field)) for field in (old, new))
    if was != is_now:
        changes["was"] = was[0]
    return changes


def db_type(connection: Any, field: Any) -> str:
    """The type of a field's column; empty for one that refers to a model, whose key is not known here."""
    return "" if field.remote_field else str(field.db_type(connection) or "")


def refers_to(field: Any) -> str:
    """The model that a field refers to; empty for one that refers to none."""
    model = getattr(field.remote_field, "model", "")
    return str(getattr(model, "_meta", model)).lower()


def may_be_added(connection: Any, field: Any, name: str) -> bool:
    """Whether a column can be added to a table with rows: Django's schema editor or PostgreSQL has a value."""
    by_itself = getattr(field, "generated", False) or getattr(field, "db_returning", False)
    if field.null or by_itself or getattr(field, "db_default", NOT_PROVIDED) is not NOT_PROVIDED:
        return True
    return connection.schema_editor(collect_sql=True).effective_default(bound(field, name)) is not None


def default_literal(connection: Any, field: Any, name: str) -> Optional[str]:
    """The SQL literal that rows were given when the column was added, None if there was none or it cannot be known."""
    try:
        editor = connection.schema_editor(collect_sql=True)
        values = [editor.effective_default(bound(field, name)) for _ in range(2)]
        literals = {str(editor.quote_value(value)) for value in values if value is not None}
        # Two literals come of a default that is made anew each time: the time, or a UUID.
        return literals.pop() if len(literals) == 1 else None
    except Exception:  # noqa: BLE001  # then every value counts as one that would be lost
        return None
