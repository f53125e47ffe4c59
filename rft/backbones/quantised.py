"""Weights of linear layers in 8 bits, by torchao: about half the memory of a transformer, for features slightly off.

Only weights are rounded (symmetric int8, one scale a row of the matrix); activations stay as they are, so no data is
needed for calibration. Convolutions and embeddings stay as they are too.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rft.errors import ConfigError, ModelError

WHERE = "model.precision"


def quantise(module: nn.Module, device: str) -> int:
    """Round the weights of all linear layers of a frozen module to int8, in place; return how many layers.

    Args:
        module: without gradients; it is moved to ``device``. Its tensors must not be shared with what is trained.
        device: torch device name.

    Raises:
        ConfigError: when torchao is not installed.
        ModelError: when the module has no linear layers, or torchao cannot run them on this device.
    """
    try:
        from torchao.quantization import Int8WeightOnlyConfig, quantize_
    except ImportError:
        raise ConfigError(
            '"int8" needs torchao, which is not installed', where=WHERE, remedy="pip install torchao"
        ) from None
    try:
        quantize_(module.to(device), Int8WeightOnlyConfig())
        rounded = [layer for layer in module.modules() if isinstance(layer, nn.Linear) and is_quantised(layer.weight)]
        with torch.no_grad():
            for layer in rounded[:1]:
                layer(torch.zeros(1, layer.in_features, device=device))
    except (NotImplementedError, RuntimeError, AssertionError) as error:
        raise ModelError(
            f"torchao cannot run 8 bit weights on {device}: {(str(error) or type(error).__name__).splitlines()[0]}",
            where=WHERE,
            remedy='Set model.precision = "bfloat16" or "float32".',
        ) from None
    if not rounded:
        raise ModelError(
            '"int8" rounds linear layers, and this backbone has none',
            where=WHERE,
            remedy='Convolutional networks, and GPT-2 as transformers writes it, run in "bfloat16" or "float32".',
        )
    return len(rounded)


def is_quantised(tensor: Tensor) -> bool:
    """Tell whether a tensor is made of several others, as torchao's are."""
    return hasattr(tensor, "__tensor_flatten__")


def plain_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors with their bytes in the open, to hash them: a quantised one as its integers and scales."""
    plain: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if is_quantised(tensor):
            inner, _ = tensor.__tensor_flatten__()  # type: ignore[attr-defined]
            parts = {f"{name}.{part}": getattr(tensor, part) for part in inner}
            plain |= plain_tensors({key: part for key, part in parts.items() if part is not None})
        else:
            plain[name] = tensor
    return plain
