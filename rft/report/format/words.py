"""Counts in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from rft.number_format import format_count


def count_of(number: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun: ``1 rule``, ``3 rules``."""
    return f"{format_count(number)} {noun if number == 1 else plural or noun + 's'}"


def join_names(names: Sequence[str], most: int = 6) -> str:
    """Return names as a sentence lists them: ``a, b and c``; of more than ``most``, the first and how many more."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {format_count(len(names) - most)} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def end_sentence(text: str) -> str:
    """Return a text with a full stop, unless it ends a sentence already."""
    return text if text.endswith((".", "?", "!")) else f"{text}."
