"""Whether the weights that a config names are on this machine or can be had, told before torch is imported.

Importing torch and the libraries of backbones takes seconds, and many on a busy machine: an answer that the caches and
the network already give is not made to wait for it. What passes here is looked at closely when it is loaded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from rft.backbones.sources.hub import HUB_NAME, reachable, require_model, require_weights
from rft.config import loader
from rft.config.schema import ModelConfig
from rft.errors import ModelError
from rft.plugins import discover

TORCHVISION = "https://download.pytorch.org"


def require(path: str | Path, overrides: Sequence[str] = (), *, offline: bool = False) -> None:
    """Read a config and look for the weights that it names.

    Args:
        path: the config file.
        overrides: ``table.key=value`` strings that replace values of the config.
        offline: downloads are forbidden.

    Raises:
        ConfigError: for what is wrong with the config.
        ModelError: the weights cannot be had; it names the folder to put them into.
    """
    options = {name: each.plugin.options for name, each in discover().items()}
    settings = loader.load(Path(path), list(overrides), options)
    if settings.core.model is not None:  # predictions alone need no weights
        _require(settings.core.model, settings.folder, offline=offline)


def _require(settings: ModelConfig, folder: Path, *, offline: bool) -> None:
    if settings.checkpoint is not None:
        return _of_hub(settings.checkpoint, folder, offline=offline, where="model.checkpoint")
    library, _, name = (settings.backbone or "").partition("/")
    if library == "transformers":
        return _of_hub(name, folder, offline=offline, where="model.backbone")
    if settings.weights != "pretrained":
        return None
    if library == "timm" and find_spec("timm") and find_spec("huggingface_hub"):
        return require_weights(name, offline=offline)
    return _of_torchvision(name, offline=offline) if library == "torchvision" else None


def _of_hub(name: str, folder: Path, *, offline: bool, where: str) -> None:
    local = name.startswith("package:") or (folder / name).is_dir() or not HUB_NAME.fullmatch(name)
    if not local and find_spec("transformers") and find_spec("huggingface_hub"):
        require_model(name, offline=offline, where=where)


def _of_torchvision(name: str, *, offline: bool) -> None:
    """Look for a file that begins as the model is called; which one it is exactly, torchvision will tell."""
    cache = _torch_home() / "hub" / "checkpoints"
    if any(may_belong(file.name, name) for file in cache.glob("*.pth")) or not _is_of_torchvision(name):
        return
    if offline or not reachable(TORCHVISION):
        raise ModelError(
            f"the weights of {name} could not be had without the network: they are not in torchvision's cache",
            where="model.weights",
            remedy=f"Put {name}-<hash>.pth, as torchvision names it, into {cache}, or give a file.",
        )


def may_belong(file: str, name: str) -> bool:
    """Tell whether a file of weights can be a model's: ``shufflenetv2_x1-<hash>.pth`` is ``shufflenet_v2_x1_0``'s."""
    plain, begin = (re.sub(r"[\W_]", "", each) for each in (file, name))
    return plain.startswith(begin.rstrip("0"))


def _torch_home() -> Path:
    """Return the folder that ``torch.hub`` keeps its downloads in."""
    usual = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "torch"
    return Path(os.environ.get("TORCH_HOME", usual)).expanduser()


def _is_of_torchvision(name: str) -> bool:
    """Tell whether torchvision defines a model of this name; a wrong one is told with near names, later."""
    found = find_spec("torchvision")
    places = list(found.submodule_search_locations or ()) if found else []
    files = (file for place in places for file in (Path(place) / "models").glob("*.py"))
    return any(f"def {name}(" in file.read_text(encoding="utf-8") for file in files)
