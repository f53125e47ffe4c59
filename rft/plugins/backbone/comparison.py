"""Backbones side by side on the same training examples: which carries furthest, and whether that can be told apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rft.disclosure.withheld import NOTHING, Withheld
from rft.number_format import format_fixed
from rft.plugins import CandidateBackbone
from rft.plugins.backbone import groups, measures
from rft.plugins.backbone.groups import Gap
from rft.plugins.backbone.logme import measure_logme
from rft.plugins.backbone.paired import paired_difference
from rft.plugins.backbone.tables import COLUMNS, gap_row
from rft.records import Figure, NotMeasured, Row, Section, Table, dots_figure, select_columns
from rft.stats.cross_validation import Folds, OutOfFold

if TYPE_CHECKING:
    from rft.features.embeddings import Embeddings

CAPTIONS = {
    "backbones": "Best first. Accuracy of a linear probe on training examples that were held out, with Wilson "
    "intervals. knn: accuracy of nearest neighbours; gap: largest difference of the probe's accuracy between groups; "
    "seconds: one pass over these examples.",
    "against_best": "Accuracy of the linear probe minus that of the best backbone, on the same examples, with "
    "intervals for pairs; one that includes 0 does not tell the two apart.",
    "gaps": "The group with the highest accuracy of the linear probe minus that with the lowest, for each backbone; "
    "more than two groups have no interval.",
}


@dataclass(frozen=True)
class _Candidate:
    """A backbone with what was measured of its features."""

    name: str
    dimension: int
    seconds: float
    probe: OutOfFold | NotMeasured
    neighbours: OutOfFold | NotMeasured
    logme: float | NotMeasured
    gaps: tuple[Gap, ...]


def compare_candidates(
    candidates: Mapping[str, CandidateBackbone], *, seed: int = 0, withheld: Withheld = NOTHING
) -> Section:
    """Return the comparison as a section with the tables ``backbones``, ``against_best`` and ``gaps``.

    Args:
        candidates: name of a backbone -> its embeddings of the same examples in the same order, and the seconds
            that it took to make them; one at least.
        seed: of the folds, which are the same for all.
        withheld: what may not leave the machine.

    Raises:
        ValueError: without candidates, or when their examples differ.
    """
    embeddings = [candidate.embeddings for candidate in candidates.values()]
    if not embeddings:
        raise ValueError("expected one backbone at least")
    if any(not np.array_equal(sample.labels, embeddings[0].labels) for sample in embeddings):
        raise ValueError("expected the same examples, in the same order, for every backbone")
    folds = Folds.draw_stratified(embeddings[0].labels, embeddings[0].units, seed)
    measured = [
        _measure_candidate(name, candidate.embeddings, candidate.seconds, folds, withheld)
        for name, candidate in candidates.items()
    ]
    ranked = sorted(measured, key=lambda candidate: (-_sort_accuracy(candidate), candidate.name))
    tables = {
        "backbones": [_table_row(candidate, embeddings[0]) for candidate in ranked],
        "against_best": _against_best(ranked),
        "gaps": [{"backbone": candidate.name, **gap_row(gap)} for candidate in ranked for gap in candidate.gaps],
    }
    return Section(
        plugin="backbone",
        title="Backbones compared",
        tables={name: table for name, table in tables.items() if table},
        columns=select_columns(COLUMNS, [name for name, table in tables.items() if table]),
        captions={name: CAPTIONS[name] for name, table in tables.items() if table},
        figures=(_accuracy_figure(measures.majority_share(embeddings[0].labels)),),
        notes=(*_section_notes(embeddings[0]), *_undefined_notes(ranked)),
    )


def _measure_candidate(
    name: str, embeddings: Embeddings, seconds: float, folds: Folds | NotMeasured, withheld: Withheld
) -> _Candidate:
    probe = measures.linear_probe(embeddings.pretrained, folds)
    return _Candidate(
        name=name,
        dimension=embeddings.pretrained.shape[1],
        seconds=seconds,
        probe=probe,
        neighbours=measures.vote_of_neighbours(embeddings.pretrained, folds),
        logme=measure_logme(embeddings.pretrained, embeddings.labels),
        gaps=groups.measure_gaps(probe, embeddings.groups, withheld),
    )


def _sort_accuracy(candidate: _Candidate) -> float:
    """Return the accuracy to sort by; a backbone without one comes last."""
    return -1.0 if isinstance(candidate.probe, NotMeasured) else candidate.probe.accuracy.value


def _table_row(candidate: _Candidate, embeddings: Embeddings) -> Row:
    gaps = {gap.attribute: gap.value for gap in candidate.gaps}
    rate = None if isinstance(candidate.probe, NotMeasured) else candidate.probe.accuracy
    ends = rate.confidence_interval() if rate else None
    return {
        "backbone": candidate.name,
        "dimension": candidate.dimension,
        "accuracy": rate.value if rate else None,
        "low": ends.low if ends else None,
        "high": ends.high if ends else None,
        "knn": None if isinstance(candidate.neighbours, NotMeasured) else candidate.neighbours.accuracy.value,
        "logme": None if isinstance(candidate.logme, NotMeasured) else candidate.logme,
        **{f"gap_{attribute}": gaps.get(attribute) for attribute in embeddings.groups},
        "seconds": candidate.seconds,
        "n": rate.sample.units if rate else len(embeddings.labels),
    }


def _against_best(ranked: list[_Candidate]) -> Table:
    best = ranked[0].probe
    return [] if isinstance(best, NotMeasured) else [_difference_row(candidate, best) for candidate in ranked[1:]]


def _difference_row(candidate: _Candidate, best: OutOfFold) -> Row:
    if isinstance(candidate.probe, NotMeasured):
        return {"backbone": candidate.name, "value": None, "low": None, "high": None, "n": best.accuracy.sample.units}
    ends = paired_difference(candidate.probe.is_correct, best.is_correct, best.units)
    return {
        "backbone": candidate.name,
        "value": candidate.probe.accuracy.value - best.accuracy.value,
        "low": ends.low,
        "high": ends.high,
        "n": best.accuracy.sample.units,
    }


def _accuracy_figure(majority: float) -> Figure:
    return dots_figure(
        id="backbones_accuracy",
        lead=True,
        table="backbones",
        y="backbone",
        x="accuracy",
        low="low",
        high="high",
        reference=majority,
        x_label="accuracy on held-out training examples, with 95 % interval; dashed: the most frequent class",
        title="Linear probe by backbone",
        alt="The accuracy of a linear probe on the features of each backbone, best first, as dots with intervals, "
        f"beside a line at the share of the most frequent class, {format_fixed(majority, 3)}.",
    )


def _section_notes(embeddings: Embeddings) -> tuple[str, ...]:
    return (
        f"Measured on {len(embeddings.labels)} of {embeddings.sampled_from} training examples, the same for every "
        "backbone; test "
        "examples take no part.",
        "Overlapping intervals are no ranking: backbones that the table of differences does not tell apart are equally "
        "good as far as these examples show. The accuracy of the best of several is biased upward a little.",
        "This is a look at the training examples without noise. Where a private training follows, its epsilon does not "
        "cover a choice made here.",
    )


def _undefined_notes(ranked: list[_Candidate]) -> tuple[str, ...]:
    """Return what could not be measured, in words."""
    return tuple(
        f"{candidate.name}: {measure} was not measured, {measured.reason}."
        for candidate in ranked
        for measure, measured in (
            ("the probe", candidate.probe),
            ("knn", candidate.neighbours),
            ("LogME", candidate.logme),
        )
        if isinstance(measured, NotMeasured)
    )
