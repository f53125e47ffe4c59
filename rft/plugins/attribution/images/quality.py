"""How far the maps of each method can be believed: all measures of it, over all explained images and by group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rft.disclosure.withheld import MISSING, Withheld
from rft.plugins.attribution import findings
from rft.plugins.attribution.group_means import Memberships
from rft.plugins.attribution.images.faithfulness import Faithfulness, measure_faithfulness
from rft.plugins.attribution.images.robustness import (
    RandomizedMaps,
    compare_with_contrast,
    compare_with_noise,
    compare_with_random_networks,
)
from rft.plugins.attribution.images.suited_methods import Attributed
from rft.plugins.attribution.modality_words import Wording
from rft.plugins.attribution.network import Network, explain_failure
from rft.plugins.attribution.quality import findings as quality_findings
from rft.plugins.attribution.quality.gaps import MIN_PER_GROUP
from rft.records import Finding, Row
from rft.stats.intervals import clip_interval, mean_interval

CONTRAST, RANDOM = "what merely stands out in an image", "the map of a network with random weights"


class Measure(NamedTuple):
    """(M,) values of a measure of maps, and the two ends that they, and so their mean, lie within."""

    values: np.ndarray
    within: tuple[float, float] = (-np.inf, np.inf)


@dataclass(frozen=True)
class MapQuality:
    """What was measured of the maps of one method.

    Attributes:
        method: its name.
        faithfulness: of the M sound maps.
        randomized: of the N explained images; None where the network could not be randomised.
        contrast: (N,) absolute rank correlation of a map with the contrast of its image.
        stability: (N,) rank correlation with a map under noise.
        sound: (N,) which maps are.
        unrandomized: why there is no ``randomized``; empty where there is.
    """

    method: str
    faithfulness: Faithfulness
    randomized: RandomizedMaps | None
    contrast: np.ndarray
    stability: np.ndarray
    sound: np.ndarray
    unrandomized: str = ""

    def list_measures(self) -> dict[str, Measure]:
        """Return each measure of the sound maps, by its name in the table."""
        faithfulness, sound, share = self.faithfulness, self.sound, (0.0, 1.0)
        measures = {"deletion": Measure(faithfulness.deletion)}
        measures |= {f"deletion, beyond {name}": Measure(values) for name, values in faithfulness.beyond.items()}
        measures["insertion"] = Measure(faithfulness.insertion)
        if self.randomized is not None:
            measures["likeness to maps of random networks"] = Measure(self.randomized.correlation[sound], share)
            measures["the same, of different images"] = Measure(self.randomized.by_chance[sound], share)
        return measures | {
            "likeness to the contrast of the image": Measure(self.contrast[sound], share),
            "stability under noise": Measure(self.stability[sound], (-1.0, 1.0)),
        }


def measure_quality(network: Network, attributed: Attributed, rng: np.random.Generator) -> MapQuality | None:
    """Measure the maps of one method; None where none of them is sound."""
    method, explained, maps = attributed.method, attributed.explained, attributed.maps
    if not maps.sound.any():
        return None
    randomized, unrandomized = None, ""
    try:
        randomized = compare_with_random_networks(network, explained, method, maps, rng=rng)
    except Exception as error:
        unrandomized = explain_failure("randomising the network", error)
    contrast, contrast_cells = compare_with_contrast(explained, maps)
    references = {CONTRAST: contrast_cells}
    if randomized is not None:
        references[RANDOM] = randomized.cells
    return MapQuality(
        method.name,
        measure_faithfulness(network, explained, maps, references, rng=rng),
        randomized,
        contrast,
        compare_with_noise(network, explained, method, maps, rng=rng),
        maps.sound,
        unrandomized,
    )


def quality_findings_of(quality: MapQuality, units: np.ndarray | None, words: Wording) -> Iterator[Finding]:
    """Yield what is found of one method's maps; ``units`` (M,) are whose image each sound one is."""
    method, sound, faithfulness = quality.method, quality.sound, quality.faithfulness
    units_of_gains = units if len(faithfulness.deletion) else None
    yield findings.deletion_finding(method, faithfulness.deletion, units_of_gains, words, faithfulness.beyond)
    yield quality_findings.insertion_finding(method, faithfulness.insertion, units_of_gains)
    if quality.randomized is None:
        yield quality_findings.define_randomization(method).state_not_measured(quality.unrandomized)
    else:
        randomized = quality.randomized
        yield quality_findings.randomization_finding(
            method, randomized.correlation[sound], randomized.by_chance[sound], quality.contrast[sound], units
        )
    yield quality_findings.stability_finding(method, quality.stability[sound], units)


def unmeasured_quality(method: str, words: Wording) -> Iterator[Finding]:
    """Yield ``not_measured`` for the quality of a method whose maps are all unusable."""
    yield findings.deletion_finding(method, np.array([]), None, words)
    for define in (
        quality_findings.define_insertion,
        quality_findings.define_randomization,
        quality_findings.define_stability,
    ):
        yield define(method).state_not_measured(quality_findings.NO_CASES, n=0)


def tabulate_quality(
    quality: MapQuality, memberships: Memberships, units: np.ndarray | None, withheld: Withheld
) -> Iterator[Row]:
    """Yield the rows of ``map_quality``: over all images, and of groups with ``MIN_PER_GROUP`` or more.

    Args:
        quality: of one method.
        memberships: attribute -> (M,) group of each image with a sound map; None: all together.
        units: (M,) whose image each is, or None.
        withheld: what may not leave the machine.
    """
    for attribute, groups in memberships.items():
        names = np.array([MISSING if name is None else str(name) for name in groups], dtype=object)
        counts = {name: int((names == name).sum()) for name in sorted(set(names))}
        hidden = withheld.find_small_groups(counts) if attribute is not None else frozenset()
        for name, count in counts.items():
            if attribute is not None and (name == MISSING or name in hidden or count < MIN_PER_GROUP):
                continue
            for measure_name, measure in quality.list_measures().items():
                yield {
                    "method": quality.method,
                    "measure": measure_name,
                    "attribute": attribute,
                    "group": name or None,
                } | _describe_mean(measure, names == name, units)


def _describe_mean(measure: Measure, member: np.ndarray, units: np.ndarray | None) -> Row:
    values = measure.values
    used = member & np.isfinite(values) if len(values) else np.zeros(0, dtype=bool)
    chosen = values[used]
    interval = mean_interval(chosen, None if units is None else units[used]) if len(chosen) else None
    interval = interval and clip_interval(interval, *measure.within)
    return {
        "value": float(chosen.mean()) if len(chosen) else None,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "n": len(chosen),
    }
