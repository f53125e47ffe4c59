"""The shortcuts that a config names: regions are swapped, patches planted; and the rows of the table ``shortcuts``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from rft.data.images.geometry import Box
from rft.errors import Unavailable
from rft.plugins import AuditedModel
from rft.plugins.attribution import interventions, sample
from rft.plugins.attribution.images.explained import Explained
from rft.plugins.attribution.images.mean_maps import Covered
from rft.plugins.attribution.images.shortcuts.patch import read_patch
from rft.plugins.attribution.images.shortcuts.planting import choose_recipients, plant_patches
from rft.plugins.attribution.images.shortcuts.region_swaps import (
    ELSEWHERE,
    TestImages,
    mirror_region,
    swap_regions,
)
from rft.plugins.attribution.images.suited_methods import Attributed
from rft.plugins.attribution.interventions import Intervention
from rft.plugins.attribution.network import Network
from rft.plugins.attribution.shortcuts.choices import Choice, change_together, find_marked, plan_choice
from rft.plugins.attribution.shortcuts.findings import (
    ShortcutTest,
    judge_shortcuts,
    list_unsuited,
    unmeasured_shortcut,
)
from rft.plugins.attribution.shortcuts.options import Shortcut
from rft.plugins.attribution.shortcuts.wording import ShortcutWording, patch_wording, region_wording
from rft.records import Finding, Row


class ShortcutChanges(NamedTuple):
    """What changing images did.

    Attributes:
        shortcut: its name and options.
        result: what changed.
        covered, opposite: where the region, and its mirrored one, stand in each of N explained images; None where there
            is none: a patch is in none of these.
    """

    shortcut: Shortcut
    result: Intervention
    covered: list[Covered] | None = None
    opposite: list[Covered] | None = None


def change_images(
    audited: AuditedModel, network: Network, images: TestImages, explained: Explained, shortcuts: Sequence[Shortcut]
) -> tuple[list[ShortcutChanges], list[Finding]]:
    """Return what swapping each region and planting each patch did, and the findings of shortcuts that are neither."""
    unsuited = list_unsuited(shortcuts, "image", "images")
    named = [shortcut for shortcut in shortcuts if shortcut.modality == "image"]
    regions = [shortcut for shortcut in named if shortcut.patch is None]
    numbers = {shortcut.name: number for number, shortcut in enumerate(shortcuts, start=1)}
    try:
        results = change_together(regions, partial(_swap_together, audited, network, images))
        results |= change_together(
            [shortcut for shortcut in named if shortcut.patch is not None],
            partial(_plant_together, audited, network, images, numbers),
        )
        tested = [_locate_shortcut(images, explained, shortcut, results[shortcut.name]) for shortcut in named]
    except Unavailable as reason:  # no geometry: it is of the images, and so the same for every region
        return [], [*unsuited, *(unmeasured_shortcut(shortcut, str(reason)) for shortcut in named)]
    return tested, unsuited


def judge_changes(tested: Sequence[ShortcutChanges]) -> Iterator[Finding]:
    """Yield the verdict on each shortcut."""
    return judge_shortcuts([ShortcutTest(case.shortcut, case.result, _word_shortcut(case)) for case in tested])


def _word_shortcut(case: ShortcutChanges) -> ShortcutWording:
    word = region_wording if case.shortcut.patch is None else patch_wording
    return word(case.shortcut, case.result)


def _swap_together(
    audited: AuditedModel, network: Network, images: TestImages, shortcuts: Sequence[Shortcut], choice: Choice
) -> list[Intervention]:
    plan = plan_choice(audited, choice)
    return swap_regions(network, images, plan, [Box(*shortcut.region or ()) for shortcut in shortcuts])


def _plant_together(
    audited: AuditedModel,
    network: Network,
    images: TestImages,
    numbers: Mapping[str, int],
    shortcuts: Sequence[Shortcut],
    choice: Choice,
) -> list[Intervention]:
    split = audited.splits["test"]
    rng = sample.random_generator(audited, f"patches _{choice}")  # names a stream: another gives other draws
    marked = find_marked(audited, choice)
    recipients = choose_recipients(len(split), split.units, most=choice.most, rng=rng, marked=marked)
    patches = [
        (
            read_patch(shortcut.patch or "", f"attribution.shortcut.{numbers[shortcut.name]}.patch"),
            Box(*shortcut.region or ()),
        )
        for shortcut in shortcuts
    ]
    return plant_patches(network, images, recipients, patches, rng)


def _locate_shortcut(
    images: TestImages, explained: Explained, shortcut: Shortcut, result: Intervention
) -> ShortcutChanges:
    if shortcut.patch is not None:
        return ShortcutChanges(shortcut, result)
    region = Box(*shortcut.region or ())
    opposite = mirror_region(region)
    covered = _cover_pixels(images, explained, region)
    return ShortcutChanges(shortcut, result, covered, opposite and _cover_pixels(images, explained, opposite))


def _cover_pixels(images: TestImages, explained: Explained, region: Box) -> list[Covered]:
    """Return the pixels of each explained image that show the region; None where the model sees none of it."""
    places = [images.locate(row) for row in explained.rows.tolist()]
    return [place.pixel_slices(region) if place.visible_share(region) > 0 else None for place in places]


def shortcut_rows(case: ShortcutChanges, attributed: Sequence[Attributed], size: tuple[int, int]) -> Iterator[Row]:
    """Yield the rows of the table ``shortcuts``, a condition each, with the shares of the maps in the region."""
    for condition in case.result.conditions:
        elsewhere = condition.name == ELSEWHERE
        covered = case.opposite if elsewhere and case.opposite is not None else case.covered
        yield (
            interventions.condition_row(case.shortcut.name, condition)
            | {"visible_share": None if elsewhere else case.result.visible_share}
            | {"area_share": None if covered is None else _share_of_area(covered, size)}
            | {
                f"{group.method.name}_share": None if covered is None else _attribution_share(group, covered)
                for group in attributed
            }
        )


def _share_of_area(covered: Sequence[Covered], size: tuple[int, int]) -> float:
    areas = [(rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in filter(None, covered)]
    return float(sum(areas)) / len(covered) / (size[0] * size[1])


def _attribution_share(group: Attributed, covered: Sequence[Covered]) -> float | None:
    """Return the mean share of what speaks for the predicted class that lies in the ``covered`` pixels."""
    shares = []
    for place in np.flatnonzero(group.maps.sound).tolist():
        within = covered[group.places[place]]
        (weights,) = group.maps.weights(group.explained.size, np.array([place]))
        shares.append(float(weights[within].sum()) if within else 0.0)
    return float(np.mean(shares)) if shares else None
