"""What is said of an audit before it is run: rules that cannot be settled, what plugins know, and what it takes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from rft.config.schema import DataConfig
from rft.features import extract
from rft.pipeline.check import AuditCheck, check_audit
from rft.plugins import discover_plugins
from rft.plugins.privacy.accounting.accountants import Mechanism
from rft.plugins.privacy.ledger.account import LOCK_FILE, open_account
from rft.plugins.privacy.ledger.atomic_io import hold_lock
from rft.training import Job, Population, Task
from tests.support import ROOT

PRIVATE = '\n[privacy]\nepsilon = 3.0\nledger = "ledgers"\n'
CLASSES = ("colour", 'colour"\nclasses = ["blue", "red"]\npopulation = "people')


def check(config: Path, more: str = "", *, private: bool = False, estimate: bool = False) -> AuditCheck:
    text = config.read_text(encoding="utf-8")
    if private:
        text = text.replace(CLASSES[0] + '"', CLASSES[1] + '"', 1)
    config.write_text(f"{text}\n{more}", encoding="utf-8")
    return check_audit(config, estimate=estimate)


def rule(finding: str) -> str:
    return f'[[policy]]\nfinding = "{finding}"\nmax = 0.1\n'


@pytest.mark.parametrize(
    ("finding", "remedy"),
    [
        ("performance.acuracy", "Did you mean 'performance.accuracy'"),
        ("fairness.accuracy_gap.camra", "Did you mean 'fairness.accuracy_gap.camera'"),
        ("fairness.roc_auc_gap.camera", "Did you mean"),  # a metric that was not asked for
        ("privacy.delta", "Did you mean"),  # without private training
        ("training.loss", "Did you mean"),
        ("backbone.accuracy", "Did you mean"),
        ("attribution.shortcut.corner", "Did you mean"),
    ],
)
def test_a_rule_on_what_cannot_occur_is_refused(finding: str, remedy: str, tiny: Path) -> None:
    (problem,) = check(tiny, f"[fairness]\n[privacy]\n[attribution]\n{rule(finding)}").problems
    assert f"{finding!r} cannot occur here" in str(problem)
    assert remedy in str(problem)


@pytest.mark.parametrize(
    "finding",
    [
        *("performance.accuracy", "fairness.accuracy_gap.camera", "fairness.worst_tpr.camera", "privacy.epsilon"),
        *("privacy.membership_auc", "privacy.attribute_probe.camera", "dataset.shared_units", "training.final_loss"),
        *("attribution.completeness", "attribution.failed_maps.gradcam", "backbone.probe_gain"),
    ],
)
def test_a_rule_on_what_may_occur_is_not(finding: str, tiny: Path) -> None:
    assert check(tiny, f"[fairness]\n[privacy]\n[attribution]\n{rule(finding)}").problems == []


def find_defined_ids(plugin: str) -> Iterator[str]:
    """Yield the ids that ``FindingDefinition`` is given in the code of a plugin; ``*`` for what is filled in."""
    for path in (ROOT / "rft" / "plugins" / plugin).rglob("*.py"):
        if path.name == "change.py" or path.parent.name == "paired":  # of rft compare, which has rules of its own
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) != "FindingDefinition" or not node.args:
                continue
            first = node.args[0]
            if isinstance(first, ast.Constant):
                yield str(first.value)
            elif isinstance(first, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in first.values)


@pytest.mark.parametrize("plugin", ["training", "backbone", "performance", "attribution", "privacy", "fairness"])
def test_every_finding_of_the_code_is_listed(plugin: str) -> None:
    """A finding that a plugin gained, and did not list, could not stand in a rule."""
    tables = {
        "privacy": {"epsilon": 3.0},
        "fairness": {
            "tables": ["ll144", "four_fifths"],
            "ll144": {"sex": "sex", "race": "race"},
            "mitigation": {"attribute": "sex", "metric": "tpr"},
        },
        "attribution": {"shortcut": [{"name": "x", "tokens": ["x"]}]},
    }
    registered = discover_plugins()[plugin].plugin
    options = registered.options.model_validate(tables.get(plugin, {}))
    names: list[str] = []
    for modality in ("image", "text", "audio"):
        listed = registered.list_findings(
            options, DataConfig.model_validate({modality: "x", "groups": ["sex", "race"]})
        )
        assert listed is not None
        names += listed
    transcripts = {"groups": ["sex", "race"], "unit": "speaker"}
    recordings = {"manifest": "clips.csv", "audio": "file", "transcript": "said", "normalizer": "none"}
    for data in (transcripts, transcripts | recordings):
        names += registered.list_findings_for("recognition", options, DataConfig.model_validate(data)) or ()
    defined = list(find_defined_ids(plugin))
    assert defined
    unlisted = [
        name
        for name in defined
        if not any(re.fullmatch(re.escape(name).replace(r"\*", ".+"), known.replace("*", "any")) for known in names)
    ]
    assert unlisted == []


def test_class_weights_do_not_hide_what_comes_after_them(tiny: Path) -> None:
    checked = check_audit(tiny, ["train.class_weights={bleu = 2.0}", "fairness={classes = ['green']}"])
    assert [problem.where for problem in checked.problems] == ["train.class_weights", "fairness.classes"]


def test_groups_that_are_too_small_are_pointed_out(tiny: Path) -> None:
    checked = check(tiny, "[fairness]\nmin_group_size = 6\nmin_reported_size = 2")
    said = "camera: 0 of 2 groups have the 6 test units that are compared (fairness.min_group_size)"
    assert [(table, sentence[: len(said)]) for table, sentence in checked.remarks] == [("fairness", said)]
    assert checked.remarks[0][1].endswith(
        "Too small: left has 5 and needs 6 (the data has 10 in all: more data is needed); right has 5 and needs 6 (the "
        "data has 10 in all: more data is needed)"
    )


def test_private_training_says_its_numbers_and_the_state_of_its_ledger(tiny: Path) -> None:
    checked = check(tiny, PRIVATE, private=True)
    assert checked.problems == []
    numbers, ledger = (sentence for table, sentence in checked.remarks if table == "privacy")
    assert re.match(
        r"epsilon 3.00 at delta 1e-05 for 10 units: noise multiplier [\d.]+, sample rate 0.8, 6 steps", numbers
    )
    assert ledger == f"no ledger of 'people' in {tiny.parent / 'ledgers'} yet: this run begins it"
    assert not (tiny.parent / "ledgers").exists()


@pytest.fixture
def ledger(tiny: Path) -> Path:
    """Return the ledger of these people, to which one training with a budget of 4 was charged."""
    people = Population("people", np.array([f"{person:03}" for person in range(10)], dtype=object), tiny.parent)
    mechanism = Mechanism(noise_multiplier=2.5, sample_rate=0.8, steps=6)
    with open_account(
        people, "ledgers", 4.0, purpose="training", mechanisms=[mechanism], delta=1e-5, identity="", resumable=False
    ) as account:
        list(account.charge_blocks())
    return tiny.parent / "ledgers" / "people"


def test_a_budget_that_does_not_suffice_is_told_before_training(tiny: Path, ledger: Path) -> None:
    before = {path: path.read_bytes() for path in ledger.rglob("*") if path.is_file()}
    (problem,) = check(tiny, PRIVATE, private=True).problems
    assert "the budget of population 'people' does not suffice" in str(problem)
    assert {path: path.read_bytes() for path in ledger.rglob("*") if path.is_file()} == before
    checked = check_audit(tiny, ["privacy.epsilon=0.5"])
    assert checked.problems == []
    (_, said) = (sentence for table, sentence in checked.remarks if table == "privacy")
    assert re.match(r"ledger of 'people': [\d.]+ spent, the budget is 4; [\d.]+ with this training", said)


def test_a_ledger_in_use_or_damaged_is_told(tiny: Path, ledger: Path) -> None:
    with hold_lock(ledger / LOCK_FILE):
        (problem,) = check(tiny, PRIVATE, private=True).problems
    assert "the ledger is in use by another training" in str(problem)
    entries = next(path for path in ledger.iterdir() if path.suffix == ".jsonl")
    entries.write_bytes(entries.read_bytes().replace(b'"steps"', b'"Steps"').replace(b"population", b"populatio_", 1))
    (problem,) = check_audit(tiny).problems
    assert problem.exit_code == 4


def test_time_and_sizes_are_estimated_from_examples_that_are_run(tiny: Path, own_cache: Path) -> None:
    checked = check(tiny, "[attribution]\nsamples = 3\nmax_steps = 16", estimate=True)
    estimates = {estimate.name: estimate for estimate in checked.estimates}
    assert checked.weights == "random, so that nothing was learnt before"
    stages = ["start", "data", "model", "features", "training", "audit: performance", "audit: attribution"]
    assert list(estimates)[:8] == ["total", *stages]
    seconds = [estimates[name].value or 0.0 for name in stages]
    assert min(seconds) > 0
    assert estimates["total"].value == pytest.approx(sum(seconds))
    assert "the sum of the following, without writing the report; an estimate" in estimates["total"].basis
    assert "40 examples; 8 of them took" in estimates["features"].basis
    assert estimates["training"].basis == "15 steps; a few were tried"  # 5 epochs of 20 examples, 8 in a step
    assert "about 144 gradients and about 90 forward passes" in estimates["audit: attribution"].basis
    assert estimates["features on disk"].value == 40 * 512 * 4
    state = torch.nn.Linear(512, 2).state_dict()
    assert estimates["model on disk"].value > 11_176_512 * 4 + sum(tensor.numel() * 4 for tensor in state.values())
    assert not list(own_cache.rglob("*.safetensors"))


def test_private_training_has_no_time_and_the_total_says_so(tiny: Path) -> None:
    checked = check(tiny, PRIVATE, private=True, estimate=True)
    estimates = {estimate.name: estimate for estimate in checked.estimates}
    assert estimates["training"].value is None
    assert estimates["audit: privacy"].value is None
    assert "at least: training and audit: privacy not counted" in estimates["total"].basis


def test_the_estimate_counts_what_extraction_computes(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands still but for a tenth of a second in each batch: 8 examples, so half a second for 40."""
    now = 0.0

    def run_slowly(*arguments: object, **named: object) -> object:
        nonlocal now
        now += 0.1
        return real(*arguments, **named)

    real = extract.run_batches
    monkeypatch.setattr("rft.pipeline.pace.run_batches", run_slowly)
    monkeypatch.setattr("rft.pipeline.pace.time.perf_counter", lambda: now)
    features = next(estimate for estimate in check(tiny, estimate=True).estimates if estimate.name == "features")
    assert features.value == pytest.approx(0.5)


def test_the_estimate_of_training_is_that_of_all_its_steps(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes a hundredth of a second by the clock, and 5 epochs of 20 examples, 8 in a step, have 15 steps."""
    now = 0.0

    def fit_slowly(trainer: object, task: Task, jobs: Sequence[Job]) -> list[object]:
        nonlocal now
        now += 0.01 * task.recipe.count_steps(len(task.labels))
        return []

    monkeypatch.setattr("rft.pipeline.pace.StandardTrainer.fit", fit_slowly)
    monkeypatch.setattr("rft.pipeline.pace.time.perf_counter", lambda: now)
    training = next(estimate for estimate in check(tiny, estimate=True).estimates if estimate.name == "training")
    assert training.value == pytest.approx(0.15)
