"""Error rates of groups of speakers, and how far apart they are, with intervals that hold for the largest gap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rft.plugins.fairness.measure.group_metrics import OK, TOO_FEW, detail_status
from rft.predictions.table import Grouping
from rft.predictions.transcripts import TranscriptArrays
from rft.stats.gaps.max_t import adjust_by_holm
from rft.stats.gaps.power import MinimumDetectableEffect
from rft.stats.gaps.small import is_small_gap
from rft.stats.gaps.unit_ratio_gap import UnitRatioGap
from rft.stats.intervals import CONFIDENCE_LEVEL
from rft.stats.scores.error_rates import COMPARED, ERROR_RATES, ErrorRate
from rft.stats.unit_ratio import MIN_UNITS, UnitRatio


@dataclass(frozen=True)
class GroupErrors:
    """The utterances of one group of speakers.

    Attributes:
        group: its name.
        rows: its utterances.
    """

    group: str
    rows: TranscriptArrays

    @property
    def n(self) -> int:
        """The number of speakers."""
        return self.rows.n

    def measure(self, rate: ErrorRate) -> UnitRatio | None:
        """Return a rate; None where ``status`` says why there is none."""
        return self.rows.estimate_rate(rate) if self.status(rate) == OK else None

    def status(self, rate: ErrorRate) -> str:
        """Return whether a rate of the group is measured, or why not."""
        if self.n < MIN_UNITS:
            speakers = "1 speaker" if self.n == 1 else f"{self.n} speakers"
            return detail_status(TOO_FEW, f"{speakers}, {MIN_UNITS} are needed")
        return OK if self.rows.count(rate.length) else "undefined: no words were said"


@dataclass(frozen=True)
class ErrorRateGap:
    """The difference between the groups with the highest and the lowest error rate.

    Attributes:
        attribute, rate: what is compared.
        compared: the groups that are compared with their rates, lowest first.
        excluded: those that are not measured.
        family: how many gaps are judged together.
        p_family: the p-value, allowing for their number; None without one.
    """

    attribute: str
    rate: ErrorRate
    compared: tuple[tuple[GroupErrors, UnitRatio], ...]
    excluded: tuple[GroupErrors, ...]
    family: int = 0
    p_family: float | None = None

    @classmethod
    def from_groups(cls, attribute: str, rate: ErrorRate, groups: Sequence[GroupErrors]) -> ErrorRateGap:
        """Return the gap of a rate between these groups."""
        measured = [(group, ratio) for group in groups if (ratio := group.measure(rate)) is not None]
        measured.sort(key=lambda pair: (pair[1].value, pair[0].group))
        return cls(attribute, rate, tuple(measured), tuple(group for group in groups if group.measure(rate) is None))

    @property
    def ratios(self) -> UnitRatioGap | None:
        """What the gap is estimated from; None where fewer than two groups are compared."""
        return UnitRatioGap(tuple(ratio for _, ratio in self.compared)) if len(self.compared) > 1 else None

    @property
    def p_value(self) -> float | None:
        """The p-value of no difference between any two groups; None where no method gives one."""
        return self.ratios.p_value if self.ratios is not None and self.ratios.has_interval else None

    @property
    def stands_out(self) -> bool:
        """Whether chance does not explain it, allowing for all gaps that are judged together."""
        return self.p_family is not None and self.p_family <= 1 - CONFIDENCE_LEVEL

    @property
    def is_small(self) -> bool:
        """Whether it is too small to matter by itself."""
        return len(self.compared) > 1 and is_small_gap(self.compared[0][1].value, self.compared[-1][1].value)

    @property
    def is_to_review(self) -> bool:
        """Whether chance does not explain it, and it is not small."""
        return self.stands_out and not self.is_small

    @property
    def differs(self) -> bool:
        """Whether its interval lies above 0."""
        interval = None if self.ratios is None else self.ratios.confidence_interval()
        return interval is not None and interval.low > 0

    @property
    def smallest(self) -> int:
        """The index of the compared group with the fewest speakers."""
        return min(range(len(self.compared)), key=lambda index: (self.compared[index][0].n, index))

    @property
    def minimum_detectable_effect(self) -> MinimumDetectableEffect | None:
        """The smallest gap of the smallest group that would have been found; None where one was, or none can be."""
        if self.ratios is None or not self.ratios.has_interval or self.differs:
            return None
        return self.ratios.minimum_detectable_effect(self.smallest)


@dataclass(frozen=True)
class SpeakerComparison:
    """One grouping of the utterances: its groups, and the gap in each compared rate."""

    grouping: Grouping
    groups: tuple[GroupErrors, ...]
    gaps: tuple[ErrorRateGap, ...]

    @classmethod
    def from_grouping(cls, rows: TranscriptArrays, grouping: Grouping) -> SpeakerComparison:
        """Compare the groups of (N,) utterances."""
        groups = tuple(
            GroupErrors(name, rows.select_rows(grouping.codes == code)) for code, name in enumerate(grouping.names)
        )
        gaps = tuple(ErrorRateGap.from_groups(grouping.attribute, ERROR_RATES[name], groups) for name in COMPARED)
        return cls(grouping, groups, gaps)


def correct_together(comparisons: Sequence[SpeakerComparison]) -> list[SpeakerComparison]:
    """Return the comparisons with the p-value of each gap corrected for the number of all (Holm)."""
    p_values = [gap.p_value for comparison in comparisons for gap in comparison.gaps]
    known = [p_value for p_value in p_values if p_value is not None]
    adjusted = iter(adjust_by_holm(known))

    def correct_gaps(gaps: Sequence[ErrorRateGap]) -> Iterator[ErrorRateGap]:
        for gap in gaps:
            yield replace(gap, family=len(known), p_family=None if gap.p_value is None else next(adjusted))

    return [replace(comparison, gaps=tuple(correct_gaps(comparison.gaps))) for comparison in comparisons]
