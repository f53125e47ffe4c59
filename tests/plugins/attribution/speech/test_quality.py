"""How far attributions of recordings can be believed: planted stretches, shams, and noise in the samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from rft.plugins.attribution.interventions import NOISE
from rft.plugins.attribution.modality_words import recording_wording
from rft.plugins.attribution.network import Network
from rft.plugins.attribution.quality.measures import state_quality
from rft.plugins.attribution.quality.parts import Parts, measure_faithfulness, measure_part_quality
from rft.plugins.attribution.speech.clips import ExplainedClips, TestClips
from rft.plugins.attribution.speech.methods import Scores, measure_occlusion, occlude_one, repeat_gradients
from rft.plugins.attribution.speech.quality import ClipExamples
from rft.plugins.attribution.speech.replacements import NAMES, Replacement
from rft.records import Finding
from rft.stats.intervals import mean_interval
from tests.support.attribution_speech_cases import Hearing, Weights, audited_model, make_sounds

FILLING = Replacement(NAMES["silence"], 0.0, 0, 1, "window_occlusion", "silence")
WORDS = recording_wording("silence", bands=False)


def read_clips(folder: Path, model: nn.Module, n: int, seconds: float = 0.8) -> tuple[Network, ExplainedClips]:
    sounds = make_sounds(n, planted=1.0, seconds=seconds)
    rng = np.random.default_rng(0)
    for samples in sounds:  # windows of different loudness
        samples *= np.repeat(rng.uniform(0.5, 8, size=round(seconds / 0.1)), 800).astype(np.float32)
    network = Network(model, "cpu")
    clips = TestClips.from_audited(audited_model(model, sounds, folder))
    return network, ExplainedClips.from_rows(network, clips, np.arange(n))


def state_measures(examples: ClipExamples) -> dict[str, Finding]:
    places = np.arange(len(examples.values))
    quality = measure_part_quality(examples.network, examples, places, np.random.default_rng(0))
    findings = state_quality(quality, None, WORDS)
    return {finding.id.removeprefix("attribution.").partition(".")[0]: finding for finding in findings}


def test_the_planted_window_brings_the_class(tmp_path: Path) -> None:
    network, explained = read_clips(tmp_path, Hearing(), 6)
    known = measure_occlusion(network, explained, FILLING)
    stated = state_measures(ClipExamples.from_scores(network, explained, known, FILLING))
    assert stated["insertion"].status == "info"
    assert stated["insertion"].interval is not None
    assert stated["insertion"].interval.low > 0.5
    assert stated["randomization"].reason == "randomising the parameters changes no logit", "it has none"
    assert stated["stability"].value is not None


def test_random_attributions_bring_no_more_than_chance(tmp_path: Path) -> None:
    network, explained = read_clips(tmp_path, Hearing(), 8)
    rng, passed = np.random.default_rng(0), 0
    for _ in range(4):
        sham = Scores("window_occlusion", np.arange(8), tuple(rng.random(8) for _ in range(8)))
        interval = mean_interval(
            measure_faithfulness(ClipExamples.from_scores(network, explained, sham, FILLING), rng).insertion
        )
        assert interval is not None
        passed += interval.low > 0
    assert passed <= 1  # 0.1 of 4 is nominal, for one side of a 95 % interval


@dataclass(frozen=True)
class Loud(ClipExamples):
    """A sham: the loudness of the parts, by whatever network."""

    def attribute(self, network: Network, places: np.ndarray) -> Parts:
        return self.measure_content(places)


def test_attributions_that_ignore_the_network_are_found(tmp_path: Path) -> None:
    network, explained = read_clips(tmp_path, Weights(8), 6)
    values = Loud(network, "window_occlusion", explained, [], FILLING).measure_content(np.arange(6))
    stated = state_measures(Loud(network, "window_occlusion", explained, values, FILLING))["randomization"]
    assert (stated.status, stated.value) == ("warn", pytest.approx(1))
    assert "the attributions show the recording, whatever was learned" in stated.caveats
    assert "the loudness of the windows of time 1.00" in stated.caveats


@pytest.mark.slow
def test_true_attributions_depend_on_what_was_learned(tmp_path: Path) -> None:
    network, explained = read_clips(tmp_path, Weights(64), 12, seconds=6.4)
    known = measure_occlusion(network, explained, FILLING)
    stated = state_measures(ClipExamples.from_scores(network, explained, known, FILLING))
    assert stated["randomization"].interval is not None
    assert stated["randomization"].interval.high < 0.2, stated["randomization"]
    assert stated["stability"].interval is not None
    assert stated["stability"].interval.low > 0.8


def test_noise_is_white_and_the_same_each_time_that_a_recording_is_read(tmp_path: Path) -> None:
    _, explained = read_clips(tmp_path, Hearing(), 3)
    noisy = explained.add_noise(7)
    added = []
    for place in range(3):
        clean, loud = explained.read_one(place)[0].samples, noisy.read_one(place)[0].samples
        np.testing.assert_array_equal(loud, noisy.take(np.array([place])).read_one(0)[0].samples)
        noise = (loud - clean).astype(np.float64)
        assert noise.std() == pytest.approx(NOISE * np.ptp(clean), rel=0.05)
        power = np.abs(np.fft.rfft(noise))[1:-1] ** 2
        low, high = (part.mean() for part in np.array_split(power, 2))
        assert low == pytest.approx(high, rel=0.2)
        added.append(noise / np.ptp(clean))
    assert abs(np.corrcoef(added[0], added[1])[0, 1]) < 0.1, "each recording has noise of its own"
    assert not np.array_equal(explained.add_noise(8).read_one(0)[0].samples, noisy.read_one(0)[0].samples)


@pytest.mark.parametrize("method", ["window_occlusion", "integrated_gradients"])
def test_attributions_under_noise_are_those_of_the_noisy_recordings(tmp_path: Path, method: str) -> None:
    network, explained = read_clips(tmp_path, Weights(8), 3)
    examples = ClipExamples(network, method, explained, [np.ones(8)] * 3, FILLING)
    under_noise = examples.attribute_noisy(np.array([0, 2]), np.random.default_rng(1))
    noisy = explained.add_noise(int(np.random.default_rng(1).integers(2**63)))
    attribute = occlude_one if method == "window_occlusion" else repeat_gradients
    for place, values in zip((0, 2), under_noise, strict=True):
        np.testing.assert_allclose(values, attribute(network, noisy, place, FILLING), atol=1e-6)
        assert not np.allclose(values, attribute(network, explained, place, FILLING), atol=1e-6)


def test_integrated_gradients_with_a_few_steps_are_those_of_a_quadratic_network(tmp_path: Path) -> None:
    """Its gradient is linear along the path, so that any number of steps is exact."""
    model = Weights(8)
    network, explained = read_clips(tmp_path, model, 2)
    for place in range(2):
        recording, target = explained.read_one(place)
        energy = 100 * torch.from_numpy(recording.samples).double().unflatten(0, (8, -1)).square().mean(dim=1)
        expected = model.linear.weight[int(target)].double() * energy
        np.testing.assert_allclose(repeat_gradients(network, explained, place, FILLING), expected, rtol=1e-4, atol=1e-6)
