"""The attribution section: which test images are explained, by what, and how the results are laid out."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from rft.errors import Unavailable
from rft.plugins import Subject
from rft.plugins.attribution import AttributionOptions, Suspect, examples, findings, mean_maps
from rft.plugins.attribution.faithfulness import deletion_gain
from rft.plugins.attribution.methods import Explained, Maps, gradcam, integrated_gradients
from rft.plugins.attribution.network import Network, batches
from rft.plugins.attribution.suspects import Intervention, box, intervene
from rft.records import Figure, Finding, Section, Table


def audit(subject: Subject, options: AttributionOptions) -> Section:
    """Return the section of ``subject``'s joined model on its test split.

    The explained images are a simple random sample of the test split, so that means over them speak for all of it.

    Raises:
        Unavailable: when the subject has no model or inputs, no test image, or a model in training mode.
    """
    network = Network(subject.need("model"), subject.device)
    explained = _explained(subject, network, options.samples)
    maps, reasons = _run(network, explained, options)
    interventions = {suspect.name: _intervene(subject, network, suspect) for suspect in options.suspect}

    tables = _tables(subject, explained, maps, interventions)
    figures = [*_suspects_figure(tables), *mean_maps.figures(tables.get("mean_maps", []))]
    assets: dict[str, bytes] = {}
    if subject.show_examples and any(each.sound[: examples.MOST].any() for each in maps):
        tables["examples"], assets = examples.overlays(explained, maps, _captions(subject, explained))
        figures.append(examples.figure())
    return Section(
        plugin="attribution",
        title="Attribution",
        findings=(
            *(findings.suspect(each.name, each.floor, interventions[each.name]) for each in options.suspect),
            *_map_findings(subject, network, explained, maps),
            *findings.unmade(reasons),
        ),
        tables=tables,
        captions={name: caption for name, caption in _CAPTIONS.items() if name in tables},
        figures=tuple(figures),
        notes=_NOTES,
        assets=assets,
    )


_CAPTIONS = {
    "suspects": "Predictions that flip when a region is taken from another image. The share of the picture that the "
    "region covers and the shares of attribution in it stand beside: an even map has as much in it as it covers.",
    "completeness": "Integrated gradients of each explained image: gradients spent, and how far the attributions are "
    "from summing to the change of the logit, relative to that change.",
    "mean_maps": "Mean maps over a coarse grid, row and column counted from the top left; each map sums to 1.",
    "mean_map_counts": f"Explained images of each group; means of fewer than {mean_maps.FEWEST} are not drawn.",
    "examples": "Examples from the test split.",
}

_NOTES = (
    "GradCAM and integrated gradients show where the evidence for the predicted class lies according to the model's "
    "gradients. They illustrate. The share of attribution on a region understates how much a model relies on it, and "
    "maps can look plausible on a network that has learned nothing.",
    "Whether a model relies on a suspected region is decided by intervention: the region is swapped between images of "
    "different predicted classes, and flipped predictions are counted against a control that swaps it between images "
    "of the same class. Nothing is said about regions that were not named as suspects.",
    "The explained images are a random sample of the test split. Maps and flips describe this model on images like "
    "these; differential privacy of the training does not cover them.",
)


def _rng(subject: Subject, purpose: str) -> np.random.Generator:
    """Return a generator that depends on the run's seed and its purpose alone, not on what was drawn before."""
    return np.random.default_rng([subject.seed, zlib.crc32(f"attribution {purpose}".encode())])


def _explained(subject: Subject, network: Network, samples: int) -> Explained:
    n = len(subject.splits["test"])
    if n == 0:
        raise Unavailable("there is no test image")
    rows = np.sort(_rng(subject, "explained").choice(n, size=min(samples, n), replace=False))
    inputs = subject.need("inputs")
    pixels = torch.cat([inputs.batch("test", rows[part]) for part in batches(len(rows))])
    return Explained.of(network, rows, pixels)


def _run(network: Network, explained: Explained, options: AttributionOptions) -> tuple[list[Maps], dict[str, str]]:
    """Return the maps of each method that gives some, and the reasons of those that do not."""
    maps: list[Maps] = []
    reasons: dict[str, str] = {}
    for method in options.methods:
        try:
            if method == "gradcam":
                maps.append(gradcam(network, explained))
            else:
                maps.append(integrated_gradients(network, explained, max_steps=options.max_steps))
        except Unavailable as reason:
            reasons[method] = str(reason)
    return maps, reasons


