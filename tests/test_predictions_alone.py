"""A table of predictions alone: audited like any other model, but for what needs the model, which says so."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from typer.testing import CliRunner

import rft
from rft.cli import app

CONFIG = """\
name = "vendor-scores"

[data]
label = "label"
positive = "yes"
groups = ["gender", "ethnicity"]
unit = "person"
split = "split"

[predictions]
file = "scores.csv"
score = "p_yes"
"""


def scores(n: int = 600, seed: int = 0) -> pd.DataFrame:
    """Return calibrated predictions, two rows of each person, a third of them in train."""
    rng = np.random.default_rng(seed)
    favoured = rng.random(n)
    person = np.arange(n) // 2
    return pd.DataFrame(
        {
            "label": np.where(rng.random(n) < favoured, "yes", "no"),
            "p_yes": favoured,
            "p_no": 1 - favoured,
            "decision": np.where(favoured >= 0.5, "yes", "no"),
            "gender": np.array(["f", "m"])[person % 2],
            "ethnicity": np.array(["001", "NA", "None"])[person % 3],
            "person": person,
            "split": np.where(person < n // 6, "train", "test"),
        }
    )


def write(folder: Path, table: pd.DataFrame, config: str = CONFIG) -> Path:
    table.to_csv(folder / "scores.csv", index=False)
    (folder / "audit.toml").write_text(config, encoding="utf-8")
    return folder / "audit.toml"


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


class TestOneRun:
    def test_numbers_are_those_of_scikit_learn(self, tmp_path: Path) -> None:
        table = scores()
        run = rft.audit(write(tmp_path, table))
        test = table[table["split"] == "test"]
        assert run.finding("performance.accuracy").value == accuracy_score(test["label"], test["decision"])
        auc = roc_auc_score(test["label"] == "yes", test["p_yes"])
        assert run.finding("performance.roc_auc").value == pytest.approx(auc, abs=1e-12)
        loss = log_loss(test["label"], test[["p_no", "p_yes"]], labels=["no", "yes"])
        assert run.finding("performance.log_loss").value == pytest.approx(loss, abs=1e-9)
        assert run.finding("performance.accuracy").n == test["person"].nunique()
        assert run.data.splits["test"].groups["ethnicity"] == dict(test["ethnicity"].value_counts())

    def test_what_needs_the_model_says_so(self, tmp_path: Path) -> None:
        extra = "\n[fairness]\n\n[privacy]\n\n[attribution]\n"
        run = rft.audit(write(tmp_path, scores(), CONFIG + extra), tmp_path / "run")
        assert run.subject.training.mode == "external"
        assert run.subject.modality == "predictions"
        assert (run.subject.backbone, run.subject.model_sha256) == (None, None)
        reasons = {f.id: f.reason for s in run.sections for f in s.findings if f.reason}
        for name in (
            "training.frozen_changed",
            "backbone.probe_accuracy",
            "privacy.epsilon",
            "privacy.lira_auc",
            "privacy.attribute_probe.gender",
            "attribution.audit",
            "privacy.one_run_epsilon_lower_bound",
        ):
            assert "only its predictions were given" in reasons[name], name
        assert "items were not read" in reasons["dataset.shared_items"]
        assert not any("failed" in reason for reason in reasons.values())
        assert run.finding("privacy.membership_auc").value is not None
        assert run.finding("fairness.accuracy_gap.gender").value is not None

    def test_outputs_say_that_predictions_alone_were_audited(self, tmp_path: Path) -> None:
        out = tmp_path / "run"
        assert invoke("audit", write(tmp_path, scores()), "--out", out)[0] == 0
        assert not (out / "model").exists()
        evidence = json.loads((out / "evidence.json").read_text())
        sha256 = hashlib.sha256((tmp_path / "scores.csv").read_bytes()).hexdigest()
        assert evidence["inputs"] == [{"name": "scores.csv", "sha256": sha256}]
        assert evidence["model"] is None
        report = (out / "report.html").read_text(encoding="utf-8")
        assert "Audit of a table of predictions; the model was not given" in report
        assert "the table of predictions scores.csv" in report
        card = (out / "model-card.md").read_text(encoding="utf-8")
        assert "was not given: only its predictions were audited" in card
        assert ". Audited by rft" in card
        assert invoke("verify", out)[0] == 0
        assert invoke("report", out)[0] == 0
        with pytest.raises(rft.RftError, match="model"):
            rft.load(out)

    @pytest.mark.parametrize("kind", ["tsv", "jsonl", "parquet", "categories"])
    def test_every_kind_of_file_reads_the_same(self, tmp_path: Path, kind: str) -> None:
        table = scores()
        table.loc[[3, 8], "gender"] = None
        expected = rft.audit(write(tmp_path, table))
        name = "scores.parquet" if kind == "categories" else f"scores.{kind}"
        if kind == "tsv":
            table.to_csv(tmp_path / name, index=False, sep="\t")
        elif kind == "jsonl":
            table.to_json(tmp_path / name, orient="records", lines=True, double_precision=15)
        else:
            held = table.astype({"label": "category", "gender": "category", "person": "category"})
            (held if kind == "categories" else table).to_parquet(tmp_path / name)
        run = rft.audit(tmp_path / "audit.toml", overrides=[f"predictions.file={name}"])
        found, wanted = (each.artifacts.predictions.astype(object) for each in (run, expected))
        assert list(found) == list(wanted)
        for column in found:
            if column.startswith("score_"):
                assert np.allclose(found[column].astype(float), wanted[column].astype(float), atol=1e-14)
            else:
                assert (
                    found[column].where(found[column].notna(), None).tolist()
                    == wanted[column].where(wanted[column].notna(), None).tolist()
                )
        assert run.data == expected.data
        assert run.data.splits["train"].groups["gender"][""] == 2

    def test_a_run_can_be_audited_from_its_own_predictions(self, tiny: Path) -> None:
        first = rft.audit(tiny, tiny.parent / "run")
        short = 'name = "again"\n[data]\npositive = "red"\ngroups = ["camera"]\n'
        (tiny.parent / "again.toml").write_text(
            short + '[predictions]\nfile = "run/predictions.parquet"\nlayout = "rft"\n[fairness]\n', encoding="utf-8"
        )
        again = rft.audit(tiny.parent / "again.toml", tiny.parent / "again")
        for each in first.section("performance").findings:
            found = again.finding(each.id)
            assert (found.value, found.interval) == (each.value, each.interval)
        assert again.data == first.data
        kept = pd.read_parquet(tiny.parent / "again" / "predictions.parquet").astype(object)
        assert kept.equals(pd.read_parquet(tiny.parent / "run" / "predictions.parquet").astype(object))


class TestDecisions:
    def decided(self, folder: Path, keys: str, table: pd.DataFrame | None = None) -> pd.DataFrame:
        config = CONFIG.replace('score = "p_yes"\n', keys)
        return rft.audit(write(folder, scores() if table is None else table, config)).artifacts.predictions

    @pytest.mark.parametrize("threshold", [0.3, 0.5, 0.9])
    def test_a_score_decides_at_the_threshold_and_above(self, tmp_path: Path, threshold: float) -> None:
        table = scores()
        table.loc[300, "p_yes"] = threshold
        found = self.decided(tmp_path, f'score = "p_yes"\nthreshold = {threshold}\n', table)
        assert (found["prediction"] == "yes").tolist() == (table["p_yes"] >= threshold).tolist()
        assert np.allclose(found["score_no"], 1 - table["p_yes"])

    def test_scores_decide_for_the_most_probable_class(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(1)
        table, names = scores(), ["a", "b", "c"]
        probabilities = rng.dirichlet([1, 1, 1], len(table))
        table[names] = probabilities
        table["label"] = rng.choice(names, len(table))
        columns = ", ".join(f'{name} = "{name}"' for name in names)
        config = CONFIG.replace('score = "p_yes"', f"scores = {{ {columns} }}").replace('positive = "yes"\n', "")
        found = rft.audit(write(tmp_path, table, config)).artifacts.predictions
        assert found["prediction"].tolist() == [names[index] for index in probabilities.argmax(axis=1)]

    def test_given_decisions_stand_without_scores(self, tmp_path: Path) -> None:
        table = scores()
        run = rft.audit(write(tmp_path, table, CONFIG.replace('score = "p_yes"', 'prediction = "decision"')))
        assert run.artifacts.predictions["prediction"].tolist() == table["decision"].tolist()
        assert "the predictions have no column score_no" in run.finding("performance.roc_auc").reason
        assert run.finding("performance.accuracy").value is not None

    def test_without_a_split_every_row_is_test(self, tmp_path: Path) -> None:
        config = CONFIG.replace('split = "split"\n', "").replace('unit = "person"\n', "")
        run = rft.audit(write(tmp_path, scores(), config))
        assert {name: each.n for name, each in run.data.splits.items()} == {"test": 600}
        assert run.data.splits["test"].n_units is None
        assert run.finding("performance.accuracy").n == 600
