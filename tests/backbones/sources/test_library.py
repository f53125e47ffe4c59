"""Another library of backbones is one record: it is loaded, saved, rebuilt and named in errors by that alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from rft.backbones import load
from rft.backbones.identity import NamedIdentity
from rft.backbones.sources.library import BackboneLibrary, BuiltNetwork, seeded_weights
from rft.config.schema import ModelConfig
from rft.data.images.preprocessing import ImagePreprocessing, plain_preprocessing
from rft.errors import ModelError
from rft.models.saved import load_model, write_model
from rft.records import ImagePreprocessingFacts

SIDE, WIDTH = 8, 5


def build_architecture(name: str, recipe: str | None) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, WIDTH, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTH, 10))


def build(
    model_config: ModelConfig, name: str, folder: Path, *, revision: str | None, seed: int, offline: bool
) -> BuiltNetwork:
    with seeded_weights(seed):
        network = build_architecture(name, None)
    return BuiltNetwork(network, saved_preprocessing(None))


def remove_classifier(model: nn.Module) -> nn.Module:
    return nn.Sequential(*list(model.children())[:-1])


def saved_preprocessing(facts: ImagePreprocessingFacts | None) -> ImagePreprocessing:
    return plain_preprocessing(SIDE, SIDE, "bilinear", (0.5,) * 3, (0.5,) * 3)


TOY = BackboneLibrary(
    name="toy",
    list_names=lambda: ["net"],
    build=build,
    build_architecture=build_architecture,
    remove_classifier=remove_classifier,
    saved_preprocessing=saved_preprocessing,
)


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(load.LIBRARIES, "toy", TOY)


def load_toy(name: str = "toy/net", seed: int = 3) -> load.LoadedBackbone:
    model_config = ModelConfig(backbone=name, weights="random")
    return load.load_backbone(model_config, Path(), modality="image", seed=seed, offline=True)


def test_a_record_is_all_that_loading_needs() -> None:
    loaded = load_toy()
    assert (loaded.dimension, loaded.input_shape, loaded.identity) == (
        WIDTH,
        (3, SIDE, SIDE),
        NamedIdentity(library="toy", name="net"),
    )
    same, second = load_toy(), load_toy(seed=4)
    assert loaded.weights_sha256 == same.weights_sha256 != second.weights_sha256


def test_its_models_are_saved_and_rebuilt(tmp_path: Path) -> None:
    loaded = load_toy()
    model = loaded.classifier(2, False, 0)
    write_model(tmp_path / "model", model=model, backbone=loaded, classes=("no", "yes"))
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))
    predicted = load_model(tmp_path / "model").predict(photo)
    pixels = torch.from_numpy(loaded.preprocessing(photo)).permute(2, 0, 1)[None].float() / 255
    expected = model({"pixels": pixels}).softmax(dim=1)[0, 1].detach()
    assert predicted["score_yes"][0] == pytest.approx(float(expected), abs=1e-6)


def test_errors_name_it_and_its_models() -> None:
    with pytest.raises(ModelError, match="one of torchvision, timm, toy, transformers") as error:
        load_toy("tyo/net")
    assert "toy/net" in str(error.value)
    with pytest.raises(ModelError, match="the revision 'v1' is one of the hub"):
        load_toy("toy/net@v1")
