"""A trained model on disk: whole, of every modality, and refused where it is not what was written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rft.backbones.classifier import Classifier, hash_tensors
from rft.backbones.load import LoadedBackbone, load_backbone
from rft.backbones.partition.cut import cut_classifier
from rft.backbones.partition.lora import add_adapters, merge_adapters
from rft.config.schema import LoraConfig, ModelConfig
from rft.errors import DataError, EvidenceError, ModelError
from rft.models.saved import load_model, write_model
from rft.report import save
from rft.training import trained_state
from tests.support import families
from tests.support.small_run import small_artifacts, small_run

CLASSES = ("good", "poor", "rude")


def write_family(family: str, folder: Path) -> tuple[LoadedBackbone, Classifier]:
    """Write a model of a family and take away the folder that it came from."""
    (folder / "source").mkdir()
    loaded = families.FAMILIES[family].load(folder / "source")
    classifier = loaded.classifier(3, True, seed=4)
    write_model(folder / "model", model=classifier, backbone=loaded, classes=CLASSES)
    (folder / "source").rename(folder / "gone")
    return loaded, classifier


@pytest.mark.parametrize("family", ["resnet18", "timm/lite0", "bert", "roberta", "gpt2", "clip", "dinov2", "hf_resnet"])
def test_a_saved_model_is_the_model(tmp_path: Path, family: str) -> None:
    loaded, classifier = write_family(family, tmp_path)
    again = load_model(tmp_path)
    assert again.classes == CLASSES
    assert again.preprocessing.facts() == loaded.preprocessing.facts()
    assert hash_tensors(again.classifier.state_dict()) == hash_tensors(classifier.state_dict())
    assert again.classifier.head.row_norm
    assert again.classifier.modality == loaded.modality
    assert again.classifier.embedding_layer == classifier.embedding_layer
    inputs = loaded.example(4, 7, 2)
    with torch.no_grad():
        assert torch.equal(again.classifier(inputs), classifier(inputs))


@pytest.mark.parametrize("name", ["mnasnet0_5", "googlenet"])
def test_models_that_ask_for_the_version_of_their_names_are_loaded(tmp_path: Path, name: str) -> None:
    settings = ModelConfig(backbone=f"torchvision/{name}", weights="random", image_size=64)
    loaded = load_backbone(settings, tmp_path, modality="image", seed=0, offline=True)
    classifier = loaded.classifier(3, False, seed=4)
    write_model(tmp_path / "model", model=classifier, backbone=loaded, classes=CLASSES)
    again = load_model(tmp_path)
    inputs = loaded.example(2, 0, 2)
    with torch.no_grad():
        assert torch.equal(again.classifier(inputs), classifier(inputs))


def test_texts_are_predicted_as_they_are(tmp_path: Path) -> None:
    loaded, classifier = write_family("bert", tmp_path)
    texts = ["some words", "a", "many more words than these " * 10]
    table = load_model(tmp_path).predict(texts, batch_size=2)
    with torch.no_grad():
        alone = torch.cat([classifier(loaded.preprocessing([text])) for text in texts]).softmax(dim=1)
    assert list(table.columns) == ["prediction", *(f"score_{name}" for name in CLASSES)]
    assert torch.allclose(torch.tensor(table.iloc[:, 1:].to_numpy(float)).float(), alone, atol=1e-5)
    assert list(table["prediction"]) == [CLASSES[number] for number in alone.argmax(dim=1)]
    assert load_model(tmp_path).predict("a")["prediction"][0] == table["prediction"][1]
    assert load_model(tmp_path).predict([]).empty


def test_images_are_predicted_from_a_path_or_opened(tmp_path: Path) -> None:
    write_family("dinov2", tmp_path)
    image = Image.effect_noise((50, 60), 80).convert("RGB")
    image.save(tmp_path / "a.png")
    model = load_model(tmp_path)
    both = model.predict([str(tmp_path / "a.png"), image])
    scores = both[[f"score_{name}" for name in CLASSES]].to_numpy(float)
    assert np.allclose(scores[0], scores[1], atol=1e-6)
    assert both["prediction"].nunique() == 1
    with pytest.raises(DataError, match=r"none\.png: no such image"):
        model.predict(tmp_path / "none.png")


def test_merged_adapters_are_saved_as_plain_weights(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    loaded = families.FAMILIES["bert"].load(tmp_path / "source")
    classifier = loaded.classifier(3, False, 0)
    add_adapters(classifier, LoraConfig(), None, 0)
    parts = cut_classifier(classifier, "none", "lora", loaded.example)
    suffix = parts.new_suffix(0)
    for parameter in suffix.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    model = parts.join(trained_state(suffix))
    inputs = loaded.example(4, 7, 2)
    with torch.no_grad():
        expected = model(inputs)
        write_model(tmp_path / "model", model=merge_adapters(model), backbone=loaded, classes=CLASSES)
        assert torch.allclose(load_model(tmp_path).classifier(inputs), expected, atol=1e-5)


def test_what_was_changed_after_it_was_written_is_noticed(tmp_path: Path) -> None:
    write_family("bert", tmp_path)
    weights = tmp_path / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(EvidenceError, match="its tensors are not the ones that the audit wrote"):
        load_model(tmp_path)
    weights.write_bytes(bytes(content[:500]))
    with pytest.raises(ModelError, match=r"model\.safetensors: cannot be read"):
        load_model(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_config_or_tokenizer_that_was_changed_is_noticed(tmp_path: Path, name: str) -> None:
    write_family("bert", tmp_path)
    path = tmp_path / "model" / "backbone" / name
    content = json.loads(path.read_text(encoding="utf-8"))
    if name == "config.json":
        content["num_attention_heads"] = 2  # other predictions by the same tensors
    else:
        vocabulary = content["model"]["vocab"]
        vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(EvidenceError, match="its config and tokenizer are not the ones that the audit wrote"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"model\.json: is not JSON"),
        ('{"format_version": 1}', "has format 1; this rft reads 4"),
        ('{"format_version": 9}', "has format 9; this rft reads 4"),
        ("[]", "has format None; this rft reads 4"),
        ('{"format_version": 4}', r"model\.json: does not describe a model: modality: is missing"),
    ],
)
def test_other_descriptions_are_refused(tmp_path: Path, content: str, message: str) -> None:
    write_family("bert", tmp_path)
    (tmp_path / "model" / "model.json").write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path)


def test_a_description_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    write_family("bert", tmp_path)
    path = tmp_path / "model" / "model.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for changes, message in (
        ({"preprocessing": {**content["preprocessing"], "max_length": "many"}}, "preprocessing.text.max_length"),
        ({"backbone": {"library": "timm"}}, "backbone"),
        ({"frozen_part": {"precision": "float8"}}, "frozen_part.precision"),
        ({"more": 1}, "more: is not expected here"),
    ):
        path.write_text(json.dumps(content | changes), encoding="utf-8")
        with pytest.raises(ModelError, match=rf"model\.json: does not describe a model: {message}"):
            load_model(tmp_path)


def test_a_run_without_its_model_says_so(tmp_path: Path) -> None:
    run = save(small_run(), tmp_path / "run", small_artifacts())
    shutil.rmtree(run / "model")
    with pytest.raises(ModelError, match="holds no folder model: it was left out or taken away"):
        load_model(run)
    (run / "audit.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelError, match="holds no model"):
        load_model(run)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no model\nExpected a folder that rft audit wrote"):
        load_model(tmp_path)
