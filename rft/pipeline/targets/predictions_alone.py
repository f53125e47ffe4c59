"""A table of predictions as the target: most of an audited model is absent."""

from __future__ import annotations

from dataclasses import dataclass

from rft import data
from rft.config.loader import LoadedConfig
from rft.data.tables.in_memory import TableInMemory
from rft.pipeline.targets.audited import build_audited_model
from rft.plugins import AuditedModel
from rft.records import Training


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
    dataset, predictions = data.read_predictions(settings.core, settings.folder, table)
    training = Training(mode="external")
    return dataset, build_audited_model(settings, dataset, predictions, modality="predictions", training=training)
