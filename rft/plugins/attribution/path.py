"""Integrated gradients along a straight path, with as many steps as completeness needs. Knows no modality.

Source: Sundararajan et al. 2017, ICML. The path from the baseline to what is explained is cut into pieces, and the
attributions of the pieces add up to those of the path. The logit at both ends of a piece says how far the piece is from
complete, so steps are added where they are lacking: the piece with the largest error is halved until the whole is
complete or the steps are spent. Near a blurred image networks are far from smooth, and equal steps along the whole path
need several times as many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from captum.attr import IntegratedGradients
from torch import Tensor, nn

TOLERANCE = 0.05  # largest relative completeness error that counts as complete
CHUNK = 8  # points of a backward pass; about 27 MB each for an image of 224 px

_PIECES, _NODES = 4, 2  # of a path, to begin with, and Gauss-Legendre nodes in each piece
_NEGLIGIBLE = 1e-3  # of a logit: below it a relative error says more about rounding than about the attribution


@dataclass(frozen=True)
class Completeness:
    """How nearly an attribution sums to the change of the logit from the baseline to what is explained.

    Attributes:
        steps: number of gradients that were spent.
        error: ``|sum of attributions - change| / |change|``; None where the change is too small to divide by.
    """

    steps: int
    error: float | None


class _Place(NamedTuple):
    """A point of a path, from 0 (the baseline) to 1 (what is explained), and the logit there."""

    at: float
    logit: float


@dataclass(frozen=True, eq=False)
class _Piece:
    """A piece of a path, its attribution, and how much that exceeds the change of the logit over the piece."""

    start: _Place
    end: _Place
    values: Tensor
    excess: float


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

        Where no completeness error is defined the attribution is that of the first steps.
        """
        start, end = self._evaluate_at([0.0, 1.0])
        change = abs(end.logit - start.logit)
        defined = change > _NEGLIGIBLE * max(1.0, abs(end.logit))
        pieces, steps = self._attribute_pieces(start, end, _PIECES), _PIECES * _NODES
        while defined and _completeness_gap(pieces) > TOLERANCE * change and steps + 2 * _NODES <= max_steps:
            worst = max(pieces, key=lambda piece: abs(piece.excess))
            pieces.remove(worst)
            pieces += self._attribute_pieces(worst.start, worst.end, 2)
            steps += 2 * _NODES
        error = _completeness_gap(pieces) / change if defined else math.nan
        values = torch.stack([piece.values for piece in pieces]).sum(dim=0).numpy()
        return values, Completeness(steps, error if math.isfinite(error) else None)

    def _attribute_pieces(self, start: _Place, end: _Place, count: int) -> list[_Piece]:
        """Return the stretch between two places in ``count`` equal pieces."""
        inner = np.linspace(start.at, end.at, count + 1)[1:-1].tolist()
        places = [start, *self._evaluate_at(inner), end]
        points = self._points_at([place.at for place in places])
        values = IntegratedGradients(self.function).attribute(
            points[1:], points[:-1], target=self.target, n_steps=_NODES, internal_batch_size=max(CHUNK, count)
        )
        summed = values.detach().sum(dim=self.axis + 1).cpu()
        return [_build_piece(*parts) for parts in zip(places[:-1], places[1:], summed, strict=True)]

    def _evaluate_at(self, at: Sequence[float]) -> list[_Place]:
        with torch.no_grad():
            logits = self.function(self._points_at(at))[:, self.target].tolist()
        return [_Place(*place) for place in zip(at, logits, strict=True)]

    def _points_at(self, at: Sequence[float]) -> Tensor:
        return torch.stack([torch.lerp(self.baseline, self.example, place) for place in at])


def _build_piece(start: _Place, end: _Place, values: Tensor) -> _Piece:
    return _Piece(start, end, values, excess=float(values.double().sum()) - (end.logit - start.logit))


def _completeness_gap(pieces: Sequence[_Piece]) -> float:
    return abs(sum(piece.excess for piece in pieces))
