"""The attribution section of a model of images: what is explained, by what, and how the results are laid out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor

from rft.errors import Unavailable
from rft.plugins import AuditedModel
from rft.plugins.attribution import AttributionOptions, findings, interventions, modality_words, sample
from rft.plugins.attribution.columns import COLUMNS
from rft.plugins.attribution.images import examples, mean_maps
from rft.plugins.attribution.images.faithfulness import deletion_gain
from rft.plugins.attribution.images.methods import Explained, Maps, gradcam_maps, integrated_gradients
from rft.plugins.attribution.images.region_shortcuts import RegionSwap, judge_swaps, shortcut_rows, swap_shortcuts
from rft.plugins.attribution.images.shortcuts import TestImages
from rft.plugins.attribution.modality_words import Wording
from rft.plugins.attribution.network import Network, batch_slices, explain_failure
from rft.plugins.attribution.shortcuts.by_group import GROUPS_CAPTION, rows_by_group
from rft.records import Finding, Section, Table, select_columns

if TYPE_CHECKING:
    from rft.data.images.inputs import ImageInputs

METHODS = ("gradcam", "integrated_gradients")
MAX_IMAGES_OF_MEAN = 512  # training images; the mean of more is the same to a hundredth


def build_section(audited: AuditedModel, options: AttributionOptions, network: Network) -> Section:
    """Return the section; raises ``Unavailable`` when the audited model has no inputs or no test image."""
    images = _read_test_images(audited)
    explained = _explain_sample(audited, network, images, options)
    words = modality_words.IMAGES[options.baseline]
    maps, reasons = _run_methods(network, explained, options)
    swaps, unswapped = swap_shortcuts(audited, network, images, explained, options.shortcut)

    tables = _build_tables(audited, explained, maps, swaps)
    figures = [
        *interventions.shortcuts_figure(tables, "Predictions that flip when a region is swapped"),
        *mean_maps.mean_map_figures(tables.get("mean_maps", []), {swap.shortcut.name: swap.covered for swap in swaps}),
    ]
    assets: dict[str, bytes] = {}
    if audited.show_examples and any(shortcut.sound[: examples.MAX_IMAGES_PER_METHOD].any() for shortcut in maps):
        captions = sample.describe_predictions(audited, explained.rows, explained.target.numpy())
        boxes = [swap.covered for swap in swaps]
        tables["examples"], assets = examples.draw_overlays(explained, maps, captions, boxes)
        figures.append(examples.examples_figure())
    stated = (
        *judge_swaps(swaps),
        *unswapped,
        *_map_findings(audited, network, explained, maps, words),
        *findings.unavailable_methods(reasons, words),
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
        notes=_NOTES,
        assets=assets,
    )


_CAPTIONS = {
    "shortcuts": "Predictions that flip when a region is taken from another image. How much of the region the model "
    "sees, the share of its input that this covers and the shares of attribution in it stand beside: an even map has "
    "as much in it as it covers.",
    "shortcuts_by_group": GROUPS_CAPTION,
    "completeness": "Integrated gradients of each explained image: gradients spent, how much of the map the last "
    "doubling of the steps changed, and how far off the attributions are along the path, relative to the change of the "
    "logit.",
    "mean_maps": "Mean maps over a coarse grid, row and column counted from the top left. Above zero is what speaks "
    "for the predicted class, below zero what speaks against it, each as a share of all of a map.",
    "mean_map_counts": f"Explained images of each group; means of fewer than {mean_maps.MIN_MAPS_PER_GROUP} are "
    "not drawn.",
    "examples": "Examples from the test split.",
}

_NOTES = (
    "GradCAM and integrated gradients show where the evidence for the predicted class lies according to the model's "
    "gradients. They illustrate. The share of attribution on a region understates how much a model relies on it, and "
    "maps can look plausible on a network that has learned nothing.",
    "Whether a model relies on a suspected region is decided by intervention: the region is swapped between images of "
    "different predicted classes, and flipped predictions are counted against a control that swaps it between images "
    "of the same class. Nothing is said about regions that were not named as shortcuts.",
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
    pixels = torch.cat([images.read(rows[part]) for part in batch_slices(len(rows))])
    mean = _mean_training_image(audited) if options.baseline == "mean" else None
    return Explained.from_pixels(network, rows, pixels, mean)


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


def _run_methods(
    network: Network, explained: Explained, options: AttributionOptions
) -> tuple[list[Maps], dict[str, str]]:
    """Return the maps of each method that gives some, and the reasons of those that do not."""
    maps: list[Maps] = []
    reasons: dict[str, str] = {}
    for method in options.methods or METHODS:
        try:
            if method == "gradcam":
                maps.append(gradcam_maps(network, explained))
            else:
                maps.append(integrated_gradients(network, explained, max_steps=options.max_steps))
        except Exception as error:
            reasons[method] = explain_failure(modality_words.METHOD_NAMES[method], error)
    return maps, reasons


def _map_findings(
    audited: AuditedModel, network: Network, explained: Explained, maps: Sequence[Maps], words: Wording
) -> Iterator[Finding]:
    """Yield what is found about the maps themselves: their checks, their completeness, the deletion test."""
    for method_maps in maps:
        yield findings.failed_maps_finding(method_maps.method, method_maps.sound, words, layer=method_maps.layer)
        if method_maps.completeness is not None:
            yield from findings.completeness_findings(method_maps.completeness, words)
            yield findings.baseline_finding(explained.same_class, len(explained), words)
        gain = np.array([])
        if method_maps.sound.any():
            gain = deletion_gain(network, explained, method_maps, rng=sample.random_generator(audited, "deletion"))
        units = sample.explained_units(audited, explained.rows[method_maps.sound])
        yield findings.deletion_finding(method_maps.method, gain, units, words)


def _build_tables(
    audited: AuditedModel, explained: Explained, maps: Sequence[Maps], swaps: Sequence[RegionSwap]
) -> dict[str, Table]:
    """Return the tables that have rows."""
    split, classes = audited.splits["test"], audited.facts.classes
    predicted = np.array([classes[target] for target in explained.target], dtype=object)
    memberships: dict[str | None, np.ndarray] = {None: np.full(len(explained), None), mean_maps.PREDICTED: predicted}
    memberships |= {attribute: groups[explained.rows] for attribute, groups in split.groups.items()}
    tables = {
        "shortcuts": [row for item in swaps for row in shortcut_rows(item, maps)],
        "shortcuts_by_group": rows_by_group({swap.shortcut.name: swap.result for swap in swaps}, audited),
        "completeness": [row for item in maps for row in _completeness_rows(item)],
        **mean_maps.mean_map_tables(maps, memberships, audited.withheld),
    }
    return {name: table for name, table in tables.items() if table}


def _completeness_rows(maps: Maps) -> Table:
    return [
        {"image": number, "method": maps.method, **completeness.as_row()}
        for number, completeness in enumerate(maps.completeness or (), start=1)
    ]
