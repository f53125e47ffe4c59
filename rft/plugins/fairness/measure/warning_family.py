"""The gaps of a section judged together: which stand out, allowing for how many were looked at.

Some twenty gaps at 95 % each accuse an innocent attribute in most audits. So what is pointed out to the reader is told
from chance by Holm's correction over all gaps that are findings. What is one fact, as the gaps in true positive and
false negative rates, counts once.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

from rft.plugins.fairness.measure.gaps import Gap
from rft.plugins.fairness.measure.group_comparison import GroupComparison
from rft.stats.gaps.max_t import adjust_by_holm


def correct_together(comparisons: Sequence[GroupComparison]) -> list[GroupComparison]:
    """Return the groupings with the p-value of each stated gap corrected for all of them."""
    stated = [gap for comparison in comparisons for gap in comparison.stated if gap.p_value is not None]
    leading = first_of_each_fact(stated)
    corrected = _correct_by_fact(leading)

    def with_family_p_value(gap: Gap) -> Gap:
        first = leading.get(gap.fact_key)
        if first is None or gap.p_value is None:
            return gap
        if first.metric != gap.metric:
            return replace(gap, repeats=first.metric.label, family=len(leading))
        return replace(gap, p_family=corrected[gap.fact_key], family=len(leading))

    return [
        _with_stated(comparison, [with_family_p_value(gap) for gap in comparison.stated]) for comparison in comparisons
    ]


def correct_p_values(gaps: Sequence[Gap]) -> list[float | None]:
    """Return Holm's p-values of gaps that are looked through together, in their order; facts count once."""
    leading = first_of_each_fact([gap for gap in gaps if gap.p_value is not None])
    corrected = _correct_by_fact(leading)
    return [None if gap.p_value is None else corrected[gap.fact_key] for gap in gaps]


def first_of_each_fact(gaps: Sequence[Gap]) -> dict[Hashable, Gap]:
    """Return the first gap of each fact, in order."""
    leading: dict[Hashable, Gap] = {}
    for gap in gaps:
        leading.setdefault(gap.fact_key, gap)
    return leading


def _correct_by_fact(leading: dict[Hashable, Gap]) -> dict[Hashable, float]:
    p_values = [gap.p_value for gap in leading.values() if gap.p_value is not None]
    return dict(zip(leading, adjust_by_holm(p_values), strict=True))


def _with_stated(comparison: GroupComparison, stated: Sequence[Gap]) -> GroupComparison:
    """Return the grouping with its stated gaps replaced, among all gaps too."""
    replaced = {id(before): after for before, after in zip(comparison.stated, stated, strict=True)}
    gaps = tuple(replaced.get(id(gap), gap) for gap in comparison.gaps)
    return replace(comparison, gaps=gaps, stated=tuple(stated))
