"""Encoders of speech: a clip's features are its own, spectra are the library's, and layers are counted as it does."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from torch import Tensor

from rft.backbones.load import LoadedBackbone, load_backbone
from rft.backbones.partition.cut import cut_classifier
from rft.backbones.sources import ctranslate2
from rft.backbones.sources.speech import loading
from rft.backbones.sources.speech.encoders import SpeechBackbone, count_fewest_samples, count_vectors
from rft.config.schema import ModelConfig
from rft.data.audio.inputs import pad_recordings
from rft.data.audio.spectrum import SpectrumExtractor
from rft.errors import ModelError
from tests.support.speech_families import RATE, SPEECH, as_recording, some_clips

GROUPED = {"wav2vec2/group", "hubert/group", "wavlm/group", "data2vec-audio", "sew"}


def batch_of(loaded: LoadedBackbone, clips: list[np.ndarray]) -> dict[str, Tensor]:
    preprocessing: Any = loaded.preprocessing
    return pad_recordings([preprocessing(as_recording(clip)) for clip in clips])


@pytest.mark.parametrize("name", SPEECH)
def test_a_clip_has_the_same_features_alone_and_beside_longer_ones(name: str, tmp_path: Path) -> None:
    loaded, clips = SPEECH[name].load(tmp_path), some_clips(6)
    backbone = loaded.backbone
    assert isinstance(backbone, SpeechBackbone)
    assert backbone.one_length_at_a_time == (name in GROUPED)
    with torch.no_grad():
        together = backbone(batch_of(loaded, clips))
        alone = torch.cat([backbone(batch_of(loaded, [clip])) for clip in clips])
        gap = float(((together - alone).norm(dim=1) / alone.norm(dim=1)).max())
        assert gap <= 1e-4
        if name in GROUPED:  # and that is not for nothing
            backbone.one_length_at_a_time = False
            mixed = backbone(batch_of(loaded, clips))
            assert float(((mixed - alone).norm(dim=1) / alone.norm(dim=1)).max()) > 0.01


@pytest.mark.parametrize("name", ["whisper", "wav2vec2", "sew", "wav2vec2-bert"])
def test_the_shortest_clip_that_is_taken_has_features_and_a_shorter_one_none(name: str, tmp_path: Path) -> None:
    loaded = SPEECH[name].load(tmp_path)
    preprocessing: Any = loaded.preprocessing
    rng = np.random.default_rng(0)
    with torch.no_grad():
        shortest = rng.normal(size=preprocessing.min_samples).astype(np.float32)
        assert loaded.backbone(batch_of(loaded, [shortest])).isfinite().all()
        if name == "whisper":
            assert preprocessing.min_samples == 1
            return
        try:
            none = not loaded.backbone(batch_of(loaded, [shortest[:-1]])).isfinite().all()
        except (RuntimeError, ValueError):  # by a convolution that is wider than the clip
            none = True
    assert none


@pytest.mark.parametrize("name", ["whisper", "wav2vec2", "wav2vec2-bert"])
def test_layers_are_those_that_the_library_counts(name: str, tmp_path: Path) -> None:
    SPEECH[name].load(tmp_path)
    (clip,) = some_clips(1)
    states, loaded = [], SPEECH[name].load(tmp_path)
    for layer in (0, 1, 2, 3, "mean", None):
        settings = ModelConfig(backbone="transformers/own", layer=layer)
        loaded = load_backbone(settings, tmp_path, modality="audio", seed=0, offline=True)
        with torch.no_grad():
            states.append(loaded.backbone(batch_of(loaded, [clip]))[0])
    *layers, mean, last = states
    assert torch.allclose(torch.stack(layers).mean(dim=0), mean, atol=1e-6)
    assert torch.equal(layers[3], last) == (name != "wav2vec2"), "whose last layer is not normalised yet"
    network: Any = loaded.backbone.network
    if name != "whisper":  # its own forward takes windows of 30 s alone
        inputs = batch_of(loaded, [clip])
        key = {"waveform": "input_values", "spectrum": "input_features"}
        taken = {key.get(column, column): tensor for column, tensor in inputs.items()}
        with torch.no_grad():
            library_states = network(**taken, output_hidden_states=True).hidden_states
        assert len(library_states) == len(layers)
        for theirs, ours in zip(library_states, layers, strict=True):
            assert torch.allclose(theirs.mean(dim=1)[0], ours, atol=1e-5)
    settings = ModelConfig(backbone="transformers/own", layer=4)
    with pytest.raises(ModelError, match="it has 3 layers, and there is no layer 4"):
        load_backbone(settings, tmp_path, modality="audio", seed=0, offline=True)


def test_vectors_are_counted_as_the_convolutions_make_them(tmp_path: Path) -> None:
    network: Any = SPEECH["wav2vec2"].load(tmp_path).backbone.network
    for vectors in (1, 2, 7):
        fewest = int(count_fewest_samples(network, torch.tensor(vectors)))
        for samples, expected in ((fewest, vectors), (fewest - 1, vectors - 1)):
            assert int(count_vectors(network, torch.tensor(samples))) == expected
            if expected:
                assert network.feature_extractor(torch.zeros(1, samples)).shape[2] == expected


@pytest.mark.parametrize("samples", [1600, 1601, 1759, 16_000])
def test_a_whisper_spectrum_is_that_of_its_window(samples: int) -> None:
    processor = hf.WhisperFeatureExtractor()
    clip = np.random.default_rng(0).normal(scale=0.1, size=samples).astype(np.float32)
    spectrum = SpectrumExtractor(processor)(clip)
    window = processor(clip, sampling_rate=RATE, return_attention_mask=True)
    heard = window["attention_mask"][0].astype(bool)
    assert len(spectrum) == heard.sum()
    assert np.abs(spectrum - window["input_features"][0].T[heard]).max() < 1e-5


def test_speech_is_asked_for_in_words_that_help(tmp_path: Path) -> None:
    SPEECH["wav2vec2"].load(tmp_path)
    folder = tmp_path / "own"
    (folder / "preprocessor_config.json").unlink()
    for change, what in (
        ({}, "does not say how recordings are prepared"),
        ({"model_type": "bert"}, "no encoder of speech"),
    ):
        config = json.loads((folder / "config.json").read_text(encoding="utf-8")) | change
        if change:
            config = hf.BertConfig().to_dict()
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        with pytest.raises(ModelError, match=what):
            load_backbone(ModelConfig(backbone="transformers/own"), tmp_path, modality="audio", seed=0, offline=True)


# ---------------------------------------------------------------- Whisper of CTranslate2


def variable(name: str, tensor: Tensor) -> bytes:
    kinds = {torch.float32: 0, torch.int8: 1, torch.int16: 2, torch.float16: 4}
    content = tensor.contiguous().numpy().tobytes()
    named = struct.pack("<H", len(name) + 1) + name.encode() + b"\0"
    shape = struct.pack(f"<B{tensor.dim()}I", tensor.dim(), *tensor.shape)
    return named + shape + struct.pack("<BI", kinds[tensor.dtype], len(content)) + content


def attention(part: str, ours: str, state: dict[str, Tensor], *, crosses: bool = False) -> dict[str, Tensor]:
    """Return an attention as CTranslate2 stores it: queries, keys and values in one matrix, or the last two."""
    zeros = torch.zeros_like(state[f"{ours}.q_proj.bias"])
    weights = [state[f"{ours}.{name}_proj.weight"] for name in "qkv"]
    biases = [state[f"{ours}.q_proj.bias"], zeros, state[f"{ours}.v_proj.bias"]]
    groups = [[0], [1, 2]] if crosses else [[0, 1, 2]]
    stored = {}
    for number, members in enumerate(groups):
        stored[f"{part}/linear_{number}/weight"] = torch.cat([weights[member] for member in members])
        stored[f"{part}/linear_{number}/bias"] = torch.cat([biases[member] for member in members])
    last = f"{part}/linear_{len(groups)}"
    stored |= {f"{last}/{kind}": state[f"{ours}.out_proj.{kind}"] for kind in ("weight", "bias")}
    norm = f"{ours}_layer_norm"
    return stored | {
        f"{part}/layer_norm/gamma": state[f"{norm}.weight"],
        f"{part}/layer_norm/beta": state[f"{norm}.bias"],
    }


def write_checkpoint(folder: Path, model: Any, dtype: torch.dtype = torch.float32) -> Path:
    """Write a Whisper model as CTranslate2 lays it out, version 6."""
    state, stored = model.state_dict(), dict[str, Tensor]()
    for half, layers in (("encoder", model.config.encoder_layers), ("decoder", model.config.decoder_layers)):
        for number in range(layers):
            theirs, ours = f"{half}/layer_{number}", f"{half}.layers.{number}"
            stored |= attention(f"{theirs}/self_attention", f"{ours}.self_attn", state)
            if half == "decoder":
                stored |= attention(f"{theirs}/attention", f"{ours}.encoder_attn", state, crosses=True)
            for kind, norm in (("weight", "gamma"), ("bias", "beta")):
                stored[f"{theirs}/ffn/linear_0/{kind}"] = state[f"{ours}.fc1.{kind}"]
                stored[f"{theirs}/ffn/linear_1/{kind}"] = state[f"{ours}.fc2.{kind}"]
                stored[f"{theirs}/ffn/layer_norm/{norm}"] = state[f"{ours}.final_layer_norm.{kind}"]
        stored[f"{half}/layer_norm/gamma"] = state[f"{half}.layer_norm.weight"]
        stored[f"{half}/layer_norm/beta"] = state[f"{half}.layer_norm.bias"]
        stored[f"{half}/position_encodings/encodings"] = state[f"{half}.embed_positions.weight"]
        stored[f"{half}/num_heads"] = torch.tensor(4, dtype=torch.int16)
    for name in ("conv1", "conv2"):
        stored |= {f"encoder/{name}/{kind}": state[f"encoder.{name}.{kind}"] for kind in ("weight", "bias")}
    stored["decoder/embeddings/weight"] = state["decoder.embed_tokens.weight"]
    stored = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in stored.items()}
    header = struct.pack("<IH", 6, 12) + b"WhisperSpec\0" + struct.pack("<II", 3, len(stored))
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "model.bin").write_bytes(
        header + b"".join(variable(*entry) for entry in stored.items()) + struct.pack("<I", 0)
    )
    return folder / "model.bin"


@pytest.fixture
def whisper(tmp_path: Path) -> Any:
    SPEECH["whisper"].load(tmp_path)
    return hf.WhisperModel.from_pretrained(tmp_path / "own").eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_checkpoint_of_ctranslate2_is_the_model_that_it_was_made_of(
    tmp_path: Path, whisper: Any, dtype: torch.dtype
) -> None:
    write_checkpoint(tmp_path / "ct2", whisper, dtype)
    assert ctranslate2.is_whisper(tmp_path / "ct2")
    checkpoint = ctranslate2.read_whisper(tmp_path / "ct2", "here")
    expected = whisper.state_dict()
    assert checkpoint.tensors.keys() == expected.keys()
    for name, tensor in checkpoint.tensors.items():
        assert torch.equal(tensor, expected[name].to(dtype).float()), name
    assert {name: getattr(whisper.config, name) for name in checkpoint.sizes} == checkpoint.sizes
    loaded = load_backbone(ModelConfig(backbone="transformers/ct2"), tmp_path, modality="audio", seed=0, offline=True)
    assert loaded.preprocessing.facts().max_seconds == 6.0
    assert loaded.dimension == 32


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda content: content[:-5000], "cut short"),
        (lambda content: content[:20], "cut short"),
        (lambda content: struct.pack("<I", 5) + content[4:], "binary version 5, and version 6 is read"),
        (lambda content: content.replace(b"encoder/conv1/bias\0", b"encoder/conv1/blas\0"), "lacks the variable"),
        (lambda content: content[:22] + struct.pack("<I", 2**31) + content[26:], "gives|cut short|unknown type"),
    ],
    ids=["tail", "header", "version", "absent variable", "too many variables"],
)
def test_a_damaged_checkpoint_is_one_line(tmp_path: Path, whisper: Any, damage: Any, what: str) -> None:
    file = write_checkpoint(tmp_path / "ct2", whisper)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ModelError, match=what) as error:
        ctranslate2.read_whisper(tmp_path / "ct2", "model.backbone")
    assert error.value.remedy == ctranslate2.REMEDY
    assert "\n" not in error.value.what


def test_a_checkpoint_in_eight_bits_is_refused(tmp_path: Path, whisper: Any) -> None:
    file = write_checkpoint(tmp_path / "ct2", whisper)
    weight = whisper.state_dict()["encoder.conv1.bias"]
    stored = variable("encoder/conv1/bias", weight)
    file.write_bytes(file.read_bytes().replace(stored, variable("encoder/conv1/bias", weight.to(torch.int8))))
    with pytest.raises(ModelError, match="holds encoder/conv1/bias as int8"):
        ctranslate2.read_whisper(tmp_path / "ct2", "model.backbone")


@pytest.mark.parametrize("scale", [1, 20])
def test_a_cut_within_wavlm_is_refused_by_the_true_size_of_what_it_loses(tmp_path: Path, scale: float) -> None:
    """Its first layer computes the position bias of all layers: what runs behind a cut would lack it."""
    loaded = SPEECH["wavlm"].load(tmp_path)
    with torch.no_grad():
        loaded.backbone.get_parameter("network.encoder.layers.0.attention.rel_attn_embed.weight").mul_(scale)
    with pytest.raises(ModelError, match=r"a branch passes by") as error:
        cut_classifier(loaded.classifier(2, False, 0), "encoder.layers.1", "full", loaded.example)
    (share,) = re.findall(r"differ by ([\d.e-]+) %", error.value.what)
    assert float(share) == pytest.approx(0.027 * scale, rel=0.15)  # in proportion to that bias, so no rounding


def test_padding_is_measured_and_not_looked_up(tmp_path: Path) -> None:
    loaded = SPEECH["wav2vec2"].load(tmp_path)
    backbone: Any = loaded.backbone
    assert loading.measure_padding_dependence(backbone) < 1e-5
    plain = backbone.network.forward
    backbone.network.forward = lambda **inputs: plain(
        **inputs | {"attention_mask": torch.ones_like(inputs["attention_mask"])}
    )
    assert loading.measure_padding_dependence(backbone) > 1e-3
