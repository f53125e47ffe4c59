"""Classifiers of recordings that others trained: what they say here is what they say at home."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import rft
from rft.config.schema import ModelConfig
from rft.data.audio.inputs import pad_recordings
from rft.data.audio.preprocessing import AudioPreprocessing
from rft.errors import ModelError, RftError
from rft.models import external
from rft.models.external import LoadedExternal
from rft.models.speech import RecordingAdapter
from tests.support.audio_cases import encode_sound
from tests.support.families import SMALL, build_seeded, write_hub_folder
from tests.support.recognizers import widen_weights
from tests.support.speech_families import CONVOLUTIONS, RATE, as_recording, some_clips

hf = pytest.importorskip("transformers")

CLASSES = ("go", "stop")
WINDOW = 6  # seconds
_waves = {**SMALL, **CONVOLUTIONS, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
_layered = {**_waves, "feat_extract_norm": "layer", "do_stable_layer_norm": True, "classifier_proj_size": 8}
_whisper = {
    **{"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 64},
    **{"decoder_layers": 1, "decoder_attention_heads": 4, "decoder_ffn_dim": 64, "vocab_size": 64},
    **{"max_source_positions": 50 * WINDOW, "classifier_proj_size": 8, "pad_token_id": 0, "init_std": 0.2},
}
CONFIGS = {
    "wav2vec2": lambda **labels: hf.Wav2Vec2Config(**_layered, **labels),
    "wav2vec2/group": lambda **labels: hf.Wav2Vec2Config(**_waves, classifier_proj_size=8, **labels),
    "wav2vec2/layers": lambda **labels: hf.Wav2Vec2Config(**_layered, use_weighted_layer_sum=True, **labels),
    "hubert": lambda **labels: hf.HubertConfig(**_layered, **labels),
    "wavlm/group": lambda **labels: hf.WavLMConfig(**_waves, classifier_proj_size=8, **labels),
    "sew": lambda **labels: hf.SEWConfig(**_waves, squeeze_factor=2, classifier_proj_size=8, **labels),
    "wav2vec2-bert": lambda **labels: hf.Wav2Vec2BertConfig(
        **SMALL, feature_projection_input_dim=160, classifier_proj_size=8, **labels
    ),
    "whisper": lambda **labels: hf.WhisperConfig(**_whisper, **labels),
}
AUDIT = """
[data]
manifest = "clips.csv"
audio = "file"
label = "word"
positive = "go"
unit = "speaker"
groups = ["accent"]
{data}
[model]
{model}
[privacy]
[fairness]
min_group_size = 5
[attribution]
samples = 4
[influence]
[label_errors]
"""


def write_classifier(folder: Path, kind: str, labels: tuple[str, ...] = ("stop", "go"), **more: Any) -> Any:
    """Write a classifier of random weights as the hub lays it out; return its feature extractor and the network."""
    named = {"id2label": dict(enumerate(labels)), "label2id": {name: number for number, name in enumerate(labels)}}
    config = CONFIGS[kind](**named, **more)
    network = build_seeded(lambda: hf.AutoModelForAudioClassification.from_config(config)).eval()
    if kind != "whisper":
        widen_weights(network)
    write_hub_folder(folder, network)
    extractors = {"whisper": hf.WhisperFeatureExtractor(chunk_length=WINDOW)}
    extractors["wav2vec2-bert"] = hf.SeamlessM4TFeatureExtractor()
    is_normalised = getattr(config, "feat_extract_norm", "group") == "layer"
    extractor = extractors.get(kind) or hf.Wav2Vec2FeatureExtractor(
        do_normalize=is_normalised, return_attention_mask=is_normalised
    )
    extractor.save_pretrained(folder)
    return extractor, network


def load(folder: Path, of_data: tuple[str, ...] = CLASSES, **keys: Any) -> LoadedExternal:
    settings = ModelConfig(**(keys if "factory" in keys else {"checkpoint": "model", **keys}))
    return external.load_external(settings, folder, of_data, modality="audio", device="cpu", offline=True)


def predict_together(loaded: LoadedExternal, clips: list[np.ndarray]) -> Tensor:
    with torch.no_grad():
        return loaded.classifier(pad_recordings([loaded.preprocessing(as_recording(clip)) for clip in clips]))


def write_clips(folder: Path, n: int = 24) -> None:
    rows = []
    for number, clip in enumerate(some_clips(n)):
        (folder / f"{number:02}.wav").write_bytes(encode_sound(clip))
        row = {"file": f"{number:02}.wav", "word": CLASSES[number % 2], "speaker": f"s{number:02}"}
        rows.append(row | {"accent": ("coast", "hills")[number // 2 % 2], "split": ("train", "test")[number // 12]})
    pd.DataFrame(rows).to_csv(folder / "clips.csv", index=False)


@pytest.mark.parametrize("kind", CONFIGS)
def test_logits_are_those_of_transformers_whatever_stands_beside(tmp_path: Path, kind: str) -> None:
    processor, network = write_classifier(tmp_path / "model", kind)
    loaded, clips = load(tmp_path), some_clips(7)
    with torch.no_grad():
        alone = [network(**processor(clip, sampling_rate=RATE, return_tensors="pt")).logits[0] for clip in clips]
    expected = torch.stack(alone)[:, [1, 0]]  # the data's classes are in another order
    largest = float(expected.abs().max())
    assert torch.allclose(predict_together(loaded, clips), expected, rtol=0, atol=min(1e-5, 1e-2 * largest))
    assert expected.std(dim=0).min() > 0.1 * largest, "what is answered depends on what is heard"
    adapter = loaded.classifier.network
    assert isinstance(adapter, RecordingAdapter)
    assert adapter.one_length_at_a_time == (kind.endswith("/group") or kind == "sew")


def test_a_recording_that_is_longer_than_the_window_is_refused(tmp_path: Path) -> None:
    write_classifier(tmp_path / "model", "whisper")
    write_clips(tmp_path)
    (tmp_path / "03.wav").write_bytes(encode_sound(np.tile(some_clips(1)[0], 80)))
    (tmp_path / "audit.toml").write_text(AUDIT.format(model='checkpoint = "model"', data=""), encoding="utf-8")
    with pytest.raises(RftError, match="1 of 24 recordings last longer than the 6 s that the model takes"):
        rft.audit(tmp_path / "audit.toml", device="cpu")


@pytest.mark.parametrize("kind", ["wav2vec2/group", "whisper"])
def test_a_checkpoint_is_audited_with_every_plugin(tmp_path: Path, kind: str) -> None:
    write_classifier(tmp_path / "model", kind)
    write_clips(tmp_path)
    text = AUDIT.format(model='checkpoint = "model"', data='split = "split"')
    (tmp_path / "audit.toml").write_text(text, encoding="utf-8")
    run = rft.audit(tmp_path / "audit.toml", tmp_path / "run", device="cpu")
    assert run.model.training.mode == "external"
    assert run.model.modality == "audio"
    assert run.finding("performance.accuracy").value is not None
    assert run.finding("privacy.membership_auc").value is not None
    assert run.finding("fairness.accuracy_gap.accent").value is not None
    assert run.finding("attribution.deletion.window_occlusion").reason is None
    reasons = {finding.id: finding.reason for section in run.sections for finding in section.findings if finding.reason}
    for name in ("privacy.epsilon", "training.frozen_changed", "backbone.probe_accuracy"):
        assert "outside this run" in reasons[name]
    unheard = reasons.get("attribution.deletion.integrated_gradients", "")
    assert ("a window that silence fills" in unheard) == (kind == "whisper")
    predictions = run.artifacts.predictions
    loaded = load(tmp_path)
    logits = predict_together(loaded, some_clips(24))
    by_id = predictions.assign(id=predictions["id"].astype(int)).sort_values("id")
    assert np.allclose(by_id["score_go"], logits.double().softmax(dim=1)[:, 0], atol=1e-5)


def test_labels_and_tasks_are_not_guessed(tmp_path: Path) -> None:
    write_classifier(tmp_path / "model", "wav2vec2", ("LABEL_0", "LABEL_1"))
    with pytest.raises(ModelError, match="'LABEL_0', 'LABEL_1'; the labels of the data are 'go', 'stop'"):
        load(tmp_path)
    named = load(tmp_path, classes=["stop", "go"])
    assert named.classifier.order == [1, 0]
    write_classifier(tmp_path / "many", "wav2vec2", problem_type="multi_label_classification")
    with pytest.raises(ModelError, match="several labels"):
        load(tmp_path, checkpoint="many")
    (tmp_path / "texts").mkdir()
    hf.BertConfig().save_pretrained(tmp_path / "texts")
    with pytest.raises(ModelError, match="bert is no classifier of recordings") as error:
        load(tmp_path, checkpoint="texts")
    assert error.value.remedy == "It classifies texts: name the column as data.text."


def test_a_folder_without_what_it_takes_is_refused(tmp_path: Path) -> None:
    write_classifier(tmp_path / "model", "whisper")
    hf.WhisperFeatureExtractor(chunk_length=WINDOW - 1).save_pretrained(tmp_path / "model")
    with pytest.raises(ModelError, match="windows of 500 frames, and the network takes 600"):
        load(tmp_path)
    (tmp_path / "model" / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match="does not say how recordings are prepared"):
        load(tmp_path)
    _, network = write_classifier(tmp_path / "encoder", "wav2vec2")
    network.wav2vec2.save_pretrained(tmp_path / "encoder")
    with pytest.raises(ModelError, match="its classifier would be random"):
        load(tmp_path, checkpoint="encoder")


FACTORY = """\
import torch
from torch import nn


