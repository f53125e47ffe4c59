"""Audits in two processes that share the training of layers and adapters; slow, since every process imports torch."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.numpy import load_file

from tests.support.torchrun_cases import (
    SECONDS_TO_END,
    finish_command,
    in_processes,
    process_of_rank,
    said_of_errors,
    start_command,
)

pytestmark = pytest.mark.slow
IMAGES, SIZE = 60, 32
CONFIG = """
name = "shared"
seed = 0
[data]
manifest = "squares.csv"
image = "file"
id = "file"
label = "label"
test = 0.3
classes = ["blue", "red"]
{population}
[model]
backbone = "timm/vit_tiny_patch16_224"
weights = "random"
{model}
[train]
batch_size = 9
{train}
[performance]
"""
SUFFIX = 'freeze = "blocks.11"'
LORA = 'freeze = "none"\ntune = "lora"'
PLAIN = "epochs = 2"
PRIVATE = "epochs = {epochs}\n[privacy]\nepsilon = 8.0\nshadows = 0\nmechanism_runs = 0"


def write_audit(folder: Path, model: str, train: str) -> None:
    random = np.random.default_rng(0)
    (folder / "images").mkdir()
    rows = []
    for number in range(IMAGES):
        pixels = random.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
        pixels[:8, :8] = (220, 40, 40) if number % 2 else (40, 80, 220)
        Image.fromarray(pixels).save(folder / f"images/{number}.png")
        rows.append((f"images/{number}.png", "red" if number % 2 else "blue"))
    pd.DataFrame(rows, columns=["file", "label"]).to_csv(folder / "squares.csv", index=False)
    population = 'population = "squares"' if "[privacy]" in train else ""
    (folder / "audit.toml").write_text(CONFIG.format(model=model, train=train, population=population))


def audit(folder: Path, out: str, *, processes: int) -> dict:
    command = ["-m", "rft", "audit", "audit.toml", "--out", out]
    command = command if processes == 1 else in_processes(*command, processes=processes)
    code, _, err = finish_command(start_command(folder, "cache", *command))
    assert code == 0, err
    return json.loads((folder / out / "audit.json").read_text())


@pytest.mark.parametrize("model", [SUFFIX, LORA], ids=["layers", "adapters"])
def test_two_processes_train_the_weights_of_one(tmp_path: Path, model: str) -> None:
    write_audit(tmp_path, model, PLAIN)
    records = [audit(tmp_path, f"run-{processes}", processes=processes) for processes in (1, 2)]
    weights = [load_file(tmp_path / f"run-{processes}" / "model" / "model.safetensors") for processes in (1, 2)]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        np.testing.assert_allclose(weights[1][name], tensor, atol=1e-4, err_msg=name)
    frozen = [record["model"]["backbone"]["frozen_sha256_after"] for record in records]
    assert frozen[0] == frozen[1]


def test_a_process_killed_in_private_training_ends_the_other_and_a_new_start_goes_on(tmp_path: Path) -> None:
    write_audit(tmp_path, SUFFIX, PRIVATE.format(epochs=40))
    command = in_processes("-m", "rft", "audit", "audit.toml", "--out", "run")
    first = start_command(tmp_path, "cache", *command)
    while not list((tmp_path / "state").rglob("squares/*.safetensors")):  # a checkpoint
        assert first.poll() is None, first.communicate()
        time.sleep(0.02)
    os.kill(process_of_rank(1, tmp_path), signal.SIGKILL)
    killed = time.monotonic()
    code, _, err = finish_command(first)
    assert time.monotonic() - killed < SECONDS_TO_END
    assert code in (128 + signal.SIGKILL, 128 + signal.SIGTERM, 75)
    said = said_of_errors(err)
    assert len([line for line in said if "another process" in line or "interrupted" in line]) == 1, err
    assert not (tmp_path / "run").exists()
    record = audit(tmp_path, "run", processes=2)
    section = next(section for section in record["sections"] if section["plugin"] == "privacy")
    resumed = [row["value"] for row in section["tables"]["ledger"] if row["quantity"] == "resumed at step"]
    assert resumed[0] > 0
