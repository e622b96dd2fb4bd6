"""What the code of migrations mentions: tables that it may write to, and values that its rows may be known by."""

import ast
import re
from collections.abc import Collection, Iterable

from flagsnap.loss.effects import Effect, RanCode, RanSql
from flagsnap.migrations import Migration, Node

_GET_MODEL = re.compile(
    r"""get_model\(\s*(?:app_label\s*=\s*)?["'](\w+)(?:\.|["']\s*,\s*(?:model_name\s*=\s*)?["'])(\w+)["']"""
)
_WORD = re.compile(r"\w+")
_CREATES = frozenset({"create", "get_or_create", "update_or_create"})


def codes_of(effects: Iterable[Effect]) -> tuple[str, ...]:
    """The code and SQL of a project's own that its migrations run."""
    return tuple(
        effect.sql if isinstance(effect, RanSql) else effect.text
        for effect in effects
        if isinstance(effect, RanSql | RanCode)
    )


def authors(nodes: Iterable[Node]) -> tuple[Migration, ...]:
    """Migrations that may have added rows which unapplying leaves, each in the one transaction that recorded it."""
    return tuple(
        node.migration
        for node in nodes
        if node.atomic and any(operation.reverse_does_nothing for operation in node.operations)
    )


def mentioned(names: Collection[str], codes: Iterable[str]) -> frozenset[str]:
    """Those tables that some code names: as a word, or through `get_model`, whose many-to-many tables count too.

    Django calls a model's table `<app label>_<model>` (Options.contribute_to_class), and the one of its many-to-many
    field the same with the field's name behind it.
    """
    text = "\n".join(codes)
    words = set(_WORD.findall(text))
    models = {f"{app}_{model}".lower() for app, model in _GET_MODEL.findall(text)}
    return frozenset(
        name
        for name in names
        if name in words
        or (not _WORD.fullmatch(name) and name.replace('"', '""') in text)
        or any(name == model or name.startswith(f"{model}_") for model in models)
    )


def values_made(effects: Iterable[Effect], migration: Migration) -> frozenset[tuple[str, str]]:
    """Fields and texts with which a migration's code creates rows: `get_or_create(name="x")` has `("name", "x")`."""
    codes = (effect.text for effect in effects if isinstance(effect, RanCode) and effect.by == migration)
    calls = (node for code in codes for node in _nodes(code) if isinstance(node, ast.Call))
    return frozenset(
        (keyword.arg, keyword.value.value)
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr in _CREATES
        for keyword in call.keywords
        if keyword.arg and isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str)
    )


def _nodes(code: str) -> Iterable[ast.AST]:
    try:
        return ast.walk(ast.parse(code))
    except (SyntaxError, ValueError):
        return ()
