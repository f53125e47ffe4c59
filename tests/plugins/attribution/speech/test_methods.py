"""Occlusion and integrated gradients of recordings point at what decides, on waveforms and on spectra."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rft.data.audio.decoding import Recording
from rft.plugins.attribution.network import Network
from rft.plugins.attribution.quality.parts import measure_faithfulness
from rft.plugins.attribution.speech.clips import ExplainedClips, TestClips
from rft.plugins.attribution.speech.methods import FromSteps, Scores, integrate_gradients, measure_occlusion
from rft.plugins.attribution.speech.parts import list_band_edges
from rft.plugins.attribution.speech.profiles import spread_over_tenths
from rft.plugins.attribution.speech.quality import LOUD, ClipExamples
from rft.plugins.attribution.speech.replacements import NAMES, Replacement, measure_replacements
from tests.support.attribution_speech_cases import (
    HERTZ,
    RATE,
    Bands,
    Hearing,
    audited_model,
    make_sounds,
    spectrum_preprocessing,
)

PLANTED_WINDOW = 2  # from 0.2 to 0.3 s
PLANTED_BAND = int(np.searchsorted(list_band_edges(RATE), HERTZ) - 1)


def explain(folder: Path, n: int = 4) -> tuple[Network, ExplainedClips]:
    audited = audited_model(Hearing(), make_sounds(n, planted=1.0), folder)
    network = Network(audited.require_model(), "cpu")
    return network, ExplainedClips.from_rows(network, TestClips.from_audited(audited), np.arange(n))


def silence(method: str) -> Replacement:
    return Replacement(NAMES["silence"], 0.0, 0, 1, method, "silence")


def test_occlusion_finds_the_planted_window_and_band(tmp_path: Path) -> None:
    network, explained = explain(tmp_path)
    windows = measure_occlusion(network, explained, silence("window_occlusion"))
    assert [int(values.argmax()) for values in windows.values] == [PLANTED_WINDOW] * 4
    assert windows.sound.all()
    for values in windows.values:  # the neighbours fade with it, what is apart says nothing
        apart = np.delete(values, [PLANTED_WINDOW - 1, PLANTED_WINDOW, PLANTED_WINDOW + 1])
        assert np.abs(apart).max() < 0.01 * values[PLANTED_WINDOW]
    bands = measure_occlusion(network, explained, silence("band_occlusion"))
    assert [int(values.argmax()) for values in bands.values] == [PLANTED_BAND] * 4


def test_occlusion_is_the_lead_that_is_lost_without_the_part(tmp_path: Path) -> None:
    network, explained = explain(tmp_path, n=1)
    recording, target = explained.read_one(0)
    values = measure_occlusion(network, explained, silence("window_occlusion")).values[0]
    without = recording.samples.copy()
    without[round(0.2 * RATE) : round(0.3 * RATE)] = 0  # with hard edges
    margins = [
        float(network.margins(explained.clips.prepare([Recording(samples, RATE)]), target))
        for samples in (recording.samples, without)
    ]
    assert values[PLANTED_WINDOW] == pytest.approx(margins[0] - margins[1], rel=0.1)


def test_integrated_gradients_find_the_planted_window_and_are_complete(tmp_path: Path) -> None:
    network, explained = explain(tmp_path)
    filling = silence("window_occlusion")
    scores = integrate_gradients(network, explained, np.array([1, 3]), filling, max_steps=508, must_converge=True)
    assert scores.places.tolist() == [1, 3]
    assert [int(values.argmax()) for values in scores.values] == [PLANTED_WINDOW] * 2
    for place, values in zip((1, 3), scores.values, strict=True):
        recording, target = explained.read_one(place)
        both = explained.clips.prepare([recording, Recording(np.zeros_like(recording.samples), RATE)])
        logits = network.logits(both)[:, int(target)]
        assert float(values.sum()) == pytest.approx(float(logits[0] - logits[1]), rel=0.05)


def test_integrated_gradients_of_a_linear_network_on_spectra_are_known(tmp_path: Path) -> None:
    steps, column = slice(30, 50), 20
    audited = audited_model(Bands(column, steps), make_sounds(2), tmp_path, preprocessing=spectrum_preprocessing())
    network = Network(audited.require_model(), "cpu")
    explained = ExplainedClips.from_rows(network, TestClips.from_audited(audited), np.arange(2))
    scores = integrate_gradients(
        network, explained, np.arange(2), silence("window_occlusion"), max_steps=16, must_converge=False
    )
    assert scores.completeness is not None
    for place, values in enumerate(scores.values):
        recording, target = explained.read_one(place)
        silent = Recording(np.zeros_like(recording.samples), RATE)
        spectra = explained.clips.prepare([silent, recording])["spectrum"].double()
        change = (spectra[1] - spectra[0])[:, column] / 20 * (1 if int(target) else -1)
        expected = [float(change[10 * w : 10 * w + 10].sum()) if w in (3, 4) else 0.0 for w in range(8)]
        np.testing.assert_allclose(values, expected, atol=1e-4)
        assert scores.completeness[place].map_change == pytest.approx(0, abs=1e-5)


def test_steps_that_do_not_fill_their_windows_come_back_in_order() -> None:
    network = Network(Hearing(), "cpu")
    for steps, windows, bands in ((73, 7, ()), (5, 5, (3,)), (101, 10, (2,))):
        function = FromSteps(network, "waveform", steps, bands, windows)
        values = torch.randn(steps, *bands)
        arranged = function.arrange(values)
        assert arranged.shape[0] == windows
        torch.testing.assert_close(arranged.reshape(-1, *bands)[function.places], values)
        torch.testing.assert_close(arranged.sum(), values.sum())


def test_the_filling_that_shifts_least_is_the_first(tmp_path: Path) -> None:
    audited = audited_model(Hearing(), make_sounds(12), tmp_path)
    network = Network(audited.require_model(), "cpu")
    clips = TestClips.from_audited(audited)
    measured = measure_replacements(network, clips, 12, None, np.random.default_rng(0))
    for method, replacements in measured.items():
        shifts = [replacement.shift for replacement in replacements]
        assert shifts == sorted(shifts)
        assert {replacement.fill for replacement in replacements} == set(NAMES)
        assert {(replacement.method, replacement.n) for replacement in replacements} == {(method, 12)}
    of_units = measure_replacements(network, clips, 12, np.repeat(["a", "b"], 6), np.random.default_rng(0))
    assert of_units["band_occlusion"][0].n == 2, "one of each unit"


def test_deletion_holds_maps_against_chance_and_against_loudness(tmp_path: Path) -> None:
    network, explained = explain(tmp_path, n=6)
    filling = silence("window_occlusion")
    known = measure_occlusion(network, explained, filling)
    rng = np.random.default_rng(0)
    true = measure_faithfulness(ClipExamples.from_scores(network, explained, known, filling), rng)
    assert (true.deletion > 0.5).all()
    np.testing.assert_allclose(true.beyond[LOUD], 0, atol=1e-6)  # the tone is the loudest too
    sham = Scores("window_occlusion", known.places, tuple(values.max() - values for values in known.values))
    false = measure_faithfulness(ClipExamples.from_scores(network, explained, sham, filling), rng)
    assert false.deletion.mean() < 0
    assert false.beyond[LOUD].mean() < -0.5


def test_windows_are_spread_over_tenths() -> None:
    np.testing.assert_allclose(
        spread_over_tenths(np.array([1.0, 0.0, -1.0, 0.0, 2.0])), [0.5, 0.5, 0, 0, -0.5, -0.5, 0, 0, 1, 1]
    )
    np.testing.assert_allclose(spread_over_tenths(np.arange(20.0)), np.arange(20.0).reshape(10, 2).sum(axis=1))
    assert spread_over_tenths(np.array([3.0])).sum() == pytest.approx(3)
