"""Deletion and insertion of parts: do the parts that an attribution marks matter more than others?

Parts are the tokens of a text, or the stretches or bands of a recording. Deletion takes away what is marked (after
Samek et al. 2017, IEEE TNNLS 28:2660), insertion takes away all the rest (Petsiuk et al. 2018, BMVC), both carried over
to parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rft.plugins.attribution.interventions import DELETED_SHARES, RANDOM_CONTROLS


@dataclass(frozen=True)
class Faithfulness:
    """What deletions and insertions did to M examples, as shares of their mean margin.

    All are empty where that margin is not positive.

    Attributes:
        deletion: (M,) how much more of the margin is lost by an attribution's deletion than by random ones.
        insertion: (M,) how much more of it what an attribution marks brings by itself than random parts do.
        beyond: name of a reference -> (M,) how much more is lost than by the deletion of what the reference marks.
    """

    deletion: np.ndarray
    insertion: np.ndarray
    beyond: Mapping[str, np.ndarray]


NOTHING_CHANGED = Faithfulness(np.array([]), np.array([]), {})  # where no attribution could be tested


def change_parts(
    values: Sequence[np.ndarray],
    eligible: Sequence[np.ndarray],
    margins_without: Callable[[list[np.ndarray]], np.ndarray],
    *,
    rng: np.random.Generator,
    references: Mapping[str, Sequence[np.ndarray]] | None = None,
) -> Faithfulness:
    """Delete and insert what attributions mark: the mean over the shares ``DELETED_SHARES`` of the parts.

    Of each example at least one part is marked. Insertion keeps the same parts that deletion takes away, and the
    random parts are the same too.

    Args:
        values: M of (P,), what each part of an example adds to its class.
        eligible: M of (P,), which parts may be taken away at all.
        margins_without: M of (P,) parts that are taken away -> (M,) margins of the predicted class that are left.
        rng: source of the random parts.
        references: M of (P,) values that know nothing of what the network has learned, by name.
    """
    references = references or {}
    margin = float(margins_without([np.zeros_like(parts) for parts in eligible]).mean())
    if not margin > 0:
        return Faithfulness(np.array([]), np.array([]), {name: np.array([]) for name in references})
    deletion, insertion = np.zeros(len(values)), np.zeros(len(values))
    beyond = {name: np.zeros(len(values)) for name in references}
    for share in DELETED_SHARES:
        marked = _choose_top(values, eligible, share)
        controls = [
            _choose_top([rng.random(len(parts)) for parts in values], eligible, share) for _ in range(RANDOM_CONTROLS)
        ]
        left, shown = margins_without(marked), margins_without(_choose_rest(marked, eligible))
        deletion += np.mean([margins_without(chosen) for chosen in controls], axis=0) - left
        insertion += shown - np.mean([margins_without(_choose_rest(chosen, eligible)) for chosen in controls], axis=0)
        for name, reference in references.items():
            beyond[name] += margins_without(_choose_top(reference, eligible, share)) - left
    scale = len(DELETED_SHARES) * margin
    return Faithfulness(deletion / scale, insertion / scale, {name: lost / scale for name, lost in beyond.items()})


def _choose_top(values: Sequence[np.ndarray], eligible: Sequence[np.ndarray], share: float) -> list[np.ndarray]:
    return [find_top_parts(*pair, share) for pair in zip(values, eligible, strict=True)]


def _choose_rest(chosen: Sequence[np.ndarray], eligible: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [parts & ~of_chosen for of_chosen, parts in zip(chosen, eligible, strict=True)]


def find_top_parts(values: np.ndarray, eligible: np.ndarray, share: float) -> np.ndarray:
    """Return (P,) where the largest ``share`` of (P,) values is among the eligible parts, at least one of them."""
    top = np.zeros(len(eligible), dtype=bool)
    places = np.flatnonzero(eligible)
    count = max(round(share * len(places)), 1)
    top[places[np.argsort(-values[places], kind="stable")[:count]]] = True
    return top
