"""A model that others trained as the target: it is loaded and predicts; what belongs to training is absent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from rft.backbones.batch import Batch
from rft.backbones.classifier import hash_tensors
from rft.config.loader import LoadedConfig
from rft.data import Dataset, Inputs
from rft.errors import ModelError
from rft.features import Store
from rft.features.extract import extract_features
from rft.models.external import LoadedExternal, check_finite, check_outputs
from rft.models.external import load_external as load_external
from rft.pipeline.targets.audited import build_audited_model
from rft.pipeline.targets.prediction_table import tabulate_predictions
from rft.plugins import AuditedModel
from rft.records import Training


def load_external_target(settings: LoadedConfig, dataset: Dataset, device: str, *, offline: bool) -> AuditedModel:
    """Load a model that others trained and predict with it.

    Args:
        settings: the config, with ``model.checkpoint`` or ``model.factory``.
        dataset: what it predicts.
        device: torch device name.
        offline: forbid downloads.

    Raises:
        ModelError: the model cannot be loaded, its outputs are unusable, or predicting changes it.
    """
    core = settings.core
    loaded = load_external(
        core.network, settings.folder, dataset.classes, modality=core.data.modality, device=device, offline=offline
    )
    return predict_with_external(settings, dataset, loaded, device, outputs=core.network.outputs)


def predict_with_external(
    settings: LoadedConfig, dataset: Dataset, loaded: LoadedExternal, device: str, *, outputs: str
) -> AuditedModel:
    """Predict with a model that others trained and return it as audits see it.

    Args:
        settings: the config.
        dataset: what it predicts.
        loaded: the model, on the device.
        device: torch device name.
        outputs: ``logits`` or ``probabilities``, which is what it gives.

    Raises:
        ModelError: its outputs are unusable, or predicting changes it.
    """
    core = settings.core
    sha256 = hash_tensors(loaded.classifier.state_dict())
    inputs = loaded.preprocessing.inputs(dataset.splits, core.data, core.seed)
    logits = _predict_logits(loaded, inputs, dataset, device, core.network.memory_bytes)
    check_outputs(torch.cat(list(logits.values())), outputs, loaded.where)
    _check_unchanged(loaded, sha256)
    audited = build_audited_model(
        settings,
        dataset,
        tabulate_predictions(dataset, lambda split: logits[split].double().softmax(dim=1).numpy()),
        modality=core.data.modality,
        training=Training(mode="external"),
        preprocessing=loaded.preprocessing.facts(),
        revision=loaded.revision,
        model_sha256=sha256,
    )
    return replace(
        audited, model=loaded.classifier, inputs=inputs, device=device, show_examples=core.report.show_examples
    )


def _check_unchanged(loaded: LoadedExternal, sha256: str) -> None:
    """Raise ``ModelError`` unless the model's tensors still have this hash."""
    if hash_tensors(loaded.classifier.state_dict()) != sha256:
        raise ModelError("changes its own tensors when it predicts, in eval mode", where=loaded.where)


class _LogitsAsFeatures(nn.Module):
    """A classifier in the place of a frozen prefix: its logits are what is extracted."""

    def __init__(self, loaded: LoadedExternal) -> None:
        super().__init__()
        self.model, self.where = loaded.classifier, loaded.where

    def forward(self, inputs: Batch) -> Batch:
        """Map a batch of inputs to ``{"features": (B, K)}`` logits; raises ``ModelError`` unless they are finite."""
        logits = self.model(inputs)
        check_finite(logits, self.where)
        return {"features": logits}


def _predict_logits(
    loaded: LoadedExternal, inputs: Inputs, dataset: Dataset, device: str, memory: int | None
) -> Mapping[str, torch.Tensor]:
    """Return split -> (N, K) logits.

    They are not kept: a factory's code may change while its tensors stay the same.
    """
    prefix = _LogitsAsFeatures(loaded)
    logits = {}
    with TemporaryDirectory(prefix="rft-") as folder:
        store = Store(Path(folder), "logits")
        for name, split in dataset.splits.items():
            features = extract_features(prefix, inputs, split, store, device=device, precision="float32", memory=memory)
            logits[name] = features.batch(range(len(split)))["features"]
    return logits
