"""The attribution section of a model of images: what is explained, by what, and how the results are laid out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor

from rft.errors import Unavailable
from rft.plugins import AuditedModel
from rft.plugins.attribution import AttributionOptions, findings, interventions, modality_words, sample
from rft.plugins.attribution.columns import COLUMNS
from rft.plugins.attribution.group_means import MIN_MAPS_PER_GROUP, Memberships, list_memberships
from rft.plugins.attribution.images import examples, mean_maps
from rft.plugins.attribution.images.bfloat16 import bfloat16_finding
from rft.plugins.attribution.images.explained import Explained
from rft.plugins.attribution.images.quality import measure_quality
from rft.plugins.attribution.images.shortcuts.named_shortcuts import (
    ShortcutChanges,
    change_images,
    judge_changes,
    shortcut_rows,
)
from rft.plugins.attribution.images.shortcuts.region_swaps import TestImages
from rft.plugins.attribution.images.suited_methods import Attributed, attribute_images
from rft.plugins.attribution.modality_words import METHOD_NAMES, Wording
from rft.plugins.attribution.network import Network, batch_slices
from rft.plugins.attribution.quality.gaps import gap_findings
from rft.plugins.attribution.quality.measures import (
    QUALITY_CAPTION,
    AttributionQuality,
    state_no_quality,
    state_quality,
    tabulate_quality,
)
from rft.plugins.attribution.shortcuts.by_group import GROUPS_CAPTION, rows_by_group
from rft.records import Finding, Row, Section, Table, select_columns
from rft.runtime.progress import track_progress

if TYPE_CHECKING:
    from rft.data.images.inputs import ImageInputs

MAX_IMAGES_OF_MEAN = 512  # training images; the mean of more is the same to a hundredth


def build_section(audited: AuditedModel, options: AttributionOptions, network: Network) -> Section:
    """Return the section; raises ``Unavailable`` when the audited model has no inputs or no test image."""
    images = _read_test_images(audited)
    explained = _explain_sample(audited, network, images, options)
    words = modality_words.IMAGES[options.baseline]
    rng = sample.random_generator(audited, "second opinions")
    attributed, reasons = attribute_images(network, explained, options, rng)
    qualities = {
        group.method.name: measure_quality(network, group, sample.random_generator(audited, "deletion"))
        for group in track_progress(attributed, "Quality of maps")
    }
    tested, unsuited = change_images(audited, network, images, explained, options.shortcut)

    tables = _build_tables(audited, explained, attributed, qualities, tested, words)
    covered = {case.shortcut.name: case.covered for case in tested if case.covered is not None}
    figures = [
        *interventions.shortcuts_figure(tables, "Predictions that flip when images are changed"),
        *mean_maps.mean_map_figures(tables.get("mean_maps", []), covered, explained.size),
    ]
    assets: dict[str, bytes] = {}
    if audited.show_examples and any(group.maps.sound.any() for group in attributed):
        captions = sample.describe_predictions(audited, explained.rows, explained.target.numpy())
        tables["examples"], assets = examples.draw_overlays(attributed, captions, list(covered.values()))
        figures.append(examples.examples_figure())
    stated = (
        *judge_changes(tested),
        *unsuited,
        *_map_findings(audited, explained, attributed, qualities, words),
        *findings.unavailable_methods(reasons, words),
        *filter(None, (bfloat16_finding(network, group) for group in attributed[:1])),
    )
    return Section(
        plugin="attribution",
        title="Attribution",
        findings=stated,
        tables=tables,
        columns=select_columns(COLUMNS, tables),
        captions={name: caption for name, caption in _CAPTIONS.items() if name in tables},
        computed_from=interventions.list_sources(stated, tables),
        figures=tuple(figures),
        notes=(*_list_numbers(attributed, explained), *_NOTES),
        assets=assets,
    )


_CAPTIONS = {
    "shortcuts": "Predictions that flip when a region is taken from another image, or a patch is planted. How much of "
    "the place the model sees, the share of its input that a region covers and the shares of attribution in it stand "
    "beside: an even map has as much in it as it covers.",
    "shortcuts_by_group": GROUPS_CAPTION,
    "map_quality": QUALITY_CAPTION.format(maps="maps", many="images"),
    "completeness": "Integrated gradients of each explained image: gradients spent, how much of the map the last "
    "doubling of the steps changed, and how far off the attributions are along the path, relative to the change of the "
    "logit.",
    "mean_maps": "Mean maps over a coarse grid, row and column counted from the top left. Above zero is what speaks "
    "for the predicted class, below zero what speaks against it, each as a share of all of a map.",
    "mean_map_counts": f"Explained images of each group; means of fewer than {MIN_MAPS_PER_GROUP} are not drawn.",
    "examples": "Examples from the test split.",
}

_NOTES = (
    "Maps show where the evidence for the predicted class lies, by what the model computes. They illustrate. The share "
    "of attribution on a region understates how much a model relies on it, and maps can look plausible on a network "
    "that has learned nothing; how far these can be believed is measured beside them.",
    "Whether a model relies on a suspected region is decided by intervention: the region is swapped between images of "
    "different predicted classes, and flipped predictions are counted against a control that swaps it between images "
    "of the same class. A mark that is given as a picture is planted, and the control covers its place with the mean "
    "colour there. Nothing is said about regions and marks that were not named as shortcuts.",
    "The explained images are a random sample of the test split. Maps and flips describe this model on images like "
    "these; differential privacy of the training does not cover them.",
)


def _read_test_images(audited: AuditedModel) -> TestImages:
    inputs = cast("ImageInputs", audited.require_inputs())  # the inputs of images are these
    return TestImages(
        read=lambda rows: inputs.batch("test", rows)["pixels"], locate=lambda row: inputs.geometry("test", row)
    )


def _explain_sample(
    audited: AuditedModel, network: Network, images: TestImages, options: AttributionOptions
) -> Explained:
    rows = sample.explained_rows(audited, options.samples)
    mean = _mean_training_image(audited) if options.baseline == "mean" else None
    return Explained.from_rows(network, rows, images.read, mean)


def _mean_training_image(audited: AuditedModel) -> Tensor:
    """Return the (3, H, W) mean of a random sample of the training images as the model sees them.

    Raises:
        Unavailable: when there is none: others trained the model.
    """
    inputs, n = audited.require_inputs(), len(audited.splits["train"]) if "train" in audited.splits else 0
    if not n:
        raise Unavailable('baseline = "mean" needs training images, and this audit has none')
    rows = sample.random_generator(audited, "mean training image").permutation(n)[:MAX_IMAGES_OF_MEAN]
    total = sum(inputs.batch("train", rows[part])["pixels"].double().sum(dim=0) for part in batch_slices(len(rows)))
    return (torch.as_tensor(total) / len(rows)).float()


def _map_findings(
    audited: AuditedModel,
    all_explained: Explained,
    attributed: Sequence[Attributed],
    qualities: Mapping[str, AttributionQuality | None],
    words: Wording,
) -> Iterator[Finding]:
    """Yield what is found about the maps themselves: their checks, their completeness, their quality."""
    for group in attributed:
        name, maps, explained = group.method.name, group.maps, group.explained
        yield findings.failed_maps_finding(name, maps.sound, words, layer=maps.layer)
        if maps.completeness is not None:
            yield from findings.completeness_findings(maps.completeness, words)
            yield findings.baseline_finding(int(all_explained.same_class.sum()), len(all_explained), words)
        quality = qualities[name]
        units = sample.explained_units(audited, explained.rows[maps.sound])
        yield from state_quality(quality, units, words) if quality else state_no_quality(name, words)
        if len(explained) == len(all_explained):  # of a few images there are no groups
            gains = quality.faithfulness.deletion if quality else np.array([])
            memberships = _list_memberships(audited, explained.take(np.flatnonzero(maps.sound)))
            yield from gap_findings(name, gains, memberships, units, audited.withheld, words)


def _build_tables(
    audited: AuditedModel,
    explained: Explained,
    attributed: Sequence[Attributed],
    qualities: Mapping[str, AttributionQuality | None],
    tested: Sequence[ShortcutChanges],
    words: Wording,
) -> dict[str, Table]:
    """Return the tables that have rows."""
    everywhere = [group.maps for group in attributed if len(group.places) == len(explained)]
    tables = {
        "shortcuts": [row for case in tested for row in shortcut_rows(case, attributed, explained.size)],
        "shortcuts_by_group": rows_by_group({case.shortcut.name: case.result for case in tested}, audited),
        "map_quality": [row for group in attributed for row in _quality_rows(audited, group, qualities, words)],
        "completeness": [row for group in attributed for row in _completeness_rows(group)],
        **mean_maps.mean_map_tables(everywhere, _list_memberships(audited, explained), audited.withheld),
    }
    return {name: table for name, table in tables.items() if table}


def _list_memberships(audited: AuditedModel, explained: Explained) -> Memberships:
    return list_memberships(audited, explained.rows, explained.target.numpy())


def _quality_rows(
    audited: AuditedModel, group: Attributed, qualities: Mapping[str, AttributionQuality | None], words: Wording
) -> Iterator[Row]:
    quality = qualities[group.method.name]
    if quality is not None:
        sound = group.explained.take(np.flatnonzero(group.maps.sound))
        units = sample.explained_units(audited, sound.rows)
        yield from tabulate_quality(quality, _list_memberships(audited, sound), units, audited.withheld, words)


def _completeness_rows(group: Attributed) -> Table:
    return [
        {"image": place + 1, "method": group.method.name, **completeness.as_row()}
        for place, completeness in zip(group.places.tolist(), group.maps.completeness or (), strict=False)
    ]


def _list_numbers(attributed: Sequence[Attributed], explained: Explained) -> Iterator[str]:
    """Yield how many images a method explained, where it did not explain all."""
    for group in attributed:
        if len(group.places) < len(explained):
            yield (
                f"{METHOD_NAMES[group.method.name].capitalize()} are a second opinion on {len(group.places)} of the "
                f"{len(explained)} explained images, drawn by chance: each takes up to hundreds of gradients. Named in "
                "methods of [attribution], they explain all."
            )
