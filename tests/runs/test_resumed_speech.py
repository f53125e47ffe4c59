"""A run on recordings that was killed goes on where it was, and gives the numbers of one that nothing broke."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import rft
from rft.data.audio.inputs import AudioInputs
from rft.records import AuditRun
from tests.runs.test_resumed_run import Stopped, interrupt_audit
from tests.runs.test_texts_and_images import CLASSES, TRAIN, write_data

pytestmark = pytest.mark.slow
SEEDED = """
[privacy]
epsilon = 50.0
sample_rate = 0.5
mechanism_runs = 0
shadows = 0
randomness = "seeded"
"""


def write_config(folder: Path, model: str = "", more: str = "") -> Path:
    folder.mkdir()
    data = write_data(folder, "whisper").replace(*CLASSES)
    path = folder / "audit.toml"
    path.write_text(f'{data}\n[model]\nbackbone = "transformers/own"\n{model}\n{TRAIN}{more}', encoding="utf-8")
    return path


def read_numbers(run_folder: Path) -> tuple[list[Any], pd.DataFrame]:
    """Return the findings and the predictions of a run."""
    audited = json.loads((run_folder / "audit.json").read_text(encoding="utf-8"))
    sections = [section for section in audited["sections"] if section["plugin"] != "privacy"]
    return [finding for section in sections for finding in section["findings"]], pd.read_parquet(
        run_folder / "predictions.parquet"
    )


def use_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have runs keep features and ledgers in a folder of their own."""
    monkeypatch.setenv("RFT_CACHE", str(folder / "cache"))
    monkeypatch.setenv("RFT_STATE", str(folder / "state"))


def kill_reading(config: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> list[object]:
    """Run an audit that dies after so many recordings were read for their features; return these."""
    read, prepare = list[object](), AudioInputs._read_prepared

    def die_after(inputs: AudioInputs, item: object) -> np.ndarray:
        if len(read) == after:
            raise Stopped
        read.append(item)
        return prepare(inputs, item)

    with monkeypatch.context() as patched:
        patched.setattr(AudioInputs, "_read_prepared", die_after)
        with pytest.raises(Stopped):
            rft.audit(config, device="cpu")
    return read


def test_a_run_that_was_killed_among_its_features_gives_the_numbers_of_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path / "audit")
    use_cache(tmp_path / "whole", monkeypatch)
    rft.audit(config, tmp_path / "whole" / "run", device="cpu")
    use_cache(tmp_path / "killed", monkeypatch)
    assert len(kill_reading(config, monkeypatch, after=25)) == 25
    rft.audit(config, tmp_path / "killed" / "run", device="cpu")
    (whole, predicted), (resumed, predicted_again) = (
        read_numbers(tmp_path / name / "run") for name in ("whole", "killed")
    )
    assert resumed == whole
    pd.testing.assert_frame_equal(predicted_again, predicted)


def write_private(folder: Path, *, randomness: str) -> Path:
    config = write_config(folder, more=SEEDED.replace("seeded", randomness))
    population = 'unit = "person"\npopulation = "clinic"'
    config.write_text(config.read_text(encoding="utf-8").replace('unit = "person"', population), encoding="utf-8")
    return config


def read_ledger(run: AuditRun) -> dict[str, Any]:
    return {str(row["quantity"]): row["value"] for row in run.section("privacy").tables["ledger"]}


def test_private_training_that_was_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its noise is secret, and so no two runs are alike: what goes on is the training, charged for what is redone."""
    pytest.importorskip("opacus")
    config = write_private(tmp_path / "audit", randomness="secret")
    interrupt_audit(config, monkeypatch, after=5)
    run = rft.audit(config, tmp_path / "run", device="cpu")
    assert read_ledger(run)["resumed at step"] in (4, 5), "within the last block of two steps"


def test_seeded_training_that_was_killed_begins_anew_with_the_numbers_of_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opacus")
    config = write_private(tmp_path / "audit", randomness="seeded")
    use_cache(tmp_path / "whole", monkeypatch)
    rft.audit(config, tmp_path / "whole" / "run", device="cpu")
    use_cache(tmp_path / "killed", monkeypatch)
    interrupt_audit(config, monkeypatch, after=5)
    run = rft.audit(config, tmp_path / "killed" / "run", device="cpu")
    assert "resumed at step" not in read_ledger(run)
    (whole, predicted), (resumed, predicted_again) = (
        read_numbers(tmp_path / name / "run") for name in ("whole", "killed")
    )
    assert resumed == whole
    pd.testing.assert_frame_equal(predicted_again, predicted)
