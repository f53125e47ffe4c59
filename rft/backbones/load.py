"""Load a backbone by name and weights and give it a new head."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from rft.backbones import timm, torchvision, weights
from rft.backbones.classifier import Classifier, Prefix, hash_tensors, new_head
from rft.config import ModelConfig
from rft.data.images import Preprocessing
from rft.errors import ModelError, near

LIBRARIES: dict[str, ModuleType] = {"torchvision": torchvision, "timm": timm}


@dataclass(frozen=True)
class LoadedBackbone:
    """A frozen backbone, cut before its own classifier.

    Attributes:
        prefix: pixels in, features out.
        dimension: D, the number of features.
        preprocessing: how pictures are prepared for it.
        weights_sha256: of the weights file, or of the tensors where there is no file.
    """

    prefix: Prefix
    dimension: int
    preprocessing: Preprocessing
    weights_sha256: str

    def classifier(self, classes: int, row_norm: bool, seed: int) -> Classifier:
        """Join the backbone with a new head for this number of classes."""
        return Classifier(self.prefix, new_head(self.dimension, classes, row_norm, seed), self.preprocessing.crop)


def load(config: ModelConfig, folder: Path, *, seed: int, offline: bool) -> LoadedBackbone:
    """Build the backbone that ``[model]`` names and load its weights.

    Args:
        config: the ``[model]`` table.
        folder: what a path to weights is relative to.
        seed: initialises ``weights = "random"``.
        offline: forbid downloads.

    Raises:
        ModelError: for an unknown name, weights that do not fit, or weights that are more than tensors.
    """
    pretrained = config.weights == "pretrained"
    library, name = _find(config.backbone)
    file = None if config.weights in ("pretrained", "random") else weights.read(config.weights, folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        full = library.architecture(name, pretrained=pretrained, offline=offline)
    preparation = _sized(library.preprocessing(name, full, pretrained=pretrained), config.image_size)
    sha256 = file.sha256 if file else hash_tensors(full.state_dict())
    own = dict(full.state_dict())
    backbone = library.remove_classifier(full)
    if file:
        wanted = set(backbone.state_dict()) & set(own)
        backbone.load_state_dict(weights.fit(file, own, wanted))
    return _probe(backbone, preparation, sha256, config.backbone)


def architecture(name: str, preprocessing: dict[str, Any], classes: int, row_norm: bool) -> Classifier:
    """Rebuild the classifier of a saved model, to load its tensors into; ``preprocessing`` as ``asdict`` gives it."""
    library, short = _find(name)
    backbone = library.remove_classifier(library.architecture(short, pretrained=False, offline=True))
    return _probe(backbone, Preprocessing(**preprocessing), "", name).classifier(classes, row_norm, 0)


def _probe(backbone: nn.Module, preparation: Preprocessing, sha256: str, name: str) -> LoadedBackbone:
    """Measure the number of features on a grey image; refuse a backbone that does not give a vector."""
    prefix = Prefix(backbone, preparation.mean, preparation.std)
    side = preparation.crop
    try:
        with torch.no_grad():
            features = prefix(torch.full((2, 3, side, side), 0.5))["features"]
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f"does not take pictures of {side} x {side} px: {str(error).splitlines()[0]}",
            where=name,
            remedy="Leave out model.image_size to use its own size.",
        ) from None
    return LoadedBackbone(prefix, features.shape[1], preparation, sha256)


def _find(backbone: str) -> tuple[ModuleType, str]:
    library, slash, name = backbone.partition("/")
    if not slash or library not in LIBRARIES:
        raise ModelError(
            f"{backbone!r} is no backbone; expected library/name with one of {', '.join(LIBRARIES)}",
            where="model.backbone",
            remedy=near(backbone, [f"{key}/{each}" for key in LIBRARIES for each in _names_if_installed(key)]),
        )
    known = LIBRARIES[library].names()
    if name.split(".")[0] not in known:
        raise ModelError(f"{library} has no model {name!r}", where="model.backbone", remedy=near(name, known))
    return LIBRARIES[library], name


def _names_if_installed(library: str) -> list[str]:
    try:
        return LIBRARIES[library].names()
    except ModelError:
        return []


def _sized(preparation: Preprocessing, side: int | None) -> Preprocessing:
    """Scale the preprocessing to another input size, keeping the share of the picture that is seen."""
    if side is None:
        return preparation
    return replace(preparation, crop=side, resize=round(preparation.resize * side / preparation.crop))


def preprocessing_facts(preparation: Preprocessing) -> dict[str, Any]:
    """Return the preprocessing as it stands in ``audit.json`` and ``model.json``."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(preparation).items()}
