"""The layer that maps are read at: the last map of the image that all of the prediction goes through.

Which layer that is cannot be told by its place. A mask, or one of two branches, may run last, and a map of it does not
show what the model decides by. So it is checked: an image that is given the output of the layer for another image must
get the logits of that other image. Where it does not, something goes past the layer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rft.errors import Unavailable
from rft.plugins.attribution.network import Network, replace_output

EXCHANGE_TOLERANCE = 1e-4  # of the largest logit: how far exchanged logits may be off
MIN_CONTRAST = 1e-3  # of the largest logit: images that differ by less could not show that a layer is passed by


@dataclass(frozen=True)
class MapLayer:
    """A layer with one map an image.

    Attributes:
        name: of the module in the classifier.
        channels_last: whether its output is (B, h, w, C) and not (B, C, h, w).
    """

    name: str
    channels_last: bool

    def channels_first(self, output: Tensor) -> Tensor:
        """Return the layer's (B, ...) output as (B, C, h, w)."""
        return output.permute(0, 3, 1, 2) if self.channels_last else output

    def as_the_layer(self, maps: Tensor) -> Tensor:
        """Return (B, C, h, w) maps as the layer gives them."""
        return maps.permute(0, 2, 3, 1) if self.channels_last else maps


class _Entry(nn.Module):
    """Where maps enter: a copy, since a network may overwrite what it is given."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return the (B, C, h, w) maps."""
        return maps.clone()


class FromMap(nn.Module):
    """The classifier as a function of the map at a layer: (B, C, h, w) -> (B, K).

    The whole model runs on the images, and what the layer answers is replaced. ``entry`` is the module to explain at.
    """

    def __init__(self, network: Network, layer: MapLayer, pixels: Tensor) -> None:
        """Take (B, 3, H, W) images."""
        super().__init__()
        self.model, self.layer, self.pixels = network.model, layer, network.place(pixels)
        self.entry = _Entry()

    def forward(self, maps: Tensor) -> Tensor:
        """Return the logits."""
        values = self.layer.as_the_layer(self.entry(maps))
        with replace_output(self.model.get_submodule(self.layer.name), values, self.layer.name):
            output: Tensor = self.model({"pixels": self.pixels}).float()
        return output

    def read_maps(self) -> Tensor:
        """Return the (B, C, h, w) maps of the images, without gradients."""
        return self.read_maps_and_logits()[0]

    def read_maps_and_logits(self) -> tuple[Tensor, Tensor]:
        """Return the (B, C, h, w) maps of the images and their (B, K) logits, without gradients."""
        outputs: list[Tensor] = []
        layer = self.model.get_submodule(self.layer.name)
        handle = layer.register_forward_hook(lambda _layer, _inputs, output: outputs.append(output.clone()))
        try:
            with torch.no_grad():
                logits = self.model({"pixels": self.pixels}).float()
        finally:
            handle.remove()
        return self.layer.channels_first(outputs[-1]), logits


def find_map_layer(network: Network, pixels: Tensor) -> MapLayer:
    """Return the last layer through whose map all of the prediction goes.

    Of the maps as fine as the last one, the latest that passes the exchange is taken. Earlier, finer maps are not: they
    hold edges and colours and no objects.

    Args:
        network: the classifier.
        pixels: (N, 3, H, W) images, at least two.

    Raises:
        Unavailable: when there is no map, or none that all of the prediction goes through.
    """
    with torch.no_grad():
        candidates = _list_map_layers(network, pixels[:1])
        if not candidates:
            raise Unavailable("this backbone has no spatial map")
        logits = network.model({"pixels": network.place(pixels)}).float()
        largest = logits.abs().max()
        if not (logits - logits.flip(0)).abs().max() > MIN_CONTRAST * largest:
            raise Unavailable("the images have nearly the same logits, so no layer can be shown to decide")
        for layer in reversed(candidates):
            function = FromMap(network, layer, pixels)
            exchanged = function(function.read_maps().flip(0))
            if (exchanged - logits.flip(0)).abs().max() <= EXCHANGE_TOLERANCE * largest:
                return layer
    raise Unavailable(
        f"the prediction does not go through one map: at {candidates[-1].name}, and the {len(candidates) - 1} layers "
        "before it with maps as fine, an image that is given the map of another does not get its logits"
    )


def _list_map_layers(network: Network, pixels: Tensor) -> list[MapLayer]:
    """Return the layers with a map as fine as the last one, in the order in which they finish.

    A layer that runs more than once has no one map. Before a sequence of tokens there is no map of what decides.
    """
    calls: list[tuple[str, torch.Size]] = []

    def note_output(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            calls.append((name, output.shape if isinstance(output, Tensor) else torch.Size()))

        return hook

    handles = [
        module.register_forward_hook(note_output(name)) for name, module in network.model.named_modules() if name
    ]
    try:
        network.model({"pixels": network.place(pixels)})
    finally:
        for handle in handles:
            handle.remove()
    times = Counter(name for name, _ in calls)
    after_tokens = max((index + 1 for index, (_, shape) in enumerate(calls) if len(shape) == 3), default=0)
    layers = [
        (MapLayer(name, layouts[0][0]), layouts[0][1])
        for name, shape in calls[after_tokens:]
        if times[name] == 1 and len(layouts := _read_layouts(shape, pixels.shape)) == 1
    ]
    return [layer for layer, side in layers if side == layers[-1][1]]


def _read_layouts(shape: Sequence[int], pixels: Sequence[int]) -> list[tuple[bool, tuple[int, int]]]:
    """Return whether the channels come last, and height and width, for each way to read a shape as maps of images."""
    if len(shape) != 4 or shape[0] != pixels[0]:
        return []
    layouts = [(False, (shape[2], shape[3])), (True, (shape[1], shape[2]))]
    return [layout for layout in layouts if _has_proportions(layout[1], pixels[2:])]


def _has_proportions(side: tuple[int, int], pixels: Sequence[int]) -> bool:
    (height, width), (full_height, full_width) = side, pixels
    expected_width = height * full_width / full_height
    return 1 < height <= full_height and 1 < width <= full_width and abs(width - expected_width) <= 1
