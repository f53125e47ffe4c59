"""Recognisers on small encoders of every kind: a clip's outputs do not depend on those beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

pytest.importorskip("transformers")
from rft.backbones.load import FRAMES, LoadedBackbone, load_backbone, rebuild_backbone
from rft.backbones.partition.cut import cut_classifier
from rft.backbones.partition.frozen_part import round_to_cache, run_frozen_part
from rft.backbones.recognizer import FrameHead, Recognizer
from rft.backbones.sources import transformers
from rft.config.schema import ModelConfig
from rft.data.audio.inputs import pad_recordings
from tests.support.speech_families import SPEECH, as_recording, some_clips

FAMILIES = ["whisper", "wav2vec2", "wav2vec2/group", "wav2vec2-bert", "sew"]
OUTPUTS = 5


def load_over_time(folder: Path, family: str) -> tuple[LoadedBackbone, LoadedBackbone]:
    """Return a backbone as it is usually loaded, and one that keeps time."""
    pooled = SPEECH[family].load(folder)
    settings = ModelConfig(backbone="transformers/own")
    return pooled, load_backbone(settings, folder, modality="audio", seed=0, offline=True, keeps_time=True)


def prepare_clips(loaded: LoadedBackbone) -> list[dict[str, torch.Tensor]]:
    """Return batches of one clip each, some of other lengths."""
    return [pad_recordings([loaded.preprocessing(as_recording(clip))]) for clip in some_clips(6)]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_clip_has_the_same_outputs_in_a_batch_and_alone(tmp_path: Path, family: str) -> None:
    pooled, loaded = load_over_time(tmp_path, family)
    recognizer = loaded.classifier(OUTPUTS, True, 0)
    assert isinstance(recognizer, Recognizer)
    assert isinstance(recognizer.head, FrameHead)
    alone = prepare_clips(loaded)
    together = pad_recordings(
        [next(batch[name][0].numpy() for name in batch if name != "attention_mask") for batch in alone]
    )
    with torch.no_grad():
        logits, mask = recognizer(together), loaded.backbone.mask_vectors(together)
        prefix = cut_classifier(recognizer, "all", "full", loaded.example).prefix()(together)
        assert torch.equal(prefix["attention_mask"], mask)
        for row, batch in enumerate(alone):
            single = recognizer(batch)[0]
            length = int(mask[row].sum())
            assert single.shape == (length, OUTPUTS)
            assert torch.allclose(logits[row, :length], single, atol=1e-3)
            assert not logits[row, length:].argmax(1).any()
            vectors = prefix["features"][row, :length]
            assert torch.allclose(vectors.mean(0), pooled.backbone(batch)[0], atol=1e-3)


@pytest.mark.parametrize("family", ["whisper", "wav2vec2/group"])
def test_a_recogniser_is_rebuilt_from_its_description(tmp_path: Path, family: str) -> None:
    _, loaded = load_over_time(tmp_path, family)
    assert loaded.identity.model_dump()["pooling"] == FRAMES
    transformers.write_description(loaded.backbone, loaded.preprocessing, tmp_path / "saved")
    again = rebuild_backbone(loaded.identity, loaded.preprocessing.facts(), tmp_path / "saved")
    again.backbone.load_state_dict(loaded.backbone.state_dict())
    batch = prepare_clips(loaded)[0]
    with torch.no_grad():
        assert torch.equal(again.backbone(batch), loaded.backbone(batch))


@pytest.mark.parametrize(("precision", "cache"), [("bfloat16", "float32"), ("float32", "float16")])
def test_the_joined_model_computes_as_extraction_does(tmp_path: Path, precision: str, cache: str) -> None:
    _, loaded = load_over_time(tmp_path, "wav2vec2-bert")
    cut = cut_classifier(loaded.classifier(OUTPUTS, True, 0), "all", "full", loaded.example)
    cut = cut.computing_in(precision, cache, loaded.example)
    suffix = cut.new_suffix(3)
    joined = cut.join(suffix.state_dict())
    batch = prepare_clips(loaded)[0]
    with torch.no_grad():
        computed = run_frozen_part(cut.prefix(), batch, precision)
        computed["features"] = round_to_cache(computed["features"], cache)
        assert torch.allclose(suffix(computed), joined(batch), atol=1e-5)