class Loudness(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([3.0, -2.0]))

    def forward(self, sounds, mask):
        {body}
        return loud[:, None] * self.scale


def build():
    return Loudness(), {prepares}
"""
MASKED = "loud = (sounds.abs() * mask).sum(1) / mask.sum(1)"
PADDED = "loud = sounds.abs().mean(1)"


def load_factory(folder: Path, body: str = MASKED, prepares: str = "8000") -> LoadedExternal:
    (folder / "made.py").write_text(FACTORY.format(body=body, prepares=prepares), encoding="utf-8")
    return load(folder, factory="made:build", classes=["stop", "go"])


@pytest.mark.parametrize(("body", "depends"), [(MASKED, False), (PADDED, True)])
def test_a_module_of_the_users_own_hears_samples_at_its_rate(tmp_path: Path, body: str, depends: bool) -> None:
    loaded = load_factory(tmp_path, body)
    assert loaded.preprocessing.facts().sample_rate == 8_000
    assert loaded.classifier.network.one_length_at_a_time is depends
    clips = some_clips(5)
    assert isinstance(loaded.preprocessing, AudioPreprocessing)
    heard = [loaded.preprocessing.resample(as_recording(clip)).samples for clip in clips]
    loud = torch.tensor([float(np.abs(samples).mean()) for samples in heard])
    assert torch.allclose(predict_together(loaded, clips), loud[:, None] * torch.tensor([-2.0, 3.0]), atol=1e-5)


def test_a_factory_may_return_a_feature_extractor(tmp_path: Path) -> None:
    extractor = "__import__('transformers').SeamlessM4TFeatureExtractor()"
    loaded = load_factory(tmp_path, "loud = (sounds.mean(2) * mask).sum(1) / mask.sum(1)", extractor)
    spectra = [loaded.preprocessing(as_recording(clip)) for clip in some_clips(3)]
    assert all(spectrum.shape[1] == 160 for spectrum in spectra)
    expected = torch.tensor([float(spectrum.mean()) for spectrum in spectra])
    assert torch.allclose(predict_together(loaded, some_clips(3))[:, 1], 3 * expected, atol=1e-5)


@pytest.mark.parametrize("prepares", ["None", "True", "'16000'"])
def test_what_prepares_recordings_must_be_said(tmp_path: Path, prepares: str) -> None:
    with pytest.raises(ModelError, match="beside the module"):
        load_factory(tmp_path, prepares=prepares)


def test_a_factory_is_audited_as_a_checkpoint_is(tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text(FACTORY.format(body=MASKED, prepares="16000"), encoding="utf-8")
    write_clips(tmp_path)
    model = 'factory = "made:build"\nclasses = ["stop", "go"]'
    (tmp_path / "audit.toml").write_text(AUDIT.format(model=model, data=""), encoding="utf-8")
    run = rft.audit(tmp_path / "audit.toml", tmp_path / "run", device="cpu")
    assert list(run.data.splits) == ["test"]
    assert run.finding("performance.accuracy").value is not None
    assert "what the model was trained on must be known" in run.finding("privacy.membership_auc").reason
