"""Backbones of timm, by the names of ``timm.create_model``."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from torch import nn

from rft.data.images import Preprocessing
from rft.errors import ModelError

CONNECT_SECONDS = 3


def names() -> list[str]:
    """Return the names that timm knows."""
    return _timm().list_models()


def architecture(name: str, *, pretrained: bool, offline: bool) -> nn.Module:
    """Build a model with its own classifier, randomly initialised or with timm's weights from the hub's cache."""
    timm = _timm()
    if not pretrained:
        return timm.create_model(name, pretrained=False)
    from huggingface_hub import constants

    with _hub(offline) as reached:
        try:
            return timm.create_model(name, pretrained=True)
        except Exception as error:  # timm passes on whatever the hub's client, its cache or the network raises
            reason = str(error).splitlines()[0] if reached and str(error) else "they are not cached"
            raise ModelError(
                f"the weights of {name} could not be had{'' if reached else ' without the network'}: {reason}",
                where="model.weights",
                remedy=f"Put them into {constants.HF_HUB_CACHE}, as the hub's client lays them out, or give a file.",
            ) from error


@contextmanager
def _hub(offline: bool) -> Iterator[bool]:
    """Keep the hub's client quiet, and off the network when asked or when there is none; yield whether it may be used.

    Left to itself, the client tries for a minute and a half before it says that it cannot reach the hub.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or offline or not _reachable(constants.ENDPOINT)
    try:
        yield not constants.HF_HUB_OFFLINE
    finally:
        constants.HF_HUB_OFFLINE = before


def _reachable(endpoint: str) -> bool:
    if getproxies():
        return True  # only the proxy knows
    place = urlsplit(endpoint)
    try:
        socket.create_connection((place.hostname or "", place.port or 443), timeout=CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


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
