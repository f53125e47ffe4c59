"""Mean attribution maps of groups and of predicted classes, as tables and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch.nn import functional

from rft.disclosure.withheld import MISSING, NOTHING, Withheld
from rft.plugins.attribution.images.methods import Maps
from rft.plugins.attribution.modality_words import METHOD_NAMES
from rft.records import Figure, Outline, Row, Table, heatmap_figure

MIN_MAPS_PER_GROUP = 5  # maps of a group; a mean of fewer shows persons, not a group
PREDICTED = "predicted class"
_MISSING = "(missing)"
_MOST_CELLS, _CELLS = 14, 7  # of a side: a map with more than the first is pooled to the second

Covered = tuple[slice, slice] | None  # rows and columns of the pixels that show a region; None where none does
Memberships = Mapping[str | None, np.ndarray]  # attribute -> (N,) group of each explained image; None: all together


def mean_map_tables(maps: Sequence[Maps], memberships: Memberships, withheld: Withheld = NOTHING) -> dict[str, Table]:
    """Return ``mean_maps`` and ``mean_map_counts``.

    A group with fewer than ``MIN_MAPS_PER_GROUP`` maps is counted and not drawn.
    The absolute values of every map are made to sum to 1 before the mean is taken, so that no image outweighs another.
    """
    groups = [group for method_maps in maps for group in _pool_by_group(method_maps, memberships)]
    hidden = _find_hidden(groups, withheld)
    shown = [group for group in groups if (group.method, group.attribute, group.name) not in hidden]
    return {
        "mean_maps": [row for group in shown if group.drawn for row in group.cell_rows()],
        "mean_map_counts": [group.count_row() for group in shown if group.attribute is not None],
    }


def _find_hidden(groups: Sequence[_Group], withheld: Withheld) -> set[tuple[str, str | None, str | None]]:
    """Return method, attribute and name of the groups that have too few maps, and of what complements them."""
    counts: dict[tuple[str, str | None], dict[str, int]] = {}
    for group in groups:
        name = MISSING if group.name in (None, _MISSING) else str(group.name)
        counts.setdefault((group.method, group.attribute), {})[name] = len(group.pooled)
    hidden = {
        (method, attribute, name)
        for (method, attribute), group_counts in counts.items()
        if attribute is not None
        for name in withheld.find_small_groups(group_counts)
    }
    without = {(method, attribute, _MISSING) for method, attribute, _ in hidden}
    touched = {(method, name, _MISSING) for method, name in counts if name and withheld.hides_groups_of(name)}
    return hidden | without | touched


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


class _Group:
    """The sound maps of one method and group, pooled to (M, g, h) shares with their sign."""

    def __init__(self, method: str, attribute: str | None, name: str | None, pooled: np.ndarray) -> None:
        self.method, self.attribute, self.name, self.pooled = method, attribute, name, pooled

    @property
    def drawn(self) -> bool:
        """Whether the mean may be shown; that over all images always may."""
        return len(self.pooled) >= MIN_MAPS_PER_GROUP or (self.attribute is None and len(self.pooled) > 0)

    def count_row(self) -> Row:
        """Return the group's row of ``mean_map_counts``."""
        drawn = "yes" if self.drawn else f"no: fewer than {MIN_MAPS_PER_GROUP}"
        return self._row_keys() | {"n": len(self.pooled), "drawn": drawn}

    def cell_rows(self) -> Table:
        """Return the rows of the group's mean map."""
        mean, keys = self.pooled.mean(axis=0), self._row_keys() | {"n": len(self.pooled)}
        return [
            keys | {"row": row, "column": column, "value": float(value)}
            for (row, column), value in np.ndenumerate(mean)
        ]

    def _row_keys(self) -> Row:
        return {"method": self.method, "attribute": self.attribute, "group": self.name}


def _pool_by_group(maps: Maps, memberships: Memberships) -> Iterator[_Group]:
    pooled, sound = _pool_maps(maps), maps.sound
    for attribute, groups in memberships.items():
        names = [None if attribute is None else _MISSING if name is None else str(name) for name in groups]
        for name in sorted(set(names), key=str):
            member = np.array([group_name == name for group_name in names])
            yield _Group(maps.method, attribute, name, pooled[member[sound]])


def _pool_maps(maps: Maps) -> np.ndarray:
    """Return (M, g, h) the sound maps on a coarse grid with their sign, as shares of all absolute values of a map."""
    values = torch.from_numpy(maps.values[maps.sound].astype(np.float64))
    height, width = (side if side <= _MOST_CELLS else _CELLS for side in values.shape[1:])
    coarse, sizes = (
        functional.adaptive_avg_pool2d(signed, (height, width)).numpy() for signed in (values, values.abs())
    )
    shares: np.ndarray = coarse / sizes.sum(axis=(1, 2), keepdims=True)
    return shares
