"""Where in recordings attributions lie, in the mean over groups: in tenths of their time, and in bands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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


TABLES = {"mean_windows": "from_percent", "mean_bands": "from_hertz"}  # table -> the column of where a part begins


def tabulate_profiles(
    scores: Sequence[Scores], rate: int, memberships: Memberships, withheld: Withheld = NOTHING
) -> dict[str, Table]:
    """Return ``mean_windows``, ``mean_bands`` and ``mean_map_counts``, of methods that explain all recordings.

    Args:
        scores: attributions by each method.
        rate: samples a second of the model.
        memberships: attribute -> (N,) group of each explained recording.
        withheld: what may not leave the machine.
    """
    groups = list_groups([_pool_scores(of_method) for of_method in scores], memberships, withheld)
    edges = {"mean_windows": np.arange(0, 100, 100 // TENTHS), "mean_bands": list_band_edges(rate)[:-1]}
    return {
        **{
            name: [
                group.row_keys()
                | {"n": len(group.shares), "strip": 1, start: round(float(edge)), "value": float(value)}
                for group in groups
                if group.drawn and _name_table(group.method) == name
                for edge, value in zip(edges[name], group.shares.mean(axis=0), strict=True)
            ]
            for name, start in TABLES.items()
        },
        "mean_map_counts": [group.count_row() for group in groups if group.attribute is not None],
    }


def _name_table(method: str) -> str:
    return "mean_bands" if method == "band_occlusion" else "mean_windows"


def name_bands(rate: int) -> list[str]:
    """Return what the bands are called."""
    edges = [format_count(round(edge)) for edge in list_band_edges(rate)]
    return [f"{low} to {high} Hz" for low, high in pairwise(edges)]


def draw_profiles(tables: Mapping[str, Table]) -> Iterator[Figure]:
    """Yield of the tables of means a figure for each method and attribute, and one over all recordings."""
    for table, start in TABLES.items():
        for method, attribute in dict.fromkeys((row["method"], row["attribute"]) for row in tables.get(table, [])):
            rows = [row for row in tables[table] if (row["method"], row["attribute"]) == (method, attribute)]
            by, name = f" by {attribute}" if attribute else "", METHOD_NAMES[str(method)]
            sides = "bands from low to high" if table == "mean_bands" else "tenths of their time from first to last"
            yield heatmap_figure(
                id=f"means_{method}_{str(attribute).replace(' ', '_')}" if attribute else f"means_{method}",
                table=table,
                x=start,
                y="strip",
                value="value",
                facet="group" if attribute else None,
                n="n",
                where={"method": method, "attribute": attribute},
                x_label=f"share of the attribution, in {sides}",
                title=f"Where the model listens{by}: {name}",
                alt=f"Mean {name} of the explained test recordings{by}, a strip each, in {sides}: above zero what "
                f"speaks for the predicted class, below zero what speaks against it. {_say_strongest(rows, start)}",
            )


def _pool_scores(scores: Scores) -> Shares:
    values = [scores.values[place] for place in np.flatnonzero(scores.sound).tolist()]
    parts = values if scores.method == "band_occlusion" else [spread_over_tenths(windows) for windows in values]
    width = len(parts[0]) if parts else 0
    shares = np.array([part / np.abs(part).sum() for part in parts]).reshape(len(parts), width)
    return Shares(scores.method, shares, scores.sound)


def spread_over_tenths(values: np.ndarray) -> np.ndarray:
    """Return (``TENTHS``,) what (W,) equal windows hold in each tenth of the time; one across a border counts in both.

    >>> spread_over_tenths(np.ones(5)).round(9).tolist()
    [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    """
    running = np.concatenate([[0.0], values.astype(np.float64).cumsum()])
    at = np.interp(np.linspace(0, 1, TENTHS + 1), np.linspace(0, 1, len(running)), running)
    spread: np.ndarray = np.diff(at)
    return spread


def _say_strongest(rows: Table, start: str) -> str:
    """Return where each mean is strongest, as part of a text for those who do not see it."""
    unit = "Hz on" if start == "from_hertz" else "% on"
    means: dict[str, list[Row]] = {}
    for row in rows:
        means.setdefault(str(row["group"] or "all recordings"), []).append(row)
    strongest = [
        f"{name}: strongest from {max(of_group, key=lambda row: float(str(row['value'])))[start]} {unit}"
        for name, of_group in means.items()
    ]
    said = "; ".join(strongest)
    return f"{said[:1].upper()}{said[1:]}."
