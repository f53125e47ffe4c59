"""How far the maps of each method can be believed: all measures of it, over all explained images."""

from __future__ import annotations

import numpy as np

from rft.plugins.attribution.images.faithfulness import measure_faithfulness
from rft.plugins.attribution.images.robustness import (
    compare_with_contrast,
    compare_with_noise,
    compare_with_random_networks,
)
from rft.plugins.attribution.images.suited_methods import Attributed
from rft.plugins.attribution.network import Network, explain_failure
from rft.plugins.attribution.quality.measures import AttributionQuality, Likeness

CONTRAST, RANDOM = "what merely stands out in an image", "the map of a network with random weights"


def measure_quality(network: Network, attributed: Attributed, rng: np.random.Generator) -> AttributionQuality | None:
    """Measure the maps of one method; None where none of them is sound."""
    method, explained, maps = attributed.method, attributed.explained, attributed.maps
    if not maps.sound.any():
        return None
    references: dict[str, np.ndarray] = {}
    likeness: Likeness | None = None
    reasons = {}
    try:
        randomized = compare_with_random_networks(network, explained, method, maps, rng=rng)
        likeness = Likeness(randomized.correlation[maps.sound], randomized.by_chance[maps.sound])
        references[RANDOM] = randomized.cells
    except Exception as error:
        reasons["likeness"] = explain_failure("randomising the network", error)
    contrast, contrast_cells = compare_with_contrast(explained, maps)
    faithfulness = measure_faithfulness(network, explained, maps, {CONTRAST: contrast_cells} | references, rng=rng)
    stability = compare_with_noise(network, explained, method, maps, rng=rng)
    return AttributionQuality(
        method.name,
        faithfulness,
        likeness,
        contrast[maps.sound],
        stability[maps.sound],
        reasons,
    )
