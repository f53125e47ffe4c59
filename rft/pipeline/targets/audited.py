"""The one way to an ``AuditedModel``: what every target has, whatever is known of the model beside its predictions."""

from __future__ import annotations

import pandas as pd

from rft.config.loader import LoadedConfig
from rft.data import Dataset
from rft.plugins import AuditedModel
from rft.records import Backbone, ModelFacts, PreprocessingFacts, Training


def build_audited_model(
    settings: LoadedConfig,
    dataset: Dataset,
    predictions: pd.DataFrame,
    *,
    modality: str,
    training: Training,
    backbone: Backbone | None = None,
    preprocessing: PreprocessingFacts | None = None,
    revision: str | None = None,
    model_sha256: str | None = None,
) -> AuditedModel:
    """Return what is audited, without the parts that only some targets have; ``dataclasses.replace`` adds those.

    Args:
        settings: the config.
        dataset: the examples of each split and their classes.
        predictions: one row an example, as ``tabulate_predictions`` returns it.
        modality, training, backbone, preprocessing, revision, model_sha256: as in ``ModelFacts``.
    """
    core = settings.core
    facts = ModelFacts(
        name=core.name,
        task=core.task,
        modality=modality,
        classes=dataset.classes,
        positive=core.data.positive,
        backbone=backbone,
        preprocessing=preprocessing,
        revision=revision,
        model_sha256=model_sha256,
        unit=core.data.unit or _find_unit_column(dataset),
        normalizer=core.normalizer,
        training=training,
    )
    return AuditedModel(
        facts=facts, seed=core.seed, splits=dataset.splits, predictions=predictions, remarks=dataset.remarks
    )


def _find_unit_column(dataset: Dataset) -> str | None:
    """Return the column of units in predictions as rft writes them; None where they have no units."""
    return "unit" if any(split.units is not None for split in dataset.splits.values()) else None
