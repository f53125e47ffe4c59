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
from rft.plugins.attribution.interventions import NOISE
from rft.plugins.attribution.network import Network, batch_slices


@dataclass(frozen=True)
class TestClips:
    """Reads the recordings of the test split.

    Attributes:
        inputs: of the audited model.
        noise_seed: of white noise that is added, the same each time that a recording is read; None for no noise.
    """

    __test__ = False  # no class of tests, whatever pytest makes of its name

    inputs: AudioInputs
    noise_seed: int | None = None

    @classmethod
    def from_audited(cls, audited: AuditedModel) -> TestClips:
        """Return the reader; raises ``Unavailable`` where recordings come without their preprocessing."""
        inputs = audited.require_inputs()
        if not isinstance(inputs, AudioInputs):
            raise Unavailable("the recordings of this audit come without the preprocessing of their model")
        return cls(inputs)

    def read(self, rows: np.ndarray) -> list[Recording]:
        """Return the recordings of (N,) rows of the test split, at the rate of the model."""
        recordings = self.inputs.recordings("test", rows.tolist())
        if self.noise_seed is None:
            return recordings
        generators = [np.random.default_rng([self.noise_seed, row]) for row in rows.tolist()]
        return [_add_noise(*pair) for pair in zip(recordings, generators, strict=True)]

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

    def add_noise(self, seed: int) -> ExplainedClips:
        """Return the recordings with white noise of ``NOISE`` of the range of the samples of each."""
        return replace(self, clips=replace(self.clips, noise_seed=seed))

    def read_one(self, place: int) -> tuple[Recording, Tensor]:
        """Return one recording, and its (1,) target."""
        return self.clips.read(self.rows[place : place + 1])[0], self.target[place : place + 1]


def _add_noise(recording: Recording, rng: np.random.Generator) -> Recording:
    scale = NOISE * float(np.ptp(recording.samples))
    drawn = rng.standard_normal(len(recording.samples), dtype=np.float32)
    return Recording((recording.samples + np.float32(scale) * drawn).astype(np.float32), recording.rate)
