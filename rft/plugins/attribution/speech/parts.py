"""What a recording is cut into: windows of time, and bands of equal width on the mel scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from rft.plugins.attribution.speech.spectra import ShortTimeSpectrum

WINDOW = 0.1  # seconds
MAX_WINDOWS = 64  # of a recording: longer ones are cut into longer windows
BANDS = 12

CutParts = Callable[[ShortTimeSpectrum], np.ndarray]  # -> (P, F or 1, K or 1) which cells each part has


def count_windows(seconds: float) -> int:
    """Return how many windows a recording is cut into, 1 to ``MAX_WINDOWS``."""
    return min(max(round(seconds / WINDOW), 1), MAX_WINDOWS)


def cut_windows(spectrum: ShortTimeSpectrum) -> np.ndarray:
    """Return (W, 1, K) which frames have their middle in each of W equal windows of the recording."""
    count = count_windows(spectrum.seconds)
    window = np.minimum((spectrum.times / spectrum.seconds * count).astype(int), count - 1)
    within: np.ndarray = window[None, None, :] == np.arange(count)[:, None, None]
    return within


def cut_bands(spectrum: ShortTimeSpectrum) -> np.ndarray:
    """Return (``BANDS``, F, 1) which bins have their middle in each band, the lowest first."""
    edges = list_band_edges(spectrum.rate)
    band = np.minimum(np.searchsorted(edges, spectrum.hertz, side="right") - 1, BANDS - 1)
    within: np.ndarray = band[None, :, None] == np.arange(BANDS)[:, None, None]
    return within


PARTS_OF: Mapping[str, CutParts] = {"window_occlusion": cut_windows, "band_occlusion": cut_bands}  # by method


def list_band_edges(rate: int) -> np.ndarray:
    """Return (``BANDS`` + 1,) edges in Hz, from 0 to half the rate."""
    return to_hertz(np.linspace(0, to_mel(np.array(rate / 2)), BANDS + 1))


def to_mel(hertz: np.ndarray) -> np.ndarray:
    """Return mels (O'Shaughnessy 1987, Speech Communication: Human and Machine)."""
    mels: np.ndarray = 2595 * np.log10(1 + hertz / 700)
    return mels


def to_hertz(mels: np.ndarray) -> np.ndarray:
    """Return the inverse of ``to_mel``."""
    hertz: np.ndarray = 700 * (10 ** (mels / 2595) - 1)
    return hertz
