"""A table of predictions as the target: most of an audited model is absent."""

from __future__ import annotations

from rft import data
from rft.config.loader import LoadedConfig
from rft.pipeline.targets.audited import build_audited_model
from rft.plugins import AuditedModel
from rft.records import Training


def read_predictions_alone(settings: LoadedConfig) -> tuple[data.Dataset, AuditedModel]:
    """Read the table of ``[predictions]``; return its data and what is audited, of which nothing else is known.

    Raises:
        RftError: the table is not as ``[data]`` and ``[predictions]`` say.
    """
    dataset, predictions = data.read_predictions(settings.core, settings.folder)
    training = Training(mode="external")
    return dataset, build_audited_model(settings, dataset, predictions, modality="predictions", training=training)
