"""A recording as a short-time Fourier transform in which cells are changed, and the samples that this comes to.

Windows of about 32 ms, weighted by Hann's curve, follow each other in quarters of their length, so that what is left
unchanged comes back as it was (Allen and Rabiner 1977, Proc. IEEE 65:1558), and what is changed fades in and out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from rft.data.audio.decoding import Recording

WINDOW_SECONDS = 0.032
OVERLAP = 4  # windows that each sample lies in
QUIET_SHARE = 0.1  # of the frames: the quietest, whose mean power is the background
Fill = Literal["silence", "background", "mean spectrum"]
FILLS: tuple[Fill, ...] = get_args(Fill)


@dataclass(frozen=True)
class ShortTimeSpectrum:
    """F bins by K frames of a recording.

    Attributes:
        values: (F, K) complex64.
        samples: how many the recording has.
        rate: of them a second.
    """

    values: Tensor
    samples: int
    rate: int

    @classmethod
    def from_recording(cls, recording: Recording) -> ShortTimeSpectrum:
        """Return the transform of a recording."""
        samples = torch.from_numpy(np.ascontiguousarray(recording.samples, dtype=np.float32))
        return cls(_transform(samples, recording.rate), len(samples), recording.rate)

    def to_recording(self) -> Recording:
        """Return the recording whose transform this is, or is nearest to it in the least squares of its samples."""
        size = _window_size(self.rate)
        samples = torch.istft(self.values, size, size // OVERLAP, window=torch.hann_window(size), length=self.samples)
        return Recording(samples.numpy(), self.rate)

    @property
    def seconds(self) -> float:
        """How long the recording is."""
        return self.samples / self.rate

    @property
    def times(self) -> np.ndarray:
        """(K,) the middle of each frame, in seconds."""
        frames: np.ndarray = np.arange(self.values.shape[1]) * (_window_size(self.rate) // OVERLAP) / self.rate
        return frames

    @property
    def hertz(self) -> np.ndarray:
        """(F,) the middle of each bin."""
        return np.linspace(0, self.rate / 2, self.values.shape[0])

    @cached_property
    def power(self) -> Tensor:
        """(F, K) the power of each cell."""
        return self.values.abs().square()

    @cached_property
    def background(self) -> Tensor:
        """(F, 1) the mean power of the quietest tenth of the frames, at least one."""
        quiet = max(round(QUIET_SHARE * self.power.shape[1]), 1)
        frames = self.power.sum(dim=0).argsort(stable=True)[:quiet]
        return self.power[:, frames].mean(dim=1, keepdim=True)

    def fill(self, where: np.ndarray, by: Fill) -> ShortTimeSpectrum:
        """Return it with the cells ``where`` filled, a mask that broadcasts to (F, K).

        They are filled with nothing, or with noise: as strong as the background, or as the recording in the mean over
        its time, in each bin. The noise is the same each time, so that two fillings differ in their places alone.
        """
        if by == "silence":
            content = torch.zeros_like(self.values)
        else:
            power = self.background if by == "background" else self.power.mean(dim=1, keepdim=True)
            content = self.make_noise(power, np.random.default_rng(0))
        return replace(self, values=torch.where(torch.from_numpy(where), content, self.values))

    def make_noise(self, power: Tensor, rng: np.random.Generator) -> Tensor:
        """Return (F, K) the transform of noise whose mean power in each bin is ``power`` (F, 1)."""
        white = torch.from_numpy(rng.standard_normal(self.samples).astype(np.float32))
        scale = torch.hann_window(_window_size(self.rate)).square().sum()
        return _transform(white, self.rate) * (power / scale).sqrt()


def _transform(samples: Tensor, rate: int) -> Tensor:
    size = _window_size(rate)
    return torch.stft(
        samples,
        size,
        size // OVERLAP,
        window=torch.hann_window(size),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )


def _window_size(rate: int) -> int:
    """Return the samples of a window, a power of two."""
    return int(2 ** round(math.log2(WINDOW_SECONDS * rate)))
