"""Samples that the self-test makes up, and the gradients that the objects which train give for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from rft.plugins.privacy.training.mechanism_parameters import MechanismParameters
from rft.plugins.privacy.training.sampling import Sample
from rft.plugins.privacy.training.stepper import PrivateStepper


def noised_gradients(stepper: PrivateStepper, sample: Sample) -> np.ndarray:
    """Return (H, P) the noised gradients of a sample."""
    for parameter in stepper.parameters:
        parameter.grad = None
    stepper.set_gradient(sample)
    return flat_gradients(stepper, len(sample.units))


def flat_gradients(stepper: PrivateStepper, heads: int) -> np.ndarray:
    """Return (H, P) the gradients that are set, zero where there is none."""
    grads = [
        torch.zeros_like(parameter) if parameter.grad is None else parameter.grad for parameter in stepper.parameters
    ]
    return torch.cat([gradient.reshape(heads, -1) for gradient in grads], dim=1).cpu().double().numpy()


def empty_sample(plans: Sequence[MechanismParameters]) -> Sample:
    """Return a sample in which no unit takes part in any head."""
    return Sample(np.zeros((len(plans), 0), dtype=np.int64), np.zeros((len(plans), 0), dtype=bool))


def full_sample(plans: Sequence[MechanismParameters], units: int) -> Sample:
    """Return a sample in which all units take part in every head."""
    return Sample(np.tile(np.arange(units), (len(plans), 1)), np.ones((len(plans), units), dtype=bool))


def singleton_sample(plans: Sequence[MechanismParameters], unit: int) -> Sample:
    """Return a sample in which one unit takes part in every head."""
    return Sample(np.full((len(plans), 1), unit, dtype=np.int64), np.ones((len(plans), 1), dtype=bool))
