"""Edits of a text: stretches of it that become other words, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Edit(NamedTuple):
    """One stretch of a text, from ``start`` up to ``end`` characters, and what stands there instead."""

    start: int
    end: int
    new: str


def apply_edits(text: str, edits: Sequence[Edit]) -> str:
    """Return the text with all edits made, which do not overlap. What is removed takes one of two blanks with it."""
    pieces, done = [], 0
    for start, end, new in sorted(edits):
        pieces.append(text[done:start])
        blank_before = start == 0 or text[start - 1].isspace()
        gap = not new and blank_before and text[end : end + 1].isspace()
        pieces.append(new)
        done = end + gap
    return "".join([*pieces, text[done:]])


def match_case(word: str, model: str) -> str:
    """Return a word with the capitals of another: ``She`` for ``He``, ``SHE`` for ``HE``.

    >>> match_case("woman", "Man"), match_case("woman", "MAN"), match_case("she", "he"), match_case("women", "I")
    ('Woman', 'WOMAN', 'she', 'Women')
    """
    if len(model) > 1 and model.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word
