"""The regions that a config names as shortcuts: each is swapped, and the rows of the table ``shortcuts``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from rft.data.images.geometry import Box
from rft.errors import Unavailable
from rft.plugins import AuditedModel
from rft.plugins.attribution import interventions, sample
from rft.plugins.attribution.images.explained import Explained
from rft.plugins.attribution.images.mean_maps import Covered
from rft.plugins.attribution.images.shortcuts import ELSEWHERE, TestImages, mirror_region, plan_swaps, swap_regions
from rft.plugins.attribution.images.suited_methods import Attributed
from rft.plugins.attribution.interventions import Intervention
from rft.plugins.attribution.network import Network
from rft.plugins.attribution.shortcuts.findings import (
    ShortcutTest,
    judge_shortcuts,
    unmeasured_shortcut,
    unsuited_shortcut,
)
from rft.plugins.attribution.shortcuts.options import Shortcut
from rft.plugins.attribution.shortcuts.wording import region_wording
from rft.records import Finding, Row


class RegionSwap(NamedTuple):
    """What swapping the region of a shortcut did.

    Attributes:
        shortcut: its name and options.
        result: what changed.
        covered, opposite: where the region, and its mirrored one, stand in each of N explained images.
    """

    shortcut: Shortcut
    result: Intervention
    covered: list[Covered]
    opposite: list[Covered] | None


class _Pairing(NamedTuple):
    """What decides which images are paired: how many, and which have the mark."""

    pairs: int
    column: str | None
    value: str | None


def _pairing_of(shortcut: Shortcut) -> _Pairing:
    return _Pairing(shortcut.max_pairs, shortcut.column, shortcut.value)


def swap_shortcuts(
    audited: AuditedModel, network: Network, images: TestImages, explained: Explained, shortcuts: Sequence[Shortcut]
) -> tuple[list[RegionSwap], list[Finding]]:
    """Return what swapping each region did, and the findings of shortcuts that cannot be swapped.

    Shortcuts that ask for as many pairs share them: what is drawn does not depend on which other shortcuts there are.
    """
    regions = [shortcut for shortcut in shortcuts if shortcut.region is not None]
    unswapped = [unsuited_shortcut(shortcut, "images") for shortcut in shortcuts if shortcut.region is None]
    results: dict[str, Intervention] = {}
    try:
        for pairing in dict.fromkeys(_pairing_of(shortcut) for shortcut in regions):
            together = [shortcut for shortcut in regions if _pairing_of(shortcut) == pairing]
            swapped = _swap_together(audited, network, images, together, pairing)
            results |= zip((shortcut.name for shortcut in together), swapped, strict=True)
        swaps = [_describe_swap(images, explained, shortcut, results[shortcut.name]) for shortcut in regions]
    except Unavailable as reason:  # no geometry: it is of the images, and so the same for every region
        return [], [*unswapped, *(unmeasured_shortcut(shortcut, str(reason)) for shortcut in regions)]
    return swaps, unswapped


def judge_swaps(swaps: Sequence[RegionSwap]) -> Iterator[Finding]:
    """Yield the verdict on each region."""
    return judge_shortcuts(
        [ShortcutTest(swap.shortcut, swap.result, region_wording(swap.shortcut, swap.result)) for swap in swaps]
    )


def _swap_together(
    audited: AuditedModel, network: Network, images: TestImages, shortcuts: Sequence[Shortcut], pairing: _Pairing
) -> list[Intervention]:
    split = audited.splits["test"]
    test = audited.predictions[audited.predictions["split"] == "test"].set_index("id")
    index = {name: number for number, name in enumerate(audited.facts.classes)}
    predicted = test["prediction"].loc[list(split.ids)].map(index).to_numpy()
    rng = sample.random_generator(audited, f"swaps {pairing}")
    marked = None
    if pairing.column is not None:
        marked = np.array([value is not None and str(value) == pairing.value for value in split.groups[pairing.column]])
    plan = plan_swaps(predicted, split.units, pairs=pairing.pairs, rng=rng, marked=marked)
    return swap_regions(network, images, plan, [Box(*shortcut.region or ()) for shortcut in shortcuts])


def _describe_swap(images: TestImages, explained: Explained, shortcut: Shortcut, result: Intervention) -> RegionSwap:
    region = Box(*shortcut.region or ())
    opposite = mirror_region(region)
    covered = _cover_pixels(images, explained, region)
    return RegionSwap(shortcut, result, covered, _cover_pixels(images, explained, opposite) if opposite else None)


def _cover_pixels(images: TestImages, explained: Explained, region: Box) -> list[Covered]:
    """Return the pixels of each explained image that show the region; None where the model sees none of it."""
    places = [images.locate(row) for row in explained.rows.tolist()]
    return [place.pixel_slices(region) if place.visible_share(region) > 0 else None for place in places]


def shortcut_rows(swap: RegionSwap, attributed: Sequence[Attributed], size: tuple[int, int]) -> Iterator[Row]:
    """Yield the rows of the table ``shortcuts``, a condition each, with the shares of the maps in the region."""
    for condition in swap.result.conditions:
        elsewhere = condition.name == ELSEWHERE
        covered = swap.opposite if elsewhere and swap.opposite is not None else swap.covered
        yield (
            interventions.condition_row(swap.shortcut.name, condition)
            | {"visible_share": None if elsewhere else swap.result.visible_share}
            | {"area_share": float(np.mean([_area_of(place) for place in covered])) / (size[0] * size[1])}
            | {f"{group.method.name}_share": _attribution_share(group, covered) for group in attributed}
        )


def _area_of(covered: Covered) -> int:
    return (covered[0].stop - covered[0].start) * (covered[1].stop - covered[1].start) if covered else 0


def _attribution_share(group: Attributed, covered: Sequence[Covered]) -> float | None:
    """Return the mean share of what speaks for the predicted class that lies in the ``covered`` pixels."""
    shares = []
    for place in np.flatnonzero(group.maps.sound).tolist():
        within = covered[group.places[place]]
        (weights,) = group.maps.weights(group.explained.size, np.array([place]))
        shares.append(float(weights[within].sum()) if within else 0.0)
    return float(np.mean(shares)) if shares else None
