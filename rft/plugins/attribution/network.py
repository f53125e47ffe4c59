"""The audited classifier as attribution uses it: in eval mode, on its device, in batches. Nothing is changed in it.

Captum asks functions of one tensor for gradients; ``FromPixels`` and ``FromEmbeddings`` are the classifier as such
functions, of an image and of the word embeddings of one text.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from rft.errors import Unavailable
from rft.runtime.devices.fitting_batches import map_batches
from rft.runtime.out_of_memory import raise_if_out_of_memory

if TYPE_CHECKING:
    from rft.backbones.batch import Batch
    from rft.backbones.classifier import InputClassifier

log = logging.getLogger("rft")

BATCH_SIZE = 16  # forward passes; larger batches fall out of a CPU's cache and are slower


@dataclass(frozen=True)
class Network:
    """A classifier and the device it lives on.

    Raises:
        Unavailable: when a part of the model is in training mode. Dropout and batch statistics would then make the
            output depend on chance and on the other examples of a batch, and no attribution would be complete.
    """

    model: InputClassifier
    device: str

    def __post_init__(self) -> None:
        if any(module.training for module in self.model.modules()):
            raise Unavailable("the model is in training mode, in which attributions are not defined")

    def place(self, tensor: Tensor) -> Tensor:
        """Return a tensor on the device; images in the memory layout that convolutions are fastest in."""
        images = tensor.dim() == 4 and not self.device.startswith("mps")
        return tensor.to(self.device).contiguous(
            memory_format=torch.channels_last if images else torch.contiguous_format
        )

    def logits(self, inputs: Batch) -> Tensor:
        """Return (N, K) logits of N examples, as the classifier takes them, on the CPU and without gradients."""

        def run(rows: np.ndarray) -> Tensor:
            part = slice(rows[0], rows[-1] + 1)  # a view; row numbers would copy
            logits: Tensor = self.model({name: self.place(tensor[part]) for name, tensor in inputs.items()})
            return logits.float().cpu()

        with torch.no_grad():
            parts = map_batches(run, len(next(iter(inputs.values()))), BATCH_SIZE)
            return torch.cat([logits for _, logits in parts])

    def margins(self, inputs: Batch, target: Tensor) -> Tensor:
        """Return (N,) by how much the logit of class ``target`` (N,) exceeds the largest other, float64.

        Unlike a probability it goes on falling when much of what speaks for the class is gone already, or is left.
        """
        logits = self.logits(inputs).double()
        others = logits.scatter(1, target[:, None], -torch.inf).amax(dim=1)
        return logits.gather(1, target[:, None]).squeeze(1) - others


class FromPixels(nn.Module):
    """The classifier as a function of images: (B, 3, H, W) -> (B, K)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network, self.model = network, network.model

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the logits."""
        output: Tensor = self.model({"pixels": self.network.place(pixels)}).float()
        return output


class FromEmbeddings(nn.Module):
    """The classifier as a function of the word embeddings of one text: (B, T, D) -> (B, K).

    The whole model runs on the text's tokens, and only what the embedding layer answers is replaced: positions and
    masks stay those of the text.
    """

    def __init__(self, network: Network, layer: nn.Module, inputs: Batch) -> None:
        """Take (1, T) inputs, without padding."""
        super().__init__()
        self.model, self.layer = network.model, layer
        self.inputs = {name: network.place(tensor) for name, tensor in inputs.items()}

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return the logits; raises ``Unavailable`` where the layer is not the one word embedding of the model."""
        with replace_output(self.layer, embeddings, "the embedding layer"):
            logits: Tensor = self.model(
                {name: tensor.expand(len(embeddings), -1) for name, tensor in self.inputs.items()}
            )
        return logits.float()


@contextmanager
def replace_output(layer: nn.Module, values: Tensor, name: str) -> Iterator[None]:
    """Have a layer answer with ``values`` (B, ...) for as long as a model runs once, whatever it computes.

    Raises:
        Unavailable: when its own answer is of another shape, or it is not asked exactly once; ``name`` is the layer's.
    """
    answers = 0

    def answer(_layer: nn.Module, _inputs: Any, output: Any) -> Tensor:
        nonlocal answers
        answers += 1
        if not isinstance(output, Tensor) or output.shape != values.shape:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise Unavailable(f"{name} gives {shape}, not {tuple(values.shape)}")
        return values.to(output.dtype)

    handle = layer.register_forward_hook(answer)
    try:
        yield
    finally:
        handle.remove()
    if answers != 1:
        raise Unavailable(f"the model asks {name} {answers} times, not once")


@contextmanager
def move_embeddings(layer: nn.Module, tokens: Tensor, noise: Tensor) -> Iterator[None]:
    """Have a layer of word embeddings answer with noise, the same for a token wherever it stands in whatever is run.

    Args:
        layer: gets tokens (B, T) and gives embeddings (B, T, D).
        tokens: (U,) those whose embeddings are moved, sorted and different; the rest stays where it is.
        noise: (U, D) what is added to each.

    Raises:
        Unavailable: when the layer is not asked, or not with tokens: nothing was moved then.
    """
    answers = 0

    def answer(_layer: nn.Module, inputs: Any, output: Any) -> Tensor:
        nonlocal answers
        answers += 1
        asked = inputs[0] if inputs else None
        if not isinstance(asked, Tensor) or not isinstance(output, Tensor) or asked.shape != output.shape[:-1]:
            raise Unavailable("the embedding layer gives no vector for each token")
        known = tokens.to(asked.device)
        places = torch.searchsorted(known, asked.contiguous()).clamp(max=len(known) - 1)
        moved = noise.to(output.device)[places] * (known[places] == asked)[..., None]
        return output + moved.to(output.dtype)

    handle = layer.register_forward_hook(answer)
    try:
        yield
    finally:
        handle.remove()
    if not answers:
        raise Unavailable("the model does not ask its embedding layer")


def explain_failure(method: str, error: Exception) -> str:
    """Return why a method gave nothing. The network is foreign code and may raise anything: other methods must stand.

    What an error says may name files or people: the terminal alone tells.

    Raises:
        ModelError: when memory ran out.
    """
    if isinstance(error, Unavailable):
        return str(error)
    raise_if_out_of_memory(error)
    log.warning("%s failed: %s: %s", method, type(error).__name__, error)
    return f"the method failed on this network ({type(error).__name__}); the terminal said more"


def batch_slices(count: int, size: int = BATCH_SIZE) -> Iterator[slice]:
    """Yield slices that cover ``count`` rows."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
