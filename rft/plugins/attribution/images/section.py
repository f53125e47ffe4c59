"""The attribution section of a model of images: what is explained, by what, and how the results are laid out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from rft.errors import Unavailable
from rft.plugins import AuditedModel
from rft.plugins.attribution import AttributionOptions, Shortcut, findings, interventions, modality_words, sample
from rft.plugins.attribution.columns import COLUMNS
from rft.plugins.attribution.images import examples, mean_maps
from rft.plugins.attribution.images.faithfulness import deletion_gain
from rft.plugins.attribution.images.methods import Explained, Maps, gradcam_maps, integrated_gradients
from rft.plugins.attribution.images.shortcuts import ELSEWHERE, Region, mirror_region, pixel_slices, swap_regions
from rft.plugins.attribution.interventions import Intervention
from rft.plugins.attribution.network import Network, batch_slices
from rft.records import Finding, Row, Section, Table, select_columns

METHODS = ("gradcam", "integrated_gradients")


def build_section(audited: AuditedModel, options: AttributionOptions, network: Network) -> Section:
    """Return the section; raises ``Unavailable`` when the audited model has no inputs or no test image."""
    explained = _explain_sample(audited, network, options.samples)
    maps, reasons = _run_methods(network, explained, options)
    swaps = [
        _Swap(shortcut, shortcut.region, _swap_region(audited, network, shortcut, shortcut.region))
        for shortcut in options.shortcut
        if shortcut.region is not None
    ]

    tables = _build_tables(audited, explained, maps, swaps)
    figures = [
        *interventions.shortcuts_figure(tables, "Predictions that flip when a region is swapped"),
        *mean_maps.mean_map_figures(tables.get("mean_maps", [])),
    ]
    assets: dict[str, bytes] = {}
    if audited.show_examples and any(shortcut.sound[: examples.MAX_IMAGES_PER_METHOD].any() for shortcut in maps):
        captions = sample.describe_predictions(audited, explained.rows, explained.target.numpy())
        tables["examples"], assets = examples.draw_overlays(explained, maps, captions)
        figures.append(examples.examples_figure())
    stated = (
        *(
            findings.judge_shortcut(
                shortcut.shortcut,
                shortcut.result,
                modality_words.region_wording(shortcut.shortcut.name, shortcut.result),
            )
            for shortcut in swaps
        ),
        *(findings.unsuited_shortcut(shortcut, "images") for shortcut in options.shortcut if shortcut.region is None),
        *_map_findings(audited, network, explained, maps),
        *findings.unavailable_methods(reasons, modality_words.IMAGES),
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
    "shortcuts": "Predictions that flip when a region is taken from another image. The share of the image that the "
    "region covers and the shares of attribution in it stand beside: an even map has as much in it as it covers.",
    "completeness": "Integrated gradients of each explained image: gradients spent, and how far the attributions are "
    "from summing to the change of the logit, relative to that change.",
    "mean_maps": "Mean maps over a coarse grid, row and column counted from the top left; each map sums to 1.",
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


class _Swap(NamedTuple):
    """What swapping the region of a shortcut did."""

    shortcut: Shortcut
    region: Region
    result: Intervention


def _explain_sample(audited: AuditedModel, network: Network, samples: int) -> Explained:
    rows, inputs = sample.explained_rows(audited, samples), audited.require_inputs()
    pixels = torch.cat([inputs.batch("test", rows[part])["pixels"] for part in batch_slices(len(rows))])
    return Explained.from_pixels(network, rows, pixels)


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
        except Unavailable as reason:
            reasons[method] = str(reason)
    return maps, reasons


def _swap_region(audited: AuditedModel, network: Network, shortcut: Shortcut, region: Region) -> Intervention:
    split, inputs = audited.splits["test"], audited.require_inputs()
    test = audited.predictions[audited.predictions["split"] == "test"].set_index("id")
    index = {name: number for number, name in enumerate(audited.facts.classes)}
    return swap_regions(
        network,
        lambda rows: inputs.batch("test", rows)["pixels"],
        test["prediction"].loc[list(split.ids)].map(index).to_numpy(),
        split.units,
        region=region,
        pairs=shortcut.max_pairs,
        rng=sample.random_generator(audited, f"suspect {shortcut.name}"),  # names a stream: another gives other draws
    )


def _map_findings(
    audited: AuditedModel, network: Network, explained: Explained, maps: Sequence[Maps]
) -> Iterator[Finding]:
    """Yield what is found about the maps themselves: their checks, their completeness, the deletion test."""
    for method_maps in maps:
        yield findings.failed_maps_finding(method_maps.method, method_maps.sound, modality_words.IMAGES)
        if method_maps.completeness is not None:
            yield from findings.completeness_findings(method_maps.completeness, modality_words.IMAGES)
        gain = np.array([])
        if method_maps.sound.any():
            gain = deletion_gain(network, explained, method_maps, rng=sample.random_generator(audited, "deletion"))
        units = sample.explained_units(audited, explained.rows[method_maps.sound])
        yield findings.deletion_finding(method_maps.method, gain, units, modality_words.IMAGES)


def _build_tables(
    audited: AuditedModel, explained: Explained, maps: Sequence[Maps], swaps: Sequence[_Swap]
) -> dict[str, Table]:
    """Return the tables that have rows."""
    split, classes = audited.splits["test"], audited.facts.classes
    predicted = np.array([classes[target] for target in explained.target], dtype=object)
    memberships: dict[str | None, np.ndarray] = {None: np.full(len(explained), None), mean_maps.PREDICTED: predicted}
    memberships |= {attribute: groups[explained.rows] for attribute, groups in split.groups.items()}
    tables = {
        "shortcuts": [row for item in swaps for row in _shortcut_rows(item, explained, maps)],
        "completeness": [row for item in maps for row in _completeness_rows(item)],
        **mean_maps.mean_map_tables(maps, memberships, audited.withheld),
    }
    return {name: table for name, table in tables.items() if table}


def _completeness_rows(maps: Maps) -> Table:
    return [
        {"image": number, "method": maps.method, "steps": completeness.steps, "error": completeness.error}
        for number, completeness in enumerate(maps.completeness or (), start=1)
    ]


def _shortcut_rows(swap: _Swap, explained: Explained, maps: Sequence[Maps]) -> Iterator[Row]:
    for condition in swap.result.conditions:
        opposite = mirror_region(swap.region) if condition.name == ELSEWHERE else None
        covered = np.zeros(explained.size, dtype=bool)
        covered[pixel_slices(opposite or swap.region, *explained.size)] = True
        yield (
            interventions.condition_row(swap.shortcut.name, condition)
            | {"area_share": float(covered.mean())}
            | {f"{method_maps.method}_share": _attribution_share(method_maps, covered) for method_maps in maps}
        )


def _attribution_share(maps: Maps, covered: np.ndarray) -> float | None:
    """Return the mean share of the absolute attribution that lies in the ``covered`` (H, W) pixels."""
    used = np.flatnonzero(maps.sound)
    if len(used) == 0:
        return None
    height, width = covered.shape
    return float(maps.weights((height, width), used)[:, covered].sum(axis=1).mean())
