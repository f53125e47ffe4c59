"""A backbone with a new head, cut into the frozen part, run once, and the part that is trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rft.backbones.classifier import Classifier, hash_tensors
from rft.backbones.load import LoadedBackbone
from rft.backbones.load import load_backbone as load_backbone
from rft.backbones.partition.cut import Cut, cut_classifier, modules_behind
from rft.backbones.partition.lora import add_adapters
from rft.backbones.partition.quantization import round_frozen_part
from rft.backbones.partition.replay import Prefix
from rft.config.loader import LoadedConfig
from rft.config.stored import stored_backbone
from rft.data import Inputs
from rft.data.text import TextPreprocessing
from rft.features import Features
from rft.features.batch_independence import BatchDependence, measure_batch_dependence
from rft.features.extract import choose_precision
from rft.features.pipeline import split_features
from rft.records import Backbone, Split
from rft.runtime.ranks.group import RankGroup


@dataclass(frozen=True)
class PartitionedBackbone:
    """A backbone as it was loaded and cut, and where and how it computes.

    Attributes:
        settings: the config.
        backbone: as loaded; with int8 its weights have been rounded.
        cut: where it is cut, and what is trained.
        prefix: the frozen part as it is run; None where nothing is frozen.
        rounded_layers: how many layers of the frozen part are in 8 bits; None without int8.
        frozen_sha256: hash of what training must leave as it is, taken before it.
        device: torch device name.
        precision: what the frozen part computes in.
    """

    settings: LoadedConfig
    backbone: LoadedBackbone
    cut: Cut
    prefix: Prefix | None
    rounded_layers: int | None
    frozen_sha256: str
    device: str
    precision: str

    @property
    def max_tokens(self) -> int | None:
        """How many tokens texts are cut to; None for what is no text."""
        preprocessing = self.backbone.preprocessing
        return preprocessing.max_length if isinstance(preprocessing, TextPreprocessing) else None

    def measure_batch_dependence(self) -> BatchDependence | None:
        """Return what batch_dependence does to the features; None where nothing is frozen."""
        if self.prefix is None:
            return None
        return measure_batch_dependence(
            self.prefix, self.backbone.example, tokens=self.max_tokens, device=self.device, precision=self.precision
        )

    def extract_features(
        self,
        inputs: Inputs,
        splits: Mapping[str, Split],
        *,
        alone: bool,
        ranks: RankGroup | None = None,
        for_all: bool = False,
    ) -> Mapping[str, Features]:
        """Return split -> outputs of the frozen part, or the inputs where nothing is frozen.

        Args:
            inputs: reads the items of ``splits``.
            splits: what the frozen part is run over.
            alone: run each example by itself.
            ranks: the processes that share this; the first gets what comes out.
            for_all: whether the others get it as well, or nothing.
        """
        return split_features(
            self.settings.core,
            self.backbone,
            self.prefix,
            self.cut.freeze,
            inputs,
            splits,
            self.device,
            self.precision,
            alone=alone,
            ranks=ranks,
            for_all=for_all,
        )

    def hash_frozen_part(self) -> str:
        """Hash what training must leave as it is, as it is now, in the prefix that ran where that has it."""
        frozen = self.cut.frozen_tensors()
        # A prefix in 8 bits has other tensors than the model; what it was made from is in the model still.
        if self.prefix is not None and self.precision != "int8":
            frozen |= {name: tensor for name, tensor in self.prefix.tensors().items() if name in frozen}
        return hash_tensors(frozen)

    def hash_origin(self) -> str:
        """Hash all that the trained part is made from, but the seed.

        The whole table ``[model]`` is in it, but for what bounds memory: a new key of it is there by itself.
        """
        core = self.settings.core
        parts = [
            core.network.model_dump(mode="json", exclude={"memory"}) | {"row_norm": core.row_norm},
            hash_tensors(self.cut.classifier.state_dict()),
            self.backbone.identity.model_dump(mode="json"),
            self.backbone.preprocessing.facts().model_dump(mode="json"),
            self.cut.freeze,
            sorted(self.cut.trained),
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def describe(self) -> Backbone:
        """Return what the report says of the backbone; the second hash of the frozen part is of what it is by now."""
        model_config = self.settings.core.network
        sizes = {name: parameter.numel() for name, parameter in self.cut.classifier.named_parameters()}
        trained = sum(size for name, size in sizes.items() if name in self.cut.trained)
        return Backbone(
            name=stored_backbone(model_config.backbone or "", self.settings.folder),
            weights=_stored_weights(model_config.weights),
            weights_sha256=self.backbone.weights_sha256,
            revision=self.backbone.revision,
            freeze=self.cut.freeze,
            tune=model_config.tune,
            frozen_parameters=sum(sizes.values()) - trained,
            trainable_parameters=trained,
            frozen_sha256_before=self.frozen_sha256,
            frozen_sha256_after=self.hash_frozen_part(),
            preprocessing=self.backbone.preprocessing.facts(),
            precision=self.precision,
            rounded_layers=self.rounded_layers,
        )


def partition_backbone(settings: LoadedConfig, class_count: int, device: str, *, offline: bool) -> PartitionedBackbone:
    """Load the backbone of ``[model]``, join it with a new head, and cut it.

    Args:
        settings: the config.
        class_count: number of classes of the data, or of what a recogniser writes with.
        device: torch device name.
        offline: forbid downloads.

    Raises:
        ModelError: the backbone cannot be loaded, or not be cut where ``model.freeze`` says.
    """
    core = settings.core
    backbone = load_backbone(
        core.network,
        settings.folder,
        modality=core.data.modality,
        seed=core.seed,
        offline=offline,
        keeps_time=core.task == "recognition",
    )
    precision = choose_precision(core.network.precision)
    parts = _cut_backbone(settings, backbone, class_count, precision)
    prefix, rounded_layers = _frozen_prefix(parts, backbone, precision, device)
    return PartitionedBackbone(
        settings, backbone, parts, prefix, rounded_layers, parts.frozen_sha256(), device, precision
    )


def _cut_backbone(settings: LoadedConfig, backbone: LoadedBackbone, class_count: int, precision: str) -> Cut:
    """Join the backbone with a head, add adapters where asked for, and cut."""
    core, model_config = settings.core, settings.core.network
    classifier = backbone.classifier(class_count, core.row_norm, core.seed)
    if model_config.tune == "lora":
        add_adapters(classifier, model_config.lora, _adapted_modules(settings, classifier, backbone), core.seed)
    parts = cut_classifier(classifier, model_config.frozen, model_config.tune, backbone.example)
    if not parts.cached:
        return parts
    # Weights in 8 bits are rounded in the model itself, which then computes in float32.
    computed = "bfloat16" if precision == "bfloat16" else "float32"
    return parts.computing_in(computed, model_config.cache, backbone.example)


def _adapted_modules(settings: LoadedConfig, classifier: Classifier, backbone: LoadedBackbone) -> frozenset[str] | None:
    """Return the names of the modules behind the cut, which adapters may be added to; None: all of them."""
    frozen = settings.core.network.frozen
    return None if frozen == "none" else modules_behind(classifier, frozen, backbone.example)


def _frozen_prefix(
    parts: Cut, backbone: LoadedBackbone, precision: str, device: str
) -> tuple[Prefix | None, int | None]:
    """Return the frozen part as it is run, None where nothing is frozen, and how many layers of it are in 8 bits."""
    if not parts.cached:
        return None, None
    return round_frozen_part(parts, backbone.example, device) if precision == "int8" else (parts.prefix(), None)


def _stored_weights(weights: str) -> str:
    """Return what the record says of ``model.weights``: a file by its name alone."""
    named = weights in ("pretrained", "random") or weights.startswith("package:")
    return weights if named else Path(weights).name
