"""Where the rules of a TOML file stand."""

from __future__ import annotations

import re
from pathlib import Path

_HEADER = re.compile(r"""\s*\[\[\s*(policy|"policy"|'policy')\s*\]\]""")


def list_rule_lines(file: Path, count: int) -> list[int]:
    """Return the line, from 1, on which the ``[[policy]]`` of each of ``count`` rules of a file stands.

    Nothing where the rules are not written with such lines, or something that looks like one is a part of a text.
    """
    lines = file.read_text(encoding="utf-8-sig").splitlines()
    headers = [number for number, line in enumerate(lines, 1) if _HEADER.match(line)]
    return headers if len(headers) == count else []


def name_rule_places(file: Path, count: int) -> list[str]:
    """Return where each of ``count`` rules stands, for errors: ``audit.toml, line 12``, or ``audit.toml: policy.1``."""
    lines = list_rule_lines(file, count)
    return [f"{file}, line {line}" for line in lines] or [f"{file}: policy.{number}" for number in range(1, count + 1)]
