"""Backbones of timm, by the names of ``timm.create_model``."""

from __future__ import annotations

import os
from typing import Any

from torch import nn

from rft.data.images import Preprocessing
from rft.errors import ModelError


def names() -> list[str]:
    """Return the names that timm knows."""
    return _timm().list_models()


def architecture(name: str, *, pretrained: bool, offline: bool) -> nn.Module:
    """Build a model with its own classifier, randomly initialised or with timm's weights from the hub's cache."""
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"  # read by huggingface_hub when timm first imports it
    timm = _timm()
    if not pretrained:
        return timm.create_model(name, pretrained=False)
    try:
        return timm.create_model(name, pretrained=True)
    except Exception as error:  # timm passes on whatever the hub's client, its cache or the network raises
        raise ModelError(
            f"the weights of {name} could not be had: {str(error).splitlines()[0] if str(error) else type(error)}",
            where="model.weights",
            remedy="Without the network, put them into the Hugging Face cache or give a .safetensors file.",
        ) from error


def remove_classifier(model: nn.Module) -> nn.Module:
    """Let the model give its pooled features."""
    model.reset_classifier(0)  # type: ignore[operator]
    return model


def preprocessing(name: str, model: nn.Module, *, pretrained: bool) -> Preprocessing:
    """Return the preprocessing that stands in timm's own config of the model."""
    from timm.data import resolve_model_data_config

    config = resolve_model_data_config(model)
    side = config["input_size"][-1]
    return Preprocessing(
        resize=int(side / config["crop_pct"]),
        crop=side,
        interpolation=config["interpolation"] if config["interpolation"] in ("bilinear", "bicubic") else "bicubic",
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )


def _timm() -> Any:
    try:
        import timm
    except ImportError:
        raise ModelError(
            "needs timm, which is not installed", where="model.backbone", remedy='pip install "rft[timm]"'
        ) from None
    return timm
