"""Spans, bands and backgrounds are swapped between recordings, and flips are counted against the control."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from rft.data.audio.decoding import Recording
from rft.plugins.attribution.interventions import Intervention
from rft.plugins.attribution.network import Network
from rft.plugins.attribution.shortcuts.options import Shortcut
from rft.plugins.attribution.shortcuts.pairing import plan_swaps
from rft.plugins.attribution.speech.clips import TestClips
from rft.plugins.attribution.speech.shortcuts.changes import Background, Band, SoundChange, Span, choose_change
from rft.plugins.attribution.speech.shortcuts.swaps import swap_sounds
from rft.plugins.attribution.speech.spectra import ShortTimeSpectrum
from tests.support.attribution_speech_cases import RATE, SECONDS, Hearing, audited_model, make_sounds

END = (-0.6, -0.5)  # the planted window, from the end


def transform(samples: np.ndarray) -> ShortTimeSpectrum:
    return ShortTimeSpectrum.from_recording(Recording(samples.astype(np.float32), RATE))


def noise(seconds: float, scale: float = 1.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=scale, size=round(seconds * RATE))


def swap(folder: Path, changes: list[SoundChange], n: int = 24, seconds: float = SECONDS) -> list[Intervention]:
    audited = audited_model(Hearing(), make_sounds(n, seconds=seconds), folder)
    predicted = audited.splits["test"].labels
    plan = plan_swaps(predicted, None, pairs=200, rng=np.random.default_rng(0))
    return swap_sounds(Network(audited.require_model(), "cpu"), TestClips.from_audited(audited), plan, changes)


def test_the_span_and_the_band_that_decide_flip_and_others_do_not(tmp_path: Path) -> None:
    changes = [Span(0.2, 0.3), Span(*END), Band(1_800, 2_200), Span(0.5, 0.7), Band(200, 800), Background()]
    planted, from_end, band, other_span, other_band, background = swap(tmp_path, changes)
    for result in (planted, from_end, band):
        assert (result.n, result.shortcut.share, result.control.share) == (12, 1.0, 0.0)
    for result in (other_span, other_band, background):
        assert (result.n, result.shortcut.flips, result.control.flips) == (12, 0, 0)
    assert planted.elsewhere is not None
    assert (planted.elsewhere.n, planted.elsewhere.flips) == (12, 0)
    assert background.elsewhere is None
    assert other_span.elsewhere is None  # 0.1 to 0.3 s from the end would overlap it


def test_recordings_that_have_too_little_of_a_span_are_left_out(tmp_path: Path) -> None:
    (result,) = swap(tmp_path, [Span(0.75, 0.95)])
    assert (result.n, result.left_out) == (0, 12)
    assert result.visible_share == pytest.approx(0.25)


def test_spans_are_counted_from_either_end() -> None:
    recipient, donor = noise(1.0), noise(0.7, scale=10.0, seed=1)
    first = Span(0.1, 0.3).take_from(transform(recipient), transform(donor)).to_recording().samples
    np.testing.assert_allclose(first[1_000:2_200], donor[1_000:2_200], atol=1e-3)
    np.testing.assert_allclose(first[2_700:], recipient[2_700:], atol=1e-3)
    last = Span(-0.3, 0).take_from(transform(recipient), transform(donor)).to_recording().samples
    np.testing.assert_allclose(last[:5_300], recipient[:5_300], atol=1e-3)
    np.testing.assert_allclose(last[6_000:7_700], donor[3_632:5_332], atol=1e-3)  # to a frame


def test_a_band_of_a_shorter_recording_is_repeated() -> None:
    times = np.arange(RATE) / RATE
    donor = np.sin(2 * np.pi * 1_000 * times[: RATE // 4])
    changed = Band(900, 1_100).take_from(transform(0 * times), transform(donor)).to_recording().samples
    power = [float((part**2).mean()) for part in np.split(changed, 4)]
    assert min(power) > 0.2


def test_backgrounds_change_places_and_what_is_louder_stays() -> None:
    times = np.arange(RATE) / RATE
    tone = np.where((times > 0.4) & (times < 0.6), np.sin(2 * np.pi * 1_000 * times), 0)
    recipient, donor = tone + noise(1.0, scale=0.01), noise(1.0, scale=0.1, seed=1)
    changed = Background().take_from(transform(recipient), transform(donor)).to_recording().samples
    assert changed[: RATE // 4].std() == pytest.approx(0.1, rel=0.2)
    assert np.corrcoef(changed[3_400:4_600], recipient[3_400:4_600])[0, 1] > 0.95
    quieter = Background().take_from(transform(donor), transform(recipient)).to_recording().samples
    assert quieter.std() < 0.09


def test_another_part_of_the_same_size_does_not_overlap() -> None:
    spectrum = transform(noise(1.0))
    assert Span(0, 0.1).find_elsewhere(spectrum) == Span(-0.1, 0)
    assert Span(0.2, 0.6).find_elsewhere(spectrum) is None
    assert Band(1_000, 2_000).find_elsewhere(spectrum) is None
    low = Band(0, 100).find_elsewhere(spectrum)
    assert low is not None
    assert (low.high, low.low) == (pytest.approx(4_000), pytest.approx(3_412.5))
    assert Band(3_000, 6_000).find_share(spectrum) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"seconds": [0, 0.1]}, Span(0, 0.1)),
        ({"seconds": [-0.5, 0]}, Span(-0.5, 0)),
        ({"hertz": [0, 100]}, Band(0, 100)),
        ({"background": True, "column": "room", "value": "hall"}, Background()),
    ],
)
def test_shortcuts_name_their_change(keys: dict[str, Any], expected: SoundChange) -> None:
    shortcut = Shortcut.model_validate({"name": "x"} | keys)
    assert shortcut.modality == "audio"
    assert choose_change(shortcut) == expected


@pytest.mark.parametrize(
    "keys",
    [
        {"seconds": [0.1]},
        {"seconds": [0.2, 0.1]},
        {"seconds": [-0.1, 0.1]},
        {"hertz": [-1, 100]},
        {"hertz": [100, 100]},
        {"background": False},
        {"background": True, "hertz": [0, 100]},
        {"seconds": [0, 0.1], "region": [0, 0, 1, 1]},
    ],
)
def test_shortcuts_that_say_nothing_are_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Shortcut.model_validate({"name": "x"} | keys)
