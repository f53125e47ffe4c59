"""What only the section of recordings states: what the filling of windows or bands does by itself."""

from __future__ import annotations

from rft.plugins.attribution.interventions import MAX_RANDOM_FLIPS
from rft.plugins.attribution.modality_words import METHOD_NAMES
from rft.plugins.attribution.speech.replacements import Replacement
from rft.records import Finding, FindingDefinition
from rft.stats import multiplicity
from rft.stats.intervals import wilson_interval

PART_NAMES = {"window_occlusion": "window of time", "band_occlusion": "band"}


def replacement_finding(chosen: Replacement) -> Finding:
    """Return how many predictions change when a random part is filled in the way that shifts them least."""
    part = PART_NAMES[chosen.method]
    definition = FindingDefinition(
        f"attribution.replacement_flips.{chosen.method}",
        f"Predictions that change when a random {part} is filled: {METHOD_NAMES[chosen.method]}",
        f"Share of test recordings that get another class when a {part}, drawn at random, is filled in the way that "
        "shifts predictions least (of a longer recording 5 % of them).",
        unit="fraction",
        better="lower",
        caveats=f"Above {100 * MAX_RANDOM_FLIPS:g} % it needs a review: either most parts of these recordings matter, "
        "or the filling itself is strange to the model. Which of them cannot be told.",
    )
    return definition.state_estimate(
        chosen.flip_share,
        interval=chosen.interval,
        adjusted=multiplicity.adjust_interval(lambda level: wilson_interval(chosen.flips, chosen.n, level=level)),
        n=chosen.n,
        status="info" if chosen.usable else "warn",
        caveats=f"It is filled with {chosen.name}.",
    )
