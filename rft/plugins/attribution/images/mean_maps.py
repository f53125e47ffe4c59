"""Mean attribution maps of groups and of predicted classes, as tables and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch.nn import functional

from rft.disclosure.withheld import NOTHING, Withheld
from rft.plugins.attribution.group_means import GroupShares, Memberships, Shares, list_groups
from rft.plugins.attribution.images.methods import Maps
from rft.plugins.attribution.modality_words import METHOD_NAMES
from rft.records import Figure, Outline, Row, Table, heatmap_figure

_MOST_CELLS, _CELLS = 14, 7  # of a side: a map with more than the first is pooled to the second

Covered = tuple[slice, slice] | None  # rows and columns of the pixels that show a region; None where none does


def mean_map_tables(maps: Sequence[Maps], memberships: Memberships, withheld: Withheld = NOTHING) -> dict[str, Table]:
    """Return ``mean_maps`` and ``mean_map_counts``.

    A group with fewer than ``MIN_MAPS_PER_GROUP`` maps is counted and not drawn.
    The absolute values of every map are made to sum to 1 before the mean is taken, so that no image outweighs another.
    """
    shares = [Shares(method_maps.method, _pool_maps(method_maps), method_maps.sound) for method_maps in maps]
    shown = list_groups(shares, memberships, withheld)
    return {
        "mean_maps": [row for group in shown if group.drawn for row in _cell_rows(group)],
        "mean_map_counts": [group.count_row() for group in shown if group.attribute is not None],
    }


def _cell_rows(group: GroupShares) -> Table:
    """Return the rows of a group's mean map."""
    mean, keys = group.shares.mean(axis=0), group.row_keys() | {"n": len(group.shares)}
    return [
        keys | {"row": row, "column": column, "value": float(value)} for (row, column), value in np.ndenumerate(mean)
    ]


def mean_map_figures(table: Table, regions: Mapping[str, Sequence[Covered]], size: tuple[int, int]) -> Iterator[Figure]:
    """Yield one figure for each method and attribute in the table ``mean_maps``, and one over all images.

    Args:
        table: ``mean_maps``.
        regions: name of a region -> N places of it, one in each explained image. It is drawn where it is the same in
            all of them: over images of several sizes a mean map has no one place for it.
        size: height and width of the images.
    """
    outlines = tuple(_list_outlines(regions, size))
    boxes = f"; boxed: {', '.join(outline.name for outline in outlines)}" if outlines else ""
    for method, attribute in dict.fromkeys((row["method"], row["attribute"]) for row in table):
        by = f" by {attribute}" if attribute else ""
        name, strongest = METHOD_NAMES[str(method)], _say_strongest(table, method, attribute)
        yield heatmap_figure(
            id=f"mean_maps_{method}_{str(attribute).replace(' ', '_')}" if attribute else f"mean_maps_{method}",
            table="mean_maps",
            x="column",
            y="row",
            value="value",
            facet="group" if attribute else None,
            n="n",
            where={"method": method, "attribute": attribute},
            x_label=f"share of the attribution{boxes}",
            outlines=outlines,
            title=f"Where the model looks{by}: {name}",
            alt=f"Mean {name} map of the explained test images{by}, as a coarse grid over the image: above zero what "
            f"speaks for the predicted class, below zero what speaks against it. {strongest}",
        )


def _list_outlines(regions: Mapping[str, Sequence[Covered]], size: tuple[int, int]) -> Iterator[Outline]:
    height, width = size
    for name, covered in regions.items():
        first = covered[0]
        if first is not None and all(place == first for place in covered):
            rows, columns = first
            yield Outline(
                name=name,
                left=columns.start / width,
                top=rows.start / height,
                right=columns.stop / width,
                bottom=rows.stop / height,
            )


def _say_strongest(table: Table, method: object, attribute: object) -> str:
    """Return where each of the drawn maps is strongest, as part of a text for those who do not see it."""
    drawn: dict[str, list[Row]] = {}
    for row in table:
        if (row["method"], row["attribute"]) == (method, attribute):
            drawn.setdefault(str(row["group"] or "all images"), []).append(row)
    sentences = []
    for name, rows in drawn.items():
        height, width = (1 + max(int(str(row[side])) for row in rows) for side in ("row", "column"))
        strongest = max(rows, key=lambda row: float(str(row["value"])))
        down, across = (float(str(strongest[side])) + 0.5 for side in ("row", "column"))
        sentences.append(f"{name}: strongest {name_place(down / height, across / width)}")
    return "; ".join(sentences).capitalize() + "."


def name_place(down: float, across: float) -> str:
    """Return where a point lies in an image, in words, from its distance from the top and the left as shares.

    >>> name_place(0.1, 0.5)
    'at the top'
    >>> name_place(0.5, 0.5)
    'in the middle'
    """
    vertical, horizontal = (
        words[min(int(3 * share), 2)]
        for words, share in ((("top", "", "bottom"), down), (("left", "", "right"), across))
    )
    place = " ".join(filter(None, (vertical, horizontal)))
    return f"at the {place}" if place else "in the middle"


def _pool_maps(maps: Maps) -> np.ndarray:
    """Return (M, g, h) the sound maps on a coarse grid with their sign, as shares of all absolute values of a map."""
    values = torch.from_numpy(maps.values[maps.sound].astype(np.float64))
    height, width = (side if side <= _MOST_CELLS else _CELLS for side in values.shape[1:])
    coarse, sizes = (
        functional.adaptive_avg_pool2d(signed, (height, width)).numpy() for signed in (values, values.abs())
    )
    shares: np.ndarray = coarse / sizes.sum(axis=(1, 2), keepdims=True)
    return shares
