"""The weights of a folder as the hub lays it out, put into a model of transformers: with nothing made up for them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import safe_open

from rft.backbones.sources.snapshot import PICKLED, PretrainedFolder, read_json
from rft.backbones.sources.weights import find_wrapper_prefix, is_counter

WRAPPED = re.compile(r"((_orig_mod|module|model)\.)+")  # by torch.compile, DataParallel, trainers


@dataclass(frozen=True)
class FolderModel:
    """A model with the weights of a folder.

    Attributes:
        network: the model.
        missing: names of its tensors that the folder lacks; counters of batches, which begin at 0, are none of them.
        mismatched: name -> shape in the folder, where the model has another.
    """

    network: Any
    missing: list[str]
    mismatched: dict[str, tuple[int, ...]]


def load_model(kind: Any, source: PretrainedFolder, config: Any) -> FolderModel:
    """Load the weights of a folder, in float32; whatever transformers or safetensors raises is passed on.

    Args:
        kind: the class of the model, or one of transformers' auto classes.
        source: the folder.
        config: of the model; None for a GGUF file, which holds it.
    """
    options = {} if config is None else {"config": config, "key_mapping": _rename_patterns(kind, source, config)}
    network, report = kind.from_pretrained(
        **source.source,
        **options,
        dtype=torch.float32,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # so that they are reported
    )
    missing = sorted(name for name in report["missing_keys"] if not is_counter(name))
    return FolderModel(network, missing, {name: tuple(shape) for name, shape, *_ in report["mismatched_keys"]})


def _rename_patterns(kind: Any, source: PretrainedFolder, config: Any) -> dict[str, str] | None:
    """Return pattern -> replacement for names that a wrapper has put something in front of; None where there is none.

    ``model.`` is part of the names of many models: it is one too many where the model's names follow behind it.
    """
    names = tensor_names(source)
    compiled = any("_orig_mod." in name for name in names)
    if not compiled and not any(WRAPPED.match(name) for name in names):
        return None
    plain = [name.replace("_orig_mod.", "") for name in names]
    with torch.device("meta"):
        model = kind.from_config(config) if hasattr(kind, "from_config") else kind(config)
    before = find_wrapper_prefix(plain, set(model.state_dict()))[0]
    if not hasattr(model, base := model.base_model_prefix):  # a model without a head: transformers takes ``bert.`` away
        before = before.removesuffix(f"{base}.")
    renaming = {r"_orig_mod\.": ""} if compiled else {}
    if WRAPPED.fullmatch(before):
        renaming[f"^{re.escape(before)}"] = ""
    return renaming or None


def tensor_names(source: PretrainedFolder) -> list[str]:
    """Return the names of the tensors in a folder, read from headers and indices alone."""
    names: list[str] = []
    for index in source.path.glob("*.index.json"):
        weight_map = read_json(index, source.where).get("weight_map")
        names += weight_map if isinstance(weight_map, dict) else ()
    for file in source.path.glob("*.safetensors"):
        with safe_open(file, "pt") as content:
            names += content.keys()
    if not names:
        for file in source.path.glob(PICKLED):
            names += torch.load(file, "meta", weights_only=True)
    return sorted(set(names))
