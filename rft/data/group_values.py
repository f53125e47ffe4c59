"""Numbers where names belong: as groups, which cannot be compared, and as classes, which a reader cannot tell apart."""

from __future__ import annotations

from collections.abc import Collection

from rft.number_format import format_count

MOST_NUMBERS = 8  # different numbers that may be codes of groups; more are amounts, such as ages in years


def explain_amounts(numbers: Collection[float]) -> str | None:
    """Return why different numbers are no groups, with the remedy; None where they may be codes of groups."""
    if len(numbers) <= MOST_NUMBERS:
        return None
    return (
        f"{format_count(len(numbers))} numbers from {min(numbers):g} to {max(numbers):g}; groups are categories, so "
        "write bands, such as 18-29 or 30-44, into a column of its own and name that"
    )


def read_numbers(groups: Collection[str]) -> set[float] | None:
    """Return the groups of an attribute as numbers, those without a value left out; None where any is no number."""
    try:
        return {float(group) for group in groups if group}
    except ValueError:
        return None


def explain_numbered_classes(classes: Collection[str]) -> str | None:
    """Return why classes that are numbers read badly, with the remedy; None where any has a name."""
    if not classes or read_numbers(classes) is None:
        return None
    return (
        f"the classes are numbers ({', '.join(sorted(classes)[:3])}), and the report speaks of them as such: a "
        "column of names, such as refused and granted, reads better"
    )
