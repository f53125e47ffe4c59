"""The state of an unfinished training as plain tensors, and back: parameters and what the optimizer keeps of them.

Random numbers are not part of it: after an interruption samples and noise are drawn afresh.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


def checkpoint_tensors(parameters: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return copies, on the CPU, of all that the next step starts from."""
    tensors: dict[str, Tensor] = {f"parameter.{number}": parameter for number, parameter in enumerate(parameters)}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {
            f"optimizer.{number}.{name}": torch.as_tensor(value) for name, value in state.items() if value is not None
        }
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}


def restore_training(
    tensors: Mapping[str, Tensor], parameters: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer
) -> None:
    """Put back what ``checkpoint_tensors`` returned, into parameters and an optimizer of the same recipe."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        kind, number, *rest = name.split(".", 2)
        if kind == "optimizer":
            state.setdefault(int(number), {})[rest[0]] = tensor
    with torch.no_grad():
        for place, parameter in enumerate(parameters):
            parameter.copy_(tensors[f"parameter.{place}"])
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
