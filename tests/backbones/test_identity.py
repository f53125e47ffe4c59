"""What a backbone is, in JSON: caches of features and hashes of trainings depend on every letter of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from rft.backbones.identity import BackboneIdentity, FolderIdentity, NamedIdentity
from rft.backbones.load import load_backbone, rebuild_backbone
from rft.config.schema import ModelConfig
from rft.errors import ModelError
from rft.records import ImagePreprocessingFacts, PreprocessingFacts, TextPreprocessingFacts
from tests.support import families

FACTS: TypeAdapter[PreprocessingFacts] = TypeAdapter(PreprocessingFacts)
IDENTITY: TypeAdapter[BackboneIdentity] = TypeAdapter(BackboneIdentity)


def test_a_model_of_torchvision_is_written_as_before() -> None:
    settings = ModelConfig(backbone="torchvision/resnet18", weights="random", image_size=64)
    loaded = load_backbone(settings, Path(), modality="image", seed=0, offline=True)
    identity = {"library": "torchvision", "name": "resnet18", "recipe": "ResNet18_Weights.IMAGENET1K_V1"}
    assert loaded.identity.model_dump(mode="json") == identity
    facts = loaded.preprocessing.facts()
    assert json.loads(facts.model_dump_json()) == {
        "recipe": "ResNet18_Weights.IMAGENET1K_V1",
        "resize": 73,
        "crop": 64,
        "interpolation": "bilinear",
        "pixels": [3, 64, 64],
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "pixels_sha256": loaded.preprocessing.pixels_sha256,
    }
    assert IDENTITY.validate_python(identity) == loaded.identity
    assert FACTS.validate_json(facts.model_dump_json()) == facts


def test_a_text_model_is_written_as_before(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    loaded = families.FAMILIES["bert"].load(tmp_path / "source")
    identity, facts = loaded.identity, loaded.preprocessing.facts()
    assert isinstance(identity, FolderIdentity)
    assert isinstance(facts, TextPreprocessingFacts)
    assert set(identity.model_dump(mode="json")) == {"library", "pooling", "config_sha256"}
    names = {"tokenizer", "tokenizer_sha256", "vocabulary", "max_length", "truncation"}
    assert set(facts.model_dump(mode="json")) == names
    assert IDENTITY.validate_json(identity.model_dump_json()) == identity
    assert FACTS.validate_json(facts.model_dump_json()) == facts


def test_whole_numbers_stay_whole_and_what_is_absent_is_not_written() -> None:
    facts = ImagePreprocessingFacts.model_validate(
        {"recipe": "r", "pixels": [3, 8, 8], "mean": [0, 0.5, 1], "std": [1, 1.0, 2], "pixels_sha256": "", "crop": 8}
    )
    assert '"mean":[0,0.5,1],"std":[1,1.0,2]' in facts.model_dump_json()
    assert facts.whole_number("crop") == 8
    assert NamedIdentity(library="timm", name="x").model_dump(mode="json") == {"library": "timm", "name": "x"}


def test_what_cannot_be_rebuilt_says_why() -> None:
    facts = ImagePreprocessingFacts(recipe="r", pixels=(3, 8, 8), mean=(0.5,), std=(0.5,), pixels_sha256="")
    with pytest.raises(ModelError, match="x: is of a library 'nope' that cannot be rebuilt"):
        rebuild_backbone(NamedIdentity(library="nope", name="x"), facts, Path())
    with pytest.raises(ModelError, match="preprocessing: crop is None; expected a whole number"):
        facts.whole_number("crop")
