"""The gaps of a section judged together: which stand out, allowing for how many were looked at.

Some twenty gaps at 95 % each accuse an innocent attribute in most audits. So what is pointed out to the reader is told
from chance by Holm's correction over all gaps that are findings. What is one fact, as the gaps in true positive and
false negative rates, counts once.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

from rft.plugins.fairness.measure.gaps import Gap
from rft.plugins.fairness.measure.group_comparison import Compared
from rft.stats.gaps.max_t import adjust_by_holm


def judge_together(comparisons: Sequence[Compared]) -> list[Compared]:
    """Return the groupings with the p-value of each stated gap corrected for all of them."""
    stated = [gap for compared in comparisons for gap in compared.stated if gap.p_value is not None]
    leading = first_of_each_fact(stated)
    corrected = _corrected(leading)

    def judged(gap: Gap) -> Gap:
        first = leading.get(gap.fact)
        if first is None or gap.p_value is None:
            return gap
        if first.metric != gap.metric:
            return replace(gap, repeats=first.metric.words, family=len(leading))
        return replace(gap, p_family=corrected[gap.fact], family=len(leading))

    return [_with_stated(compared, [judged(gap) for gap in compared.stated]) for compared in comparisons]


def corrected_p_values(gaps: Sequence[Gap]) -> list[float | None]:
    """Return Holm's p-values of gaps that are looked through together, in their order; facts count once."""
    leading = first_of_each_fact([gap for gap in gaps if gap.p_value is not None])
    corrected = _corrected(leading)
    return [None if gap.p_value is None else corrected[gap.fact] for gap in gaps]


def first_of_each_fact(gaps: Sequence[Gap]) -> dict[Hashable, Gap]:
    """Return the first gap of each fact, in order."""
    leading: dict[Hashable, Gap] = {}
    for gap in gaps:
        leading.setdefault(gap.fact, gap)
    return leading


def _corrected(leading: dict[Hashable, Gap]) -> dict[Hashable, float]:
    p_values = [gap.p_value for gap in leading.values() if gap.p_value is not None]
    return dict(zip(leading, adjust_by_holm(p_values), strict=True))


def _with_stated(compared: Compared, stated: Sequence[Gap]) -> Compared:
    """Return the grouping with its stated gaps replaced, among all gaps too."""
    replaced = {id(before): after for before, after in zip(compared.stated, stated, strict=True)}
    gaps = tuple(replaced.get(id(gap), gap) for gap in compared.gaps)
    return replace(compared, gaps=gaps, stated=tuple(stated))
