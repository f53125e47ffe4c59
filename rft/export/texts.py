"""Texts as other tools show them: numbers in full, hidden characters by their code, JSON in which nothing hides."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from rft.visible import visible, with_hidden_as

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"


def write_json(content: Json) -> str:
    """Return JSON: letters as they are, what cannot be seen escaped, so that a terminal obeys none of it."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    return with_hidden_as(text, lambda character: json.dumps(character)[1:-1], breaks=True)


def with_visible_texts(content: Json) -> Json:
    """Return the content of a JSON file that people read in other tools, with hidden characters by their code."""
    if isinstance(content, str):
        return visible(content)
    if isinstance(content, Mapping):
        return {key: with_visible_texts(value) for key, value in content.items()}
    if isinstance(content, Sequence):
        return [with_visible_texts(value) for value in content]
    return content


def write_number(number: float) -> str:
    """Return a number with all its digits, as ``audit.json`` has it."""
    return json.dumps(number)
