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

from rft.backbones.sources.hub import HUB_NAME, is_reachable, require_model
from rft.backbones.sources.hub import require_weights as require_timm_weights
from rft.config.schema import ModelConfig
from rft.errors import ModelError
from rft.pipeline.plan import AuditPlan, read_plan

TORCHVISION = "https://download.pytorch.org"


def plan_audit(path: str | Path, overrides: Sequence[str] = (), *, offline: bool = False) -> AuditPlan:
    """Read a config and look for the weights that it names.

    Args:
        path: the config file.
        overrides: ``table.key=value`` strings that replace values of the config.
        offline: downloads are forbidden.

    Raises:
        ConfigError: for what is wrong with the config.
        ModelError: the weights cannot be had; it names the folder to put them into.
    """
    plan = read_plan(path, overrides)
    if plan.settings.core.model is not None:  # predictions alone need no weights
        require_weights(plan.settings.core.model, plan.settings.folder, offline=offline)
    return plan


def require_weights(model: ModelConfig, folder: Path, *, offline: bool) -> None:
    """Look for the weights that ``[model]`` names; raises ``ModelError`` when it is certain that they cannot be had.

    Args:
        model: the ``[model]`` table.
        folder: what its paths are relative to.
        offline: downloads are forbidden.
    """
    if model.checkpoint is not None:
        return _require_hub_model(model.checkpoint, folder, offline=offline, where="model.checkpoint")
    library, _, name = (model.backbone or "").partition("/")
    if library == "transformers":
        return _require_hub_model(name, folder, offline=offline, where="model.backbone")
    if model.weights != "pretrained":
        return None
    if library == "timm" and find_spec("timm") and find_spec("huggingface_hub"):
        return require_timm_weights(name, offline=offline)
    return _require_torchvision_weights(name, offline=offline) if library == "torchvision" else None


def _require_hub_model(name: str, folder: Path, *, offline: bool, where: str) -> None:
    local = name.startswith("package:") or (folder / name).is_dir() or not HUB_NAME.fullmatch(name)
    if not local and find_spec("transformers") and find_spec("huggingface_hub"):
        require_model(name, offline=offline, where=where)


def _require_torchvision_weights(name: str, *, offline: bool) -> None:
    """Look for a file that begins as the model is called; which one it is exactly, torchvision will tell."""
    cache = _torch_home() / "hub" / "checkpoints"
    if any(may_be_weights_of(file.name, name) for file in cache.glob("*.pth")) or not _is_torchvision_model(name):
        return
    if offline or not is_reachable(TORCHVISION):
        raise ModelError(
            f"the weights of {name} could not be had without the network: they are not in torchvision's cache",
            where="model.weights",
            remedy=f"Put {name}-<hash>.pth, as torchvision names it, into {cache}, or give a file.",
        )


def may_be_weights_of(file: str, name: str) -> bool:
    """Tell whether a file of weights can be a model's: ``shufflenetv2_x1-<hash>.pth`` is ``shufflenet_v2_x1_0``'s."""
    letters_of_file, letters_of_name = (re.sub(r"[\W_]", "", text) for text in (file, name))
    return letters_of_file.startswith(letters_of_name.rstrip("0"))


def _torch_home() -> Path:
    """Return the folder that ``torch.hub`` keeps its downloads in."""
    usual = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "torch"
    return Path(os.environ.get("TORCH_HOME", usual)).expanduser()


def _is_torchvision_model(name: str) -> bool:
    """Tell whether torchvision defines a model of this name; a wrong one is told with near names, later."""
    package = find_spec("torchvision")
    folders = list(package.submodule_search_locations or ()) if package else []
    files = (file for folder in folders for file in (Path(folder) / "models").glob("*.py"))
    return any(f"def {name}(" in file.read_text(encoding="utf-8") for file in files)
