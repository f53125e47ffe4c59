"""How often the deletion test passes maps of recordings that are true, and such as are shams; and swaps the innocent.

Each simulated audit explains twelve recordings of noise that have a tone in a window drawn at random, which alone
decides, and elsewhere a louder noise that decides nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rft.plugins.attribution.network import Network
from rft.plugins.attribution.quality.deletion import Faithfulness
from rft.plugins.attribution.quality.parts import measure_faithfulness
from rft.plugins.attribution.shortcuts.findings import ShortcutTest, judge_shortcuts
from rft.plugins.attribution.shortcuts.options import Shortcut
from rft.plugins.attribution.shortcuts.pairing import plan_swaps
from rft.plugins.attribution.shortcuts.wording import sound_wording
from rft.plugins.attribution.speech.clips import ExplainedClips, TestClips
from rft.plugins.attribution.speech.methods import Scores, measure_occlusion
from rft.plugins.attribution.speech.quality import ClipExamples
from rft.plugins.attribution.speech.replacements import NAMES, Replacement
from rft.plugins.attribution.speech.shortcuts.changes import choose_change
from rft.plugins.attribution.speech.shortcuts.swaps import swap_sounds
from rft.stats.intervals import mean_interval
from tests.support.attribution_speech_cases import RATE, Hearing, audited_model, make_sounds

pytestmark = pytest.mark.slow

AUDITS, CLIPS = 40, 12
FILLING = Replacement(NAMES["silence"], 0.0, 0, 1, "window_occlusion", "silence")


def passes(tested: Faithfulness) -> bool:
    """Tell whether maps are said to mark what decides."""
    intervals = [mean_interval(values) for values in (tested.deletion, *tested.beyond.values())]
    return all(interval is not None and interval.low > 0 for interval in intervals)


def simulate(folder: Path, seed: int) -> tuple[Network, ExplainedClips, Scores, int]:
    """Return a network, what is explained, its true map, and the window that decides, 0 to 7."""
    rng = np.random.default_rng(seed)
    window = int(rng.integers(8))
    span = (window / 10, window / 10 + 0.1)
    sounds = make_sounds(CLIPS, planted=1.0, window=span, seed=seed)
    for samples in sounds:  # what is merely loud, in another window
        louder = int(rng.choice([place for place in range(8) if abs(place - window) > 1]))
        start = round(louder / 10 * RATE)
        samples[start : start + RATE // 10] += rng.normal(scale=0.4, size=RATE // 10).astype(np.float32)
    audited = audited_model(Hearing(span), sounds, folder)
    network = Network(audited.require_model(), "cpu")
    explained = ExplainedClips.from_rows(network, TestClips.from_audited(audited), np.arange(CLIPS))
    return network, explained, measure_occlusion(network, explained, FILLING), window


def test_true_maps_pass_the_deletion_test_and_shams_do_not(tmp_path: Path) -> None:
    counts = {"true": 0, "pointed": 0, "random": 0, "loud": 0, "middle": 0, "aside": 0}
    for seed in range(AUDITS):
        (folder := tmp_path / str(seed)).mkdir()
        network, explained, known, planted = simulate(folder, seed)
        rng = np.random.default_rng(seed)
        true = measure_faithfulness(ClipExamples.from_scores(network, explained, known, FILLING), rng)
        counts["true"] += passes(true)
        counts["pointed"] += all(int(values.argmax()) == planted for values in known.values)
        shams = {
            "random": [rng.random(8) for _ in range(CLIPS)],
            "middle": [4.5 - np.abs(np.arange(8) - 3.5)] * CLIPS,
            "loud": [_loudness(explained, place) for place in range(CLIPS)],
        }
        if planted in (3, 4):  # there the middle is no sham
            del shams["middle"]
        else:
            counts["aside"] += 1
        for name, values in shams.items():
            sham = Scores("window_occlusion", known.places, tuple(values))
            counts[name] += passes(
                measure_faithfulness(ClipExamples.from_scores(network, explained, sham, FILLING), rng)
            )
    assert counts["pointed"] == AUDITS, counts
    assert counts["true"] >= 0.9 * AUDITS, counts
    assert max(counts["random"], counts["loud"]) <= 0.05 * AUDITS, counts
    assert counts["middle"] <= 0.05 * counts["aside"], counts


def _loudness(explained: ExplainedClips, place: int) -> np.ndarray:
    samples = explained.read_one(place)[0].samples
    return np.array([float((part**2).sum()) + 1e-9 for part in np.array_split(samples, 8)])


def test_planted_reliance_is_found_and_the_innocent_are_cleared(tmp_path: Path) -> None:
    shortcuts = [
        Shortcut.model_validate({"name": "beep", "seconds": [0.2, 0.3]}),
        Shortcut.model_validate({"name": "tone", "hertz": [1_800, 2_200]}),
        Shortcut.model_validate({"name": "end", "seconds": [-0.2, 0]}),
        Shortcut.model_validate({"name": "low", "hertz": [0, 300]}),
        Shortcut.model_validate({"name": "room", "background": True}),
    ]
    accused = dict.fromkeys((shortcut.name for shortcut in shortcuts), 0)
    for seed in range(10):
        (folder := tmp_path / str(seed)).mkdir()
        audited = audited_model(Hearing(), make_sounds(60, seed=seed), folder)
        plan = plan_swaps(audited.splits["test"].labels, None, pairs=200, rng=np.random.default_rng(seed))
        changes = [choose_change(shortcut) for shortcut in shortcuts]
        network, clips = Network(audited.require_model(), "cpu"), TestClips.from_audited(audited)
        results = swap_sounds(network, clips, plan, changes)
        tests = [
            ShortcutTest(shortcut, result, sound_wording(shortcut, result, change.noun))
            for shortcut, result, change in zip(shortcuts, results, changes, strict=True)
        ]
        for finding, shortcut in zip(judge_shortcuts(tests), shortcuts, strict=True):
            accused[shortcut.name] += finding.status == "warn"
    assert accused == {"beep": 10, "tone": 10, "end": 0, "low": 0, "room": 0}
