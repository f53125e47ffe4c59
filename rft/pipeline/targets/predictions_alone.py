"""A table of predictions as the target: most of an audited model is absent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pandas as pd

from rft import data
from rft.config.loader import LoadedConfig
from rft.data.tables.in_memory import TableInMemory
from rft.pipeline.targets.audited import build_audited_model
from rft.plugins import AuditedModel
from rft.records import TaskName, Training


@dataclass(frozen=True)
class PredictionsInMemory:
    """A table of predictions that the caller holds; ``[predictions]`` of the config says what its columns are."""

    table: TableInMemory

    def prepare(self, settings: LoadedConfig, device: str) -> tuple[data.Dataset, AuditedModel]:
        """Read the table as if it were ``predictions.file``; raises ``RftError``."""
        return read_predictions_alone(settings, self.table)


def read_predictions_alone(
    settings: LoadedConfig, table: TableInMemory | None = None
) -> tuple[data.Dataset, AuditedModel]:
    """Read the table of ``[predictions]``; return its data and what is audited, of which nothing else is known.

    Args:
        settings: the config.
        table: read in the place of the file, where the caller holds it in memory.

    Raises:
        RftError: the table is not as ``[data]`` and ``[predictions]`` say.
    """
    return _READERS[settings.core.task](settings, table)


def _read_decisions(settings: LoadedConfig, table: TableInMemory | None) -> tuple[data.Dataset, AuditedModel]:
    dataset, predictions = data.read_predictions(settings.core, settings.folder, table)
    return dataset, _audit_table(settings, dataset, predictions)


def _read_transcripts(settings: LoadedConfig, table: TableInMemory | None) -> tuple[data.Dataset, AuditedModel]:
    dataset, predictions, words = data.read_transcripts(settings.core, settings.folder, table)
    audited = _audit_table(settings, dataset, predictions)
    return dataset, replace(audited, words=words, show_examples=settings.core.report.show_examples)


def _audit_table(settings: LoadedConfig, dataset: data.Dataset, predictions: pd.DataFrame) -> AuditedModel:
    training = Training(mode="external")
    return build_audited_model(settings, dataset, predictions, modality="predictions", training=training)


_READERS: Mapping[TaskName, Callable[[LoadedConfig, TableInMemory | None], tuple[data.Dataset, AuditedModel]]] = {
    "classification": _read_decisions,
    "recognition": _read_transcripts,
}
