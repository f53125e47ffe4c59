"""``rft.audit_predictions``: a table in memory is audited as the same table in a file is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from typer.testing import CliRunner

import rft
from rft.cli.main import app
from rft.data.tables.columnar import read_columns
from rft.data.tables.digest import digest_columns
from rft.data.tables.in_memory import TableInMemory, hold_table
from rft.data.tables.table_file import ColumnRequest
from rft.errors import ConfigError, DataError, ModelError, OutputError, RftError
from tests.runs.test_predictions_alone import make_scores

COLUMNS: dict[str, Any] = {
    "label": "label",
    "score": "p_yes",
    "groups": ["gender", "ethnicity"],
    "unit": "person",
    "split": "split",
    "positive": "yes",
}
CONFIG = """\
name = "scores"
[data]
label = "label"
positive = "yes"
groups = ["gender", "ethnicity"]
unit = "person"
split = "split"
[predictions]
file = "scores.parquet"
score = "p_yes"
[privacy]
[fairness]
metrics = ["accuracy"]
[[policy]]
finding = "performance.accuracy"
min = 0.6
because = "a test"
"""
PLUGINS = {"privacy": {}, "fairness": {"metrics": ["accuracy"]}}
POLICY = [{"finding": "performance.accuracy", "min": 0.6, "because": "a test"}]


def make_frame() -> pd.DataFrame:
    """Return predictions with categories, whole numbers as units, and missing groups."""
    frame = make_scores(400)
    frame["ethnicity"] = frame["ethnicity"].astype("category")
    frame.loc[[3, 250], "gender"] = None
    return frame


def test_findings_are_those_of_the_same_table_in_a_file(tmp_path: Path) -> None:
    frame = make_frame()
    frame.to_parquet(tmp_path / "scores.parquet")
    (tmp_path / "audit.toml").write_text(CONFIG, encoding="utf-8")
    of_file = rft.audit(tmp_path / "audit.toml", tmp_path / "of-file")
    before = frame.copy()
    run = rft.audit_predictions(
        frame, **COLUMNS, plugins=PLUGINS, policy=POLICY, name="scores", out=tmp_path / "of-frame"
    )
    pd.testing.assert_frame_equal(frame, before)
    assert run.sections == of_file.sections
    assert (run.data, run.model, run.verdict, run.pillars) == (
        of_file.data,
        of_file.model,
        of_file.verdict,
        of_file.pillars,
    )
    assert run.finding("fairness.accuracy_gap.gender").value is not None
    assert run.finding("privacy.membership_auc").value is not None
    assert run.verdict.status == "pass"
    names = sorted(path.name for path in (tmp_path / "of-file").iterdir())
    assert sorted(path.name for path in (tmp_path / "of-frame").iterdir()) == names
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "of-frame/predictions.parquet"),
        pd.read_parquet(tmp_path / "of-file/predictions.parquet"),
    )
    config = json.loads((tmp_path / "of-frame/audit.json").read_text())["run"]["config"]
    assert config["predictions"] == {"file": "memory:frame", "score": "p_yes"}


@pytest.mark.parametrize("kind", ["polars", "arrow", "arrays"])
def test_the_same_rows_are_the_same_audit_in_whatever_holds_them(kind: str) -> None:
    frame = make_frame()
    held: Any = {name: frame[name].to_numpy() for name in frame}
    if kind == "polars":
        held = pytest.importorskip("polars").from_pandas(frame)
    elif kind == "arrow":
        held = pa.Table.from_pandas(frame)
    run, other_run = (rft.audit_predictions(table, **COLUMNS) for table in (frame, held))
    assert run.sections == other_run.sections
    assert run.data == other_run.data
    assert run.artifacts.inputs == other_run.artifacts.inputs


def test_labels_are_read_as_they_stand() -> None:
    rng = np.random.default_rng(0)
    truth, favoured = rng.integers(0, 2, 60), rng.random(60)
    decided = favoured >= 0.5
    numbers = rft.audit_predictions({"y": truth, "p": favoured}, label="y", score="p", positive=1)
    assert numbers.model.classes == ("0", "1")
    assert numbers.finding("performance.accuracy").value == np.mean(truth == decided)
    answers = {"y": truth.astype(bool), "said": decided}
    run = rft.audit_predictions(answers, label="y", prediction="said", positive=True)
    assert (run.model.classes, run.model.positive) == (("False", "True"), "True")
    assert run.finding("performance.accuracy").value == np.mean(truth == decided)
    both = rft.audit_predictions({"y": truth, "p0": 1 - favoured, "p1": favoured}, label="y", scores={0: "p0", 1: "p1"})
    assert both.finding("performance.roc_auc").value == numbers.finding("performance.roc_auc").value


def test_rows_that_lack_something_stop_the_audit_or_are_counted() -> None:
    frame = make_frame()
    frame.loc[4, "p_yes"] = np.nan
    with pytest.raises(DataError, match="column 'p_yes' is empty or NaN in row 5") as caught:
        rft.audit_predictions(frame, **COLUMNS)
    assert caught.value.where == "frame"
    assert 'set on_error = "skip"' in caught.value.remedy
    run = rft.audit_predictions(frame, **COLUMNS, on_error="skip")
    assert run.data.skipped == 1


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"label": "lable"}, DataError, "frame: has no column 'lable'\nDid you mean 'label'?"),
        ({"positive": None}, ConfigError, "positive is missing: the class that score is the probability of"),
        ({"positive": "Yes"}, DataError, "frame: positive is 'Yes', which is no label\nDid you mean 'yes'?"),
        ({"groups": ["label"]}, ConfigError, "'label' is both label and group"),
        ({"score": None}, ConfigError, "give prediction (a column of class names), score or scores"),
        ({"plugins": {"fairnes": {}}}, ConfigError, "there is no plugin 'fairnes'\nDid you mean 'fairness'?"),
        ({"plugins": {"data": {}}}, ConfigError, "there is no plugin 'data'"),
        (
            {"plugins": {"fairness": {"metric": []}}},
            ConfigError,
            "fairness.metric: unknown key\nDid you mean 'metrics'",
        ),
        ({"plugins": {"privacy": {"epsilon": 3.0}}}, ConfigError, 'Remove the keys of plugins["privacy"]'),
        ({"plugins": {"fairness": {}}, "groups": []}, ConfigError, "needs groups, which is not set"),
        ({"policy": [{"finding": "privacy.epsilon", "max": 1}]}, ConfigError, 'such as plugins["privacy"]'),
        ({"policy": [{"finding": "x.y"}]}, ConfigError, "policy.1: a rule needs"),
        ({"plugins": ["fairness"]}, ConfigError, "plugins: expected a mapping of names to options"),
        ({"seed": -1}, ConfigError, "rft.audit_predictions: seed: expected 0 or more, not -1"),
    ],
)
def test_errors_name_arguments(changed: dict[str, Any], kind: type[RftError], message: str) -> None:
    with pytest.raises(kind) as caught:
        rft.audit_predictions(make_frame(), **{**COLUMNS, **changed})
    assert message in str(caught.value)
    assert "data." not in str(caught.value)
    assert "[" not in str(caught.value).replace('plugins["', "")


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(DataError, match="frame: is list; expected a DataFrame of pandas or polars"):
        rft.audit_predictions([1, 2], **COLUMNS)
    lazy = pytest.importorskip("polars").from_pandas(make_frame()).lazy()
    with pytest.raises(DataError, match=r"Call its collect\(\) first"):
        rft.audit_predictions(lazy, **COLUMNS)
    arrays = {"y": np.zeros((4, 2)), "said": ["a", "b", "a", "b"]}
    with pytest.raises(DataError, match=r"column 'y' has the shape \(4, 2\); expected one value a row"):
        rft.audit_predictions(arrays, label="y", prediction="said")
    with pytest.raises(DataError, match="column 'y' has 3 values, and column 'said' 4"):
        rft.audit_predictions({**arrays, "y": ["a", "b", "a"]}, label="y", prediction="said")
    with pytest.raises(DataError, match="column 'y' does not hold values of one type"):
        rft.audit_predictions({**arrays, "y": ["a", 1, "a", "b"]}, label="y", prediction="said")
    twice = pd.DataFrame([["a", "b", "a"], ["b", "a", "b"]], columns=["y", "said", "y"])
    with pytest.raises(DataError, match="has 2 columns 'y'"):
        rft.audit_predictions(twice, label="y", prediction="said")


def test_a_folder_in_use_is_refused_before_the_table_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x", encoding="utf-8")
    with pytest.raises(OutputError, match="Choose another folder with out; force=True only replaces a run"):
        rft.audit_predictions([1, 2], **COLUMNS, out=tmp_path)


def test_verify_says_that_the_input_was_in_memory(tmp_path: Path) -> None:
    rft.audit_predictions(make_frame(), **COLUMNS, out=tmp_path / "run")
    done = CliRunner().invoke(app, ["verify", str(tmp_path / "run")])
    assert done.exit_code == 3
    assert "Not checked: the input frame, which was an object in memory and no file." in done.stdout
    assert "--key" not in done.stdout
    with pytest.raises(ModelError, match="audited a table of predictions, so the run has no model"):
        rft.load(tmp_path / "run")
    (tmp_path / "run/model-card.md").write_text("other", encoding="utf-8")
    assert CliRunner().invoke(app, ["verify", str(tmp_path / "run")]).exit_code == 4


def test_a_recorded_config_names_no_file(tmp_path: Path) -> None:
    (tmp_path / "audit.toml").write_text(CONFIG.replace("scores.parquet", "memory:frame"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"predictions\.file: 'memory:frame' stands for an object that was in memory"):
        rft.audit(tmp_path / "audit.toml")


def digest_held(table: TableInMemory) -> str:
    held = read_columns([table], ColumnRequest(["b"], ["a"]))
    return digest_columns(held.texts, held.numbers)


def test_the_digest_is_the_documented_one() -> None:
    frame = pd.DataFrame({"b": ["x", None, "é"], "a": [0.5, np.nan, 1.0], "unread": [1, 2, 3]})
    held = hold_table(frame, ["a", "b"], "frame")
    expected = hashlib.sha256(b"rft table 1\n")
    expected.update(b'["a", "numbers", 3]\n' + np.array([0.5, np.nan, 1.0], "<f8").tobytes())
    expected.update(b'["b", "texts", 3]\n' + np.array([1, -1, 2], "<i8").tobytes() + "xé".encode())
    assert digest_held(held) == expected.hexdigest()
    categories = frame.assign(b=frame["b"].astype("category"), unread="other")
    held = hold_table(categories, ["a", "b"], "frame")
    assert digest_held(held) == expected.hexdigest()
    held = hold_table(frame.iloc[::-1], ["a", "b"], "frame")
    assert digest_held(held) != expected.hexdigest()
