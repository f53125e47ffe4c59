"""What is taken from one recording into another: a span of time, a band, or the background noise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import numpy as np
import torch

from rft.plugins.attribution.shortcuts.options import Shortcut
from rft.plugins.attribution.speech.parts import to_hertz, to_mel
from rft.plugins.attribution.speech.spectra import ShortTimeSpectrum


class SoundChange(Protocol):
    """A part of recordings that can be swapped.

    Attributes:
        noun: what it is called.
    """

    noun: ClassVar[str]

    def find_share(self, spectrum: ShortTimeSpectrum) -> float:
        """Return how much of the part a recording has, 0 to 1."""
        ...

    def take_from(self, recipient: ShortTimeSpectrum, donor: ShortTimeSpectrum) -> ShortTimeSpectrum:
        """Return the recipient with the donor's part in the place of its own."""
        ...

    def find_elsewhere(self, spectrum: ShortTimeSpectrum) -> SoundChange | None:
        """Return another part of the same size; None where every other one overlaps this, or there is none."""
        ...


@dataclass(frozen=True)
class Span:
    """From ``start`` to ``end``, in seconds from the beginning, or, where both are 0 or less, from the end.

    It is taken in whole frames of the transform, which are 8 ms apart.
    """

    start: float
    end: float
    noun: ClassVar[str] = "span"

    def find_share(self, spectrum: ShortTimeSpectrum) -> float:
        """Return how much of the span lies within a recording."""
        within = min(max(abs(self.start), abs(self.end)), spectrum.seconds) - min(abs(self.start), abs(self.end))
        return max(within, 0.0) / (self.end - self.start)

    def take_from(self, recipient: ShortTimeSpectrum, donor: ShortTimeSpectrum) -> ShortTimeSpectrum:
        """Return the recipient with the donor's span, as far as both have it."""
        to, source = self._find_frames(recipient), self._find_frames(donor)
        count = min(len(to), len(source))
        aligned = slice(None, count) if self.end > 0 else slice(len(to) - count, None)
        taken = slice(None, count) if self.end > 0 else slice(len(source) - count, None)
        values = recipient.values.clone()
        values[:, to[aligned]] = donor.values[:, source[taken]]
        return replace(recipient, values=values)

    def find_elsewhere(self, spectrum: ShortTimeSpectrum) -> Span | None:
        """Return the span as far from the other end; None where that overlaps this one."""
        apart = spectrum.seconds >= 2 * max(abs(self.start), abs(self.end))
        return Span(-self.end, -self.start) if apart else None

    def _find_frames(self, spectrum: ShortTimeSpectrum) -> np.ndarray:
        start, end = (second if self.end > 0 else spectrum.seconds + second for second in (self.start, self.end))
        return np.flatnonzero((spectrum.times >= start) & (spectrum.times < end))


@dataclass(frozen=True)
class Band:
    """From ``low`` to ``high``, in Hz."""

    low: float
    high: float
    noun: ClassVar[str] = "band"

    def find_share(self, spectrum: ShortTimeSpectrum) -> float:
        """Return how much of the band lies below half the rate."""
        return max(min(self.high, spectrum.rate / 2) - self.low, 0.0) / (self.high - self.low)

    def take_from(self, recipient: ShortTimeSpectrum, donor: ShortTimeSpectrum) -> ShortTimeSpectrum:
        """Return the recipient with the donor's band, from its beginning on, over and over where it is shorter."""
        bins = np.flatnonzero((recipient.hertz >= self.low) & (recipient.hertz < self.high))
        frames = np.arange(recipient.values.shape[1]) % donor.values.shape[1]
        values = recipient.values.clone()
        values[bins] = donor.values[bins][:, frames]
        return replace(recipient, values=values)

    def find_elsewhere(self, spectrum: ShortTimeSpectrum) -> Band | None:
        """Return the band as wide in mels and as far from the other end of them; None where that overlaps this one."""
        most = to_mel(np.array(spectrum.rate / 2))
        low, high = (float(to_hertz(most - to_mel(np.array(edge)))) for edge in (self.high, self.low))
        return Band(low, high) if low >= self.high or high <= self.low else None


@dataclass(frozen=True)
class Background:
    """The background noise: what the quietest tenth of a recording holds, in each bin.

    The recipient's is taken out by spectral subtraction of power (Boll 1979, IEEE TASSP 27:113), and noise with the
    spectrum of the donor's is added. What of the background changes over time, such as a voice, stays.
    """

    noun: ClassVar[str] = "background"

    def find_share(self, spectrum: ShortTimeSpectrum) -> float:
        """Return 1: every recording has one."""
        return 1.0

    def take_from(self, recipient: ShortTimeSpectrum, donor: ShortTimeSpectrum) -> ShortTimeSpectrum:
        """Return the recipient with the donor's background."""
        left = (recipient.power - recipient.background).clamp(min=0).sqrt()
        foreground = torch.polar(left, recipient.values.angle())
        noise = recipient.make_noise(donor.background, np.random.default_rng(0))
        return replace(recipient, values=foreground + noise)

    def find_elsewhere(self, spectrum: ShortTimeSpectrum) -> None:
        """Return None: there is one background."""
        return


def choose_change(shortcut: Shortcut) -> SoundChange:
    """Return what a shortcut of recordings changes."""
    if shortcut.seconds is not None:
        return Span(*shortcut.seconds)
    if shortcut.hertz is not None:
        return Band(*shortcut.hertz)
    return Background()
