"""Weights of linear layers in 8 bits, by torchao: about half the memory of a transformer, for features slightly off.

Only weights are rounded (symmetric int8, one scale a row of the matrix); activations stay as they are, so no data is
needed for calibration. Convolutions and embeddings stay as they are too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rft.backbones.batch import Batch
from rft.errors import ConfigError, ModelError
from rft.runtime.libraries import library_import
from rft.runtime.out_of_memory import raise_if_out_of_memory

if TYPE_CHECKING:
    from rft.backbones.partition.cut import Cut
    from rft.backbones.partition.replay import Prefix
    from rft.backbones.partition.trace import Example

WHERE = "model.precision"
TOLERANCE = 1e-4  # of the largest feature: what adding up in another order changes


def quantize_linear_layers(
    module: nn.Module, inputs: Batch, device: str, spared: Collection[str] = frozenset()
) -> dict[str, Tensor]:
    """Round the weights of the linear layers that run in a frozen module to int8, in place.

    Args:
        module: without gradients; it is moved to ``device``. Its tensors must not be shared with what is trained.
        inputs: a batch that it is run on once, to see which layers run.
        device: torch device name.
        spared: names of modules that stay as they are.

    Returns:
        The name of each rounded weight in ``module``, and the float32 number that each of its integers stands for.

    Raises:
        ConfigError: when torchao is not installed.
        ModelError: when no linear layer runs, or torchao cannot run them on this device.
    """
    with library_import("torchao", error=ConfigError, where=WHERE, install="pip install torchao", user='"int8"'):
        from torchao.quantization import Int8WeightOnlyConfig, quantize_
    run = _linear_layers_that_run(module, inputs) - set(spared)
    module.to(device)
    try:
        quantize_(module, Int8WeightOnlyConfig(), filter_fn=lambda _layer, name: name in run)
        rounded = {name: module.get_submodule(name) for name in sorted(run)}
        rounded = {name: layer for name, layer in rounded.items() if is_quantized(layer.weight)}  # type: ignore[arg-type]
        with torch.no_grad():
            for layer in list(rounded.values())[:1]:
                layer(torch.zeros(1, layer.in_features, device=device))  # type: ignore[call-overload]
    except (NotImplementedError, RuntimeError, AssertionError) as error:  # as torch and torchao refuse a device or type
        raise_if_out_of_memory(error)
        raise ModelError(
            f"torchao cannot run 8 bit weights on {device}: {(str(error) or type(error).__name__).splitlines()[0]}",
            where=WHERE,
            remedy='Set model.precision = "bfloat16" or "float32".',
        ) from None
    if not rounded:
        raise ModelError(
            '"int8" rounds the linear layers of the frozen part, and none runs in it',
            where=WHERE,
            remedy='Convolutional networks, and GPT-2 as transformers writes it, run in "bfloat16" or "float32".',
        )
    return {f"{name}.weight": layer.weight.dequantize().float().cpu() for name, layer in rounded.items()}  # type: ignore[operator]


def round_frozen_part(parts: Cut, example: Example, device: str) -> tuple[Prefix, int]:
    """Return the frozen part of a cut in 8 bits, and how many layers of it were rounded.

    The weights of the model itself become the rounded ones, in place and in float32: what is trained behind them,
    predicted, explained and saved is one model, and needs no torchao.

    Raises:
        ConfigError, ModelError: as ``quantize_linear_layers``; or the model shares a rounded weight with a layer that
            stays as it is.
    """
    prefix, inputs = parts.prefix(), example(3, 6, 3)
    spared = {f"classifier.{name}" for name in parts.plan.behind} if parts.plan else set()
    weights = quantize_linear_layers(prefix, inputs, device, spared)
    with torch.no_grad():
        for name, weight in weights.items():
            parts.classifier.get_parameter(name.removeprefix("classifier.")).copy_(weight)
        placed = {name: tensor.to(device) for name, tensor in inputs.items()}
        wanted, got = parts.prefix()(inputs)["features"], prefix(placed)["features"].cpu()
    gap = float((got - wanted).abs().max() / wanted.abs().max().clamp(min=1e-6))
    if not gap <= TOLERANCE:
        raise ModelError(
            f"with weights in 8 bits the frozen part and the model differ by {gap:.1%}: they share weights with other "
            "layers",
            where=WHERE,
            remedy='Set model.precision = "bfloat16" or "float32".',
        )
    return prefix, len(weights)


def _linear_layers_that_run(module: nn.Module, inputs: Batch) -> set[str]:
    """Return the names of the linear layers that a module calls on a batch, on the device where the module is."""
    run: set[str] = set()
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}
    handles = [
        layer.register_forward_hook(lambda _layer, _inputs, _output, name=name: run.add(name))
        for name, layer in layers.items()
    ]
    try:
        with torch.no_grad():
            module(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return run


def is_quantized(tensor: Tensor) -> bool:
    """Tell whether a tensor is made of several others, as torchao's are."""
    return hasattr(tensor, "__tensor_flatten__")


def plain_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors with their bytes in the open, to hash them: a quantised one as its integers and scales."""
    plain: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if is_quantized(tensor):
            inner, _ = tensor.__tensor_flatten__()  # type: ignore[attr-defined]
            parts = {f"{name}.{part}": getattr(tensor, part) for part in inner}
            plain |= plain_tensors({key: part for key, part in parts.items() if part is not None})
        else:
            plain[name] = tensor
    return plain
