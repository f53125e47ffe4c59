"""Recognisers that others trained write what transformers itself has them write, whatever stands beside a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from rft.backbones.sources import snapshot
from rft.backbones.sources.speech.transcriber import Transcriber
from rft.backbones.sources.speech.transcription import load_transcriber
from rft.backbones.sources.speech.whisper import WhisperTranscriber
from rft.config.schema import ModelConfig
from rft.errors import ConfigError, ModelError
from tests.support.recognizers import WINDOW, write_ctc, write_whisper
from tests.support.speech_families import RATE, some_clips
from tests.support.token_cases import delimited_tokenizer, pair_tokenizer

CTC = ("layer", "group")


def load(folder: Path, **decoding: Any) -> Transcriber:
    settings = {"checkpoint": folder.name} | ({"decoding": decoding} if decoding else {})
    source = snapshot.find_snapshot(folder.name, folder.parent, offline=True, where="model.checkpoint")
    return load_transcriber(source, ModelConfig.model_validate(settings))


def some_sounds(count: int = 6) -> list[np.ndarray]:
    """Return clips that differ by more than their lengths, some of them of seconds."""
    return [np.tile(clip, 1 + 3 * (row % 3)) for row, clip in enumerate(some_clips(count))]


def long_sound(seconds: float) -> np.ndarray:
    joined = np.concatenate(some_clips(24))
    return np.tile(joined, 20)[: round(seconds * RATE)]


def read_text(tokens: torch.Tensor, tokenizer: Any) -> str:
    """Return a text as transformers reads it; tokens of times have no names in the tokenizer."""
    return tokenizer.decode([token for token in tokens.tolist() if token < len(tokenizer)], skip_special_tokens=True)


@pytest.mark.parametrize(("beams", "task"), [(1, "transcribe"), (1, "translate"), (3, "transcribe")])
def test_whisper_writes_what_its_library_generates(tmp_path: Path, beams: int, task: str) -> None:
    folder, clips = write_whisper(tmp_path / "own"), some_sounds()
    written = [transcript.text for transcript in load(folder, beams=beams, task=task).transcribe(clips)]
    network = hf.WhisperForConditionalGeneration.from_pretrained(folder).eval()
    processor = hf.WhisperFeatureExtractor.from_pretrained(folder)
    tokenizer = hf.WhisperTokenizer.from_pretrained(folder)
    spectra = processor(clips, sampling_rate=RATE, return_tensors="pt").input_features
    tokens = network.generate(spectra, num_beams=beams, do_sample=False, task=task)
    assert written == [read_text(row, tokenizer).strip() for row in tokens]
    assert len(set(written)) > 1, "what is written depends on what is heard"


def test_more_beams_find_other_texts(tmp_path: Path) -> None:
    folder, clips = write_whisper(tmp_path / "own"), some_sounds()
    one, several = (load(folder, beams=beams).transcribe(clips) for beams in (1, 3))
    assert one != several


def test_a_long_recording_is_decoded_in_windows_as_its_library_does(tmp_path: Path) -> None:
    folder, clip = write_whisper(tmp_path / "own"), long_sound(3.2 * WINDOW)
    (written,) = load(folder, language="en").transcribe([clip])
    network = hf.WhisperForConditionalGeneration.from_pretrained(folder).eval()
    processor = hf.WhisperFeatureExtractor.from_pretrained(folder)
    tokenizer = hf.WhisperTokenizer.from_pretrained(folder)
    prepared = processor(
        clip, sampling_rate=RATE, return_tensors="pt", truncation=False, padding="longest", return_attention_mask=True
    )
    tokens = network.generate(**prepared, return_timestamps=True, language="en", task="transcribe")
    assert written.text == read_text(tokens[0], tokenizer).strip()
    assert written.windows >= 4
    assert load(folder).transcribe(some_sounds(1))[0].windows == 1


def test_whisper_writes_the_same_alone_and_beside_others(tmp_path: Path) -> None:
    folder = write_whisper(tmp_path / "own")
    clips = [*some_sounds(), long_sound(1.5 * WINDOW), long_sound(2.5 * WINDOW)]
    for beams in (1, 3):
        transcriber = load(folder, beams=beams)
        assert transcriber.transcribe(clips) == [transcriber.transcribe([clip])[0] for clip in clips]


def test_texts_that_a_model_cannot_end_are_counted(tmp_path: Path) -> None:
    clips = [*some_sounds(3), long_sound(2.5 * WINDOW)]
    folder = write_whisper(tmp_path / "short", longest=8)
    never = load(folder)
    assert isinstance(never, WhisperTranscriber)
    never.network.generation_config.suppress_tokens = [never.network.generation_config.eos_token_id]
    for transcript in never.transcribe(clips):
        assert transcript.cut == transcript.windows
    at_once = load(folder)
    ends = at_once.network.generation_config
    ends.begin_suppress_tokens = None
    ends.suppress_tokens = [token for token in range(at_once.network.config.vocab_size) if token != ends.eos_token_id]
    assert [(transcript.text, transcript.cut) for transcript in at_once.transcribe(clips[:3])] == 3 * [("", 0)]


@pytest.mark.parametrize("norm", CTC)
def test_a_ctc_head_writes_what_its_processor_reads(tmp_path: Path, norm: str) -> None:
    folder, clips = write_ctc(tmp_path / "own", norm=norm), some_sounds()
    transcriber = load(folder)
    assert transcriber.batch_size == (1 if norm == "group" else 8)
    written = [transcript.text for transcript in transcriber.transcribe(clips)]
    network = hf.Wav2Vec2ForCTC.from_pretrained(folder).eval()
    processor = hf.Wav2Vec2Processor.from_pretrained(folder)
    expected = []
    for clip in clips:
        values = processor(clip, sampling_rate=RATE, return_tensors="pt").input_values
        with torch.no_grad():
            tokens = network(values).logits.argmax(dim=-1)
        expected += processor.batch_decode(tokens)
    assert written == expected
    assert len(set(written)) > 1


@pytest.mark.parametrize("norm", CTC)
def test_a_ctc_head_writes_the_same_alone_and_beside_others(tmp_path: Path, norm: str) -> None:
    transcriber, clips = load(write_ctc(tmp_path / "own", norm=norm)), some_sounds()
    assert transcriber.transcribe(clips) == [transcriber.transcribe([clip])[0] for clip in clips]


def highest_outputs(folder: Path, clips: list[np.ndarray]) -> list[torch.Tensor]:
    """Return the most probable outputs of each clip by transformers alone, (1, T)."""
    network = hf.Wav2Vec2ForCTC.from_pretrained(folder).eval()
    processor = hf.Wav2Vec2FeatureExtractor.from_pretrained(folder)
    with torch.no_grad():
        heard = [processor(clip, sampling_rate=RATE, return_tensors="pt").input_values for clip in clips]
        return [network(values).logits.argmax(dim=-1) for values in heard]


def test_longer_tokens_of_a_ctc_head_are_written_as_its_processor_reads_them(tmp_path: Path) -> None:
    folder, clips = write_ctc(tmp_path / "own", tokenizer=delimited_tokenizer(tmp_path)), some_sounds()
    written = [transcript.text for transcript in load(folder).transcribe(clips)]
    processor = hf.Wav2Vec2Processor.from_pretrained(folder)
    assert written == [processor.batch_decode(outputs)[0] for outputs in highest_outputs(folder, clips)]
    assert any(len(set(tokens) & {"AB", "BAD", "HE"}) for tokens in names_of(folder, clips)), "longer tokens are heard"


def names_of(folder: Path, clips: list[np.ndarray]) -> list[list[str]]:
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    return [[*tokenizer.convert_ids_to_tokens(outputs[0].tolist())] for outputs in highest_outputs(folder, clips)]


def test_a_ctc_head_of_pairs_of_letters_writes_what_is_left_of_its_outputs(tmp_path: Path) -> None:
    """Its tokenizer knows nothing of CTC: repeated outputs and blanks are taken out before it reads the rest."""
    tokenizer = pair_tokenizer(["abba bad", "a bed he fed", "dad had cab"] * 5, 24)
    folder, clips = write_ctc(tmp_path / "own", tokenizer=tokenizer), some_sounds()
    expected = []
    for outputs in highest_outputs(folder, clips):
        kept = torch.unique_consecutive(outputs[0])
        expected.append(tokenizer.decode(kept[kept != tokenizer.pad_token_id], skip_special_tokens=True).strip())
    transcriber = load(folder)
    assert [transcript.text for transcript in transcriber.transcribe(clips)] == expected
    assert len(set(expected)) > 1
    hf.Wav2Vec2ForCTC.from_pretrained(folder, pad_token_id=None).save_pretrained(folder)
    with pytest.raises(ModelError, match="the blank of CTC has number None"):
        load(folder)


def test_what_a_checkpoint_cannot_do_is_refused(tmp_path: Path) -> None:
    english, many = write_whisper(tmp_path / "english", multilingual=False), write_whisper(tmp_path / "many")
    with pytest.raises(ConfigError, match="knows one language"):
        load(english, language="en")
    with pytest.raises(ConfigError, match="knows no language 'xx'") as error:
        load(many, language="xx")
    assert error.value.remedy == "Expected one of de, en."
    with pytest.raises(ConfigError, match="has no decoder"):
        load(write_ctc(tmp_path / "ctc"), beams=2)


def test_a_folder_without_what_it_takes_is_refused(tmp_path: Path) -> None:
    folder = write_whisper(tmp_path / "own")
    hf.WhisperFeatureExtractor(chunk_length=WINDOW - 1).save_pretrained(folder)
    with pytest.raises(ModelError, match="windows of 500 frames, and the network takes 600"):
        load(folder)
    encoder = write_ctc(tmp_path / "encoder")
    hf.Wav2Vec2ForCTC.from_pretrained(encoder).wav2vec2.save_pretrained(encoder)
    with pytest.raises(ModelError, match=r"2 tensors of Wav2Vec2ForCTC .* would be random"):
        load(encoder)
    (tmp_path / "texts").mkdir()
    hf.BertConfig().save_pretrained(tmp_path / "texts")
    with pytest.raises(ModelError, match="bert does not recognise speech"):
        load(tmp_path / "texts")
