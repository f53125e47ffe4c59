"""The findings of how far the maps of a method can be believed. Results in, ``Finding`` out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rft.number_format import format_fixed
from rft.plugins.attribution.modality_words import METHOD_NAMES
from rft.records import Finding, FindingDefinition, Interval, MeasuredStatus
from rft.references import ADEBAYO, PETSIUK
from rft.stats import multiplicity
from rft.stats.intervals import CONFIDENCE_LEVEL, clip_interval, mean_interval

MOST_CORRELATION = 0.2  # with the maps of networks with random weights
LEAST_STABILITY = 0.8  # rank correlation under noise
NO_CASES = "an interval needs usable maps of two independent images"

Judgement = tuple[MeasuredStatus, str]


def insertion_finding(method: str, gain: np.ndarray, units: np.ndarray | None) -> Finding:
    """Return how much of the lead what a map marks brings by itself, of (M,) images of ``units``."""

    def judge(interval: Interval) -> Judgement:
        if interval.low > 0:
            return "info", "What the maps mark brings evidence for the class by itself."
        if interval.high <= 0:
            return "warn", "What the maps mark brings no more than random parts do."
        return "info", "Too few images to tell whether what the maps mark brings more than random parts do."

    return _state_mean(define_insertion(method), gain, units, judge)


def randomization_finding(
    method: str, correlation: np.ndarray, by_chance: np.ndarray, contrast: np.ndarray, units: np.ndarray | None
) -> Finding:
    """Return whether maps depend on what the network has learned.

    Args:
        method: its name.
        correlation: (M,) absolute rank correlation with maps of networks with random weights.
        by_chance: (M,) the same between maps of different images.
        contrast: (M,) absolute rank correlation with the contrast of the image.
        units: (M,) whose image each is, or None.
    """
    chance = _mean_of_defined(by_chance, units)
    beside = (
        f" Between maps of different images it is {_format_mean(by_chance)}, and between the maps and the contrast of "
        f"their images {_format_mean(contrast)}."
    )

    def judge(interval: Interval) -> Judgement:
        if interval.high < MOST_CORRELATION:
            return "info", f"Surely below {MOST_CORRELATION:g}: the maps depend on what was learned.{beside}"
        if interval.low > MOST_CORRELATION and chance is not None and interval.low > chance.high:
            return "warn", f"Surely above {MOST_CORRELATION:g}: the maps show the image, whatever was learned.{beside}"
        return "info", f"Whether it is below {MOST_CORRELATION:g} cannot be told from these maps.{beside}"

    return _state_mean(define_randomization(method), correlation, units, judge, within=(0.0, 1.0))


def stability_finding(method: str, correlation: np.ndarray, units: np.ndarray | None) -> Finding:
    """Return how much maps stay the same under noise, from (M,) rank correlations."""

    def judge(interval: Interval) -> Judgement:
        if interval.low >= LEAST_STABILITY:
            return "info", f"Surely at {LEAST_STABILITY:g} or above: stable."
        if interval.high < LEAST_STABILITY:
            return "warn", f"Surely below {LEAST_STABILITY:g}: the maps change with noise that nobody sees."
        return "info", f"Too few images to tell whether it is at {LEAST_STABILITY:g} or above."

    return _state_mean(define_stability(method), correlation, units, judge, within=(-1.0, 1.0))


def define_insertion(method: str) -> FindingDefinition:
    """Return what is known of the insertion test of a method."""
    return FindingDefinition(
        f"attribution.insertion.{method}",
        f"Insertion test: {METHOD_NAMES[method]}",
        "How much more of its lead over the other classes the predicted class gets from the parts of an image that the "
        "map marks, alone on the image's mean colour, than from random equal parts, as a share of that lead.",
        unit="share of the lead",
        caveats="Parts of an image on one colour are no natural image.",
        references=(PETSIUK,),
        better="higher",
    )


def define_randomization(method: str) -> FindingDefinition:
    """Return what is known of the parameter randomisation of a method."""
    return FindingDefinition(
        f"attribution.randomization.{method}",
        f"Likeness to maps of random networks: {METHOD_NAMES[method]}",
        "Absolute rank correlation of a map with the map of the same image by copies of the network whose weights "
        "stand in random order. A map of what the network has learned must be another then.",
        unit="rank correlation",
        references=(ADEBAYO,),
        better="lower",
    )


def define_stability(method: str) -> FindingDefinition:
    """Return what is known of the stability of a method."""
    return FindingDefinition(
        f"attribution.stability.{method}",
        f"Stability under small noise: {METHOD_NAMES[method]}",
        "Rank correlation of a map with that of the same image with noise of 1 % of the range of its pixels.",
        unit="rank correlation",
        caveats="A mean over random noise: the worst noise of this size may change a map more.",
        better="higher",
    )


def _state_mean(
    definition: FindingDefinition,
    values: np.ndarray,
    units: np.ndarray | None,
    judge: Callable[[Interval], Judgement],
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
        return definition.state_not_measured(NO_CASES, n=n)
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
