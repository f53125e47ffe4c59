"""The verdict on a suspected shortcut: swap the region between images of different classes and count the flips.

Attribution mass understates reliance, so maps do not decide. What decides is how many predictions change when an image
gets the region of an image of another class, beyond those that change when it gets the region of an image of its own
class: the control pastes the same kind of content, with the same seams, that does not speak for another class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from rft.plugins.attribution.interventions import Condition, Intervention, one_per_unit
from rft.plugins.attribution.network import Network, batch_slices
from rft.runtime.progress import track_progress

OTHER_CLASS, SAME_CLASS, ELSEWHERE = "region, other class", "region, same class", "elsewhere, other class"

Read = Callable[[np.ndarray], Tensor]  # rows of the test split -> a new tensor of (B, 3, H, W) pixels in [0, 1]
Region = Sequence[float]  # left, top, right, bottom as shares of the image


def swap_regions(
    network: Network,
    read: Read,
    predicted: np.ndarray,
    units: np.ndarray | None,
    *,
    region: Region,
    pairs: int,
    rng: np.random.Generator,
) -> Intervention:
    """Swap a region between test images and count the predictions that change.

    Within a condition each image, and of each unit one image, occurs at most once, and of a pair only one image is
    counted: the cases of a condition are independent.

    Args:
        network: the classifier.
        read: reads rows of the test split.
        predicted: (N,) predicted class of each row, as an index; says who is paired with whom.
        units: (N,) whose image each row is, or None.
        region: left, top, right, bottom as shares of the image.
        pairs: largest number of pairs.
        rng: source of the draws.

    Returns:
        ``shortcut``: the region comes from an image of another predicted class. ``control``: the same region, from an
        image of the same predicted class. ``elsewhere``: the pairs of ``shortcut``, with the mirrored region; None
        where that overlaps the region itself.
    """
    candidates = one_per_unit(len(predicted), units, rng)
    recipients, donors = pair_classes(candidates, predicted, pairs, rng)
    before = _predict_swapped(network, read, recipients)
    likes = same_class_donors(recipients, candidates, predicted, rng)
    matched = likes >= 0

    def measure_condition(name: str, place: Region, chosen: np.ndarray, content_donors: np.ndarray) -> Condition:
        after = _predict_swapped(network, read, recipients[chosen], content_donors[chosen], place)
        return Condition(name, flips=int((after != before[chosen]).sum()), n=int(chosen.sum()))

    everyone = np.ones(len(recipients), dtype=bool)
    opposite = mirror_region(region)
    return Intervention(
        shortcut=measure_condition(OTHER_CLASS, region, everyone, donors),
        control=measure_condition(SAME_CLASS, region, matched, likes),
        elsewhere=measure_condition(ELSEWHERE, opposite, everyone, donors) if opposite else None,
    )


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


def same_class_donors(
    recipients: np.ndarray, candidates: np.ndarray, predicted: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return (P,) a donor of the same predicted class for each recipient, none used twice; -1 where none is left."""
    rest = rng.permutation(np.setdiff1d(candidates, recipients))
    waiting = {class_index: list(rest[predicted[rest] == class_index]) for class_index in np.unique(predicted)}
    donors = [waiting[class_index].pop() if waiting[class_index] else -1 for class_index in predicted[recipients]]
    return np.array(donors, dtype=np.int64)


def mirror_region(region: Region) -> Region | None:
    """Return the region point-reflected, or reflected left to right or top to bottom; None when each overlaps it."""
    left, top, right, bottom = region
    across, down = (1 - right, 1 - left), (1 - bottom, 1 - top)
    for x, y in ((across, down), (across, (top, bottom)), ((left, right), down)):
        if x[1] <= left or right <= x[0] or y[1] <= top or bottom <= y[0]:
            return [x[0], y[0], x[1], y[1]]
    return None


def pixel_slices(region: Region, height: int, width: int) -> tuple[slice, slice]:
    """Return the rows and columns of pixels that a region covers, at least one of each."""

    def pixel_span(start: float, end: float, side: int) -> slice:
        first = min(round(start * side), side - 1)
        return slice(first, max(round(end * side), first + 1))

    left, top, right, bottom = region
    return pixel_span(top, bottom, height), pixel_span(left, right, width)


def _predict_swapped(
    network: Network, read: Read, rows: np.ndarray, donors: np.ndarray | None = None, region: Region = ()
) -> np.ndarray:
    """Return (B,) predicted classes of images, with the region of their donors when there are donors."""
    predictions = [np.empty(0, dtype=np.int64)]
    for part in track_progress(list(batch_slices(len(rows))), "Interventions"):
        pixels = read(rows[part])
        if donors is not None:
            place = (..., *pixel_slices(region, *pixels.shape[-2:]))
            pixels[place] = read(donors[part])[place]
        predictions.append(network.logits({"pixels": pixels}).argmax(dim=1).numpy())
    return np.concatenate(predictions)
