"""The regions that a config names as shortcuts: each is swapped, and the rows of the table ``shortcuts``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from rft.data.images.geometry import Box
from rft.errors import Unavailable
from rft.plugins import AuditedModel
from rft.plugins.attribution import interventions, sample
from rft.plugins.attribution.images.methods import Explained, Maps
from rft.plugins.attribution.images.shortcuts import ELSEWHERE, TestImages, mirror_region, swap_regions
from rft.plugins.attribution.interventions import Intervention
from rft.plugins.attribution.network import Network
from rft.plugins.attribution.shortcuts.findings import unmeasured_shortcut, unsuited_shortcut
from rft.plugins.attribution.shortcuts.options import Shortcut
from rft.records import Finding, Row


class RegionSwap(NamedTuple):
    """What swapping the region of a shortcut did.

    Attributes:
        shortcut: its name and options.
        result: what changed.
        covered, opposite: (N, H, W) the pixels of each explained image in the region, and in its mirrored one.
    """

    shortcut: Shortcut
    result: Intervention
    covered: np.ndarray
    opposite: np.ndarray | None


def swap_shortcuts(
    audited: AuditedModel, network: Network, images: TestImages, explained: Explained, shortcuts: Sequence[Shortcut]
) -> tuple[list[RegionSwap], list[Finding]]:
    """Return what swapping each region did, and the findings of shortcuts that cannot be swapped."""
    swaps: list[RegionSwap] = []
    unswapped: list[Finding] = []
    for shortcut in shortcuts:
        if shortcut.region is None:
            unswapped.append(unsuited_shortcut(shortcut, "images"))
            continue
        try:
            swaps.append(_swap_region(audited, network, images, explained, shortcut, Box(*shortcut.region)))
        except Unavailable as reason:
            unswapped.append(unmeasured_shortcut(shortcut, str(reason)))
    return swaps, unswapped


def _swap_region(
    audited: AuditedModel, network: Network, images: TestImages, explained: Explained, shortcut: Shortcut, region: Box
) -> RegionSwap:
    split = audited.splits["test"]
    test = audited.predictions[audited.predictions["split"] == "test"].set_index("id")
    index = {name: number for number, name in enumerate(audited.facts.classes)}
    result = swap_regions(
        network,
        images,
        test["prediction"].loc[list(split.ids)].map(index).to_numpy(),
        split.units,
        region=region,
        pairs=shortcut.max_pairs,
        rng=sample.random_generator(audited, f"suspect {shortcut.name}"),  # names a stream: another gives other draws
    )
    opposite = mirror_region(region)
    return RegionSwap(
        shortcut,
        result,
        _cover_pixels(images, explained, region),
        _cover_pixels(images, explained, opposite) if opposite else None,
    )


def _cover_pixels(images: TestImages, explained: Explained, region: Box) -> np.ndarray:
    """Return (N, H, W) which pixels of each explained image show the region: none where the model sees none of it."""
    covered = np.zeros((len(explained), *explained.size), dtype=bool)
    for image, row in zip(covered, explained.rows.tolist(), strict=True):
        place = images.locate(row)
        if place.visible_share(region) > 0:
            image[place.pixel_slices(region)] = True
    return covered


def shortcut_rows(swap: RegionSwap, maps: Sequence[Maps]) -> Iterator[Row]:
    """Yield the rows of the table ``shortcuts``, a condition each, with the shares of the maps in the region."""
    for condition in swap.result.conditions:
        elsewhere = condition.name == ELSEWHERE
        covered = swap.opposite if elsewhere and swap.opposite is not None else swap.covered
        yield (
            interventions.condition_row(swap.shortcut.name, condition)
            | {"visible_share": None if elsewhere else swap.result.visible_share}
            | {"area_share": float(covered.mean())}
            | {f"{method_maps.method}_share": _attribution_share(method_maps, covered) for method_maps in maps}
        )


def _attribution_share(maps: Maps, covered: np.ndarray) -> float | None:
    """Return the mean share of what speaks for the predicted class that lies in the ``covered`` (N, H, W) pixels."""
    used = np.flatnonzero(maps.sound)
    if len(used) == 0:
        return None
    height, width = covered.shape[1:]
    return float((maps.weights((height, width), used) * covered[used]).sum(axis=(1, 2)).mean())
