"""How the error rates of a recogniser differ between two runs on the same test utterances."""

from __future__ import annotations

from rft.plugins import RunPair
from rft.predictions.transcripts import TranscriptArrays
from rft.records import CHANGE, About, Finding, FindingDefinition, Section
from rft.references import COCHRAN_RATIO
from rft.stats import multiplicity
from rft.stats.gaps.unit_ratio_gap import TwoUnitRatios
from rft.stats.scores.error_rates import ERROR_RATES, ErrorRate


def compare_transcripts(pair: RunPair) -> Section:
    """Return the change of each error rate on the same utterances, with an interval that pairs them by speaker."""
    before, after = (TranscriptArrays.from_frame(frame) for frame in (pair.before, pair.after))
    return Section(
        plugin="performance",
        title="Performance on the same test utterances",
        findings=tuple(_state_change(rate, before, after, pair) for rate in ERROR_RATES.values()),
    )


def _state_change(rate: ErrorRate, before: TranscriptArrays, after: TranscriptArrays, pair: RunPair) -> Finding:
    definition = FindingDefinition(
        f"{CHANGE}performance.{rate.name}",
        f"{rate.title}: change",
        f"The {rate.label} of {pair.names[1]} minus that of {pair.names[0]}, on the same test utterances.",
        unit=rate.unit,
        about=About(metric=rate.name),
        references=(COCHRAN_RATIO,),
        better="lower",
        cases="none",
    )
    first, second = after.estimate_rate(rate), before.estimate_rate(rate)
    if first is None or second is None:
        return definition.state_not_measured("no shared reference has anything that it could be over")
    difference = TwoUnitRatios(first, second)
    return definition.state_estimate(
        difference.value,
        interval=difference.difference_interval(),
        adjusted=multiplicity.adjust_where_defined(difference.difference_interval),
        n=first.n,
    )
