"""A torch module for images that the caller holds as the target, on examples that the caller holds."""

from __future__ import annotations

from dataclasses import dataclass

from rft.config.loader import LoadedConfig
from rft.data import Dataset
from rft.models.external import prepare_external
from rft.models.external_model import ExternalModel
from rft.pipeline.targets.external import predict_with_external
from rft.plugins import AuditedModel


@dataclass(frozen=True)
class ModuleInMemory:
    """A module with its data; whoever holds it takes care that it comes back as it was (``borrow_module``).

    Attributes:
        external_model: the module, with what its outputs stand for.
        dataset: what it predicts; its classes are those of the outputs.
        outputs: ``logits`` or ``probabilities``.
    """

    external_model: ExternalModel
    dataset: Dataset
    outputs: str

    def prepare(self, settings: LoadedConfig, device: str) -> tuple[Dataset, AuditedModel]:
        """Predict with the module; raises ``ModelError`` where its outputs are unusable, or predicting changes it."""
        loaded = prepare_external(
            self.external_model, self.dataset.classes, outputs=self.outputs, modality="image", device=device
        )
        return self.dataset, predict_with_external(settings, self.dataset, loaded, device, outputs=self.outputs)
