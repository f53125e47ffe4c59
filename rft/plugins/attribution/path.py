"""Integrated gradients along a straight path, with as many steps as the map needs. Knows no modality.

Source: Sundararajan et al. 2017, ICML, by Gauss-Legendre quadrature over the whole path. Attributions that sum to the
change of the logit need not be right: errors of opposite sign cancel in the sum and stay in the map. So the steps are
doubled until the map itself hardly changes any more, and what is said of its error is a sum in which nothing cancels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from captum.attr import Saliency
from torch import Tensor, nn

from rft.number_format import format_fixed
from rft.records import Row
from rft.runtime.devices.fitting_batches import map_batches

MAP_TOLERANCE = 0.05  # largest change of a map by the last doubling, in its L1 norm, of one that has converged
REPEATED_STEPS = 8  # gradients of an attribution that is made again, to be compared with others of as many
CHUNK = 4  # points of a backward pass; about 27 MB each for an image of 224 px

_FIRST_STEPS = 4
_ROUNDING = 1e-6  # of a logit in float32
_NEGLIGIBLE = 1e-3  # of a logit: below it a relative error says more about rounding than about the attribution


@dataclass(frozen=True)
class Completeness:
    """How far an attribution has converged, and how far it is off along the path.

    Attributes:
        steps: number of gradients that were spent, over all doublings.
        error: each step stands for a stretch of the path; the sum of what the steps are off from the change of the
            logit over their stretches, in absolute values, as a share of the sum of these changes, in absolute values
            too: where a logit rises and falls again, its net change says nothing about the size of an error. None where
            that sum is too small to divide by.
        map_change: ``|map - map with half the steps|`` relative to ``|map|``, both L1 norms; None where a map is zero
            or not finite.
    """

    steps: int
    error: float | None
    map_change: float | None

    def as_row(self) -> Row:
        """Return the columns of a table."""
        return {"steps": self.steps, "map_change": self.map_change, "error": self.error}

    @property
    def unsettled(self) -> bool:
        """Whether the last doubling changed the map by more than ``MAP_TOLERANCE``; a map of nothing cannot change."""
        return self.map_change is not None and self.map_change > MAP_TOLERANCE


def explain_unsettled(completeness: Completeness, of: str) -> str:
    """Return why a second opinion that has not converged is none; ``of`` is ``an image`` or the like."""
    return (
        f"after {completeness.steps} gradients of {of} its map still changes by "
        f"{format_fixed(completeness.map_change or 0.0, 2)} of itself when the steps are doubled, more than "
        f"{MAP_TOLERANCE:g}; a second opinion that has not converged is none. Named in methods of [attribution], with "
        "a larger max_steps, integrated gradients are made all the same"
    )


class _Quadrature(NamedTuple):
    """An attribution by a number of steps.

    Attributes:
        values: its map.
        gains: (S,) how much of the logit's change each step accounts for.
        weights: (S,) how long the stretch of the path is that it stands for; they sum to 1.
    """

    values: np.ndarray
    gains: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Path:
    """The straight path from a baseline to one example.

    Attributes:
        function: (B, *shape) -> (B, K) logits, differentiable.
        baseline, example: (*shape) float32, on the device of the function.
        target: index of the explained class.
        axis: of ``shape``, over which attributions are summed: the channels of an image, the dimensions of an
            embedding.
    """

    function: nn.Module
    baseline: Tensor
    example: Tensor
    target: int
    axis: int

    def integrate(self, max_steps: int) -> tuple[np.ndarray, Completeness]:
        """Return the attribution, in ``shape`` without ``axis``, with at most ``max_steps`` (16 or more) gradients.

        Steps are doubled until the map has converged and sums to the change of the logit within as much: a map that
        misses a steep part of the path with few steps and with twice as many has not.
        """
        start, end = self._logits_at(np.array([0.0, 1.0]))
        count, quadrature = 2 * _FIRST_STEPS, self._integrate_with(2 * _FIRST_STEPS)
        map_change = _map_change(self._integrate_with(_FIRST_STEPS), quadrature, end)
        spent = _FIRST_STEPS + count
        while not _is_settled(map_change, quadrature, end - start) and spent + 2 * count <= max_steps:
            count, previous = 2 * count, quadrature
            quadrature = self._integrate_with(count)
            map_change = _map_change(previous, quadrature, end)
            spent += count
        error = self._error_along(quadrature)
        return quadrature.values.astype(np.float32), Completeness(spent, error, map_change)

    def integrate_with(self, count: int) -> np.ndarray:
        """Return the attribution by ``count`` gradients, whether it has converged or not."""
        return self._integrate_with(count).values.astype(np.float32)

    def _integrate_with(self, count: int) -> _Quadrature:
        nodes, weights = np.polynomial.legendre.leggauss(count)
        places, weights = (nodes + 1) / 2, weights / 2
        distance = (self.example - self.baseline).cpu()  # MPS has no float64
        total, gains = torch.zeros_like(distance, dtype=torch.float64), []
        saliency = Saliency(self.function)

        def slopes_at(rows: np.ndarray) -> Tensor:
            points = self._points_at(places[rows]).requires_grad_()
            slopes: Tensor = saliency.attribute(points, target=self.target, abs=False)
            return slopes.detach().cpu().double()

        for rows, slopes in map_batches(slopes_at, count, CHUNK):
            parts = slopes * distance
            parts *= torch.from_numpy(weights[rows]).view(-1, *[1] * distance.dim())
            gains.append(parts.flatten(1).sum(dim=1).numpy())
            total += parts.sum(dim=0)
        return _Quadrature(total.sum(dim=self.axis).numpy(), np.concatenate(gains), weights)

    def _error_along(self, quadrature: _Quadrature) -> float | None:
        """Return the error of ``Completeness``; the stretch of a step is as long as its weight.

        The nodes of a Gauss-Legendre rule lie each in its stretch (the separation theorem of Chebyshev, Markov and
        Stieltjes: Szegő 1939, Orthogonal Polynomials, 3.41).
        """
        borders = np.concatenate([[0.0], quadrature.weights.cumsum()])
        logits = self._logits_at(borders)
        changes = np.diff(logits)
        size = float(np.abs(changes).sum())
        if not size > _NEGLIGIBLE * max(1.0, abs(float(logits[-1]))):
            return None
        error = float(np.abs(quadrature.gains - changes).sum() / size)
        return error if math.isfinite(error) else None

    def _logits_at(self, places: np.ndarray) -> np.ndarray:
        """Return the (P,) logits at P places of the path, float64."""

        def logits_of(rows: np.ndarray) -> np.ndarray:
            logits: np.ndarray = self.function(self._points_at(places[rows]))[:, self.target].cpu().double().numpy()
            return logits

        with torch.no_grad():
            return np.concatenate([logits for _, logits in map_batches(logits_of, len(places), CHUNK)])

    def _points_at(self, places: np.ndarray) -> Tensor:
        return torch.stack([torch.lerp(self.baseline, self.example, place) for place in places.tolist()])


def _is_settled(map_change: float | None, quadrature: _Quadrature, change: float) -> bool:
    """Tell whether more steps would change little, or nothing can come of them."""
    if map_change is None:
        return True
    gap = abs(float(quadrature.gains.sum()) - change)
    return map_change <= MAP_TOLERANCE and gap <= MAP_TOLERANCE * float(np.abs(quadrature.values).sum())


def _map_change(previous: _Quadrature, latest: _Quadrature, logit: float) -> float | None:
    """Return ``Completeness.map_change``; None for a map that is nothing but rounding errors of a ``logit``."""
    size = float(np.abs(latest.values).sum())
    change = float(np.abs(latest.values - previous.values).sum())
    nothing = _ROUNDING * max(1.0, abs(logit))
    return change / size if math.isfinite(change) and math.isfinite(size) and size > nothing else None
