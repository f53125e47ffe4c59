"""How the frozen part of a model computes, and in what its outputs are kept: a part of what the model is.

bfloat16 has 8 bits of mantissa: a model whose frozen part computes in it gives other features, and other predictions,
than the same weights in float32. So the setting belongs to the model. Extraction, predictions, attributions and the
saved model all run the frozen part through here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rft.backbones.batch import Args, Batch, Kwargs

HALF = torch.finfo(torch.float16)


@dataclass(frozen=True)
class FrozenPart:
    """What a model does up to the cut beside its tensors.

    Attributes:
        precision: ``float32``, or ``bfloat16`` for autocast.
        cache: ``float32``, or ``float16`` where what passes the cut is rounded to it.
        layer: the module that the cut lies before, at its first call; None: the head.
        argument: which leaf of that call's arguments passes the cut.
    """

    precision: Literal["float32", "bfloat16"] = "float32"
    cache: Literal["float32", "float16"] = "float32"
    layer: str | None = None
    argument: int = 0

    @property
    def plain(self) -> bool:
        """Whether all is float32, so that the model is its tensors and nothing else."""
        return self.precision == self.cache == "float32"


class _Rounded(torch.autograd.Function):
    """Rounding to float16, whose gradient is taken to be that of its argument."""

    @staticmethod
    def forward(context: Any, features: Tensor) -> Tensor:
        return features.float().clamp(HALF.min, HALF.max).half().float()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def round_to_cache(features: Tensor, cache: str) -> Tensor:
    """Return (B, ...) outputs of the frozen part as the rest of the model gets them, float32."""
    return _Rounded.apply(features.float()) if cache == "float16" else features.float()


def run_frozen_part(run: Callable[[Batch], Batch], inputs: Batch, precision: str) -> Batch:
    """Run the frozen part on a batch.

    Args:
        run: the frozen part: ``{"features": (B, ...)}``, with ``attention_mask`` where there is one row a token.
        inputs: a batch of inputs.
        precision: ``float32`` or ``bfloat16``. In bfloat16 texts of one length run together, without padding: with it
            an example's features would depend on the length of the others, by a unit of the last place and more.

    Returns:
        What ``run`` returns, float32.
    """
    if precision != "bfloat16":
        return _to_float32(run(inputs))
    parts, places = [], []
    for rows, part in by_length(inputs):
        with autocast_for(part, precision):
            parts.append(_to_float32(run(part)))
        places.append(rows)
    return {name: _in_order([part[name] for part in parts], places) for name in parts[0]}


def by_length(inputs: Batch) -> Iterator[tuple[Tensor, Batch]]:
    """Yield (b,) row numbers and (b, T) inputs of equally long texts, without padding; images all at once."""
    mask = inputs.get("attention_mask")
    if mask is None:
        yield torch.arange(len(next(iter(inputs.values())))), inputs
        return
    lengths = mask.sum(dim=1)
    for length in sorted(set(lengths.tolist())):
        rows = (lengths == length).nonzero()[:, 0]
        yield rows, {name: tensor[rows, :length] for name, tensor in inputs.items()}


def autocast_for(inputs: Batch, precision: str) -> torch.autocast:
    """Return the context in which a forward pass on these inputs computes in this precision."""
    kind = next(iter(inputs.values())).device.type
    return torch.autocast(kind, torch.bfloat16, enabled=precision == "bfloat16")


def through_cut(model: nn.Module, backbone: nn.Module, part: FrozenPart, inputs: Batch) -> Tensor:
    """Run a backbone that is frozen up to a layer: what passes the cut is rounded, the rest computes in float32.

    Args:
        model: the joined model, whose module ``part.layer`` is.
        backbone: maps inputs to (B, D) features.
        part: the frozen part.
        inputs: a batch of inputs.
    """
    whole = (torch.arange(len(next(iter(inputs.values())))), inputs)
    batches = list(by_length(inputs)) if part.precision == "bfloat16" else [whole]
    outputs = []
    for _, batch in batches:
        with (
            autocast_for(batch, part.precision),
            _frozen_part_ending(model, part, next(iter(batch.values())).device.type),
        ):
            outputs.append(backbone(batch).float())
    return _in_order(outputs, [rows for rows, _ in batches])


@contextmanager
def _frozen_part_ending(model: nn.Module, part: FrozenPart, device: str) -> Iterator[None]:
    """End the frozen part, and the autocast around it, when its layer is about to run for the first time."""
    assert part.layer is not None
    waiting = [part.argument]

    def hook(_layer: nn.Module, args: Args, kwargs: Kwargs) -> tuple[Args, Kwargs] | None:
        if not waiting:
            return None
        leaves, tree = pytree.tree_flatten((args, kwargs))
        position = waiting.pop()
        torch.set_autocast_enabled(device, False)  # autocast itself puts back what was before it
        leaves[position] = round_to_cache(leaves[position], part.cache)
        arguments: tuple[Args, Kwargs] | None = pytree.tree_unflatten(leaves, tree)
        return arguments

    handle = model.get_submodule(part.layer).register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _to_float32(batch: Batch) -> Batch:
    """Return floating-point tensors as float32, others as they are."""
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in batch.items()}


def _in_order(parts: list[Tensor], places: list[Tensor]) -> Tensor:
    """Put the rows of (B, ...) or, padded with zeros, (B, T, ...) parts in their places of one tensor."""
    if len(parts) == 1:
        return parts[0]
    if parts[0].dim() > 1 and len({part.shape[1] for part in parts}) > 1:
        longest = max(part.shape[1] for part in parts)
        parts = [_pad_rows(part, longest) for part in parts]
    order = torch.cat(places).argsort()
    return torch.cat(parts)[order]


def _pad_rows(part: Tensor, length: int) -> Tensor:
    padding = [0, 0] * (part.dim() - 2) + [0, length - part.shape[1]]
    return nn.functional.pad(part, padding)
