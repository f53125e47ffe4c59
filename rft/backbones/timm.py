"""Backbones of timm, by the names of ``timm.create_model``."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from torch import nn

from rft.data.images import Preprocessing
from rft.errors import ModelError
from rft.hub import hub
from rft.hub import require_weights as hub_weights


def names() -> list[str]:
    """Return the names that timm knows."""
    return _timm().list_models()


def require_weights(name: str, *, offline: bool) -> None:
    """Raise ``ModelError`` when no weights can be had, before timm is imported, which takes seconds."""
    if find_spec("huggingface_hub"):
        hub_weights(name, offline=offline)


def architecture(name: str, *, pretrained: bool, offline: bool) -> nn.Module:
    """Build a model with its own classifier, randomly initialised or with timm's weights from the hub's cache."""
    timm = _timm()
    if not pretrained:
        return timm.create_model(name, pretrained=False)
    from huggingface_hub import constants

    with hub(offline) as reached:
        try:
            return timm.create_model(name, pretrained=True)
        except Exception as error:  # timm passes on whatever the hub's client, its cache or the network raises
            reason = str(error).splitlines()[0] if reached and str(error) else "they are not cached"
            raise ModelError(
                f"the weights of {name} could not be had{'' if reached else ' without the network'}: {reason}",
                where="model.weights",
                remedy=f"Put them into {constants.HF_HUB_CACHE}, as the hub's client lays them out, or give a file.",
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
