"""What a check of the self-test is, and how the objects that train are asked for gradients of samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rft.plugins.privacy.training.mechanism_parameters import Plan
from rft.plugins.privacy.training.sampling import Sample
from rft.plugins.privacy.training.steps import Steps
from rft.records import Row


@dataclass(frozen=True)
class Check:
    """One promise: what was expected of it, what was found, and whether that is within bounds."""

    name: str
    expected: str
    found: str
    passed: bool
    description: str

    def row(self) -> Row:
        """Return it as a row of the report's table."""
        outcome = "passed" if self.passed else "failed"
        names = ("check", "expected", "found", "outcome", "description")
        return dict(zip(names, (self.name, self.expected, self.found, outcome, self.description), strict=True))


def gradient(steps: Steps, sample: Sample) -> np.ndarray:
    """Return (H, P) the noised gradients of a sample."""
    for parameter in steps.parameters:
        parameter.grad = None
    steps.set_gradient(sample)
    return flat(steps, len(sample.units))


def flat(steps: Steps, heads: int) -> np.ndarray:
    """Return (H, P) the gradients that are set, zero where there is none."""
    grads = [torch.zeros_like(each) if each.grad is None else each.grad for each in steps.parameters]
    return torch.cat([each.reshape(heads, -1) for each in grads], dim=1).cpu().double().numpy()


def nobody(plans: Sequence[Plan]) -> Sample:
    """Return a sample in which no unit takes part in any head."""
    return Sample(np.zeros((len(plans), 0), dtype=np.int64), np.zeros((len(plans), 0), dtype=bool))


def everybody(plans: Sequence[Plan], units: int) -> Sample:
    """Return a sample in which all units take part in every head."""
    return Sample(np.tile(np.arange(units), (len(plans), 1)), np.ones((len(plans), units), dtype=bool))


def somebody(plans: Sequence[Plan], unit: int) -> Sample:
    """Return a sample in which one unit takes part in every head."""
    return Sample(np.full((len(plans), 1), unit, dtype=np.int64), np.ones((len(plans), 1), dtype=bool))
