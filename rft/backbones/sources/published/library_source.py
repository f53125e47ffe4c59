"""The source text of a library of models, parsed and not imported: importing one takes seconds."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path


def parse_file_of_model(library: str, name: str) -> ast.Module | None:
    """Return the parsed file in the folder ``models`` of a library that defines the function of a model, or None."""
    package = find_spec(library)
    folders = list(package.submodule_search_locations or ()) if package else []
    for file in sorted(file for folder in folders for file in (Path(folder) / "models").glob("*.py")):
        text = file.read_text(encoding="utf-8")
        if f"def {name}(" in text:
            return ast.parse(text)
    return None
