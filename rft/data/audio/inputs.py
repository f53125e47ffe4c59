"""Recordings read in batches, as their preprocessing wants them: each at its own length, with a mask of that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Protocol

import numpy as np
import torch

from rft.data.audio.decoding import Recording, read_recording
from rft.data.decoders import Rows, open_decoders
from rft.data.file_source import FileSource, short_path
from rft.errors import DataError
from rft.records import Split


class PreparesRecordings(Protocol):
    """What makes the input of a model of a recording: ``rft.data.audio.preprocessing.AudioPreprocessing``."""

    @property
    def rate(self) -> int:
        """Samples a second that the model takes."""

    @property
    def min_samples(self) -> int:
        """Of which the model makes its first vector."""

    @property
    def fills_window(self) -> bool:
        """Whether silence fills each recording up to the same length."""

    def count_samples(self, frames: np.ndarray, rates: np.ndarray) -> np.ndarray:
        """Return (N,) how many samples they become at this rate."""

    def count_tokens(self, frames: np.ndarray, rates: np.ndarray) -> np.ndarray:
        """Return (N,) how many vectors recordings of (N,) samples at (N,) rates become in the model, about."""

    def resample(self, recording: Recording) -> Recording:
        """Return it at the rate of the model."""

    def __call__(self, recording: Recording) -> np.ndarray:
        """Return its (T,) samples at the rate of the model, or the (T, F) frames of their spectrum, float32."""


@dataclass(frozen=True)
class AudioInputs:
    """Reads the recordings of the splits as the backbone wants them.

    Attributes:
        splits: whose recordings they are.
        preprocessing: what is done to each.
        max_seconds: longer ones are refused.
    """

    splits: Mapping[str, Split]
    preprocessing: PreparesRecordings
    max_seconds: float

    def lengths(self, items: Sequence[FileSource]) -> np.ndarray:
        """Return (N,) the number of vectors that each recording becomes in the model, about, int64.

        Those of the splits were counted when they were read; others are decoded for it.
        """
        counted = [self._measured.get(item) or self._measure(item) for item in items]
        frames, rates = np.array(counted, np.int64).reshape(-1, 2).T
        return self.preprocessing.count_tokens(frames, rates)

    def recordings(self, split: str, rows: Rows) -> list[Recording]:
        """Return the recordings of the rows of a split at the rate of the model, not yet normalised or made spectra."""
        items = self.splits[split].items
        return [self.preprocessing.resample(read_recording(items[row], self.max_seconds)) for row in rows]

    def batch(self, split: str, rows: Rows) -> dict[str, torch.Tensor]:
        """Return the batch of the rows of a split, on the CPU, as ``batches`` does."""
        return next(self.batches(self.splits[split].items, [rows]))

    def batches(self, items: Sequence[FileSource], batches: Sequence[Rows]) -> Iterator[dict[str, torch.Tensor]]:
        """Yield a batch for each list of rows of ``items``; the next one is decoded while the caller computes.

        A batch is ``{"waveform": (B, T) float32, "attention_mask": (B, T) int64}``, or of spectra ``{"spectrum":
        (B, T, F) float32, ...}``: T is the length of its longest recording, the others end in zeros, and the mask is 1
        where there is sound.
        """
        with open_decoders() as pool:
            waiting = iter(batches)
            queue = [self._submit_batch(pool, items, rows) for rows in islice(waiting, 2)]
            while queue:
                decoded = [future.result() for future in queue.pop(0)]
                queue += [self._submit_batch(pool, items, rows) for rows in islice(waiting, 1)]
                yield pad_recordings(decoded)

    def _submit_batch(
        self, pool: ThreadPoolExecutor, items: Sequence[FileSource], rows: Rows
    ) -> list[Future[np.ndarray]]:
        return [pool.submit(self._read_prepared, items[row]) for row in rows]

    def _read_prepared(self, item: FileSource) -> np.ndarray:
        recording = read_recording(item, self.max_seconds)
        known = self._measured.get(item)
        if known is not None and known != (len(recording.samples), recording.rate):
            raise DataError(
                "holds another number of samples than when it was first read",
                where=short_path(item),
                remedy="Leave the files as they are while rft runs.",
            )
        least, rate = self.preprocessing.min_samples, self.preprocessing.rate
        samples = self.preprocessing.count_samples(np.array([len(recording.samples)]), np.array([recording.rate]))
        if samples[0] < least:
            raise DataError(
                f"is too short: {samples[0]} samples at {rate:,} a second, of which the model takes {least} or more",
                where=short_path(item),
                remedy="Remove it.",
            )
        return self.preprocessing(recording)

    def _measure(self, item: FileSource) -> tuple[int, int]:
        recording = read_recording(item, self.max_seconds)
        return len(recording.samples), recording.rate

    @cached_property
    def _measured(self) -> dict[FileSource, tuple[int, int]]:
        """The samples of each recording of the splits, and how many there are a second, as recorded."""
        return {
            item: (frames, rate)
            for split in self.splits.values()
            if split.recordings is not None
            for item, frames, rate in zip(
                split.items, split.recordings.frames.tolist(), split.recordings.rates.tolist(), strict=True
            )
        }


def pad_recordings(prepared: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
    """Return a batch, as ``AudioInputs.batches`` yields it, of B recordings of (T,) samples or (T, F) frames each."""
    lengths = torch.tensor([len(recording) for recording in prepared])
    padded = torch.zeros(len(prepared), int(lengths.max()), *prepared[0].shape[1:])
    for row, recording in enumerate(prepared):
        padded[row, : len(recording)] = torch.from_numpy(recording)
    mask = torch.arange(padded.shape[1]) < lengths[:, None]
    return {"waveform" if padded.dim() == 2 else "spectrum": padded, "attention_mask": mask.long()}
