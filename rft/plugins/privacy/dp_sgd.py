"""One step of DP-SGD by Opacus (Abadi et al. 2016, algorithm 1), and which modules it can be taken on.

Opacus computes the gradient of each example and clips; what stands here is what it leaves to its caller: gradients that
are not finite, units with several examples, empty batches, and noise from a generator that is given.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from opacus.grad_sample import GradSampleModule
from opacus.optimizers import DPOptimizer
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rft.errors import ConfigError

GradSampled = Any  # a parameter with the attribute that Opacus' hooks add: grad_sample, (B, *shape)


class NoisyOptimizer(DPOptimizer):
    """Opacus' optimizer with its noise drawn by NumPy in float64, on the CPU whatever the device.

    Args:
        optimizer: takes the step on the noised gradient.
        noise: source of the noise.
        noise_multiplier: standard deviation of the noise, in units of ``max_grad_norm``.
        max_grad_norm: bound on the norm of one unit's gradient.
        divisor: what the noised sum is divided by; a public constant, never the size of a batch.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        noise: np.random.Generator,
        *,
        noise_multiplier: float,
        max_grad_norm: float,
        divisor: float,
    ) -> None:
        super().__init__(
            optimizer,
            noise_multiplier=noise_multiplier,
            max_grad_norm=max_grad_norm,
            expected_batch_size=divisor,
            loss_reduction="mean",
        )
        self._noise = noise

    def add_noise(self) -> None:
        """Set each parameter's gradient to the sum of clipped gradients plus fresh noise."""
        scale = self.noise_multiplier * self.max_grad_norm
        for parameter in self.params:
            noise = torch.from_numpy(self._noise.normal(0.0, scale, size=tuple(parameter.shape)))
            parameter.grad = parameter.summed_grad + noise.to(parameter.dtype).to(parameter.device)


def check(suffix: nn.Module) -> None:
    """Raise ``ConfigError`` for a trainable part whose per-example gradients Opacus does not compute exactly."""
    for name, module in suffix.named_modules():
        kind = type(module).__name__
        if isinstance(module, _BatchNorm) or getattr(module, "running_mean", None) is not None:
            _refuse(name, kind, "it mixes the examples of a batch, or keeps their statistics without noise")
        trainable = any(parameter.requires_grad for parameter in module.parameters(recurse=False))
        if trainable and type(module) not in GradSampleModule.GRAD_SAMPLERS:
            _refuse(name, kind, "Opacus has no rule for the gradients of its single examples")
        if trainable and any(True for _ in module.buffers(recurse=False)):
            _refuse(name, kind, "it has buffers that training would move without noise")
    if not any(parameter.requires_grad for parameter in suffix.parameters()):
        raise ConfigError("the part to be trained has no trainable parameters", where="privacy.epsilon")


def step(
    model: GradSampleModule, optimizer: NoisyOptimizer, batch: dict[str, Tensor], labels: Tensor, units: Tensor | None
) -> int:
    """Take one step and return how many per-example gradients were not finite (and counted as zero).

    Args:
        model: the wrapped suffix, with ``loss_reduction="sum"``.
        optimizer: over the trainable parameters of ``model``.
        batch: what the suffix takes, B examples; B may be 0, and the step is then noise alone.
        labels: (B,) class indices.
        units: (B,) int64, whose each example is; the gradients of a unit are summed before they are clipped.
            None: each example is a unit.
    """
    optimizer.zero_grad()
    if len(labels):
        _backward(model, batch, labels)
    else:
        for parameter in optimizer.params:
            parameter.grad_sample = parameter.new_zeros((0, *parameter.shape))
    non_finite = _zero_non_finite(optimizer.params)
    if units is not None:
        _sum_by_unit(optimizer.params, units)
        _zero_non_finite(optimizer.params)  # a sum of finite gradients may overflow
    optimizer.step()
    return non_finite


def _backward(model: GradSampleModule, batch: dict[str, Tensor], labels: Tensor) -> None:
    # The sum keeps examples apart: a mean, or class weights inside it, would let one example scale another's gradient.
    loss = nn.functional.cross_entropy(model(batch), labels, reduction="sum")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Full backward hook is firing", category=UserWarning)
        loss.backward()


def _zero_non_finite(parameters: Sequence[GradSampled]) -> int:
    """Zero, in all parameters, the gradient of each example that is not finite in any; return how many there were."""
    finite = torch.stack([parameter.grad_sample.flatten(1).isfinite().all(dim=1) for parameter in parameters]).all(0)
    for parameter in parameters:
        parameter.grad_sample[~finite] = 0
    return int((~finite).sum())


def _sum_by_unit(parameters: Sequence[GradSampled], units: Tensor) -> None:
    present, position = units.unique(return_inverse=True)
    for parameter in parameters:
        summed = parameter.new_zeros((len(present), *parameter.shape))
        parameter.grad_sample = summed.index_add_(0, position, parameter.grad_sample)


def _refuse(name: str, kind: str, reason: str) -> None:
    raise ConfigError(
        f"the layer {name or 'itself'} ({kind}) cannot be trained with differential privacy: {reason}",
        where="privacy.epsilon",
        remedy="Train a linear head, or remove epsilon to train without privacy.",
    )
