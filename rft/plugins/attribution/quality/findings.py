"""The findings of how far the attributions of a method can be believed. Results in, ``Finding`` out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rft.number_format import format_fixed
from rft.plugins.attribution.modality_words import METHOD_NAMES, Wording
from rft.records import Finding, FindingDefinition, Interval, MeasuredStatus
from rft.references import ADEBAYO, PETSIUK
from rft.stats import multiplicity
from rft.stats.intervals import CONFIDENCE_LEVEL, clip_interval, mean_interval

MOST_CORRELATION = 0.2  # with the attributions of networks with random weights
LEAST_STABILITY = 0.8  # rank correlation under noise

Judgement = tuple[MeasuredStatus, str]


def insertion_finding(method: str, gain: np.ndarray, units: np.ndarray | None, words: Wording) -> Finding:
    """Return how much of the lead what an attribution marks brings by itself, of (M,) examples of ``units``."""

    def judge(interval: Interval) -> Judgement:
        if interval.low > 0:
            return "info", f"What the {words.maps} mark brings evidence for the class by itself."
        if interval.high <= 0:
            return "warn", f"What the {words.maps} mark brings no more than random parts do."
        return (
            "info",
            f"Too few {words.many} to tell whether what the {words.maps} mark brings more than random parts do.",
        )

    return _state_mean(define_insertion(method, words), gain, units, judge, words)


def randomization_finding(
    method: str,
    correlation: np.ndarray,
    by_chance: np.ndarray,
    content: np.ndarray,
    units: np.ndarray | None,
    words: Wording,
) -> Finding:
    """Return whether attributions depend on what the network has learned.

    Args:
        method: its name.
        correlation: (M,) absolute rank correlation with attributions of networks with random weights.
        by_chance: (M,) the same between attributions that have nothing in common, as ``words.by_chance`` says.
        content: (M,) absolute rank correlation with what the example holds whatever was learned, ``words.content``.
        units: (M,) whose example each is, or None.
        words: of the modality.
    """
    chance = _mean_of_defined(by_chance, units)
    beside = (
        f" Between {words.maps} {words.by_chance} it is {_format_mean(by_chance)}, and between the {words.maps} and "
        f"{words.content} {_format_mean(content)}."
    )

    def judge(interval: Interval) -> Judgement:
        if interval.high < MOST_CORRELATION:
            return "info", f"Surely below {MOST_CORRELATION:g}: the {words.maps} depend on what was learned.{beside}"
        if interval.low > MOST_CORRELATION and chance is not None and interval.low > chance.high:
            shown = f"the {words.maps} show the {words.one}, whatever was learned"
            return "warn", f"Surely above {MOST_CORRELATION:g}: {shown}.{beside}"
        return "info", f"Whether it is below {MOST_CORRELATION:g} cannot be told from these {words.maps}.{beside}"

    return _state_mean(define_randomization(method, words), correlation, units, judge, words, within=(0.0, 1.0))


def stability_finding(method: str, correlation: np.ndarray, units: np.ndarray | None, words: Wording) -> Finding:
    """Return how much attributions stay the same under noise, from (M,) rank correlations."""

    def judge(interval: Interval) -> Judgement:
        if interval.low >= LEAST_STABILITY:
            return "info", f"Surely at {LEAST_STABILITY:g} or above: stable."
        if interval.high < LEAST_STABILITY:
            return "warn", f"Surely below {LEAST_STABILITY:g}: the {words.maps} change with {words.slight_noise}."
        return "info", f"Too few {words.many} to tell whether it is at {LEAST_STABILITY:g} or above."

    return _state_mean(define_stability(method, words), correlation, units, judge, words, within=(-1.0, 1.0))


def define_insertion(method: str, words: Wording) -> FindingDefinition:
    """Return what is known of the insertion test of a method."""
    marked, at_random = words.inserted
    return FindingDefinition(
        f"attribution.insertion.{method}",
        f"Insertion test: {METHOD_NAMES[method]}",
        f"How much more of its lead over the other classes the predicted class gets from {marked} than from "
        f"{at_random}, as a share of that lead.",
        unit="share of the lead",
        caveats=words.insertion_limits,
        references=(PETSIUK,),
        better="higher",
    )


def define_randomization(method: str, words: Wording) -> FindingDefinition:
    """Return what is known of the parameter randomisation of a method."""
    return FindingDefinition(
        f"attribution.randomization.{method}",
        f"Likeness to {words.maps} of random networks: {METHOD_NAMES[method]}",
        f"Absolute rank correlation between the {words.maps} of one {words.one} by the network and by copies of it "
        f"whose weights stand in random order. {words.maps.capitalize()} of what the network has learned must be "
        "others then.",
        unit="rank correlation",
        references=(ADEBAYO,),
        better="lower",
    )


def define_stability(method: str, words: Wording) -> FindingDefinition:
    """Return what is known of the stability of a method."""
    return FindingDefinition(
        f"attribution.stability.{method}",
        f"Stability under small noise: {METHOD_NAMES[method]}",
        f"Rank correlation between the {words.maps} of one {words.one} without and with {words.noise}.",
        unit="rank correlation",
        caveats=f"A mean over random noise: the worst noise of this size may change the {words.maps} more.",
        better="higher",
    )


def explain_no_cases(words: Wording) -> str:
    """Return why a mean has no interval."""
    return f"an interval needs usable {words.maps} of two independent {words.many}"


def _state_mean(
    definition: FindingDefinition,
    values: np.ndarray,
    units: np.ndarray | None,
    judge: Callable[[Interval], Judgement],
    words: Wording,
    within: tuple[float, float] = (-np.inf, np.inf),
) -> Finding:
    """State the mean of (M,) values ``within`` two ends, of which those that are not defined are left out."""
    defined = np.isfinite(values)
    values, units = values[defined], None if units is None or not len(values) else units[defined]
    n = len(values) if units is None else len(np.unique(units.astype(str)))

    def interval_at(level: float) -> Interval | None:
        interval = mean_interval(values, units, level=level) if len(values) else None
        return interval and clip_interval(interval, *within)

    interval = interval_at(CONFIDENCE_LEVEL)
    if interval is None:
        return definition.state_not_measured(explain_no_cases(words), n=n)
    status, said = judge(interval)
    return definition.state_estimate(
        float(values.mean()),
        interval=interval,
        adjusted=multiplicity.adjust_where_defined(interval_at),
        n=n,
        status=status,
        caveats=said,
    )


def _mean_of_defined(values: np.ndarray, units: np.ndarray | None) -> Interval | None:
    defined = np.isfinite(values)
    return mean_interval(values[defined], None if units is None else units[defined]) if defined.any() else None


def _format_mean(values: np.ndarray) -> str:
    defined = values[np.isfinite(values)]
    return format_fixed(float(defined.mean()), 2) if len(defined) else "not defined"
