"""The config as text that a reader knows, and that can be copied into an ``audit.toml``.

What cannot be seen stands there as an escape of TOML: the copy says the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from rft.visible import with_hidden_as


def dumps(content: Mapping[str, object]) -> str:
    """Return TOML for strings, numbers, booleans, lists and tables; None, which TOML does not have, is left out."""
    return "\n".join(_write_table(content, ())).strip() + "\n"


def _write_table(table: Mapping[str, object], path: tuple[str, ...]) -> list[str]:
    plain, nested = [], []
    for key, value in table.items():
        if isinstance(value, Mapping):
            nested += ["", f"[{_dotted_key((*path, key))}]", *_write_table(value, (*path, key))]
        elif isinstance(value, list | tuple) and value and all(isinstance(item, Mapping) for item in value):
            for item in value:
                nested += ["", f"[[{_dotted_key((*path, key))}]]", *_write_table(item, (*path, key))]
        elif value is not None:
            plain.append(f"{write_key(key)} = {write_value(value)}")
    return plain + nested


def _dotted_key(path: tuple[str, ...]) -> str:
    return ".".join(map(write_key, path))


def write_key(key: str) -> str:
    """Return a key, in quotes where TOML wants them."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else write_value(key)


def write_value(value: object) -> str:
    """Return a value on one line: a string, number, boolean, list or inline table."""
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{write_key(key)} = {write_value(item)}" for key, item in value.items() if item is not None)
        return f"{{ {pairs} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(write_value(item) for item in value if item is not None)}]"
    return with_hidden_as(json.dumps(value, ensure_ascii=False), _escape_character)


def _escape_character(character: str) -> str:
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"
