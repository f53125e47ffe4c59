"""Backbones of torchvision, by the names of ``torchvision.models``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rft.data.images import Preprocessing
from rft.errors import ModelError
from rft.hub import reachable


def names() -> list[str]:
    """Return the classification models."""
    return _models().list_models(module=_models())


def architecture(name: str, *, pretrained: bool, offline: bool) -> nn.Module:
    """Build a model with its own classifier, randomly initialised or with torchvision's default weights."""
    model = _models().get_model(name, weights=None)
    if pretrained:
        model.load_state_dict(_default_weights(name, offline=offline))
    return model


def _default_weights(name: str, *, offline: bool) -> dict[str, Tensor]:
    weights = _models().get_model_weights(name).DEFAULT
    cached = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[-1]
    remedy = f"Put {cached.name} into {cached.parent}, or give a file."
    if offline and not cached.exists():
        raise ModelError(
            f"the weights of {name} are not in torchvision's cache, and --offline forbids a download",
            where="model.weights",
            remedy=remedy,
        )
    if not cached.exists() and not reachable(weights.url):  # torch itself would wait for as long as the system does
        raise ModelError(
            f"the weights of {name} could not be had without the network: they are not cached",
            where="model.weights",
            remedy=remedy,
        )
    try:
        # The hash stands in the file's name; weights_only keeps pickled code from running.
        return weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:  # no network; a hash that does not match
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"the weights of {name} could not be had: {reason}", where="model.weights", remedy=remedy
        ) from error


def remove_classifier(model: nn.Module) -> nn.Module:
    """Replace the last linear layer by nothing, so that the model gives what that layer received."""
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ModelError("ends without a linear classifier and cannot be given a new head", where="model.backbone")
    path, _, attribute = linear[-1].rpartition(".")
    setattr(model.get_submodule(path), attribute, nn.Identity())
    return model


def preprocessing(name: str, model: nn.Module, *, pretrained: bool) -> Preprocessing:
    """Return the preprocessing of the default weights, or of the first published ones for weights of one's own."""
    weights = _models().get_model_weights(name)
    chosen = weights.DEFAULT if pretrained else next(iter(weights))
    transform = chosen.transforms()
    return Preprocessing(
        resize=transform.resize_size[0],
        crop=transform.crop_size[0],
        interpolation=transform.interpolation.value,
        mean=tuple(transform.mean),
        std=tuple(transform.std),
    )


def _models() -> Any:
    from torchvision import models  # two seconds to import, which a run on texts can do without

    return models
