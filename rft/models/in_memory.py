"""A torch module that the caller holds: borrowed for an audit, read as (B, K) outputs, and given back as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rft.backbones.batch import Batch
from rft.errors import ModelError
from rft.models.external import SUM_TOLERANCE

WHERE = "model"
OUTPUTS = ("logits", "probabilities")


@contextmanager
def borrow_module(module: nn.Module) -> Iterator[None]:
    """Give a module back as it came: its training flags, its tensors (device, layout), and which need gradients."""
    training = {part: part.training for part in module.modules()}
    parameters = [
        (part, name, parameter, parameter.data, parameter.grad, parameter.requires_grad)
        for part in training
        for name, parameter in part._parameters.items()
        if parameter is not None
    ]
    buffers = [(part, name, buffer) for part in training for name, buffer in part._buffers.items()]
    try:
        yield
    finally:
        for part, mode in training.items():
            part.training = mode
        for part, name, parameter, tensor, gradient, needs_gradient in parameters:
            parameter.data, parameter.requires_grad = tensor, needs_gradient
            parameter.grad = gradient
            part._parameters[name] = parameter
        for part, name, buffer in buffers:
            part._buffers[name] = buffer


def find_device(module: nn.Module) -> str:
    """Return the torch device that a module is on; raises ``ModelError`` where it is on several, or on none yet."""
    places = sorted({str(tensor.device) for tensor in (*module.parameters(), *module.buffers())})
    if not places:
        raise ModelError(
            "has no tensors, so nothing says which model was audited",
            where=WHERE,
            remedy="Keep the parts that hold the weights as attributes of the module.",
        )
    if len(places) > 1 or places == ["meta"]:
        raise ModelError(
            f"is on {' and '.join(places)}", where=WHERE, remedy="Put all of it on one device: model.to(...)."
        )
    return places[0]


class ModuleAdapter(nn.Module):
    """A module of the caller as a function of a batch of inputs.

    Args:
        network: the module.
        call: runs it on a batch and returns what it gives.
    """

    def __init__(self, network: nn.Module, call: Callable[[nn.Module, Batch], Any]) -> None:
        super().__init__()
        self.network, self.call = network, call

    def forward(self, inputs: Batch) -> Tensor:
        """Map a batch of B inputs to (B, K) outputs, (B, 1) where the module gives one number an example."""
        return read_outputs(self.call(self.network, inputs))


class TwoColumns(nn.Module):
    """A module of one output an example, for the second of two classes, as one of two outputs.

    Args:
        network: a batch of inputs in, (B, 1) outputs out.
        outputs: ``logits`` (sigmoid makes probabilities of them) or ``probabilities``.
    """

    def __init__(self, network: nn.Module, outputs: str) -> None:
        super().__init__()
        self.network, self.outputs = network, outputs

    def forward(self, inputs: Batch) -> Tensor:
        """Map a batch of inputs to (B, 2) outputs."""
        return split_in_two(self.network(inputs), self.outputs)


def split_in_two(single: Tensor, outputs: str) -> Tensor:
    """Return (B, 2) outputs of the same kind for (B, 1) of the second class."""
    first = 1 - single if outputs == "probabilities" else torch.zeros_like(single)
    return torch.cat([first, single], dim=1)


def read_outputs(output: Any) -> Tensor:
    """Return what a module gives as (B, K) or (B, 1): a tensor, or an object with ``logits`` as transformers has them.

    Raises:
        ModelError: it is nothing of this kind.
    """
    tensor = getattr(output, "logits", output)
    if not isinstance(tensor, Tensor) or tensor.dim() not in (1, 2) or not tensor.is_floating_point():
        gives = (
            f"{tensor.dtype} of shape {tuple(tensor.shape)}" if isinstance(tensor, Tensor) else type(tensor).__name__
        )
        raise ModelError(
            f"gives {gives}; expected decimal numbers of shape (B, K), an output for each of K classes", where=WHERE
        )
    return tensor if tensor.dim() == 2 else tensor[:, None]


def find_outputs(outputs: Tensor, said: str | None) -> str:
    """Return what (N, K) outputs are, ``logits`` or ``probabilities``: as the caller says, or as they look.

    Raises:
        ModelError: there is one an example, which looks like either.
    """
    if said is not None:
        return said
    if outputs.shape[1] == 1:
        raise ModelError(
            "gives one number an example, which may be a logit or a probability of the second class",
            where=WHERE,
            remedy='Say it: outputs="logits", or outputs="probabilities".',
        )
    sums = outputs.double().sum(dim=1)
    return OUTPUTS[bool((outputs >= 0).all() and ((sums - 1).abs() <= SUM_TOLERANCE).all())]


def name_classes(classes: Sequence[str] | None, count: int) -> tuple[str, ...]:
    """Return what each of ``count`` outputs stands for: the names that were given, or the numbers from 0 on.

    Raises:
        ModelError: there are more or fewer names than outputs.
    """
    if classes is None:
        return tuple(str(number) for number in range(count))
    if len(classes) != count:
        raise ModelError(f"gives {count} outputs, and classes names {len(classes)}", where=WHERE)
    return tuple(classes)
