"""Recordings of the test split as samples that can be changed before their model's own preprocessing runs on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from rft.backbones.batch import Batch
from rft.data.audio.decoding import Recording
from rft.data.audio.inputs import AudioInputs, pad_recordings
from rft.errors import Unavailable
from rft.plugins import AuditedModel
from rft.plugins.attribution.network import Network, batch_slices


@dataclass(frozen=True)
class TestClips:
    """Reads the recordings of the test split.

    Attributes:
        inputs: of the audited model.
    """

    __test__ = False  # no class of tests, whatever pytest makes of its name

    inputs: AudioInputs

    @classmethod
    def from_audited(cls, audited: AuditedModel) -> TestClips:
        """Return the reader; raises ``Unavailable`` where recordings come without their preprocessing."""
        inputs = audited.require_inputs()
        if not isinstance(inputs, AudioInputs):
            raise Unavailable("the recordings of this audit come without the preprocessing of their model")
        return cls(inputs)

    def read(self, rows: np.ndarray) -> list[Recording]:
        """Return the recordings of (N,) rows of the test split, at the rate of the model."""
        return self.inputs.recordings("test", rows.tolist())

    def prepare(self, recordings: Sequence[Recording]) -> Batch:
        """Return the inputs of recordings, by the preprocessing of the model."""
        return pad_recordings([self.inputs.preprocessing(recording) for recording in recordings])


@dataclass(frozen=True)
class ExplainedClips:
    """The test recordings that are explained. They are read one by one: however many there are, few are in memory.

    Attributes:
        clips: reads them.
        rows: (N,) rows of the test split.
        target: (N,) index of the predicted class, int64.
    """

    clips: TestClips
    rows: np.ndarray
    target: Tensor

    @classmethod
    def from_rows(cls, network: Network, clips: TestClips, rows: np.ndarray) -> ExplainedClips:
        """Predict the test split's ``rows`` (N,), at least one."""
        parts = [network.logits(clips.prepare(clips.read(rows[part]))) for part in batch_slices(len(rows))]
        return cls(clips, rows, torch.cat(parts).argmax(dim=1))

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, which: np.ndarray) -> ExplainedClips:
        """Return the recordings at the places ``which`` (M,) alone."""
        return replace(self, rows=self.rows[which], target=self.target[torch.from_numpy(which)])

    def read_one(self, place: int) -> tuple[Recording, Tensor]:
        """Return one recording, and its (1,) target."""
        return self.clips.read(self.rows[place : place + 1])[0], self.target[place : place + 1]
