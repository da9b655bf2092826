"""Descriptions of fields: the docstrings below them, read when they are shown."""

from collections.abc import Mapping
from itertools import pairwise

from pydantic import BaseModel


def field_descriptions(model: type[BaseModel]) -> Mapping[str, str]:
    """The description of each field of a model; empty if it has none.

    A field's own ``description`` counts before the docstring below it.
    """
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            found |= _docstrings(base)
    return {
        name: field.description or found.get(name, "") for name, field in model.model_fields.items()
    }


def _docstrings(model: type[BaseModel]) -> Mapping[str, str]:
    import ast  # only lists of options and schemas need these
    import inspect
    import textwrap

    try:
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return {}  # a class without source, for example from an interactive session
    if not isinstance(node, ast.ClassDef):
        return {}
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(node.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
