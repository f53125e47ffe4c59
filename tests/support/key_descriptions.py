"""What the keys of a table of audit.toml mean: the docstrings below them in its model.

pydantic reads such docstrings too (``use_attribute_docstrings``), when a class is made: 50 ms of every start of rft.
"""

from __future__ import annotations

import ast
import inspect
import textwrap

from pydantic import BaseModel


def describe_keys(model: type[BaseModel]) -> dict[str, str]:
    """Return key -> what it means, of all keys of a model; raises ``AssertionError`` for a key without a docstring."""
    described = {key: field.description for key, field in model.model_fields.items() if field.description}
    if len(described) < len(model.model_fields):
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
        assert isinstance(body, ast.ClassDef)
        for statement, after in zip(body.body, body.body[1:], strict=False):
            if isinstance(statement, ast.AnnAssign) and isinstance(after, ast.Expr):
                described[ast.unparse(statement.target)] = ast.literal_eval(after.value)
    missing = [key for key in model.model_fields if key not in described]
    assert not missing, f"{model.__name__}: {', '.join(missing)}: write what it means as a docstring below it"
    return {key: " ".join(described[key].split()) for key in model.model_fields}
