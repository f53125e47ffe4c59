"""A table of predictions alone: audited like any other model, but for what needs the model, which says so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from typer.testing import CliRunner

import rft
from rft.cli.main import app
from rft.errors import ConfigError, DataError

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


def make_scores(n: int = 600, seed: int = 0) -> pd.DataFrame:
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


def invoke_rft(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


class TestOneRun:
    def test_numbers_are_those_of_scikit_learn(self, tmp_path: Path) -> None:
        table = make_scores()
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
        run = rft.audit(write(tmp_path, make_scores(), CONFIG + extra), tmp_path / "run")
        assert run.model.training.mode == "external"
        assert run.model.modality == "predictions"
        assert (run.model.backbone, run.model.model_sha256) == (None, None)
        reasons = {f.id: f.reason for s in run.sections for f in s.findings if f.reason}
        for name in (
            "training.frozen_changed",
            "backbone.probe_accuracy",
            "privacy.epsilon",
            "privacy.lira_auc",
            "privacy.attribute_probe.gender",
            "attribution.audit",
        ):
            assert "only its predictions were given" in reasons[name], name
        bound = "privacy.one_run_epsilon_lower_bound"
        assert "nothing was trained with differential privacy in this run" in reasons[bound]
        assert "items were not read" in reasons["dataset.shared_items"]
        assert not any("failed" in reason for reason in reasons.values())
        assert run.finding("privacy.membership_auc").value is not None
        assert run.finding("fairness.accuracy_gap.gender").value is not None

    def test_outputs_say_that_predictions_alone_were_audited(self, tmp_path: Path) -> None:
        out = tmp_path / "run"
        assert invoke_rft("audit", write(tmp_path, make_scores()), "--out", out)[0] == 0
        assert not (out / "model").exists()
        evidence = json.loads((out / "evidence.json").read_text())
        assert len(evidence["keyed"]["inputs"]) == 1
        assert hashlib.sha256((tmp_path / "scores.csv").read_bytes()).hexdigest() not in json.dumps(evidence)
        assert evidence["model"] is None
        report = (out / "report.html").read_text(encoding="utf-8")
        assert "Audit of a table of predictions; the model was not looked at" in report
        assert "the table of predictions scores.csv" in report
        card = (out / "model-card.md").read_text(encoding="utf-8")
        assert "was not looked at: only its predictions were audited" in card
        assert ". Audited by rft" in card
        assert invoke_rft("verify", out)[0] == 0
        assert invoke_rft("report", out)[0] == 0
        with pytest.raises(rft.RftError, match="model"):
            rft.load(out)

    @pytest.mark.parametrize("kind", ["tsv", "jsonl", "parquet", "categories"])
    def test_every_kind_of_file_reads_the_same(self, tmp_path: Path, kind: str) -> None:
        table = make_scores()
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
        predictions, wanted = (audited.artifacts.predictions.astype(object) for audited in (run, expected))
        assert list(predictions) == list(wanted)
        for column in predictions:
            if column.startswith("score_"):
                assert np.allclose(predictions[column].astype(float), wanted[column].astype(float), atol=1e-14)
            else:
                assert (
                    predictions[column].where(predictions[column].notna(), None).tolist()
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
        for finding in first.section("performance").findings:
            shown_finding = again.finding(finding.id)
            assert (shown_finding.value, shown_finding.interval) == (finding.value, finding.interval)
        assert again.data == first.data
        kept = pd.read_parquet(tiny.parent / "again" / "predictions.parquet").astype(object)
        assert kept.equals(pd.read_parquet(tiny.parent / "run" / "predictions.parquet").astype(object))


class TestDecisions:
    def decided(self, folder: Path, keys: str, table: pd.DataFrame | None = None) -> pd.DataFrame:
        config = CONFIG.replace('score = "p_yes"\n', keys)
        return rft.audit(write(folder, make_scores() if table is None else table, config)).artifacts.predictions

    @pytest.mark.parametrize("threshold", [0.3, 0.5, 0.9])
    def test_a_score_decides_at_the_threshold_and_above(self, tmp_path: Path, threshold: float) -> None:
        table = make_scores()
        table.loc[300, "p_yes"] = threshold
        predictions = self.decided(tmp_path, f'score = "p_yes"\nthreshold = {threshold}\n', table)
        assert (predictions["prediction"] == "yes").tolist() == (table["p_yes"] >= threshold).tolist()
        assert np.allclose(predictions["score_no"], 1 - table["p_yes"])

    def test_scores_decide_for_the_most_probable_class(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(1)
        table, names = make_scores(), ["a", "b", "c"]
        probabilities = rng.dirichlet([1, 1, 1], len(table))
        table[names] = probabilities
        table["label"] = rng.choice(names, len(table))
        columns = ", ".join(f'{name} = "{name}"' for name in names)
        config = CONFIG.replace('score = "p_yes"', f"scores = {{ {columns} }}").replace('positive = "yes"\n', "")
        predictions = rft.audit(write(tmp_path, table, config)).artifacts.predictions
        assert predictions["prediction"].tolist() == [names[index] for index in probabilities.argmax(axis=1)]

    def test_given_decisions_stand_without_scores(self, tmp_path: Path) -> None:
        table = make_scores()
        run = rft.audit(write(tmp_path, table, CONFIG.replace('score = "p_yes"', 'prediction = "decision"')))
        assert run.artifacts.predictions["prediction"].tolist() == table["decision"].tolist()
        assert "the predictions have no column score_no" in run.finding("performance.roc_auc").reason
        assert run.finding("performance.accuracy").value is not None

    def test_without_a_split_every_row_is_test(self, tmp_path: Path) -> None:
        config = CONFIG.replace('split = "split"\n', "").replace('unit = "person"\n', "")
        run = rft.audit(write(tmp_path, make_scores(), config))
        assert {name: split.n for name, split in run.data.splits.items()} == {"test": 600}
        assert run.data.splits["test"].n_units is None
        assert run.finding("performance.accuracy").n == 600


def changed(column: str, row: int | slice, value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change_table(table: pd.DataFrame) -> pd.DataFrame:
        table = table.astype({column: object})
        table.loc[row, column] = value
        return table

    return change_table


def same(table: pd.DataFrame) -> pd.DataFrame:
    return table


SCORES = 'scores = { no = "p_no", yes = "p_yes" }'
DECISION = 'prediction = "decision"'
LEVELS = [f"{number}" for number in range(500)]

# what is wrong -> the table, keys in the place of  score = "p_yes", further replacements, what is said
REFUSED = {
    "NaN": (
        changed("p_yes", 4, np.nan),
        None,
        (),
        ["scores.csv: column 'p_yes' is empty or NaN in line 6", "skip"],
    ),
    "written NaN": (changed("p_yes", 4, "nan"), None, (), ["'p_yes' is empty or NaN in line 6"]),
    "infinite": (changed("p_yes", slice(0, 1), np.inf), None, (), ["'p_yes' holds inf in 2 lines (2, 3)", "logits"]),
    "logits": (changed("p_yes", 2, -1.7), None, (), ["'p_yes' holds -1.7 in line 4: no probability", "softmax"]),
    "percent": (lambda t: t.assign(p_yes=100 * t["p_yes"]), None, (), ["'p_yes' holds", "595 lines", "[0, 1]"]),
    "a word": (changed("p_yes", 7, "high"), None, (), ["'p_yes' holds 'high' in line 9; expected a number"]),
    "no sum of 1": (changed("p_no", 0, 0.0), SCORES, (), ["the scores of line 2 do not sum to 1: 0.63", "rounding"]),
    "label outside": (changed("label", 1, "Yes"), SCORES, (), ["label 'Yes'", "Did you mean 'yes'"]),
    "label undeclared": (
        changed("label", 1, "maybe"),
        None,
        [('positive = "yes"', 'positive = "yes"\nclasses = ["no", "yes"]')],
        ["the label 'maybe' is none of data.classes"],
    ),
    "three labels": (
        changed("label", 1, "maybe"),
        None,
        (),
        ["3 classes, maybe, no, yes; predictions.score is for two"],
    ),
    "prediction outside": (
        changed("decision", slice(5, 6), "y"),
        DECISION,
        (),
        ["the prediction 'y' in 2 lines (7, 8) is none of", "no, yes"],
    ),
    "no prediction": (
        changed("decision", 5, None),
        DECISION,
        (),
        ["'decision' is empty in line 7", 'on_error = "skip"'],
    ),
    "no label": (changed("label", slice(0, 8), None), None, (), ["'label' is empty in 9 lines (2, 3, 4, 5, 6, ...)"]),
    "no split": (changed("split", 3, ""), None, (), ["'split' is empty in line 5"]),
    "unknown split": (changed("split", 3, "later"), None, (), ["the split 'later' in line 5", "Expected train, valid"]),
    "no test": (lambda t: t.assign(split="train"), None, (), ["no example is in the test split"]),
    "label as group": (same, None, [('["gender",', '["label",')], ["'label' is both label and group"]),
    "score as group": (same, None, [('["gender",', '["p_yes",')], ["the column 'p_yes' is given two meanings"]),
    "label as prediction": (same, 'prediction = "label"', (), ["the column 'label' is given two meanings"]),
    "a group twice": (same, None, [('["gender",', '["ethnicity",')], ["groups names a column twice"]),
    "a score twice": (same, 'scores = { no = "p_yes", yes = "p_yes" }', (), ["gives one column to two classes"]),
    "500 groups": (
        lambda t: t.assign(gender=[LEVELS[row % 500] for row in range(len(t))]),
        None,
        (),
        ["the group column 'gender' has 500 values in 600 rows; at most 200", "Bin it"],
    ),
    "no rows": (lambda t: t.head(0), None, (), ["scores.csv: holds no rows"]),
    "missing column": (same, 'score = "p_yess"', (), ["has no column 'p_yess'", "Did you mean 'p_yes'"]),
    "a column twice": (
        lambda t: t.assign(extra=t["p_yes"]).rename(columns={"extra": "p_yes"}),
        None,
        (),
        ["has 2 columns 'p_yes'", "Rename"],
    ),
    "an id twice": (same, None, [('unit = "person"', 'id = "person"')], ["the id '0' stands in 2 lines (2, 3)"]),
    "positive missing": (same, None, [('positive = "yes"\n', "")], ["data: positive is missing"]),
    "positive unknown": (same, None, [('positive = "yes"', 'positive = "Yes"')], ["'Yes', which is no label", "'yes'"]),
    "positive missing for fairness": (
        same,
        DECISION + "\n[fairness]",
        [('positive = "yes"\n', "")],
        ["[fairness]: needs data.positive"],
    ),
    "one class": (lambda t: t.assign(label="yes"), None, (), ["one class only, 'yes'", "data.classes"]),
    "regression": (
        lambda t: t.assign(label=np.arange(len(t)) / 7, decision="0.0"),
        DECISION,
        [('positive = "yes"\n', "")],
        ["look like numbers to regress on"],
    ),
    "nothing predicted": (same, "", (), ["give prediction (a column of class names), score or scores"]),
    "both kinds of scores": (same, f'score = "p_yes"\n{SCORES}', (), ["give either score (of two classes) or scores"]),
    "an idle threshold": (same, f"{DECISION}\nthreshold = 0.4", (), ["threshold makes decisions of score"]),
    "other classes": (
        same,
        SCORES,
        [('positive = "yes"', 'positive = "yes"\nclasses = ["no", "yes", "maybe"]')],
        ["data.classes are no, yes, maybe, but there are scores of no, yes"],
    ),
    "a manifest too": (same, None, [("[data]", '[data]\nmanifest = "x.csv"')], ["remove manifest"]),
    "a model too": (same, 'score = "p_yes"\n[model]\nbackbone = "timm/x"', (), ["remove [model]"]),
    "training": (same, 'score = "p_yes"\n[train]\nepochs = 2', (), ["remove [train]"]),
    "epsilon": (
        same,
        'score = "p_yes"\n[privacy]\nepsilon = 3',
        (),
        ["[privacy]: would train", "a table of predictions"],
    ),
    "no such file": (same, None, [('"scores.csv"', '"score.csv"')], ["score.csv: no such file"]),
    "an unknown kind": (same, None, [('"scores.csv"', '"audit.toml"')], ["unknown kind of table '.toml'"]),
    "layout and columns": (same, 'layout = "rft"\nscore = "p_yes"', (), ["remove score"]),
}


class TestBadInput:
    @pytest.mark.parametrize("case", REFUSED)
    def test_it_is_refused_with_what_where_and_how(self, tmp_path: Path, case: str) -> None:
        change, keys, replacements, said = REFUSED[case]
        config = CONFIG if keys is None else CONFIG.replace('score = "p_yes"', keys)
        for old, new in replacements:
            assert old in config
            config = config.replace(old, new)
        path = write(tmp_path, change(make_scores()), config)
        code, _, stderr = invoke_rft("audit", path, "--out", tmp_path / "run")
        assert code == 2, stderr
        assert all(part in stderr for part in said), stderr
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("scores.csv", "", "is empty"),
            (
                "scores.csv",
                "label,p_yes,gender,ethnicity,person,split\nyes,0.5,f,a,1,test,3\n",
                "line 2 has 7 cells where the first line names 6 columns",
            ),
            ("scores.csv", "label,p_yes,gender,ethnicity,person,split\nn\xe4,0.5,f,a,1,test\n", "Save it as UTF-8"),
            ("scores.jsonl", "", "holds no rows"),
            ("scores.jsonl", "{label: yes}\n", "line 1 is no JSON"),
            ("scores.jsonl", "[1, 2]\n", "row 1: holds int; expected an object"),
            ("scores.parquet", "no parquet", "cannot be read"),
        ],
    )
    def test_damaged_files(self, tmp_path: Path, name: str, content: str, said: str) -> None:
        (tmp_path / name).write_text(content, encoding="latin-1")
        (tmp_path / "audit.toml").write_text(CONFIG.replace("scores.csv", name), encoding="utf-8")
        code, _, stderr = invoke_rft("audit", tmp_path / "audit.toml", "--out", tmp_path / "run")
        assert code == 2
        assert name in stderr
        assert said in stderr

    def test_missing_cells_are_left_out_and_counted_when_asked_for(self, tmp_path: Path) -> None:
        table = make_scores().astype({"label": object})
        table.loc[[1, 2], "label"] = None
        table.loc[[2, 500], "p_yes"] = np.nan
        table.loc[9, "gender"] = None  # a group may be missing
        path = write(tmp_path, table, CONFIG.replace("[predictions]", 'on_error = "skip"\n\n[predictions]'))
        run = rft.audit(path, tmp_path / "run")
        assert run.data.skipped == 3
        assert sum(split.n for split in run.data.splits.values()) == 597
        assert run.finding("dataset.missing_groups.gender").value == 1
        for output, count in (("report.html", "3"), ("model-card.md", "fewer than 10")):
            said = f"Left out because a value is missing: {count}."
            assert said in (tmp_path / "run" / output).read_text(encoding="utf-8")

    def test_decisions_against_the_scores_are_counted(self, tmp_path: Path) -> None:
        table = make_scores()
        table["decision"] = np.where(table["p_yes"] >= 0.3, "yes", "no")
        table.loc[599, ["p_yes", "p_no", "decision"]] = [0.5, 0.5, "yes"]  # a tie contradicts nothing
        run = rft.audit(write(tmp_path, table, CONFIG.replace('score = "p_yes"', f"{SCORES}\n{DECISION}")))
        test = table[table["split"] == "test"]
        finding = run.finding("performance.decisions_against_scores")
        assert finding.value == ((test["p_yes"] >= 0.3) & (test["p_yes"] < 0.5)).sum() > 0
        assert finding.status == "warn"
        again = rft.audit(write(tmp_path, make_scores(), CONFIG))
        assert again.finding("performance.decisions_against_scores").value == 0

    def test_a_group_of_one_is_no_error(self, tmp_path: Path) -> None:
        table = make_scores()
        table.loc[599, "gender"] = "x"
        run = rft.audit(write(tmp_path, table, f"{CONFIG}\n[fairness]\n[privacy]\n"))
        assert run.data.splits["test"].groups["gender"]["x"] == 1
        rows = [row for row in run.section("fairness").tables["by_group"] if row["group"] == "x"]
        assert rows
        assert all(row["value"] is None for row in rows)

    def test_rounded_scores_stand(self, tmp_path: Path) -> None:
        table = make_scores().round({"p_yes": 3, "p_no": 3})
        run = rft.audit(write(tmp_path, table, CONFIG.replace('score = "p_yes"', SCORES)))
        assert run.artifacts.predictions["score_yes"].tolist() == table["p_yes"].tolist()

    def test_a_list_is_no_text(self, tmp_path: Path) -> None:
        make_scores(4).assign(gender=[[1], [2], [3], [4]]).to_parquet(tmp_path / "scores.parquet")
        (tmp_path / "audit.toml").write_text(CONFIG.replace("scores.csv", "scores.parquet"), encoding="utf-8")
        with pytest.raises(DataError, match="'gender' holds list"):
            rft.audit(tmp_path / "audit.toml")

    def test_backbones_are_not_tried_on_predictions(self, tmp_path: Path) -> None:
        from rft.pipeline.compare_backbones import compare_backbones

        with pytest.raises(ConfigError, match="audits a finished model"):
            compare_backbones(write(tmp_path, make_scores()), ["timm/resnet18"])
