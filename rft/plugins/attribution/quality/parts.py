"""How far attributions to parts can be believed, whether the parts are tokens, stretches of time or bands.

A modality says how its examples are attributed again: by another network, or under noise (``PartExamples``). What is
done with that is the same for all, and the same as for the maps of images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from scipy.stats import rankdata

from rft.plugins.attribution.group_means import PREDICTED, Memberships
from rft.plugins.attribution.network import Network, explain_failure
from rft.plugins.attribution.quality.deletion import Faithfulness, change_parts
from rft.plugins.attribution.quality.gaps import MIN_PER_GROUP
from rft.plugins.attribution.quality.measures import AttributionQuality, Likeness
from rft.plugins.attribution.quality.random_networks import CALIBRATING, randomize_network, redraw_parameters

if TYPE_CHECKING:
    from rft.backbones.batch import Batch

MIN_PARTS = 4  # of an example: ranks of fewer say next to nothing
MAX_REPEATED = 24  # examples that are attributed again, which is enough for an interval, where no groups are compared
_ORDERS = 20  # random orders of the parts of an example, of which the mean is taken

Parts = Sequence[np.ndarray]  # M of (P,), one value a part


class PartExamples(Protocol):
    """M examples with a sound attribution by one method, and how they are attributed again."""

    @property
    def method(self) -> str:
        """Its name."""
        ...

    @property
    def values(self) -> Parts:
        """M of (P,), what each part of an example adds to its class."""
        ...

    @property
    def eligible(self) -> Parts:
        """M of (P,), which parts may be taken away, and are compared."""
        ...

    @property
    def references(self) -> Mapping[str, Parts]:
        """M of (P,) values that know nothing of what the network has learned, to be deleted by, by name."""
        ...

    @property
    def takes_fewer_steps(self) -> bool:
        """Whether ``attribute`` takes fewer steps than ``values`` were made with, and so is less exact."""
        ...

    def read_inputs(self, places: np.ndarray) -> Batch:
        """Return the inputs of the examples at some places."""
        ...

    def measure_margins(self, removed: list[np.ndarray]) -> np.ndarray:
        """Return (M,) margins of the predicted classes that M of (P,) removed parts leave."""
        ...

    def measure_content(self, places: np.ndarray) -> Parts:
        """Return how much of the examples at some places each part holds, whatever was learned; NaN where unknown."""
        ...

    def attribute(self, network: Network, places: np.ndarray) -> Parts:
        """Return the attributions of the same classes by a network, with a few steps each."""
        ...

    def attribute_noisy(self, places: np.ndarray, rng: np.random.Generator) -> Parts:
        """Return those of the examples under noise, which is the same in all that is changed of one example.

        Raises:
            Unavailable: where there is nothing that noise could be added to.
        """
        ...


def choose_repeated(memberships: Memberships, rng: np.random.Generator) -> np.ndarray:
    """Return the sorted places of the examples that are attributed again: ``MAX_REPEATED`` that are drawn by chance.

    All are where two groups of an attribute have ``MIN_PER_GROUP``: then it is asked whether some are explained worse.

    Args:
        memberships: attribute -> (M,) group of each example with a sound attribution; None: all together.
        rng: source of the choice.
    """
    sizes = [
        np.unique([str(name) for name in groups if name is not None], return_counts=True)[1]
        for attribute, groups in memberships.items()
        if attribute not in (None, PREDICTED)
    ]
    count = len(memberships[None])
    if any((of_groups >= MIN_PER_GROUP).sum() >= 2 for of_groups in sizes):
        return np.arange(count)
    return np.sort(rng.permutation(count)[:MAX_REPEATED])


def measure_part_quality(
    network: Network, examples: PartExamples, places: np.ndarray, rng: np.random.Generator
) -> AttributionQuality:
    """Measure the attributions of one method.

    Args:
        network: the classifier.
        examples: M of them, at least one.
        places: (R,) of those that are attributed again; of the others likeness, content and stability are NaN.
        rng: source of random parts, networks and noise.
    """
    faithfulness = measure_faithfulness(examples, rng)
    again = _Repeated(examples, places)
    likeness: Likeness | None = None
    stability: np.ndarray | None = None
    reasons = {}
    try:
        likeness = _compare_with_random_networks(network, again, rng)
    except Exception as error:
        reasons["likeness"] = explain_failure("randomising the network", error)
    try:
        stability = _compare_with_noise(network, again, rng)
    except Exception as error:
        reasons["stability"] = explain_failure("adding noise", error)
    content = again.correlate(again.values, examples.measure_content(places))
    return AttributionQuality(examples.method, faithfulness, likeness, np.abs(content), stability, reasons)


def measure_faithfulness(examples: PartExamples, rng: np.random.Generator) -> Faithfulness:
    """Delete and insert what the attributions mark; ``rng`` is the source of the random parts."""
    return change_parts(
        examples.values, examples.eligible, examples.measure_margins, rng=rng, references=examples.references
    )


def correlate_parts(first: Parts, second: Parts) -> np.ndarray:
    """Return (M,) Spearman's rank correlation of M pairs of (P,) values.

    NaN where there are fewer than ``MIN_PARTS``, or one of the two is the same everywhere or not finite.
    """
    return np.array([_correlate_ranks(*pair) for pair in zip(first, second, strict=True)])


class _Repeated(NamedTuple):
    """The R examples at some places of M, which are attributed again."""

    examples: PartExamples
    places: np.ndarray

    @property
    def values(self) -> Parts:
        """Their attributions."""
        return [self.examples.values[place] for place in self.places.tolist()]

    def correlate(self, first: Parts, second: Parts) -> np.ndarray:
        """Return (M,) rank correlations over the eligible parts, NaN for the examples at the remaining places."""
        correlations = np.full(len(self.examples.values), np.nan)
        correlations[self.places] = correlate_parts(self.keep_eligible(first), self.keep_eligible(second))
        return correlations

    def keep_eligible(self, parts: Parts) -> Parts:
        """Return of R of (P,) values those of the eligible parts."""
        eligible = [self.examples.eligible[place] for place in self.places.tolist()]
        return [values[of_example] for values, of_example in zip(parts, eligible, strict=True)]


def _compare_with_random_networks(network: Network, again: _Repeated, rng: np.random.Generator) -> Likeness:
    """Compare each example with a copy of the network of its own, one copy at a time.

    With few parts a single copy may be like the network by chance, in all examples at once: an interval over examples
    that share it would be too narrow. Examples have different numbers of parts, so that chance is of a pair:
    the parts of the very attribution that is compared are put in random order. What is left in common is due to their
    number and their ties alone, and attributions that go by position whatever was learned do not pass for chance.
    """
    inputs = again.examples.read_inputs(again.places[:CALIBRATING])
    by_chance = np.full(len(again.examples.values), np.nan)
    values: list[np.ndarray] = []
    random_network = randomize_network(network, inputs, rng)
    for place in again.places.tolist():
        (of_copy,) = again.examples.attribute(random_network, np.array([place]))
        eligible = again.examples.eligible[place]
        by_chance[place] = _correlate_by_chance(again.examples.values[place][eligible], of_copy[eligible], rng)
        values.append(of_copy)
        redraw_parameters(random_network, inputs, rng)
    return Likeness(np.abs(again.correlate(again.values, values)), by_chance)


def _compare_with_noise(network: Network, again: _Repeated, rng: np.random.Generator) -> np.ndarray:
    """Compare with attributions under noise, by as many steps: the difference is then that of the examples."""
    examples = again.examples
    steady = examples.attribute(network, again.places) if examples.takes_fewer_steps else again.values
    return again.correlate(steady, examples.attribute_noisy(again.places, rng))


def _correlate_ranks(first: np.ndarray, second: np.ndarray) -> float:
    """Return Spearman's rank correlation of two (P,) values, NaN as ``correlate_parts`` says."""
    return float(_scale_ranks(first) @ _scale_ranks(second))


def _correlate_by_chance(first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> float:
    """Return the mean absolute rank correlation of (P,) values with others in ``_ORDERS`` random orders."""
    orders = rng.permuted(np.tile(_scale_ranks(second), (_ORDERS, 1)), axis=1)
    return float(np.abs(orders @ _scale_ranks(first)).mean())


def _scale_ranks(values: np.ndarray) -> np.ndarray:
    """Return (P,) ranks with mean 0 and length 1, whose products are correlations; NaN where nothing can be ranked."""
    if len(values) < MIN_PARTS or not np.isfinite(values).all() or values.max() == values.min():
        return np.full(len(values), np.nan) if len(values) else np.array([np.nan])
    ranks: np.ndarray = rankdata(values) - (len(values) + 1) / 2
    scaled: np.ndarray = ranks / np.linalg.norm(ranks)
    return scaled
