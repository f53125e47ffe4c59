"""A run with mitigation, from the config to the saved model that decides as the audit said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import rft
from rft.errors import ConfigError, DataError, EvidenceError, ModelError
from rft.pipeline.plan import read_plan
from rft.pipeline.stages import check_plan
from rft.plugins.fairness.mitigation import saved_rule
from rft.plugins.fairness.mitigation.decision_rules import Mixture
from rft.plugins.fairness.mitigation.saved_rule import MitigatedModel
from rft.records import AuditRun, Section
from rft.report.run_folder import evidence
from tests.conftest import CONFIG, write_images
from tests.support.adjusted_levels import check_levels, check_that_more_rules_are_never_looser

pytest.importorskip("fairlearn")

TABLES = """
[fairness]
min_group_size = 5  # persons, of whom seven of each camera are set aside
min_reported_size = 5

[fairness.mitigation]
attribute = "camera"
metric = "selection_rate"
methods = ["threshold", "dfr"]
constraints = ["demographic_parity"]
"""


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished run of which ``threshold`` alone was tried; the data lies beside it."""
    root = tmp_path_factory.mktemp("mitigated")
    write_images(root / "data", n=160)
    config = root / "audit.toml"
    config.write_text(CONFIG + TABLES.replace(', "dfr"', ""), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RFT_CACHE", str(root / "cache"))
        patch.setenv("RFT_STATE", str(root / "state"))
        rft.audit(config, root / "run", offline=True)
    return root / "run"


@pytest.fixture
def copied(run_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run_folder, tmp_path / "run"))


def of_split(folder: Path, split: str = "test") -> tuple[pd.DataFrame, list[Path]]:
    """Return the rows of a split, and the images they are about: rows have their number as id."""
    frame = pd.read_parquet(folder / "predictions.parquet")
    rows = frame[frame["split"] == split].reset_index(drop=True)
    root = folder.parent if folder.name == "run" else folder.parent.parent
    return rows, [root / "data" / f"{int(id):03}.png" for id in rows["id"]]


def test_the_saved_model_decides_as_the_audit_said(run_folder: Path) -> None:
    model = rft.load(run_folder / "mitigated")
    assert isinstance(model, MitigatedModel)
    assert model.needs_group
    for split in ("train", "test"):
        frame, items = of_split(run_folder / "mitigated", split)
        table = model.predict(items, groups=list(frame["group_camera"]))
        assert list(table["prediction"]) == list(frame["prediction"])
        scores = ["score_blue", "score_red"]
        assert np.allclose(table[scores].to_numpy(float), frame[scores].to_numpy(float), atol=1e-6)


@pytest.mark.slow
def test_it_looks_through_a_frozen_part_in_bfloat16_as_the_audit_did(tmp_path: Path) -> None:
    write_images(tmp_path / "data", n=160)
    config = tmp_path / "audit.toml"
    tables = TABLES.replace(', "dfr"', "")
    config.write_text(CONFIG.replace('"float32"', '"bfloat16"') + tables, encoding="utf-8")
    rft.audit(config, tmp_path / "run", offline=True)
    test_the_saved_model_decides_as_the_audit_said(tmp_path / "run")


def test_its_predictions_have_the_format_of_the_runs_own(run_folder: Path) -> None:
    fine_tuned_ones, mitigated_ones = (
        pd.read_parquet(folder / "predictions.parquet") for folder in (run_folder, run_folder / "mitigated")
    )
    assert list(fine_tuned_ones.columns) == list(mitigated_ones.columns)
    assert fine_tuned_ones[["split", "id", "unit", "label", "group_camera"]].equals(
        mitigated_ones[["split", "id", "unit", "label", "group_camera"]]
    )


