"""How many groups of an attribute are large enough to be compared, told from the data before anything is predicted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd

from rft.data.remarks import cut_list
from rft.data.splits import suggest_test_share
from rft.number_format import format_count
from rft.records import Split


def describe_small_groups(
    splits: Mapping[str, Split], attribute: str, min_group_size: int, drawn_share: float | None
) -> Iterator[str]:
    """Yield the sentence which says that groups of an attribute are too small to be compared, where any is.

    Args:
        splits: of the data, ``test`` among them, on which groups are compared.
        attribute: one of their groups.
        min_group_size: independent cases that a group needs: examples, or units where these are known. Of metrics that
            rest on some of the rows, such as a TPR, there are fewer.
        drawn_share: the share of test, where rft drew the split.
    """
    sizes = count_cases_by_group([splits["test"]], attribute)
    totals = count_cases_by_group(splits.values(), attribute)
    small = [name for name in sorted(totals.index) if sizes.get(name, 0) < min_group_size]
    if not small:
        return
    large = len(totals) - len(small)
    cases = "examples" if splits["test"].units is None else "units"
    consequence = "" if large >= 2 else "; where no attribute has two, the verdict is uncertain (exit code 3)"
    yield (
        f"{attribute}: {large} of {len(totals)} groups have the {min_group_size} test {cases} that are compared "
        f"(fairness.min_group_size){consequence}. Too small: "
        + "; ".join(
            cut_list(
                [
                    f"{name} has {format_count(sizes.get(name, 0))} and needs {format_count(min_group_size)} "
                    f"({suggest_test_share(min_group_size, totals[name], drawn_share)})"
                    for name in small
                ]
            )
        )
    )


def count_cases_by_group(splits: Iterable[Split], attribute: str) -> pd.Series:
    """Return group -> its cases in some splits: units where these are known, otherwise examples."""
    parts = [
        pd.DataFrame({"group": split.groups[attribute], "case": split.ids if split.units is None else split.units})
        for split in splits
    ]
    return pd.concat(parts).groupby("group")["case"].nunique()
