"""Which methods make the maps of a network: those that the config names, or those that suit what was measured of it.

A head that is linear in the mean of the last map has class activation maps in closed form; another network with such a
map has GradCAM; one without has patch ablation. Integrated gradients, which cost about a hundred times as much as a
closed form, are a second opinion on a few images, where they converge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from rft.plugins.attribution import METHODS_OF, SECOND_OPINION_STEPS, SECOND_OPINIONS, AttributionOptions, Method
from rft.plugins.attribution.images.class_activation import ClassActivation
from rft.plugins.attribution.images.explained import Explained
from rft.plugins.attribution.images.map_layer import MapLayer, find_map_layer
from rft.plugins.attribution.images.methods import (
    GradCam,
    IntegratedGradients,
    MapMethod,
    Maps,
    PatchAblation,
    explain_images,
)
from rft.plugins.attribution.modality_words import METHOD_NAMES, explain_unsuited
from rft.plugins.attribution.network import Network, explain_failure

EXCHANGED = 4  # images, and as many baselines, on which the layer and the head are checked
BY_FAMILY: tuple[Method, ...] = ("class_activation", "gradcam", "patch_ablation")  # the first that suits


@dataclass(frozen=True)
class Attributed:
    """The maps of some images, and what made them.

    Attributes:
        method: made the maps.
        places: (M,) of these images among all that are explained.
        explained: these M images.
        maps: of them.
    """

    method: MapMethod
    places: np.ndarray
    explained: Explained
    maps: Maps


class _Attempts:
    """What was tried on one network, and what came of it."""

    def __init__(self, network: Network, explained: Explained, path: IntegratedGradients) -> None:
        self.network, self.explained, self.path = network, explained, path
        first = explained.read_batch(slice(0, EXCHANGED))
        self.probe = torch.cat([first.pixels, first.baselines])
        self.attributed: list[Attributed] = []
        self.reasons: dict[str, str] = {}
        self._layer: MapLayer | None = None

    def attempt(self, name: Method, places: np.ndarray) -> bool:
        """Make a method's maps of some images; return whether it gave some, and keep the reason where it did not."""
        try:
            method, explained = self._builders[name](), self.explained.take(places)
            maps = explain_images(method, self.network, explained)
        except Exception as error:
            self.reasons[name] = explain_failure(METHOD_NAMES[name], error)
            return False
        self.attributed.append(Attributed(method, places, explained, maps))
        return True

    @property
    def _builders(self) -> dict[str, Callable[[], MapMethod]]:
        return {
            "class_activation": lambda: ClassActivation.fit(self.network, self._find_layer(), self.probe),
            "gradcam": lambda: GradCam(self._find_layer()),
            "integrated_gradients": lambda: self.path,
            "patch_ablation": PatchAblation,
        }

    def _find_layer(self) -> MapLayer:
        self._layer = self._layer or find_map_layer(self.network, self.probe)
        return self._layer


def attribute_images(
    network: Network, explained: Explained, options: AttributionOptions, rng: np.random.Generator
) -> tuple[list[Attributed], dict[str, str]]:
    """Return the maps of each method that gives some, and the reasons of those that were tried and do not.

    Args:
        network: the classifier.
        explained: the images. Methods that the config names explain all of them.
        options: of the config.
        rng: source of the images that get a second opinion.
    """
    left_open = options.methods is None and "max_steps" not in options.model_fields_set
    max_steps = SECOND_OPINION_STEPS if left_open else options.max_steps
    path = IntegratedGradients(max_steps, must_converge=options.methods is None)
    attempts, everywhere = _Attempts(network, explained, path), np.arange(len(explained))
    if options.methods is not None:
        for name in options.methods:
            if name in METHODS_OF["image"]:
                attempts.attempt(name, everywhere)
            else:
                attempts.reasons[name] = explain_unsuited(name, "images")
        return attempts.attributed, attempts.reasons
    for name in BY_FAMILY:
        if attempts.attempt(name, everywhere):
            break
    few = np.sort(rng.choice(everywhere, size=min(SECOND_OPINIONS, len(explained)), replace=False))
    attempts.attempt("integrated_gradients", few)
    return attempts.attributed, attempts.reasons
