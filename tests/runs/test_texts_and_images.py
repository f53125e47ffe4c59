"""What works with what: modality by way of freezing by plugin. Each cell is measured or says why not, never silent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rft
from rft.errors import ConfigError
from rft.records import AuditRun
from tests.conftest import CONFIG, write_images
from tests.support.audio_cases import encode_sound, make_tone
from tests.support.families import FAMILIES
from tests.support.speech_families import SPEECH

ALL = FAMILIES | SPEECH
PLUGINS = "[privacy]\nepsilon = 20.0\nmechanism_runs = 0\n[fairness]\nmin_group_size = 5\n[attribution]\nsamples = 2\n"
CLASSES = ('label = "colour"', 'label = "colour"\nclasses = ["blue", "red"]')  # private training asks for them
TRAIN = '[train]\nepochs = 3\noptimizer = "adamw"\nlearning_rate = 0.01\nbatch_size = 8\n'
# What each plugin measures first. A cell of the table is "measured", or the reason that it gives.
FIRST = {
    "backbone": "backbone.probe_accuracy",
    "training": "training.trained_unmoved",
    "performance": "performance.accuracy",
    "privacy": "privacy.epsilon",
    "attack": "privacy.membership_auc",
    "fairness": "fairness.accuracy_gap.camera",
    "attribution": "attribution.completeness",
}
# Of recordings integrated gradients are a second opinion, and none where they have not converged.
FIRST_OF_SPEECH = FIRST | {"attribution": "attribution.deletion.window_occlusion"}
WAYS = {
    "all": 'freeze = "all"',
    "layer": 'freeze = "{layer}"',
    "bias": 'freeze = "{layer}"\ntune = "bias"',
    "adapters": 'freeze = "{layer}"\ntune = "lora"\nlora = {{ target = ["{target}"] }}',
    "none": 'freeze = "none"',
    "adapters everywhere": 'tune = "lora"\nlora = {{ target = ["{target}"] }}',
}
TARGETS = {"bert": "query", "gpt2": "c_attn", "hf_vit": "q_proj", "whisper": "q_proj", "wav2vec2": "q_proj"}


# Every cell of the table; by default the ways of one family that train more than a head, but the two longest.
QUICK = {("bert", "layer"), ("bert", "adapters")}
CELLS = [
    pytest.param(family, way, marks=[] if (family, way) in QUICK else pytest.mark.slow)
    for family in TARGETS
    for way in WAYS
]


def write_texts(folder: Path) -> None:
    """Write texts of letters from either half of the alphabet, by class."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(40):
        label, start = (("red", 97), ("blue", 110))[number % 2]
        text = "".join(chr(start + offset) for offset in rng.integers(0, 13, rng.integers(4, 15)))
        split = "train" if number < 20 else "test"
        rows.append({"text": text, "colour": label, "camera": ("left", "right")[number // 2 % 2], "split": split})
    pd.DataFrame(rows).to_csv(folder / "texts.csv", index=False)


def write_clips(folder: Path, n: int = 40) -> pd.DataFrame:
    """Write tones of a pitch by class and of .1 to .3 s, two of each person, and ``clips.csv``; return the table."""
    rng = np.random.default_rng(0)
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(n):
        label, hertz = (("red", 400.0), ("blue", 1200.0))[number % 2]
        person = number // 2
        tone = make_tone(rng.uniform(0.1, 0.3), hertz=hertz * rng.uniform(0.9, 1.1))
        (folder / "clips" / f"{number:03}.wav").write_bytes(encode_sound(tone))
        split, camera = "train" if number < n // 2 else "test", ("left", "right")[person % 2]
        row = {"file": f"clips/{number:03}.wav", "colour": label, "person": f"{person:03}", "camera": camera}
        rows.append(row | {"split": split})
    table = pd.DataFrame(rows)
    table.to_csv(folder / "clips.csv", index=False)
    return table


def write_data(folder: Path, family: str) -> str:
    """Write the data of a family's modality, and the family as the hub lays it out; return the config's beginning."""
    ALL[family].load(folder)
    config = CONFIG.split("[model]")[0]
    if family in SPEECH:
        write_clips(folder)
        return config.replace("data/images.csv", "clips.csv").replace('image = "file"', 'audio = "file"')
    if family == "hf_vit":
        write_images(folder / "data")
        return config
    write_texts(folder)
    config = config.replace("data/images.csv", "texts.csv").replace('image = "file"', 'text = "text"')
    return config.replace('unit = "person"\n', "")


def write_audit(folder: Path, family: str, model: str) -> Path:
    """Write the data and the config of an audit, and the model as the hub lays it out in the folder ``own``."""
    data = write_data(folder, family).replace(*CLASSES)
    keys = model.format(layer=ALL[family].layer, target=TARGETS.get(family, ""))
    path = folder / "audit.toml"
    path.write_text(f'{data}\n[model]\nbackbone = "transformers/own"\n{keys}\n{TRAIN}{PLUGINS}', encoding="utf-8")
    return path


def plugin_outcome(run: AuditRun, plugin: str, first: Mapping[str, str] = FIRST) -> str:
    """Return "measured", or why not."""
    section = run.section("privacy" if plugin == "attack" else plugin)
    findings = {finding.id: finding for finding in section.findings}
    finding = findings.get(first[plugin]) or findings[f"{section.plugin}.audit"]
    return "measured" if finding.status != "not_measured" else str(finding.reason)


def integration_outcome(run: AuditRun) -> str:
    """Return "measured", or why recordings have no integrated gradients."""
    findings = {finding.id: finding for finding in run.section("attribution").findings}
    if "attribution.completeness" in findings:
        return "measured"
    return str(findings["attribution.deletion.integrated_gradients"].reason)


@pytest.mark.parametrize(("family", "way"), CELLS)
def test_every_plugin_works_with_every_way_of_freezing(tmp_path: Path, family: str, way: str) -> None:
    if "adapters" in way:
        pytest.importorskip("peft")
    run = rft.audit(write_audit(tmp_path, family, WAYS[way]), tmp_path / "run")
    first = FIRST_OF_SPEECH if family in SPEECH else FIRST
    assert {plugin: plugin_outcome(run, plugin, first) for plugin in first} == dict.fromkeys(first, "measured")
    if family in SPEECH:
        outcome = integration_outcome(run)
        assert outcome == "measured" or "has not converged" in outcome
    assert run.finding("training.frozen_changed").value == 0
    assert run.finding("training.trained_unmoved").value == 0
    assert run.model.training.cached is (way not in ("none", "adapters everywhere"))
    notes = " ".join(run.section("training").notes)
    assert ("Nothing was cached" in notes) is (not run.model.training.cached)
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert all(f'id="section-{section.plugin}"' in report for section in run.sections)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["layer", "all", "bias"])
def test_a_batch_norm_behind_the_cut_cannot_be_trained_privately(tiny: Path, way: str) -> None:
    keys = WAYS[way].format(layer="layer4.1")
    text = tiny.read_text().replace(*CLASSES).replace("[model]", f"[model]\n{keys}")
    tiny.write_text(text + PLUGINS, encoding="utf-8")
    if way == "all":
        assert plugin_outcome(rft.audit(tiny), "privacy") == "measured"
        return
    with pytest.raises(
        ConfigError, match=r"cannot be trained with differential privacy: .* \(BatchNorm2d\) mixes the examples"
    ):
        rft.audit(tiny)
    plain = tiny.read_text().replace("epsilon = 20.0\nmechanism_runs = 0\n", "")
    tiny.write_text(plain, encoding="utf-8")
    assert plugin_outcome(rft.audit(tiny), "attack") == "measured"


def test_a_model_of_others_is_audited_without_what_needs_training(tmp_path: Path) -> None:
    """The table's last row, for a checkpoint of each modality, stands with the tests of external models."""
    path = write_audit(tmp_path, "bert", WAYS["all"])
    text = path.read_text().replace('backbone = "transformers/own"\nfreeze = "all"', 'checkpoint = "own"')
    path.write_text(text.replace(TRAIN, ""), encoding="utf-8")
    with pytest.raises(ConfigError, match="would train the model, but a checkpoint or factory is audited as it is"):
        rft.audit(path)
