"""What is noticed while data is read: told on the terminal at once, and by the section about the data as findings."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

log = logging.getLogger("rft")

FEW = 20  # names that the terminal shows


@dataclass(frozen=True)
class Remark:
    """A count of something that is unusual about the data.

    Attributes:
        id: of the finding, behind ``dataset.``.
        title: of the finding.
        value: how many.
        unit: of what.
        description: one or two sentences, without the names of examples or units: they may be personal.
        n: out of how many; None where there is no such number.
        status: ``warn`` is told on the terminal too.
        names: files or units that are meant, for the terminal alone.
        counts_values: whether ``value`` is how many examples have certain values of a label or a group, which may be
            withheld (``report.suppress_below``).
    """

    id: str
    title: str
    value: int
    unit: str
    description: str
    n: int | None = None
    status: Literal["info", "warn"] = "warn"
    names: Sequence[str] = ()
    counts_values: bool = False


def log_warnings(remarks: Iterable[Remark]) -> None:
    """Tell the warnings among remarks on the terminal, with names."""
    for remark in remarks:
        if remark.status == "warn":
            more = f", and {len(remark.names) - FEW} more" if len(remark.names) > FEW else ""
            names = f" These are {', '.join(remark.names[:FEW])}{more}." if remark.names else ""
            log.warning("%s%s", remark.description, names)


def join_names(names: Sequence[str], max_names: int = 10) -> str:
    """Return names in words: ``a``, ``a and b``, ``a, b, c and 7 more``."""
    if len(names) > max_names:
        return f"{', '.join(names[:max_names])} and {len(names) - max_names} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def cut_list(parts: Sequence[str], most: int = 6) -> list[str]:
    """Return the first of several phrases, and how many more there are where that saves more than one of them.

    >>> cut_list(["a", "b", "c", "d"], most=2)
    ['a', 'b', 'and 2 more']
    """
    return [*parts] if len(parts) <= most + 1 else [*parts[:most], f"and {len(parts) - most} more"]
