"""Where in a text attributions lie, from its beginning to its end, over all explained texts. Shows no word."""

from __future__ import annotations

import numpy as np

from rft.plugins.attribution.texts.methods import Scores
from rft.plugins.attribution.texts.tokenized_texts import TokenizedTexts
from rft.records import Figure, Table, lines_figure
from rft.stats.intervals import clip_interval, mean_interval

PARTS = 10


def share_by_part(values: np.ndarray) -> np.ndarray:
    """Return (PARTS,) shares of what speaks for the predicted class in equal parts of a text of ``values`` (T,).

    A token that lies across the border of two parts counts for each as far as it lies in it, so that a text of fewer
    tokens than parts has a profile too.
    """
    running = np.concatenate([[0.0], values.clip(min=0).astype(np.float64).cumsum()])
    at = np.interp(np.linspace(0, 1, PARTS + 1), np.linspace(0, 1, len(running)), running)
    shares: np.ndarray = np.diff(at) / running[-1]
    return shares


def profile_table(texts: TokenizedTexts, scores: Scores, units: np.ndarray | None) -> Table:
    """Return the mean shares over the texts with sound attributions, ordinary tokens only; ``units`` (N,) as usual."""
    used = np.flatnonzero(scores.sound)
    if len(used) == 0:
        return []
    profiles = np.stack([share_by_part(_ordinary_values(texts, scores, index)) for index in used.tolist()])
    rows: Table = []
    for part, values in enumerate(profiles.T, start=1):
        interval = mean_interval(values, None if units is None else units[used])
        interval = interval and clip_interval(interval, 0.0, 1.0)
        rows.append(
            {
                "tenth": part,
                "share": float(values.mean()),
                "low": interval.low if interval else None,
                "high": interval.high if interval else None,
                "n": len(used),
            }
        )
    return rows


def profile_figure() -> Figure:
    """Return the figure of the table ``position_profile``."""
    return lines_figure(
        id="position_profile",
        table="position_profile",
        x="tenth",
        y="share",
        low="low",
        high="high",
        x_label="tenth of the text",
        y_label="share of the attribution",
        title="Where in the text the model looks",
        alt="Mean share of what speaks for the predicted class in each tenth of the explained texts, first to last.",
    )


def _ordinary_values(texts: TokenizedTexts, scores: Scores, index: int) -> np.ndarray:
    values = scores.values[index]
    ordinary_values: np.ndarray = values[texts.ordinary[index, : len(values)]]
    return ordinary_values
