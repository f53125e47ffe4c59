"""What only the section of texts says: what the replacement of words does by itself."""

from __future__ import annotations

from rft.plugins.attribution.interventions import MAX_RANDOM_FLIPS
from rft.plugins.attribution.replacement_shift import REPLACED_SHARE, ReplacementWording
from rft.plugins.attribution.texts.replacements import Replacement

_SHARE, _MOST_FLIPS = f"{100 * REPLACED_SHARE:g} %", f"{100 * MAX_RANDOM_FLIPS:g} %"
REPLACED_WORDS = ReplacementWording(
    id="",
    title="Predictions that change when random words are replaced",
    description=f"Share of test texts that get another class when {_SHARE} of their words, drawn at random and at "
    "least one, are replaced by the token that shifts predictions least. Integrated gradients start from it.",
    limits=f"Above {_MOST_FLIPS} no token stands for the absence of a word, and nothing starts from it.",
    chosen="The token is",
)


def explain_refusal(replacement: Replacement) -> str:
    """Return why a method that needs a replacement is not used, where that replacement changes too much."""
    done = "taking out" if replacement.token is None else f"putting {replacement.name} in the place of"
    return (
        f"{done} {_SHARE} of the words, drawn at random, changes {replacement.flips} of "
        f"{replacement.n} predictions, more than {_MOST_FLIPS}: it does not stand for their absence"
    )
