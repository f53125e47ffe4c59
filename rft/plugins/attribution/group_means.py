"""Means of attributions by group and by predicted class: which of them may be shown, whatever the examples are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rft.disclosure.withheld import MISSING, NOTHING, Withheld
from rft.plugins import AuditedModel
from rft.records import Row

MIN_MAPS_PER_GROUP = 5  # maps of a group; a mean of fewer shows persons, not a group
PREDICTED = "predicted class"
_MISSING = "(missing)"

Memberships = Mapping[str | None, np.ndarray]  # attribute -> (N,) group of each explained example; None: all together


class Shares(NamedTuple):
    """The attributions of N examples by one method, of which M are sound.

    Attributes:
        method: its name.
        shares: (M, ...) of the sound ones, signed, on the same parts for all; the absolute values of each sum to 1.
        sound: (N,) which those are.
    """

    method: str
    shares: np.ndarray
    sound: np.ndarray


class GroupShares(NamedTuple):
    """The shares (M, ...) of the examples of one method and group; of all examples where the attribute is None."""

    method: str
    attribute: str | None
    name: str | None
    shares: np.ndarray

    @property
    def drawn(self) -> bool:
        """Whether the mean may be shown; that over all examples always may."""
        return len(self.shares) >= MIN_MAPS_PER_GROUP or (self.attribute is None and len(self.shares) > 0)

    def count_row(self) -> Row:
        """Return the group's row of ``mean_map_counts``."""
        drawn = "yes" if self.drawn else f"no: fewer than {MIN_MAPS_PER_GROUP}"
        return self.row_keys() | {"n": len(self.shares), "drawn": drawn}

    def row_keys(self) -> Row:
        """Return what its rows have in common."""
        return {"method": self.method, "attribute": self.attribute, "group": self.name}


def list_memberships(audited: AuditedModel, rows: np.ndarray, target: np.ndarray) -> Memberships:
    """Return the groups of explained examples: all together, by predicted class, and by each attribute.

    ``rows`` (N,) are theirs in the test split, ``target`` (N,) the predicted classes.
    """
    split, classes = audited.splits["test"], audited.facts.classes
    predicted = np.array([classes[index] for index in target], dtype=object)
    memberships: dict[str | None, np.ndarray] = {None: np.full(len(rows), None), PREDICTED: predicted}
    return memberships | {attribute: groups[rows] for attribute, groups in split.groups.items()}


def list_groups(methods: Sequence[Shares], memberships: Memberships, withheld: Withheld = NOTHING) -> list[GroupShares]:
    """Return the groups of each method that may be named, by attribute and name."""
    groups = [group for shares in methods for group in _part_by_group(shares, memberships)]
    hidden = _find_hidden(groups, withheld)
    return [group for group in groups if (group.method, group.attribute, group.name) not in hidden]


def _find_hidden(groups: Sequence[GroupShares], withheld: Withheld) -> set[tuple[str, str | None, str | None]]:
    """Return method, attribute and name of the groups that have too few examples, and of what complements them."""
    counts: dict[tuple[str, str | None], dict[str, int]] = {}
    for group in groups:
        name = MISSING if group.name in (None, _MISSING) else str(group.name)
        counts.setdefault((group.method, group.attribute), {})[name] = len(group.shares)
    hidden = {
        (method, attribute, name)
        for (method, attribute), group_counts in counts.items()
        if attribute is not None
        for name in withheld.find_small_groups(group_counts)
    }
    without = {(method, attribute, _MISSING) for method, attribute, _ in hidden}
    touched = {(method, name, _MISSING) for method, name in counts if name and withheld.hides_groups_of(name)}
    return hidden | without | touched


def _part_by_group(of_method: Shares, memberships: Memberships) -> Iterator[GroupShares]:
    method, shares, sound = of_method
    for attribute, groups in memberships.items():
        names = [None if attribute is None else _MISSING if name is None else str(name) for name in groups]
        for name in sorted(set(names), key=str):
            member = np.array([group_name == name for group_name in names])
            yield GroupShares(method, attribute, name, shares[member[sound]])
