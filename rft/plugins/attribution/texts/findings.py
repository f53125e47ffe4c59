"""What only the section of texts states: what the replacement of words does by itself."""

from __future__ import annotations

from rft.plugins.attribution.interventions import MAX_RANDOM_FLIPS
from rft.plugins.attribution.replacement_shift import REPLACED_SHARE
from rft.plugins.attribution.texts.replacements import Replacement
from rft.records import Finding, FindingDefinition
from rft.stats import multiplicity
from rft.stats.intervals import wilson_interval


def replacement_finding(baseline: Replacement) -> Finding:
    """Return how many predictions change when a few random words are replaced by the baseline."""
    definition = FindingDefinition(
        "attribution.replacement_flips",
        "Predictions that change when random words are replaced",
        f"Share of test texts that get another class when {_percent(REPLACED_SHARE)} of their words, drawn at "
        "random and at least one, are replaced by the token that shifts predictions least. Integrated gradients start "
        "from it.",
        unit="fraction",
        better="lower",
        caveats=f"Above {_percent(MAX_RANDOM_FLIPS)} no token stands for the absence of a word, and nothing starts "
        "from it.",
    )
    return definition.state_estimate(
        baseline.flip_share,
        interval=baseline.interval,
        adjusted=multiplicity.adjust_interval(lambda level: wilson_interval(baseline.flips, baseline.n, level=level)),
        n=baseline.n,
        status="info" if baseline.usable else "warn",
        caveats=f"The token is {baseline.name}.",
    )


def explain_refusal(replacement: Replacement) -> str:
    """Return why a method that needs a replacement is not used, where that replacement changes too much."""
    done = "taking out" if replacement.token is None else f"putting {replacement.name} in the place of"
    return (
        f"{done} {_percent(REPLACED_SHARE)} of the words, drawn at random, changes {replacement.flips} of "
        f"{replacement.n} predictions, more than {_percent(MAX_RANDOM_FLIPS)}: it does not stand for their absence"
    )


def _percent(share: float) -> str:
    return f"{100 * share:g} %"