def test_the_folder_is_part_of_the_evidence(run_folder: Path, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RFT_STATE", str(run_folder.parent / "state"))
    whole = evidence.verify(copied)
    assert (whole.problems, whole.unchecked) == ((), ())
    listed = evidence.read(copied)
    assert len(listed.keyed.files) == 4, "three in the folder, and the predictions of the run"
    assert "mitigated" not in listed.to_json()
    (copied / "mitigated" / "model.json").write_text("{}", encoding="utf-8")
    assert evidence.verify(copied).problems == ("mitigated/model.json is not the file that was written",)


def test_the_section_shows_the_frontier(run_folder: Path) -> None:
    report = (run_folder / "report.html").read_text(encoding="utf-8")
    assert "What evenness costs" in report
    run = json.loads((run_folder / "audit.json").read_text(encoding="utf-8"))
    [section] = [section for section in run["sections"] if section["plugin"] == "fairness"]
    assert "folders" not in section
    assert section["tables"]["mitigation_frontier"][0]["split"] == "validation, set aside from train"


def test_groups_that_are_needed_are_asked_for(run_folder: Path) -> None:
    model: Any = rft.load(run_folder / "mitigated")
    _, items = of_split(run_folder / "mitigated")
    with pytest.raises(DataError, match=r"groups: this model decides by camera and has to know it"):
        model.predict(items[:2])
    with pytest.raises(DataError, match="1 groups were given for 2 items"):
        model.predict(items[:2], groups=["left"])
    with pytest.raises(DataError, match="one name for 2 items"):
        model.predict(items[:2], groups="left")
    with pytest.raises(DataError, match=r"'middle' is a group that the rule was not fitted for"):
        model.predict(items[:2], groups=["left", "middle"])
    fine_tuned = rft.load(run_folder).predict(items[:2])
    assert list(model.predict(items[:2], groups=[None, None])["prediction"]) == list(fine_tuned["prediction"])
    assert len(model.predict(items[0], groups="left")) == 1
    assert model.predict([], groups=[]).empty


def with_mixture(folder: Path) -> MitigatedModel:
    """Put a mixture of a head that always says red, and one that never does, in the place of the thresholds."""
    model = rft.load(folder)
    dimension = model.classifier.head.linear.in_features
    shutil.rmtree(folder / "mitigated")
    saved_rule.write_rule(
        folder / "mitigated",
        rule=Mixture(1, np.zeros((2, dimension)), np.array([1.0, -1.0]), np.array([0.5, 0.5])),
        attribute="camera",
        classes=model.classes,
        seed=0,
        model_sha256=json.loads((folder / "model" / "model.json").read_text(encoding="utf-8"))["sha256"],
        predictions=pd.DataFrame({"split": ["test"]}),
    )
    mitigated = rft.load(folder / "mitigated")
    assert isinstance(mitigated, MitigatedModel)
    return mitigated


def test_draws_follow_from_the_item_and_change_with_the_seed(copied: Path, run_folder: Path) -> None:
    model = with_mixture(copied)
    _, items = of_split(run_folder / "mitigated")
    first = model.predict(items)
    assert set(first["prediction"]) == {"red", "blue"}
    assert (first["score_red"] == 0.5).all()
    assert list(model.predict(items[::-1], batch_size=3)["prediction"]) == list(first["prediction"])[::-1]
    assert list(model.predict(items, seed=0)["prediction"]) == list(first["prediction"])
    assert list(model.predict(items, seed=1)["prediction"]) != list(first["prediction"])
    opened = [Image.open(item) for item in items]
    assert list(model.predict(opened)["prediction"]) == list(model.predict(opened)["prediction"])


def test_another_rule_or_another_model_is_refused(copied: Path) -> None:
    description = copied / "mitigated" / "model.json"
    content = json.loads(description.read_text(encoding="utf-8"))
    swapped = {**content, "rule": {**content["rule"], "groups": content["rule"]["groups"][::-1]}}
    description.write_text(json.dumps(swapped), encoding="utf-8")
    with pytest.raises(EvidenceError, match="mitigated: is not the rule that the audit wrote"):
        rft.load(copied / "mitigated")
    of_another_model = {**content, "model": {**content["model"], "sha256": "0" * 64}}
    description.write_text(json.dumps(of_another_model), encoding="utf-8")
    with pytest.raises(EvidenceError, match="model: is another model than the one that was mitigated"):
        rft.load(copied / "mitigated")
    description.write_text(json.dumps({**content, "format_version": 2}), encoding="utf-8")
    with pytest.raises(ModelError, match="has format 2; this rft reads 1"):
        rft.load(copied / "mitigated")


def test_a_rule_without_its_model_is_refused(copied: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copytree(copied / "mitigated", tmp_path / "alone"))
    with pytest.raises(ModelError, match="the fine-tuned model that it decides with is not beside it"):
        rft.load(alone)
    (copied / "mitigated" / "rule.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"rule\.safetensors: cannot be read"):
        rft.load(copied / "mitigated")


def test_privacy_and_mitigation_are_refused_before_any_work(tiny: Path) -> None:
    pytest.importorskip("opacus")
    tiny.write_text(CONFIG + TABLES + "\n[privacy]\nepsilon = 3.0\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        check_plan(read_plan(tiny))
    assert str(caught.value).startswith("[fairness.mitigation]: fits to the training data outside the training that")
    assert "[privacy]" in str(caught.value)
    check_plan(read_plan(tiny, ["privacy={}"]))  # attacked, and not trained, by [privacy]


@pytest.mark.parametrize("name", ["model", "assets", "../elsewhere", "/tmp", "A", ""])
def test_a_folder_of_a_plugin_has_a_name_of_its_own(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a folder"):
        Section(plugin="x", folders={name: Path.mkdir})


def test_every_estimate_of_mitigation_has_all_levels(run_folder: Path) -> None:
    run = AuditRun.model_validate_json((run_folder / "audit.json").read_text(encoding="utf-8"))
    ids = {finding.id for finding in check_levels(run)}
    assert {f"fairness.mitigation.{name}" for name in ("gap", "gap_before", "accuracy", "accuracy_before")} <= ids
    check_that_more_rules_are_never_looser(run)
