"""A private run that was killed goes on as itself or not at all: whatever changes the model changes its identity."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

import rft
from rft.plugins.privacy.ledger import account as ledger
from rft.plugins.privacy.training import least_squares_fit, trainer
from rft.plugins.privacy.training.stepper import private_step
from tests.conftest import CONFIG, write_images
from tests.support.families import FAMILIES

pytest.importorskip("opacus")

PRIVATE = """
[privacy]
epsilon = 50.0
sample_rate = 0.5
mechanism_runs = 0
shadows = 0
"""
EPOCHS = "epochs = 20"  # 40 steps
PEOPLE = ('unit = "person"', 'unit = "person"\npopulation = "clinic"\nclasses = ["blue", "red"]')


class Stopped(BaseException):
    """Ends a run where its identity is known."""


def image_config(folder: Path) -> Path:
    """Return the config of a private run on images with weights in a file beside it."""
    from torchvision.models import resnet18

    write_images(folder / "data", n=20)
    torch.manual_seed(1)
    save_file(resnet18(num_classes=1000).state_dict(), folder / "weights.safetensors")
    path = folder / "audit.toml"
    text = CONFIG.replace(*PEOPLE).replace('weights = "random"', 'weights = "weights.safetensors"')
    path.write_text(text.replace("epochs = 5", EPOCHS) + PRIVATE, encoding="utf-8")
    return path


def text_config(folder: Path) -> Path:
    """Return the config of a private run on texts, with adapters in a small BERT."""
    FAMILIES["bert"].load(folder)
    rng = np.random.default_rng(0)
    rows = []
    for number in range(40):
        label, start = (("red", 97), ("blue", 110))[number % 2]
        text = "".join(chr(start + offset) for offset in rng.integers(0, 13, rng.integers(6, 15)))
        split = "train" if number < 20 else "test"
        rows.append({"text": text, "colour": label, "person": f"p{number // 2}", "camera": "left", "split": split})
    pd.DataFrame(rows).to_csv(folder / "texts.csv", index=False)
    data = CONFIG.split("[model]")[0].replace(*PEOPLE)
    data = data.replace("data/images.csv", "texts.csv").replace('image = "file"', 'text = "text"')
    model = (
        f'[model]\nbackbone = "transformers/own"\nfreeze = "{FAMILIES["bert"].layer}"\ntune = "lora"\n'
        f'[model.lora]\ntarget = ["query"]\n[train]\n{EPOCHS}\nlearning_rate = 0.01\nbatch_size = 8\n'
    )
    path = folder / "audit.toml"
    path.write_text(data + model + PRIVATE, encoding="utf-8")
    return path


def identity_of(config: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> str:
    """Return what a run is recognised by when its training begins; it ends there."""
    seen: list[str] = []

    def note_identity(*_: Any, identity: str, **__: Any) -> None:
        seen.append(identity)
        raise Stopped

    with monkeypatch.context() as patched:
        for module in (trainer, least_squares_fit):
            patched.setattr(module, "open_account", note_identity)
        with pytest.raises(Stopped):
            rft.audit(config, overrides=list(overrides), device="cpu")
    return seen[0]


def other_weights(folder: Path) -> None:
    tensors = load_file(folder / "weights.safetensors")
    tensors["layer1.0.conv1.weight"] = tensors["layer1.0.conv1.weight"] * 1.001
    save_file(tensors, folder / "weights.safetensors")


def other_cell(column: str, value: str) -> Callable[[Path], None]:
    def change_manifest(folder: Path) -> None:
        table = pd.read_csv(folder / "data" / "images.csv", dtype=str)
        table.loc[3, column] = value
        table.to_csv(folder / "data" / "images.csv", index=False)

    return change_manifest


def other_image(folder: Path) -> None:
    content = (folder / "data" / "005.png").read_bytes()
    (folder / "data" / "003.png").write_bytes(content)


IMAGE_KEYS = [
    "model.weights=random",
    "model.image_size=40",
    "model.precision=bfloat16",
    "model.cache=float16",
    "model.row_norm=false",
    "train.views=2",
]
RECIPE_KEYS = [
    "train.epochs=6",
    "train.optimizer=sgd",
    "train.learning_rate=0.02",
    "train.weight_decay=0.1",
    "train.batch_size=4",
    "train.class_weights={red=2.0}",
    'data.classes=["red", "blue"]',
    'data.classes=["blue", "red", "green"]',
    "seed=1",
    "privacy.epsilon=40.0",
    "privacy.delta=0.01",
    "privacy.max_grad_norm=0.5",
    "train={optimizer='adamw', learning_rate=0.01, batch_size=8}|privacy.steps=30",
    "privacy.sample_rate=0.25",
    "privacy.noise_multiplier=9.0",
    "train={}|privacy={epsilon=50.0, method='least_squares'}",
]
IMAGE_FILES = {
    "weights": other_weights,
    "a label": other_cell("colour", "red"),
    "whose an image is": other_cell("person", "000"),
    "an image": other_image,
}
TEXT_KEYS = [
    'model.freeze="encoder.layer.1"',
    'model.pooling="cls"',
    "model.max_length=5",
    "model.row_norm=true",
    "model.lora={rank=4, target=['query']}",
    "model.lora={alpha=32, target=['query']}",
    "model.lora={dropout=0.5, target=['query']}",
    "model.lora={target=['value']}",
    'model={backbone="transformers/own", freeze="none", tune="bias"}',
    'model={backbone="transformers/own", freeze="none", tune="bias", row_norm=true}',
    'model={backbone="transformers/own"}',
    'model={backbone="transformers/own", row_norm=false}',
    'model={backbone="transformers/own", weights="random"}',
]


@pytest.mark.slow
def test_whatever_changes_the_features_of_images_changes_the_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = image_config(tmp_path)
    first = identity_of(config, monkeypatch)
    assert identity_of(config, monkeypatch) == first
    seen = {"as it was": first}
    for key in IMAGE_KEYS:
        seen[key] = identity_of(config, monkeypatch, key)
    for name, change in IMAGE_FILES.items():
        change(tmp_path)
        seen[name] = identity_of(config, monkeypatch)
    assert len(set(seen.values())) == len(seen), sorted(seen, key=lambda name: seen[name])


@pytest.mark.slow
def test_whatever_changes_the_training_changes_the_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = image_config(tmp_path)
    seen = {"as it was": identity_of(config, monkeypatch)}
    for key in RECIPE_KEYS:
        seen[key] = identity_of(config, monkeypatch, *key.split("|"))
    assert len(set(seen.values())) == len(seen), sorted(seen, key=lambda name: seen[name])


@pytest.mark.slow
def test_whatever_changes_the_model_of_texts_changes_the_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("peft")
    config = text_config(tmp_path)
    seen = {"as it was": identity_of(config, monkeypatch)}
    assert identity_of(config, monkeypatch) == seen["as it was"]
    for key in TEXT_KEYS:
        seen[key] = identity_of(config, monkeypatch, key)
    assert len(set(seen.values())) == len(seen), sorted(seen, key=lambda name: seen[name])


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        "name=other",
        *(
            pytest.param(change, marks=pytest.mark.slow)
            for change in ("model.memory=8GB", "privacy.ledger=elsewhere", "privacy.budget=500.0")
        ),
    ],
)
def test_what_changes_nothing_about_the_model_does_not_change_the_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    config = image_config(tmp_path)
    assert identity_of(config, monkeypatch) == identity_of(config, monkeypatch, change)


def interrupt_audit(config: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Run an audit that dies after so many steps of training."""
    steps = iter(range(after))
    take = private_step

    def die_after(*arguments: Any) -> None:
        if next(steps, None) is None:
            raise Stopped
        take(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(trainer, "private_step", die_after)
        patched.setattr(ledger, "PROCESS_ID", "the one that was killed")
        with pytest.raises(Stopped):
            rft.audit(config, device="cpu")


def test_a_killed_run_goes_on_as_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = image_config(tmp_path)
    interrupt_audit(config, monkeypatch, after=23)
    run = rft.audit(config, tmp_path / "run", device="cpu")
    stand = {row["quantity"]: row["value"] for row in run.section("privacy").tables["ledger"]}
    assert stand["resumed at step"] == 22, "blocks of two steps"
    (training,) = run.section("privacy").tables["ledger_trainings"]
    assert (training["charged_steps"], training["interruptions"]) == (42, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        "model.row_norm=false",
        pytest.param("model.weights=random", marks=pytest.mark.slow),
        pytest.param("model.image_size=40", marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_does_not_go_on_as_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    """The steps of the first are charged all the same, and the other starts from its own beginning."""
    config = image_config(tmp_path)
    interrupt_audit(config, monkeypatch, after=23)
    run = rft.audit(config, tmp_path / "run", overrides=[change], device="cpu")
    stand = {row["quantity"]: row["value"] for row in run.section("privacy").tables["ledger"]}
    assert "resumed at step" not in stand
    trainings = run.section("privacy").tables["ledger_trainings"]
    assert [row["charged_steps"] for row in trainings] == [24, 40]
    assert json.loads((tmp_path / "run" / "audit.json").read_text())["model"]["training"]["steps"] == 40
