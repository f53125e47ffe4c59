"""How a recording becomes the input of a model: resampled to the rate that this takes, and perhaps normalised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from rft.config.schema import DataConfig
from rft.data.audio.decoding import INSTALL, Recording
from rft.data.audio.inputs import AudioInputs
from rft.data.audio.spectrum import SpectrumExtractor
from rft.errors import ConfigError, DataError, ModelError
from rft.records import AudioPreprocessingFacts, Split
from rft.runtime.libraries import library_import

Normalisation = Literal["none", "zero-mean-unit-variance"]
QUALITY = "HQ"  # of soxr: 20 bits, the preset that its authors call high quality
VARIANCE_FLOOR = 1e-7  # that transformers' feature extractors add to the variance of a recording


@dataclass(frozen=True)
class AudioPreprocessing:
    """What is done to the samples of a recording: resampled by soxr, in mono, at their own length.

    Attributes:
        rate: samples a second that the model takes.
        normalisation: of each recording by itself: ``none``, or to mean 0 and variance 1.
        max_seconds: that the model takes at most; None where it has no limit. Longer recordings are refused, not cut.
        extractor: makes a spectrum of the samples, where the model takes one.
        processor: the feature extractor of transformers that said so, or None.
        min_samples: of which the model makes its first vector; shorter recordings are refused.
        samples_per_token: of these, how many go into one vector of the model: what a recording costs.

    Raises:
        ModelError: a rate or a normalisation that there is not.
    """

    rate: int
    normalisation: Normalisation = "none"
    max_seconds: float | None = None
    extractor: SpectrumExtractor | None = None
    processor: Any = field(default=None, repr=False)
    min_samples: int = 1
    samples_per_token: int = 1

    def __post_init__(self) -> None:
        if self.rate <= 0 or self.normalisation not in get_args(Normalisation):
            raise ModelError(
                f"recordings cannot be prepared at {self.rate} samples a second with the normalisation "
                f"{self.normalisation!r}",
                where="model",
                remedy=f"Expected a rate above 0, and one of {', '.join(get_args(Normalisation))}.",
            )

    @property
    def fills_window(self) -> bool:
        """Whether silence fills each recording up to the same length, so that inputs are longer than what is heard."""
        return self.extractor is not None and self.extractor.fills_window

    def facts(self) -> AudioPreprocessingFacts:
        """Return what stands in ``audit.json`` and ``model.json``."""
        return AudioPreprocessingFacts(
            resampler=f"soxr {QUALITY}",
            sample_rate=self.rate,
            normalisation=self.normalisation,
            max_seconds=self.max_seconds,
            spectrum_sha256=self.extractor.sha256 if self.extractor else None,
        )

    def inputs(self, splits: Mapping[str, Split], config: DataConfig, seed: int) -> AudioInputs:
        """Return the reader of recordings for these splits; raises ``DataError`` for one that the model cannot take."""
        if self.max_seconds is not None:
            self._require_short(splits, self.max_seconds)
        self._require_long(splits)
        return AudioInputs(splits, self, config.max_seconds)

    def _require_short(self, splits: Mapping[str, Split], most: float) -> None:
        lasting = [split.recordings.seconds for split in splits.values() if split.recordings is not None]
        seconds = np.concatenate([np.empty(0), *lasting])
        if n := int((seconds > most).sum()):
            raise DataError(
                f"{n:,} of {len(seconds):,} recordings last longer than the {most:g} s that the model takes",
                where="data.audio",
                remedy=f'Cut them into utterances; or set data.max_seconds = {most:g}, and data.on_error = "skip" to '
                "leave them out and count them.",
            )

    def _require_long(self, splits: Mapping[str, Split]) -> None:
        counts = [
            self.count_samples(split.recordings.frames, split.recordings.rates)
            for split in splits.values()
            if split.recordings is not None
        ]
        samples = np.concatenate([np.empty(0, np.int64), *counts])
        if n := int((samples < self.min_samples).sum()):
            raise DataError(
                f"{n:,} of {len(samples):,} recordings are shorter than the {1000 * self.min_samples / self.rate:g} ms "
                "of which the model makes its first vector",
                where="data.audio",
                remedy="Remove their rows: nothing can be heard in them.",
            )

    def count_samples(self, frames: np.ndarray, rates: np.ndarray) -> np.ndarray:
        """Return (N,) how many samples recordings become, int64.

        Args:
            frames: (N,) their samples as recorded.
            rates: (N,) these a second.
        """
        # In whole numbers: soxr rounds half a sample up.
        counts: np.ndarray = (2 * frames.astype(np.int64) * self.rate + rates) // (2 * rates.astype(np.int64))
        return counts

    def count_tokens(self, frames: np.ndarray, rates: np.ndarray) -> np.ndarray:
        """Return (N,) how many vectors recordings become in the model, about, int64; arguments as in the above."""
        if self.fills_window:
            frames = np.full_like(frames, round((self.max_seconds or 0) * self.rate))
            rates = np.full_like(rates, self.rate)
        counts: np.ndarray = np.maximum(1, self.count_samples(frames, rates) // self.samples_per_token)
        return counts

    def __call__(self, recording: Recording) -> np.ndarray:
        """Return (T,) samples at the model's rate, or the (T, F) frames of their spectrum, float32."""
        samples = self.resample(recording).samples
        if self.extractor is not None:
            return self.extractor(samples)
        if self.normalisation == "none":
            return samples
        wide = samples.astype(np.float64)
        standardised: np.ndarray = (wide - wide.mean()) / np.sqrt(wide.var() + VARIANCE_FLOOR)
        return standardised.astype(np.float32)

    def resample(self, recording: Recording) -> Recording:
        """Return a recording at the rate of the model; itself where it has that already."""
        if recording.rate == self.rate:
            return recording
        with library_import("soxr", error=ConfigError, where="data.audio", install=INSTALL):
            import soxr
        resampled: np.ndarray = soxr.resample(recording.samples, recording.rate, self.rate, quality=QUALITY)
        return Recording(resampled, self.rate)
