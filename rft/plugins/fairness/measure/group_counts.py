"""How many groups of an attribute are large enough to be compared, told from the data before anything is predicted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from rft.number_format import format_count
from rft.records import Split


def describe_small_groups(test: Split, attribute: str, min_group_size: int) -> Iterator[str]:
    """Yield the sentence which says how few groups of an attribute can be compared, where these are fewer than two.

    Args:
        test: the split that groups are compared on.
        attribute: one of its groups.
        min_group_size: independent cases that a group needs: examples, or units where these are known. Of metrics that
            rest on some of the rows, such as a TPR, there are fewer.
    """
    values = pd.Series(np.asarray(test.groups[attribute], dtype=object))
    units = pd.Series(np.asarray(test.ids if test.units is None else test.units, dtype=object))
    sizes = units.groupby(values).nunique()
    large = int((sizes >= min_group_size).sum())
    if large >= 2:
        return
    cases = "examples" if test.units is None else "units"
    largest = ", ".join(f"{name} {format_count(int(n))}" for name, n in sizes.nlargest(3).items())
    yield (
        f"{attribute}: {large} of {len(sizes)} groups have the {min_group_size} test {cases} that are compared "
        "(fairness.min_group_size); where no attribute has two, the verdict is uncertain (exit code 3); "
        f"largest: {largest}"
    )
