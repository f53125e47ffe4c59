"""Where in recordings attributions lie, in the mean over groups: in tenths of their time, and in bands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from rft.disclosure.withheld import NOTHING, Withheld
from rft.number_format import format_count
from rft.plugins.attribution.group_means import Memberships, Shares, list_groups
from rft.plugins.attribution.modality_words import METHOD_NAMES
from rft.plugins.attribution.speech.methods import Scores
from rft.plugins.attribution.speech.parts import list_band_edges
from rft.records import Figure, Row, Table, heatmap_figure

TENTHS = 10


def tabulate_profiles(
    scores: Sequence[Scores], rate: int, memberships: Memberships, withheld: Withheld = NOTHING
) -> dict[str, Table]:
    """Return ``mean_parts`` and ``mean_map_counts``, of methods that explain all recordings.

    Args:
        scores: attributions by each method.
        rate: samples a second of the model.
        memberships: attribute -> (N,) group of each explained recording.
        withheld: what may not leave the machine.
    """
    names = {each.method: name_parts(each.method, rate) for each in scores}
    groups = list_groups([_pool_scores(each) for each in scores], memberships, withheld)
    return {
        "mean_parts": [
            group.row_keys()
            | {"n": len(group.shares), "row": 1, "place": place, "part": names[group.method][place - 1]}
            | {"value": float(value)}
            for group in groups
            if group.drawn
            for place, value in enumerate(group.shares.mean(axis=0), start=1)
        ],
        "mean_map_counts": [group.count_row() for group in groups if group.attribute is not None],
    }


def name_parts(method: str, rate: int) -> list[str]:
    """Return what the parts of a profile are called: tenths of the time, or bands."""
    if method == "band_occlusion":
        edges = [format_count(round(edge)) for edge in list_band_edges(rate)]
        return [f"{low} to {high} Hz" for low, high in pairwise(edges)]
    return [f"{place} to {place + 10} %" for place in range(0, 100, 100 // TENTHS)]


def draw_profiles(table: Table) -> Iterator[Figure]:
    """Yield one figure for each method and attribute in the table ``mean_parts``, and one over all recordings."""
    for method, attribute in dict.fromkeys((row["method"], row["attribute"]) for row in table):
        rows = [row for row in table if (row["method"], row["attribute"]) == (method, attribute)]
        by, name = f" by {attribute}" if attribute else "", METHOD_NAMES[str(method)]
        bands = method == "band_occlusion"
        sides = "bands from low to high" if bands else "tenths of their time from first to last"
        yield heatmap_figure(
            id=f"mean_parts_{method}_{str(attribute).replace(' ', '_')}" if attribute else f"mean_parts_{method}",
            table="mean_parts",
            x="place",
            y="row",
            value="value",
            facet="group" if attribute else None,
            n="n",
            where={"method": method, "attribute": attribute},
            x_label=f"share of the attribution, in {sides}",
            title=f"Where the model listens{by}: {name}",
            alt=f"Mean {name} of the explained test recordings{by}, a strip each, in {sides}: above zero what speaks "
            f"for the predicted class, below zero what speaks against it. {_say_strongest(rows)}",
        )


def _pool_scores(scores: Scores) -> Shares:
    values = [scores.values[place] for place in np.flatnonzero(scores.sound).tolist()]
    parts = values if scores.method == "band_occlusion" else [spread_over_tenths(each) for each in values]
    width = len(parts[0]) if parts else 0
    shares = np.array([part / np.abs(part).sum() for part in parts]).reshape(len(parts), width)
    return Shares(scores.method, shares, scores.sound)


def spread_over_tenths(values: np.ndarray) -> np.ndarray:
    """Return (``TENTHS``,) what (W,) equal windows hold in each tenth of the time; one across a border counts in both.

    >>> spread_over_tenths(np.ones(5)).tolist()
    [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    """
    running = np.concatenate([[0.0], values.astype(np.float64).cumsum()])
    at = np.interp(np.linspace(0, 1, TENTHS + 1), np.linspace(0, 1, len(running)), running)
    spread: np.ndarray = np.diff(at)
    return spread


def _say_strongest(rows: Table) -> str:
    """Return where each mean is strongest, as part of a text for those who do not see it."""
    means: dict[str, list[Row]] = {}
    for row in rows:
        means.setdefault(str(row["group"] or "all recordings"), []).append(row)
    strongest = [
        f"{name}: strongest at {max(of_group, key=lambda row: float(str(row['value'])))['part']}"
        for name, of_group in means.items()
    ]
    said = "; ".join(strongest)
    return f"{said[:1].upper()}{said[1:]}."
