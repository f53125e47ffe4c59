"""The spectrum of a recording as a model was pretrained on it: by transformers' feature extractor, run as it is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

# Of what an extractor says of itself: by which class it is known, and how it would fill a batch, which rft does itself.
UNSHOWN = {"processor_class", "feature_extractor_type", "padding_side", "chunk_length", "n_samples", "nb_max_frames"}
MADE_UP_SECONDS = 2


@dataclass(frozen=True)
class SpectrumExtractor:
    """Makes (T, F) frames of samples, each clip at its own length unless it fills a window.

    Attributes:
        processor: ``WhisperFeatureExtractor`` or ``SeamlessM4TFeatureExtractor`` of transformers.
        fills_window: of Whisper, whether silence fills each clip up to a window of 30 s, whose frames there all are.
    """

    processor: Any = field(repr=False)
    fills_window: bool = False

    @property
    def rate(self) -> int:
        """Samples a second that it takes."""
        return int(self.processor.sampling_rate)

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Return (T, F) float32 frames of (N,) samples; of a window that is filled, N is at most what it holds."""
        if self.fills_window:
            filled = self.processor(samples, sampling_rate=self.rate, return_tensors="np")
            window: np.ndarray = filled["input_features"][0].T
            return np.ascontiguousarray(window, dtype=np.float32)
        if hasattr(self.processor, "n_fft"):
            return self._log_mel(samples)
        filled = self.processor(samples, sampling_rate=self.rate, padding=True, return_tensors="np")
        frames: np.ndarray = filled["input_features"][0][filled["attention_mask"][0] == 1]
        return frames.astype(np.float32)

    def _log_mel(self, samples: np.ndarray) -> np.ndarray:
        """Return Whisper's frames, equal to those of a window of 30 s: silence follows the clip, and is left out."""
        silence = np.zeros(self.processor.n_fft, np.float32)
        followed = np.concatenate([samples.astype(np.float32), silence])
        computed = self.processor(followed, sampling_rate=self.rate, padding="do_not_pad", truncation=False)
        frames: np.ndarray = computed["input_features"][0].T[: -(-len(samples) // self.processor.hop_length)]
        return np.ascontiguousarray(frames, dtype=np.float32)

    @cached_property
    def sha256(self) -> str:
        """The hash of its settings and of what it makes of noise: another release may make something else of it."""
        settings = {name: value for name, value in self.processor.to_dict().items() if name not in UNSHOWN}
        total = hashlib.sha256(json.dumps(settings, sort_keys=True, default=_list_values).encode())
        noise = np.random.default_rng(0).normal(scale=0.1, size=MADE_UP_SECONDS * self.rate)
        # Rounded: the last digits of a Fourier transform differ between machines.
        total.update(self(noise.astype(np.float32)).round(3).tobytes())
        return total.hexdigest()


def _list_values(values: Any) -> list[Any]:
    listed: list[Any] = np.asarray(values).round(6).tolist()
    return listed