def _intervene(subject: Subject, network: Network, suspect: Suspect) -> Intervention:
    split, inputs = subject.splits["test"], subject.need("inputs")
    test = subject.predictions[subject.predictions["split"] == "test"].set_index("id")
    index = {name: number for number, name in enumerate(subject.facts.classes)}
    return intervene(
        network,
        lambda rows: inputs.batch("test", rows),
        test["prediction"].loc[list(split.ids)].map(index).to_numpy(),
        split.units,
        region=suspect.region,
        pairs=suspect.pairs,
        rng=_rng(subject, f"suspect {suspect.name}"),
    )


def _map_findings(subject: Subject, network: Network, explained: Explained, maps: Sequence[Maps]) -> Iterator[Finding]:
    """Yield what is found about the maps themselves: their checks, their completeness, the deletion test."""
    units = subject.splits["test"].units
    for each in maps:
        yield findings.failed_maps(each)
        if each.completeness is not None:
            yield from findings.completeness(each.completeness)
        gain = (
            deletion_gain(network, explained, each, rng=_rng(subject, "deletion")) if each.sound.any() else np.array([])
        )
        yield findings.deletion(each.method, gain, None if units is None else units[explained.rows][each.sound])


def _tables(
    subject: Subject, explained: Explained, maps: Sequence[Maps], interventions: Mapping[str, Intervention]
) -> dict[str, Table]:
    """Return the tables that have rows."""
    split, classes = subject.splits["test"], subject.facts.classes
    predicted = np.array([classes[target] for target in explained.target], dtype=object)
    memberships: dict[str | None, np.ndarray] = {None: np.full(len(explained), None), mean_maps.PREDICTED: predicted}
    memberships |= {attribute: groups[explained.rows] for attribute, groups in split.groups.items()}
    tables = {
        "suspects": [row for name, each in interventions.items() for row in _suspect_rows(name, each, explained, maps)],
        "completeness": [row for each in maps for row in _completeness_rows(each)],
        **mean_maps.tables(maps, memberships),
    }
    return {name: table for name, table in tables.items() if table}


def _completeness_rows(maps: Maps) -> Table:
    return [
        {"image": number, "method": maps.method, "steps": each.steps, "error": each.error}
        for number, each in enumerate(maps.completeness or (), start=1)
    ]


def _suspect_rows(name: str, intervention: Intervention, explained: Explained, maps: Sequence[Maps]) -> Table:
    rows: Table = []
    for arm in intervention.arms:
        covered = np.zeros(explained.size, dtype=bool)
        covered[box(arm.region, *explained.size)] = True
        rows.append(
            {
                "name": name,
                "arm": arm.name,
                "flip_share": arm.share,
                "low": arm.interval.low if arm.interval else None,
                "high": arm.interval.high if arm.interval else None,
                "flips": arm.flips,
                "n": arm.n,
                "area_share": float(covered.mean()),
            }
            | {f"{each.method}_share": _mass(each, covered) for each in maps}
        )
    return rows


def _mass(maps: Maps, covered: np.ndarray) -> float | None:
    """Return the mean share of the absolute attribution that lies in the ``covered`` (H, W) pixels."""
    used = np.flatnonzero(maps.sound)
    if len(used) == 0:
        return None
    height, width = covered.shape
    return float(maps.weights((height, width), used)[:, covered].sum(axis=1).mean())


def _suspects_figure(tables: Mapping[str, Table]) -> Iterator[Figure]:
    if "suspects" in tables:
        yield Figure(
            id="suspects",
            kind="dots",
            table="suspects",
            encode={"y": "arm", "x": "flip_share", "low": "low", "high": "high", "facet": "name"},
            x_label="share of predictions that flip",
            title="Predictions that flip when a region is swapped",
            alt="For each suspect the share of flipped predictions with its interval, beside the controls.",
        )


def _captions(subject: Subject, explained: Explained) -> list[str]:
    classes, labels = subject.facts.classes, subject.splits["test"].labels[explained.rows]
    pairs = zip(labels, explained.target.tolist(), strict=True)
    return [f"label {classes[label]}, predicted {classes[target]}" for label, target in pairs]
