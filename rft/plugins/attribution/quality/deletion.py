"""The deletion test of examples that fall into parts: do the parts that an attribution marks matter more than others?

Parts are the tokens of a text, or the stretches or bands of a recording. After Samek et al. 2017, IEEE TNNLS 28:2660,
carried over to parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rft.plugins.attribution.interventions import DELETED_SHARES, RANDOM_CONTROLS


class PartDeletion(NamedTuple):
    """What deletions did to M examples, as shares of their mean margin; empty where that is not positive.

    Attributes:
        gain: (M,) how much more of the margin is lost by an attribution's deletion than by random ones.
        beyond: name of a reference -> (M,) how much more is lost than by the deletion of what the reference marks.
    """

    gain: np.ndarray
    beyond: Mapping[str, np.ndarray]


def delete_parts(
    values: Sequence[np.ndarray],
    eligible: Sequence[np.ndarray],
    margins_without: Callable[[list[np.ndarray]], np.ndarray],
    *,
    rng: np.random.Generator,
    references: Mapping[str, Sequence[np.ndarray]] | None = None,
) -> PartDeletion:
    """Delete what attributions mark: the mean over the shares ``DELETED_SHARES`` of the parts, at least one of them.

    Args:
        values: M of (P,), what each part of an example adds to its class.
        eligible: M of (P,), which parts may be deleted at all.
        margins_without: M of (P,) parts that are deleted -> (M,) margins of the predicted class that are left.
        rng: source of the random parts.
        references: M of (P,) values that know nothing of what the network has learned, by name.
    """
    references = references or {}
    margin = float(margins_without([np.zeros_like(parts) for parts in eligible]).mean())
    if not margin > 0:
        return PartDeletion(np.array([]), {name: np.array([]) for name in references})
    gain, beyond = np.zeros(len(values)), {name: np.zeros(len(values)) for name in references}
    for share in DELETED_SHARES:
        controls = [
            margins_without(_choose_top([rng.random(len(parts)) for parts in values], eligible, share))
            for _ in range(RANDOM_CONTROLS)
        ]
        left = margins_without(_choose_top(values, eligible, share))
        gain += np.mean(controls, axis=0) - left
        for name, reference in references.items():
            beyond[name] += margins_without(_choose_top(reference, eligible, share)) - left
    scale = len(DELETED_SHARES) * margin
    return PartDeletion(gain / scale, {name: lost / scale for name, lost in beyond.items()})


def _choose_top(values: Sequence[np.ndarray], eligible: Sequence[np.ndarray], share: float) -> list[np.ndarray]:
    return [find_top_parts(*pair, share) for pair in zip(values, eligible, strict=True)]


def find_top_parts(values: np.ndarray, eligible: np.ndarray, share: float) -> np.ndarray:
    """Return (P,) where the largest ``share`` of (P,) values is among the eligible parts, at least one of them."""
    top = np.zeros(len(eligible), dtype=bool)
    places = np.flatnonzero(eligible)
    count = max(round(share * len(places)), 1)
    top[places[np.argsort(-values[places], kind="stable")[:count]]] = True
    return top
