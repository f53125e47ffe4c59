"""Audits of recognisers that others trained: from recordings and what is said in them to error rates by group."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import rft
from rft.backbones.sources import snapshot
from rft.backbones.sources.speech.transcription import load_transcriber
from rft.config.schema import ModelConfig
from rft.data.audio.decoding import read_recording
from rft.data.transcripts.normalizers import simplify_text
from rft.errors import RftError
from tests.support.audio_cases import encode_sound
from tests.support.recognizers import write_ctc, write_whisper
from tests.support.speech_families import some_clips
from tests.support.token_cases import delimited_tokenizer

jiwer = pytest.importorskip("jiwer")
transformers = pytest.importorskip("transformers")

CONFIG = """
[data]
manifest = "utterances.csv"
audio = "file"
transcript = "said"
normalizer = "simple"
unit = "speaker"
groups = ["accent"]
{data}
[model]
checkpoint = "own"
{model}
[fairness]
"""
SPEAKERS = 12


def write_audit(folder: Path, *, model: str = "", data: str = "", kind: str = "whisper", tokenizer: Any = None) -> Path:
    """Write two utterances of each speaker, of words that a random model may hit, and the config of their audit."""
    if kind == "whisper":
        write_whisper(folder / "own")
    else:
        write_ctc(folder / "own", tokenizer=tokenizer)
    rng, rows = np.random.default_rng(0), []
    for number, clip in enumerate(some_clips(2 * SPEAKERS)):
        file, speaker = f"{number:02}.wav", number % SPEAKERS
        (folder / file).write_bytes(encode_sound(clip))
        said = " ".join("".join(rng.choice(list("abgx"), 3)) for _ in range(4))
        accent = ("coast", "hills")[speaker % 2]
        rows.append({"file": file, "said": said, "speaker": f"s{speaker:02}", "accent": accent})
    pd.DataFrame(rows).to_csv(folder / "utterances.csv", index=False)
    path = folder / "audit.toml"
    path.write_text(CONFIG.format(model=model, data=data), encoding="utf-8")
    return path


def transcribe_alone(folder: Path, **decoding: Any) -> pd.DataFrame:
    """Return the table of the utterances with what the model writes of each when it is run by itself."""
    source = snapshot.find_snapshot("own", folder, offline=True, where="model.checkpoint")
    settings = {"checkpoint": "own"} | ({"decoding": decoding} if decoding else {})
    transcriber = load_transcriber(source, ModelConfig.model_validate(settings))
    table = pd.read_csv(folder / "utterances.csv")
    clips = [transcriber.preprocessing.resample(read_recording(folder / file, 60.0)).samples for file in table["file"]]
    return table.assign(written=[transcriber.transcribe([clip])[0].text for clip in clips])


@pytest.mark.parametrize(
    ("kind", "beams"), [("whisper", 1), pytest.param("whisper", 2, marks=pytest.mark.slow), ("ctc", None)]
)
def test_findings_are_those_of_the_same_transcripts_in_a_table(tmp_path: Path, kind: str, beams: int | None) -> None:
    model = "" if beams is None else f"[model.decoding]\nbeams = {beams}\n"
    run = rft.audit(write_audit(tmp_path, kind=kind, model=model), tmp_path / "run")
    table = transcribe_alone(tmp_path, **({} if beams is None else {"beams": beams}))
    same = rft.audit_predictions(
        table.fillna({"written": ""}),
        **{"reference": "said", "hypothesis": "written", "normalizer": "simple", "unit": "speaker"},
        groups=["accent"],
        plugins={"fairness": {}},
    )
    for plugin in ("performance", "fairness"):
        ours, theirs = run.section(plugin), same.section(plugin)
        assert [finding.model_dump() for finding in ours.findings] == [
            finding.model_dump() for finding in theirs.findings
        ]
        assert ours.tables == theirs.tables
    assert run["performance.word_error_rate"].value is not None
    assert run["dataset.cut_transcripts"].n == 2 * SPEAKERS
    assert run["dataset.decoded_in_windows"].value == 0
    assert run.model.model_sha256 is not None
    assert run.model.preprocessing.sample_rate == 16_000


def test_error_rates_of_longer_tokens_are_those_of_the_processors_texts(tmp_path: Path) -> None:
    path = write_audit(tmp_path, kind="ctc", tokenizer=delimited_tokenizer(tmp_path))
    table = pd.read_csv(tmp_path / "utterances.csv")
    network = transformers.Wav2Vec2ForCTC.from_pretrained(tmp_path / "own").eval()
    processor = transformers.Wav2Vec2Processor.from_pretrained(tmp_path / "own")
    heard = [read_recording(tmp_path / file, 60.0).samples for file in table["file"]]
    with torch.no_grad():
        outputs = [network(processor(clip, sampling_rate=16_000, return_tensors="pt").input_values) for clip in heard]
    written = [simplify_text(processor.batch_decode(output.logits.argmax(dim=-1))[0]) for output in outputs]
    said = [simplify_text(text) for text in table["said"]]
    run = rft.audit(path, tmp_path / "run")
    assert run["performance.word_error_rate"].value == pytest.approx(jiwer.wer(said, written), abs=1e-12)
    assert run["performance.character_error_rate"].value == pytest.approx(jiwer.cer(said, written), abs=1e-12)


def test_long_recordings_are_decoded_in_windows_and_counted(tmp_path: Path) -> None:
    path = write_audit(tmp_path)
    long = np.tile(some_clips(1)[0], 100)
    (tmp_path / "00.wav").write_bytes(encode_sound(long))
    run = rft.audit(path, tmp_path / "run")
    assert run["dataset.decoded_in_windows"].value == 1
    assert len(pd.read_parquet(tmp_path / "run" / "predictions.parquet")) == 2 * SPEAKERS


def test_no_word_that_was_said_or_written_is_kept(tmp_path: Path) -> None:
    path = write_audit(tmp_path)
    rft.audit(path, tmp_path / "run")
    said = pd.read_csv(tmp_path / "utterances.csv")["said"]
    kept = json.dumps(json.loads((tmp_path / "run" / "audit.json").read_text(encoding="utf-8")))
    assert not any(text in kept for text in said)
    table = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    assert not set(said) & {str(value) for column in table for value in table[column]}


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        ('classes = ["a", "b"]', "", "model.classes: has no effect here: transcripts have no classes"),
        ('outputs = "probabilities"', "", "model.outputs: has no effect here"),
        ('memory = "1GB"', "", "model.memory: has no effect here: transcripts keep no features"),
        ("layer = 1", "", "a checkpoint is audited as it is: remove layer"),
        ("", 'label = "accent"', "transcripts have no classes: remove label"),
        ("[model.decoding]\nbeams = 0", "", "beams"),
        ('[model.decoding]\nlanguage = "xx"', "", "knows no language 'xx'"),
    ],
)
def test_what_has_no_effect_or_meaning_is_refused(tmp_path: Path, model: str, data: str, message: str) -> None:
    with pytest.raises(RftError) as error:
        rft.audit(write_audit(tmp_path, model=model, data=data), tmp_path / "run")
    assert message in str(error.value)
    assert not (tmp_path / "run").exists()
