"""Python files of the project, parsed once for all tests that read them."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path


@cache
def parse_file(file: Path) -> ast.Module:
    """Return the syntax tree of a file; nobody changes it."""
    return ast.parse(file.read_text(encoding="utf-8"))
