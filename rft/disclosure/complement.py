"""What else must be withheld, so that what is withheld does not follow from totals and from what is shown.

Complementary suppression: Cox 1980, JASA 75:377; Hundepool et al. 2012, Statistical Disclosure Control, section 4.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

EXACT = 1e-8  # of a target's length: what remains of it where equations determine it, by rounding alone


def protect_cells(
    counts: np.ndarray, possible: np.ndarray, hidden: np.ndarray, free: np.ndarray, below: int
) -> np.ndarray:
    """Return (A,) booleans: what is hidden once no equation gives a hidden cell, or a small sum of hidden cells, away.

    Args:
        counts: (E, A) integers: the counts of the cells in each equation, whose sum the reader knows; 0 for a cell that
            is not part of it.
        possible: (E, A) booleans: whether a reader must reckon with cases of a cell in an equation.
        hidden: (A,) booleans: what is hidden already.
        free: (A,) booleans: cells that are never shown, so that nothing is lost by hiding them.
        below: the hidden cells of an equation must be two at least, and their counts sum up to so many.
    """
    wanted, hidden = hidden, hidden.copy()
    while (exposed := _find_exposed_equations(counts, possible, hidden, below)).any():
        hidden[_choose_next_cell(counts, possible, hidden, free, below, int(np.argmax(exposed)))] = True
    for cell in sorted(np.flatnonzero(hidden & ~wanted), key=lambda cell: (-int(counts[:, cell].max()), cell)):
        fewer = hidden.copy()
        fewer[cell] = False  # what later ones made superfluous
        if not _find_exposed_equations(counts, possible, fewer, below).any():
            hidden = fewer
    return hidden


def _find_exposed_equations(counts: np.ndarray, possible: np.ndarray, hidden: np.ndarray, below: int) -> np.ndarray:
    """Return (E,) booleans: equations that give something away, and have a cell left to hide."""
    extensible = ((counts > 0) & ~hidden).any(axis=1)
    concerned = (possible & hidden).sum(axis=1)
    exposed: np.ndarray = extensible & (concerned > 0) & ((concerned < 2) | (counts @ hidden < below))
    return exposed


def _choose_next_cell(
    counts: np.ndarray, possible: np.ndarray, hidden: np.ndarray, free: np.ndarray, below: int, equation: int
) -> int:
    """Return the cell of an equation to hide: one never shown, else that which leaves least to do, and the smallest."""

    def hiding_cost(cell: int) -> tuple[bool, int, int, int]:
        more = hidden.copy()
        more[cell] = True
        left = int(_find_exposed_equations(counts, possible, more, below).sum())
        return not free[cell], left, int(counts[:, cell].max()), cell

    return min(np.flatnonzero((counts[equation] > 0) & ~hidden).tolist(), key=hiding_cost)


def find_determining_weights(published: csr_matrix, target: np.ndarray) -> np.ndarray | None:
    """Return (R,) weights with which the published sums add up to a cell; None where they do not determine it.

    Args:
        published: (R, J) booleans: which of the smallest cells each published sum is of.
        target: (J,) booleans, the smallest cells that the target is of.
    """
    from scipy.sparse.linalg import lsqr  # here, as plugins are imported to be listed

    if not target.any() or not published.shape[0]:
        return None
    weights, *_ = lsqr(published.T, target.astype(np.float64), atol=1e-13, btol=1e-13, iter_lim=2000)
    left = np.linalg.norm(published.T @ weights - target)
    return weights if left < EXACT * np.linalg.norm(target) else None


def index_published_sums(numbers: Iterable[np.ndarray], shown: Iterable[np.ndarray], cells: int) -> csr_matrix:
    """Return (R, J) which of the smallest cells each published sum is of; the first is the sum of all.

    Args:
        numbers: for each way of grouping a (J,) array, the number of the group that each smallest cell is in.
        shown: for each of them (A,) booleans, whether a group is shown.
        cells: J.
    """
    from scipy.sparse import csr_matrix

    rows, columns = [np.zeros(cells, dtype=np.int64)], [np.arange(cells)]
    start = 1
    for number, is_shown in zip(numbers, shown, strict=True):
        place = np.cumsum(is_shown) - 1
        kept = np.flatnonzero(is_shown[number])
        rows.append(start + place[number[kept]])
        columns.append(kept)
        start += int(is_shown.sum())
    ones = np.ones(sum(map(len, rows)))
    return csr_matrix((ones, (np.concatenate(rows), np.concatenate(columns))), shape=(start, cells))
