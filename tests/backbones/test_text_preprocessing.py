"""Texts are prepared as the tokenizer of a folder prepares them: the same tokens, and the same probabilities."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from torch import nn

import rft
from rft.backbones.load import load_backbone
from rft.config.schema import ModelConfig
from rft.errors import ModelError
from rft.models import external
from rft.models.saved import load_model, write_model
from tests.support import families
from tests.support.checkpoints import TEXT_AUDIT, save_bert, word_tokenizer, write_texts

EQUAL = 1e-5
LABELS = {"id2label": {0: "a", 1: "b"}}
SIZES = {**families.SMALL, "num_hidden_layers": 2, **LABELS}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 48, "bos_token_id": 2, "eos_token_id": 3, **LABELS}
NETWORKS: dict[str, tuple[Callable[[int], nn.Module], Callable[[], Any]]] = {
    "bert": (
        lambda words: hf.BertForSequenceClassification(
            hf.BertConfig(vocab_size=words, max_position_embeddings=48, **SIZES)
        ),
        families.letter_tokenizer,
    ),
    "roberta": (
        lambda words: hf.RobertaForSequenceClassification(
            hf.RobertaConfig(vocab_size=words, max_position_embeddings=49, pad_token_id=0, **SIZES)
        ),
        families.letter_tokenizer,
    ),
    "gpt2": (
        lambda words: hf.GPT2ForSequenceClassification(hf.GPT2Config(vocab_size=words, pad_token_id=0, **GPT2)),
        families.byte_tokenizer,
    ),
    "llama": (
        lambda words: hf.LlamaForSequenceClassification(
            hf.LlamaConfig(vocab_size=words, max_position_embeddings=48, pad_token_id=0, **SIZES)
        ),
        families.byte_tokenizer,
    ),
}
TEXTS = ["abc", "the quick brown fox", "xyz " * 30, " ".join("abcdefghijklmnopqrstuvwxyz" * 3)]


def write(folder: Path, name: str, **settings: Any) -> nn.Module:
    """Write a classifier and its tokenizer, with settings in ``tokenizer_config.json``; return the model."""
    build, words = NETWORKS[name]
    tokens = words()
    network = families.build_seeded(lambda: build(len(tokens) + 8)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.mul_(2)  # so that texts differ
    families.write_hub_folder(folder, network, tokens)
    path = folder / "tokenizer_config.json"
    content = json.loads(path.read_text(encoding="utf-8")) | settings
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}), encoding="utf-8")
    return network


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"truncation_side": "left"},
        {"truncation_side": "left", "padding_side": "left"},
        {"truncation_side": "left", "model_max_length": int(1e30)},
        {"model_max_length": 20},
    ],
)
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_checkpoints_say_what_they_say_with_their_own_tokenizer(
    tmp_path: Path, name: str, settings: dict[str, Any]
) -> None:
    network = write(tmp_path / "model", name, **settings)
    loaded = external.load_external(
        ModelConfig(checkpoint="model"), tmp_path, ("a", "b"), modality="text", device="cpu", offline=True
    )
    pretrained = hf.AutoTokenizer.from_pretrained(tmp_path / "model")
    limit = min(settings.get("model_max_length", 48), 48)
    with torch.no_grad():
        together = loaded.classifier(loaded.preprocessing(TEXTS)).softmax(dim=1)
        for text, scores in zip(TEXTS, together, strict=True):
            tokens = pretrained(
                text, truncation=True, max_length=limit, return_tensors="pt", return_token_type_ids=False
            )
            assert (network(**tokens).logits.softmax(dim=1)[0] - scores).abs().max() <= EQUAL
    assert loaded.preprocessing.facts().truncation == settings.get("truncation_side", "right")
    assert loaded.preprocessing.facts().max_length == limit


def test_a_checkpoint_reads_as_much_of_a_text_as_it_takes(tmp_path: Path) -> None:
    save_bert(tmp_path / "model", max_position_embeddings=700)
    settings = ModelConfig(checkpoint="model")
    names = ("negative", "positive")
    loaded = external.load_external(settings, tmp_path, names, modality="text", device="cpu", offline=True)
    assert loaded.preprocessing(["good film " * 400])["input_ids"].shape == (1, 700)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_saved_model_cuts_texts_at_the_same_end(tmp_path: Path, side: str) -> None:
    write(tmp_path / "model", "bert", truncation_side=side)
    loaded = load_backbone(ModelConfig(backbone="transformers/model"), tmp_path, modality="text", seed=0, offline=True)
    classifier = loaded.classifier(2, False, 0)
    write_model(tmp_path / "saved", model=classifier, backbone=loaded, classes=("a", "b"))
    saved = load_model(tmp_path / "saved")
    assert saved.preprocessing.facts() == loaded.preprocessing.facts()
    scores = saved.predict(TEXTS)[["score_a", "score_b"]].to_numpy(float)
    with torch.no_grad():
        expected = classifier(loaded.preprocessing(TEXTS)).softmax(dim=1)
    assert np.abs(scores - expected.numpy()).max() <= EQUAL
    pretrained = hf.AutoTokenizer.from_pretrained(tmp_path / "model")
    assert pretrained.truncation_side == side
    for tokens in (saved.preprocessing(TEXTS[3:]), loaded.preprocessing(TEXTS[3:])):
        assert tokens["input_ids"][0].tolist() == pretrained(TEXTS[3], truncation=True, max_length=48)["input_ids"]


def test_the_end_that_was_cut_is_said_and_tells_features_apart(tmp_path: Path) -> None:
    facts = []
    for side in ("left", "right"):
        write(tmp_path / side, "bert", truncation_side=side)
        settings = ModelConfig(backbone=f"transformers/{side}")
        facts.append(load_backbone(settings, tmp_path, modality="text", seed=0, offline=True).preprocessing.facts())
    assert facts[0] != facts[1]
    save_bert(tmp_path / "model", max_position_embeddings=6)
    words = word_tokenizer()
    words.save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"truncation_side": "left"}), encoding="utf-8")
    write_texts(tmp_path / "texts.csv")
    (tmp_path / "audit.toml").write_text(TEXT_AUDIT, encoding="utf-8")
    run = rft.audit(tmp_path / "audit.toml", tmp_path / "run", device="cpu")
    cut = run.finding("dataset.truncated_texts")
    assert cut.value > 0
    assert "Their beginning was not seen" in " ".join([cut.description, *cut.caveats])
    assert run.model.preprocessing.truncation == "left"
    assert "truncation left" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_types_of_tokens_are_not_left_out_in_silence(tmp_path: Path) -> None:
    """XLNet and Funnel mark their class token by a type of its own; without it their outputs are others."""
    from tokenizers import processors

    network = families.build_seeded(lambda: NETWORKS["bert"][0](65))
    tokens = families.letter_tokenizer()
    marks = [("[CLS]", 2), ("[SEP]", 3)]
    template = processors.TemplateProcessing(single="[CLS]:1 $A [SEP]", special_tokens=marks)
    tokens.backend_tokenizer.post_processor = template
    families.write_hub_folder(tmp_path / "model", network, tokens)
    path = tmp_path / "model" / "tokenizer_config.json"
    names = {"model_input_names": ["input_ids", "token_type_ids", "attention_mask"]}
    path.write_text(json.dumps(json.loads(path.read_text()) | names), encoding="utf-8")
    settings = ModelConfig(checkpoint="model")
    with pytest.raises(ModelError, match="marks tokens of a single text by types") as caught:
        external.load_external(settings, tmp_path, ("a", "b"), modality="text", device="cpu", offline=True)
    assert "model.factory" in str(caught.value)
