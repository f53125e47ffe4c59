"""Whether the weights that a config names are on this machine or can be had, told before torch is imported.

Importing torch and the libraries of backbones takes seconds, and many on a busy machine: an answer that the caches and
the network already give is not made to wait for it. What passes here is looked at closely when it is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from rft.backbones.sources.hub import (
    HUB_NAME,
    list_cached_models,
    require_model,
    snapshot_folder,
    split_revision,
)
from rft.backbones.sources.published.early_checks import EARLY_CHECKS
from rft.backbones.sources.published.torchvision_cache import find_default_weights
from rft.backbones.sources.weights_place import locate_weights, names_file
from rft.config.loader import LoadedConfig
from rft.config.schema import ModelConfig
from rft.errors import ConfigError
from rft.pipeline.plan import AuditPlan, read_plan
from rft.runtime.remote.files import list_names, require_library


def plan_audit(path: str | Path, overrides: Sequence[str] = (), *, offline: bool = False) -> AuditPlan:
    """Read a config and look for the weights that it names.

    Args:
        path: the config file.
        overrides: ``table.key=value`` strings that replace values of the config.
        offline: downloads are forbidden.

    Raises:
        ConfigError: for what is wrong with the config.
        ModelError: the weights cannot be had; it names the folder to put them into.
        RemoteError: the store of features cannot be reached.
    """
    plan = read_plan(path, overrides)
    require_stores(plan.settings, offline=offline)
    if plan.settings.core.model is not None:  # predictions alone need no weights
        require_weights(plan.settings.core.model, plan.settings.folder, offline=offline)
    return plan


def require_stores(settings: LoadedConfig, *, offline: bool) -> None:
    """Look for the libraries that read the URLs of a config, and for the store of features that it names.

    Raises:
        ConfigError: a library is not installed, or the network is forbidden.
        RemoteError: the store of features cannot be reached, or refuses.
    """
    for key, url in settings.list_urls().items():
        require_library(url, key)
        if offline and not url.is_local:
            raise ConfigError(f"{url} is not on this machine, and --offline forbids the network", where=key)
    if (store := settings.core.features.store_url) is not None:
        list_names(store)


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
    if model.backbone is not None and names_file(model.weights):
        locate_weights(model.weights, folder)
    elif model.weights != "random" and (check := EARLY_CHECKS.get(library)) is not None:
        check(name, model.weights, offline=offline)
    return None


def _require_hub_model(name: str, folder: Path, *, offline: bool, where: str) -> None:
    local = name.startswith("package:") or (folder / name).is_dir() or not HUB_NAME.fullmatch(name)
    if not local and find_spec("transformers") and find_spec("huggingface_hub"):
        require_model(name, offline=offline, where=where)


def describe_weights(model: ModelConfig, folder: Path) -> str:
    """Return where the weights that ``[model]`` names are, or that the first run downloads them.

    Args:
        model: the ``[model]`` table, which ``require_weights`` let pass.
        folder: what its paths are relative to.
    """
    if model.factory is not None:
        return f"those that {model.factory} builds its model with"
    library, _, name = (model.backbone or "").partition("/")
    if model.weights == "random":
        return "random, so that nothing was learnt before"
    if model.weights != "pretrained":
        return str(locate_weights(model.weights, folder)) if library != "transformers" else model.weights
    if model.checkpoint is not None or library == "transformers":
        return _describe_hub_model(model.checkpoint or name, folder)
    place = FINDERS[library](name) if library in FINDERS else None
    return str(place) if place is not None else "not found in its cache: the first run downloads them"


def _describe_hub_model(name: str, folder: Path) -> str:
    if name.startswith("package:") or (folder / name).is_dir():
        return name
    snapshot = snapshot_folder(name) if find_spec("huggingface_hub") else None
    return str(snapshot) if snapshot is not None else "not in the cache of the hub: the first run downloads them"


def _find_timm_weights(name: str) -> Path | None:
    """Return the folder of the hub's cache that a model of timm has, under its own name or with a tag."""
    if not find_spec("huggingface_hub"):
        return None
    bare = split_revision(name)[0]
    cached = [model for model in list_cached_models() if model == f"timm/{bare}" or model.startswith(f"timm/{bare}.")]
    return snapshot_folder(cached[0]) if cached else None


# By the name of the library: where pretrained weights of a model are kept, None where they are not found.
FINDERS: dict[str, Callable[[str], Path | None]] = {
    "torchvision": find_default_weights,
    "timm": _find_timm_weights,
}
