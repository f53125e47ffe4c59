"""Every example's config is valid, and the textbook case runs as it stands but for its weights and sizes."""

from pathlib import Path

import pytest
from conftest import write_pictures

import rft
from rft import config
from rft.plugins import discover

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*/audit.toml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_a_config_is_valid_and_explained(path: Path) -> None:
    registered = discover()
    loaded = config.load(path, [], {name: each.plugin.options for name, each in registered.items()})
    for name in loaded.plugins:
        assert all(getattr(loaded.core.data, key) for key in registered[name].plugin.needs)
    assert len((path.parent / "README.md").read_text(encoding="utf-8").splitlines()) >= 8


def test_the_textbook_case_runs(tmp_path: Path) -> None:
    (example,) = [path for path in EXAMPLES if path.parent.name == "resnet50"]
    (tmp_path / "audit.toml").write_text(example.read_text(encoding="utf-8"), encoding="utf-8")
    for number, place in enumerate(("train/ants", "train/bees", "test/ants", "test/bees")):
        write_pictures(tmp_path / "photos" / place, n=6, seed=number)
    smaller = ["model.weights=random", "model.image_size=64", "train.epochs=2", "attribution.samples=2"]
    run = rft.audit(tmp_path / "audit.toml", tmp_path / "run", overrides=smaller)
    assert run.subject.backbone.frozen_parameters == 23_508_032  # ResNet-50 without its 1000-class layer
    assert run.subject.backbone.trainable_parameters == 2048 * 2 + 2
    assert run.subject.training.optimizer == "sgd"
    assert run.finding("training.frozen_changed").value == 0
    assert run.finding("attribution.completeness").value is not None
