"""Cells of a recording are changed, and the rest comes back as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rft.data.audio.decoding import Recording
from rft.plugins.attribution.speech.parts import (
    BANDS,
    MAX_WINDOWS,
    count_windows,
    cut_bands,
    cut_windows,
    list_band_edges,
)
from rft.plugins.attribution.speech.spectra import FILLS, ShortTimeSpectrum

RATE = 16_000


def noise(samples: int, seed: int = 0) -> Recording:
    return Recording(np.random.default_rng(seed).normal(scale=0.1, size=samples).astype(np.float32), RATE)


@pytest.mark.parametrize("samples", [1, 100, 513, 16_000, 16_123])
def test_what_is_not_changed_comes_back(samples: int) -> None:
    recording = noise(samples)
    np.testing.assert_allclose(
        ShortTimeSpectrum.from_recording(recording).to_recording().samples, recording.samples, atol=1e-6
    )


@pytest.mark.parametrize("fill", FILLS)
def test_a_filled_window_leaves_the_rest_alone(fill: str) -> None:
    recording = noise(16_000)
    spectrum = ShortTimeSpectrum.from_recording(recording)
    windows = cut_windows(spectrum)
    filled = spectrum.fill(windows[3], fill).to_recording().samples
    apart = np.r_[0:4_400, 6_800:16_000]  # of 0.3 to 0.4 s, and half a window of the transform on either side
    np.testing.assert_allclose(filled[apart], recording.samples[apart], atol=1e-5)
    inside = slice(5_200, 6_000)
    assert not np.allclose(filled[inside], recording.samples[inside], atol=1e-2)
    if fill == "silence":
        assert np.abs(filled[inside]).max() < 1e-6
    else:  # of noise with the spectrum of the whole, or nearly that of its quietest tenth
        assert 0.05 < filled[inside].std() < 0.15


def test_a_filled_band_takes_its_tone_and_leaves_the_other() -> None:
    times = np.arange(RATE) / RATE
    samples = np.sin(2 * np.pi * 700 * times) + np.sin(2 * np.pi * 3_000 * times)
    spectrum = ShortTimeSpectrum.from_recording(Recording(samples.astype(np.float32), RATE))
    bands, edges = cut_bands(spectrum), list_band_edges(RATE)
    band = int(np.searchsorted(edges, 3_000) - 1)
    filled = spectrum.fill(bands[band], "silence").to_recording().samples
    middle = slice(2_000, 14_000)
    np.testing.assert_allclose(filled[middle], np.sin(2 * np.pi * 700 * times)[middle], atol=0.02)


def test_noise_has_the_power_that_is_asked_for() -> None:
    recording = noise(160_000)
    spectrum = ShortTimeSpectrum.from_recording(recording)
    power = spectrum.power.mean(dim=1, keepdim=True)
    filling = spectrum.make_noise(power, np.random.default_rng(1))
    ratio = filling.abs().square().mean(dim=1) / power[:, 0]
    assert float(ratio.mean()) == pytest.approx(1, abs=0.05)


def test_every_cell_is_in_one_part() -> None:
    for samples in (1, 700, 16_000, 200_000):
        spectrum = ShortTimeSpectrum.from_recording(noise(samples))
        windows = cut_windows(spectrum)
        assert len(windows) == count_windows(samples / RATE)
        assert (windows.sum(axis=0) == 1).all()
        bands = cut_bands(spectrum)
        assert len(bands) == BANDS
        assert (bands.sum(axis=0) == 1).all()
        assert bands.any(axis=(1, 2)).all()
    assert count_windows(3_600.0) == MAX_WINDOWS


def test_the_background_is_that_of_the_quietest_tenth() -> None:
    recording = noise(16_000)
    recording.samples[:14_000] *= 10
    spectrum = ShortTimeSpectrum.from_recording(recording)
    quiet = ShortTimeSpectrum.from_recording(Recording(recording.samples[14_400:], RATE)).power.mean()
    assert float(spectrum.background.mean()) == pytest.approx(float(quiet), rel=0.3)
    assert torch.isfinite(ShortTimeSpectrum.from_recording(Recording(np.zeros(5, np.float32), RATE)).background).all()
