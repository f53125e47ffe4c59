"""From a manifest or a folder to splits of examples, and the readers of their items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from rft.config.schema import DataConfig
from rft.data.decoders import Rows
from rft.data.manifest import Dataset, read_dataset
from rft.data.predictions import read_predictions
from rft.data.transcripts.reading import read_transcripts
from rft.records import PreprocessingFacts, Split

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Dataset", "Inputs", "Preprocessing", "read_dataset", "read_predictions", "read_transcripts"]


class Inputs(Protocol):
    """Reads examples as a model wants them. A batch is a dict of tensors, see ``rft.backbones.classifier``."""

    def batch(self, split: str, rows: Rows) -> dict[str, Tensor]:
        """Return the batch of (B,) rows of a split, on the CPU."""

    def batches(self, items: Sequence[Any], batches: Sequence[Rows]) -> Iterator[dict[str, Tensor]]:
        """Yield the batch of each list of (B,) rows of ``items``."""


class Preprocessing(Protocol):
    """How the items of a modality become the inputs of a backbone: ``ImagePreprocessing`` or ``TextPreprocessing``."""

    def facts(self) -> PreprocessingFacts:
        """Return what stands in ``audit.json``: all that the inputs depend on beside the item."""

    def inputs(self, splits: Mapping[str, Split], config: DataConfig, seed: int) -> Inputs:
        """Return the reader for these splits."""
