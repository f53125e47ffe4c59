"""Rows by group of examples that are marked or not, for plugins that count some of a split; small groups withheld."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from rft.disclosure.withheld import MISSING, Withheld
from rft.records import Row, Table, Texts


def tabulate_groups(
    marked: np.ndarray, groups: Mapping[str, Texts], withheld: Withheld, describe: Callable[[np.ndarray], Row]
) -> Table:
    """Return a row for each group; without the numbers of groups that are small, or that would tell of a small one.

    Args:
        marked: (N,) booleans; small is a group with few of either.
        groups: attribute -> (N,) strings; None where the value is missing.
        withheld: what must not be told of small groups.
        describe: (N,) booleans, which examples are in a group -> its numbers, and a ``status``.
    """
    rows: Table = []
    for attribute, values in groups.items():
        names = np.array([MISSING if value is None else str(value) for value in values], dtype=object)
        members = {name: names == name for name in sorted(set(names.tolist()))}
        hidden = withheld.find_small_groups(
            {name: int(marked[member].sum()) for name, member in members.items()},
            {name: int((~marked[member]).sum()) for name, member in members.items()},
        )
        for name, member in members.items():
            if name != MISSING:
                numbers = describe(member)
                if name in hidden:
                    numbers = {**dict.fromkeys(numbers), "status": withheld.reason}
                rows.append({"attribute": attribute, "group": name} | numbers)
    return rows
