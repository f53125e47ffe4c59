"""Whether published weights of torchvision can be had, told without importing torchvision or torch."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from rft.backbones.sources.hub import is_reachable
from rft.errors import ModelError

HOST = "https://download.pytorch.org"


def require_weights(name: str, *, offline: bool) -> None:
    """Look for a file that begins as the model is called; raise ``ModelError`` where there is none, nor a network.

    Which file it is exactly, torchvision will tell.
    """
    cache = torch_home() / "hub" / "checkpoints"
    if any(may_be_weights_of(file.name, name) for file in cache.glob("*.pth")) or not _is_torchvision_model(name):
        return
    if offline or not is_reachable(HOST):
        raise ModelError(
            f"the weights of {name} could not be had without the network: they are not in torchvision's cache",
            where="model.weights",
            remedy=f"Put {name}-<hash>.pth, as torchvision names it, into {cache}, or give a file.",
        )


def may_be_weights_of(file: str, name: str) -> bool:
    """Tell whether a file of weights can be a model's: ``shufflenetv2_x1-<hash>.pth`` is ``shufflenet_v2_x1_0``'s."""
    letters_of_file, letters_of_name = (re.sub(r"[\W_]", "", text) for text in (file, name))
    return letters_of_file.startswith(letters_of_name.rstrip("0"))


def torch_home() -> Path:
    """Return the folder that ``torch.hub`` keeps its downloads in."""
    usual = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "torch"
    return Path(os.environ.get("TORCH_HOME", usual)).expanduser()


def _is_torchvision_model(name: str) -> bool:
    """Tell whether torchvision defines a model of this name; a wrong one is told with near names, later."""
    package = find_spec("torchvision")
    folders = list(package.submodule_search_locations or ()) if package else []
    files = (file for folder in folders for file in (Path(folder) / "models").glob("*.py"))
    return any(f"def {name}(" in file.read_text(encoding="utf-8") for file in files)


def find_default_weights(name: str) -> Path | None:
    """Return the file that ``weights = "pretrained"`` takes of a model, where it is in torchvision's cache."""
    from torchvision.models import get_model_weights

    address: str = get_model_weights(name).DEFAULT.url
    file = torch_home() / "hub" / "checkpoints" / PurePosixPath(urlsplit(address).path).name
    return file if file.is_file() else None
