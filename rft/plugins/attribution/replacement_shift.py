"""How far what stands for an absence shifts predictions by itself: of words, or of parts of recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from rft.plugins.attribution.interventions import MAX_RANDOM_FLIPS
from rft.records import Finding, FindingDefinition, Interval, Table
from rft.stats import multiplicity
from rft.stats.intervals import wilson_interval

REPLACED_SHARE = 0.05  # of the parts of an example, at least one


class Shift(NamedTuple):
    """What replacing a few random parts of examples did.

    Attributes:
        mean: how far the predicted probabilities move in the mean: half the sum of the absolute changes, 0 to 1.
        flips: number of predictions that change.
        n: number of examples.
    """

    mean: float
    flips: int
    n: int


@dataclass(frozen=True)
class MeasuredReplacement:
    """What may stand for an absence, and what it does.

    Attributes:
        name: in words.
        shift: how far the predicted probabilities move in the mean when a few random parts are replaced, 0 to 1.
        flips: number of predictions that change.
        n: number of examples.
    """

    name: str
    shift: float
    flips: int
    n: int

    @property
    def flip_share(self) -> float:
        """The share of predictions that change."""
        return self.flips / self.n

    @property
    def interval(self) -> Interval:
        """Its Wilson interval at 95 %."""
        return wilson_interval(self.flips, self.n)

    @property
    def usable(self) -> bool:
        """Whether it leaves predictions alone for the most part."""
        return self.flip_share <= MAX_RANDOM_FLIPS


class ReplacementWording(NamedTuple):
    """What the finding says of a modality's parts that are replaced.

    Attributes:
        id: behind ``attribution.replacement_flips``: empty, or a dot and the method whose parts they are.
        title, description, limits: of the definition.
        chosen: how the sentence on what replaces them begins.
    """

    id: str
    title: str
    description: str
    limits: str
    chosen: str


def replacement_finding(replacement: MeasuredReplacement, words: ReplacementWording) -> Finding:
    """Return how many predictions change when a few random parts are replaced as shifts them least."""
    definition = FindingDefinition(
        f"attribution.replacement_flips{words.id}",
        words.title,
        words.description,
        unit="fraction",
        better="lower",
        caveats=words.limits,
    )

    def interval_at(level: float) -> Interval:
        return wilson_interval(replacement.flips, replacement.n, level=level)

    return definition.state_estimate(
        replacement.flip_share,
        interval=replacement.interval,
        adjusted=multiplicity.adjust_interval(interval_at),
        n=replacement.n,
        status="info" if replacement.usable else "warn",
        caveats=f"{words.chosen} {replacement.name}.",
    )


def measure_shift(before: torch.Tensor, after: torch.Tensor) -> Shift:
    """Return how far (N, K) logits moved."""
    first, second = (logits.double().softmax(dim=1) for logits in (before, after))
    mean = float((first - second).abs().sum(dim=1).mean()) / 2
    return Shift(mean, int((before.argmax(dim=1) != after.argmax(dim=1)).sum()), len(before))


def replacements_table(replacements: Sequence[MeasuredReplacement], chosen: str, used_as: str) -> Table:
    """Return the table ``replacements``, in which the ``chosen`` one is marked with what it is ``used_as``."""
    return [
        {
            "replacement": replacement.name,
            "shift": replacement.shift,
            "flip_share": replacement.flip_share,
            "low": replacement.interval.low,
            "high": replacement.interval.high,
            "n": replacement.n,
            "used_as": used_as if replacement.name == chosen else "",
        }
        for replacement in replacements
    ]
