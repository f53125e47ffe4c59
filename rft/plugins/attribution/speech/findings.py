"""What only the section of recordings says: what the filling of windows or bands does by itself."""

from __future__ import annotations

from rft.plugins.attribution.interventions import MAX_RANDOM_FLIPS
from rft.plugins.attribution.modality_words import METHOD_NAMES
from rft.plugins.attribution.replacement_shift import ReplacementWording

PART_NAMES = {"window_occlusion": "window of time", "band_occlusion": "band"}


def word_filling(method: str) -> ReplacementWording:
    """Return what is said of the parts that a method fills."""
    part = PART_NAMES[method]
    return ReplacementWording(
        id=f".{method}",
        title=f"Predictions that change when a random {part} is filled: {METHOD_NAMES[method]}",
        description=f"Share of test recordings that get another class when a {part}, drawn at random, is filled in the "
        "way that shifts predictions least (of a longer recording 5 % of them).",
        limits=f"Above {100 * MAX_RANDOM_FLIPS:g} % it needs a review: either most parts of these recordings matter, "
        "or the filling itself is strange to the model. Which of them cannot be told.",
        chosen="It is filled with",
    )
