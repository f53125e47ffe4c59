"""The config as text that a reader knows, and that can be copied into an ``audit.toml``.

What cannot be seen stands there as an escape of TOML: the copy says the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from rft.visible import with_hidden_as


def dumps(content: Mapping[str, Any]) -> str:
    """Return TOML for strings, numbers, booleans, lists and tables; None, which TOML does not have, is left out."""
    return "\n".join(_table(content, ())).strip() + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    plain, nested = [], []
    for key, value in table.items():
        if isinstance(value, Mapping):
            nested += ["", f"[{_dotted((*path, key))}]", *_table(value, (*path, key))]
        elif isinstance(value, list | tuple) and value and all(isinstance(item, Mapping) for item in value):
            for item in value:
                nested += ["", f"[[{_dotted((*path, key))}]]", *_table(item, (*path, key))]
        elif value is not None:
            plain.append(f"{_key(key)} = {_value(value)}")
    return plain + nested


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(map(_key, path))


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items() if item is not None)
        return f"{{ {pairs} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value if item is not None)}]"
    return with_hidden_as(json.dumps(value, ensure_ascii=False), _escape)


def _escape(character: str) -> str:
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"
