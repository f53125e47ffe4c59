"""How far the attributions of a method can be believed: its measures, as findings and by group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from rft.disclosure.withheld import MISSING, Withheld
from rft.plugins.attribution.findings import deletion_finding
from rft.plugins.attribution.group_means import Memberships
from rft.plugins.attribution.modality_words import Wording
from rft.plugins.attribution.quality import findings
from rft.plugins.attribution.quality.deletion import Faithfulness
from rft.plugins.attribution.quality.gaps import MIN_PER_GROUP
from rft.records import Finding, Row
from rft.stats.intervals import clip_interval, mean_interval

QUALITY_CAPTION = (
    "How far {maps} can be believed: means over {many} with their intervals. Deletion and insertion are shares of the "
    "lead of the predicted class over the others; likeness and stability are rank correlations. Groups with "
    f"{MIN_PER_GROUP} explained {{many}} or more have rows of their own."
)
_SHARE, _CORRELATION = (0.0, 1.0), (-1.0, 1.0)


class Measure(NamedTuple):
    """(M,) values of a measure of attributions, and the two ends that they, and so their mean, lie within."""

    values: np.ndarray
    within: tuple[float, float] = (-np.inf, np.inf)


class Likeness(NamedTuple):
    """(M,) absolute rank correlations, NaN where one is not defined or was not measured.

    Attributes:
        correlation: of an attribution with that of the same example by copies with random weights.
        by_chance: the same where the two have nothing in common but what so few parts have by chance.
    """

    correlation: np.ndarray
    by_chance: np.ndarray


@dataclass(frozen=True)
class AttributionQuality:
    """What was measured of the M sound attributions of one method.

    Attributes:
        method: its name.
        faithfulness: what deletion and insertion did.
        likeness: to attributions of random networks; None where the network could not be randomised.
        content: (M,) absolute rank correlation of an attribution with what the example holds, whatever was learned.
        stability: (M,) rank correlation with an attribution under noise; None where no noise could be added.
        reasons: ``likeness`` or ``stability`` -> why there is none.
    """

    method: str
    faithfulness: Faithfulness
    likeness: Likeness | None
    content: np.ndarray
    stability: np.ndarray | None
    reasons: Mapping[str, str] = field(default_factory=dict)

    def list_measures(self, words: Wording) -> dict[str, Measure]:
        """Return each measure by its name in the table."""
        measures = {"deletion": Measure(self.faithfulness.deletion)}
        measures |= {f"deletion, beyond {name}": Measure(values) for name, values in self.faithfulness.beyond.items()}
        measures["insertion"] = Measure(self.faithfulness.insertion)
        if self.likeness is not None:
            measures[f"likeness to {words.maps} of random networks"] = Measure(self.likeness.correlation, _SHARE)
            measures[f"the same, {words.by_chance}"] = Measure(self.likeness.by_chance, _SHARE)
        measures[f"likeness to {words.content}"] = Measure(self.content, _SHARE)
        if self.stability is not None:
            measures["stability under noise"] = Measure(self.stability, _CORRELATION)
        return measures


def state_quality(quality: AttributionQuality, units: np.ndarray | None, words: Wording) -> Iterator[Finding]:
    """Yield what is found of one method's attributions; ``units`` (M,) are whose example each sound one is."""
    method, faithfulness = quality.method, quality.faithfulness
    units_of_gains = units if len(faithfulness.deletion) else None
    yield deletion_finding(method, faithfulness.deletion, units_of_gains, words, faithfulness.beyond)
    yield findings.insertion_finding(method, faithfulness.insertion, units_of_gains, words)
    if quality.likeness is None:
        yield findings.define_randomization(method, words).state_not_measured(quality.reasons["likeness"])
    else:
        yield findings.randomization_finding(method, *quality.likeness, quality.content, units, words)
    if quality.stability is None:
        yield findings.define_stability(method, words).state_not_measured(quality.reasons["stability"])
    else:
        yield findings.stability_finding(method, quality.stability, units, words)


def state_no_quality(method: str, words: Wording) -> Iterator[Finding]:
    """Yield ``not_measured`` for the quality of a method whose attributions are all unusable."""
    yield deletion_finding(method, np.array([]), None, words)
    for define in (findings.define_insertion, findings.define_randomization, findings.define_stability):
        yield define(method, words).state_not_measured(findings.explain_no_cases(words), n=0)


def tabulate_quality(
    quality: AttributionQuality, memberships: Memberships, units: np.ndarray | None, withheld: Withheld, words: Wording
) -> Iterator[Row]:
    """Yield the rows of ``map_quality``: over all examples, and of groups in which ``MIN_PER_GROUP`` have the measure.

    Args:
        quality: of one method.
        memberships: attribute -> (M,) group of each example with a sound attribution; None: all together.
        units: (M,) whose example each is, or None.
        withheld: what may not leave the machine.
        words: of the modality.
    """
    for attribute, groups in memberships.items():
        names = np.array([MISSING if name is None else str(name) for name in groups], dtype=object)
        counts = {name: int((names == name).sum()) for name in sorted(set(names))}
        hidden = withheld.find_small_groups(counts) if attribute is not None else frozenset()
        for name in counts:
            if attribute is not None and (name == MISSING or name in hidden):
                continue
            for measure_name, measure in quality.list_measures(words).items():
                used = _find_defined(measure.values, names == name)
                if attribute is None or used.sum() >= MIN_PER_GROUP:
                    yield {
                        "method": quality.method,
                        "measure": measure_name,
                        "attribute": attribute,
                        "group": name or None,
                    } | _describe_mean(measure, used, units)


def _find_defined(values: np.ndarray, member: np.ndarray) -> np.ndarray:
    """Return which of (M,) members have a value; (0,) where a measure has none at all."""
    used: np.ndarray = member & np.isfinite(values) if len(values) else np.zeros(0, dtype=bool)
    return used


def _describe_mean(measure: Measure, used: np.ndarray, units: np.ndarray | None) -> Row:
    chosen = measure.values[used]
    interval = mean_interval(chosen, None if units is None else units[used]) if len(chosen) else None
    interval = interval and clip_interval(interval, *measure.within)
    return {
        "value": float(chosen.mean()) if len(chosen) else None,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "n": len(chosen),
    }
