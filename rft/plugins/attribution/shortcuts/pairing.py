"""Who gets what of whom: examples paired with others of another, and of the same, predicted class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rft.plugins.attribution.interventions import one_per_unit


@dataclass(frozen=True)
class SwapPlan:
    """Which examples get content of which others, (P,) rows of the test split each.

    Attributes:
        recipients: examples that are changed, each once.
        donors: an example of another predicted class for each, none used twice.
        likes: an example of the same predicted class for each, none used twice and no recipient of itself.
    """

    recipients: np.ndarray
    donors: np.ndarray
    likes: np.ndarray


def plan_swaps(
    predicted: np.ndarray,
    units: np.ndarray | None,
    *,
    pairs: int,
    rng: np.random.Generator,
    marked: np.ndarray | None = None,
) -> SwapPlan:
    """Return at most ``pairs`` examples, of each unit one at most, with one of another and one of the same class.

    Where a mark is rare, few of any examples would have it. With ``marked`` only those with the mark receive, and what
    takes its place in the control is the mark of one of the same class. Examples of another class come from among those
    with the mark, and, where these run out, from the others.

    Args:
        predicted: (N,) predicted class of each row, as an index; says who is paired with whom.
        units: (N,) whose example each row is, or None.
        pairs: largest number of recipients.
        rng: source of the draws.
        marked: (N,) which have the mark, or None where every one may be changed.
    """
    candidates = one_per_unit(len(predicted), units, rng)
    if marked is None:
        recipients, donors = pair_classes(candidates, predicted, pairs, rng)
    else:
        others = candidates
        candidates = np.flatnonzero(marked)[one_per_unit(int(marked.sum()), _select(units, marked), rng)]
        recipients, donors = pair_marked(candidates, others[~marked[others]], predicted, pairs, rng)
    likes = same_class_donors(recipients, candidates, predicted, rng)
    return SwapPlan(recipients[likes >= 0], donors[likes >= 0], likes[likes >= 0])


def pair_classes(
    candidates: np.ndarray, predicted: np.ndarray, pairs: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return (P,) recipients and (P,) donors of other predicted classes; no candidate occurs twice, P <= ``pairs``.

    Pairing the two classes with most candidates left, over and over, gives as many pairs as there can be. Which of the
    two receives is drawn by lot, so both directions are tried.
    """
    waiting = [
        list(candidates[predicted[candidates] == class_index]) for class_index in np.unique(predicted[candidates])
    ]
    chosen: list[tuple[int, int]] = []
    while len(chosen) < pairs:
        by_lot = [waiting[place] for place in rng.permutation(len(waiting))]  # ties between classes
        waiting = sorted(by_lot, key=len, reverse=True)
        if len(waiting) < 2 or not waiting[1]:
            break
        pair = [waiting[0].pop(), waiting[1].pop()]
        chosen.append((pair[0], pair[1]) if rng.random() < 0.5 else (pair[1], pair[0]))
    recipients, donors = np.array(chosen, dtype=np.int64).reshape(-1, 2).T
    return recipients, donors


def pair_marked(
    marked: np.ndarray, unmarked: np.ndarray, predicted: np.ndarray, pairs: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return (P,) recipients with a mark and (P,) donors of other predicted classes, P <= ``pairs``.

    Marked ones are paired with each other as ``pair_classes`` does; those that are left get an unmarked one. None
    occurs twice.
    """
    recipients, donors = pair_classes(marked, predicted, pairs, rng)
    left = rng.permutation(np.setdiff1d(marked, np.concatenate([recipients, donors])))[: pairs - len(recipients)]
    waiting = {index: list(unmarked[predicted[unmarked] == index]) for index in np.unique(predicted[unmarked])}
    chosen: list[tuple[int, int]] = []
    for row in left.tolist():
        others = [rows for index, rows in waiting.items() if index != predicted[row]]
        longest = max(others, key=len, default=[])
        if longest:
            chosen.append((row, longest.pop()))
    further = np.array(chosen, dtype=np.int64).reshape(-1, 2).T
    return np.concatenate([recipients, further[0]]), np.concatenate([donors, further[1]])


def _select(units: np.ndarray | None, mask: np.ndarray) -> np.ndarray | None:
    return None if units is None else np.asarray(units)[mask]


def same_class_donors(
    recipients: np.ndarray, candidates: np.ndarray, predicted: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return (P,) a donor of the same predicted class for each recipient; -1 for the only one of a class.

    None is used twice. Examples that receive nothing come first; where they run out, recipients give to each other.
    """
    rest = rng.permutation(np.setdiff1d(candidates, recipients))
    donors = np.full(len(recipients), -1, dtype=np.int64)
    for class_index in np.unique(predicted[recipients]):
        receiving = np.flatnonzero(predicted[recipients] == class_index)
        others, own = rest[predicted[rest] == class_index], recipients[receiving]
        giving = np.concatenate([others, own]) if len(others) else np.roll(own, 1)
        if len(giving) > 1 or len(others):
            donors[receiving] = giving[: len(receiving)]
    return donors
