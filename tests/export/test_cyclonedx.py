"""CycloneDX: the model, its pretrained part, its data and its card, without what a card withholds."""

from __future__ import annotations

import json
from typing import Any

from rft.records import AuditRun
from rft.report.render.publishable import UN_NOISED
from tests.support.exported import CHECKS, export_text, golden_run, with_finding, with_report_keys


def bom_of(run: AuditRun) -> Any:
    text = export_text(run, "cyclonedx")
    CHECKS["cyclonedx"](text)
    return json.loads(text)


def card_of(run: AuditRun) -> Any:
    return bom_of(run)["metadata"]["component"]["modelCard"]


def whole_run() -> AuditRun:
    """Return the example run with small groups in its card."""
    return with_report_keys(golden_run(), suppress_below=0)


def metrics_of(run: AuditRun) -> dict[tuple[str, str | None], Any]:
    metrics = card_of(run)["quantitativeAnalysis"]["performanceMetrics"]
    return {(metric["type"], metric.get("slice")): metric for metric in metrics}


def test_model_and_pretrained_part_have_their_hashes() -> None:
    bom = bom_of(golden_run())
    model, backbone = bom["metadata"]["component"], bom["components"][0]
    assert [part["type"] for part in (model, backbone)] == ["machine-learning-model"] * 2
    assert model["hashes"] == [{"alg": "SHA-256", "content": "5e" * 32}]
    assert backbone["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    assert model["properties"][0]["value"].startswith("SHA-256 over the names, types, shapes and bytes of all tensors")
    assert bom["dependencies"] == [{"ref": "model", "dependsOn": ["backbone"]}]


def test_a_model_that_was_not_given_has_no_hash() -> None:
    run = golden_run()
    model = run.model.model_copy(update={"backbone": None, "model_sha256": None, "modality": "predictions"})
    bom = bom_of(run.model_copy(update={"model": model}))
    assert "hashes" not in bom["metadata"]["component"]
    assert [component["type"] for component in bom["components"]] == ["data", "data"]
    assert bom["dependencies"] == [{"ref": "model", "dependsOn": []}]


def test_each_split_is_a_data_set() -> None:
    bom = bom_of(golden_run())
    data = {part["name"]: part["data"][0] for part in bom["components"] if part["type"] == "data"}
    assert list(data) == ["train", "test"]
    assert data["test"]["type"] == "dataset"
    counts = {entry["name"]: entry["value"] for entry in data["test"]["contents"]["properties"]}
    assert counts == {"rft:examples": "42", "rft:units": "15", "rft:label:neutral": "22", "rft:label:smiling": "20"}
    assert data["test"]["sensitiveData"] == ["group attribute: ethnicity", "group attribute: gender"]


def test_task_and_architecture() -> None:
    parameters = card_of(golden_run())["modelParameters"]
    assert parameters["task"] == "classification"
    assert parameters["modelArchitecture"] == "timm/tf_efficientnet_lite0"
    assert parameters["datasets"] == [{"ref": "data-train"}, {"ref": "data-test"}]


def test_estimates_have_their_intervals() -> None:
    assert metrics_of(golden_run())["performance.accuracy", None] == {
        "type": "performance.accuracy",
        "value": "0.8333333333333334",
        "confidenceInterval": {"lowerBound": "0.694", "upperBound": "0.917"},
    }


def test_metrics_of_groups_are_slices() -> None:
    run = whole_run()
    rows = [row for row in run.section("fairness").tables["by_group"] if row["value"] is not None]
    metrics = {(type, part): metric for (type, part), metric in metrics_of(run).items() if part is not None}
    assert len(metrics) == len(rows) > 20
    for row in rows:
        metric = metrics[str(row["metric"]), f"{row['attribute']}: {row['group']}"]
        ends = metric["confidenceInterval"]
        assert [float(end) for end in (metric["value"], ends["lowerBound"], ends["upperBound"])] == [
            row[name] for name in ("value", "low", "high")
        ]


def test_other_models_and_heads_are_no_slices_of_this_one() -> None:
    """The example has a table of heads at four epsilons; a mitigated model stands behind the model in by_group."""
    run = whole_run()
    section = run.section("fairness")
    rows = section.tables["by_group"]
    mitigated = [row | {"model": "mitigated", "value": 0.123} for row in rows]
    changed = section.model_copy(update={"tables": {"by_group": [*rows, *mitigated]}})
    sections = tuple(changed if old_section is section else old_section for old_section in run.sections)
    metrics = metrics_of(run.model_copy(update={"sections": sections}))
    assert metrics == metrics_of(run)
    assert not any("epsilon" in str(part) for _, part in metrics)


def test_small_groups_are_withheld_as_in_the_model_card() -> None:
    assert any(part == "ethnicity: East Asian" for _, part in metrics_of(whole_run()))  # 9 examples
    assert not any("East Asian" in str(part) for _, part in metrics_of(golden_run()))
    run = golden_run()
    few = run.data.splits["test"].model_copy(update={"n_units": 7, "labels": {"smiling": 33, "neutral": 9}})
    splits = run.data.splits | {"test": few}
    bom = bom_of(run.model_copy(update={"data": run.data.model_copy(update={"splits": splits})}))
    counts = [entry["value"] for part in bom["components"][1:] for entry in part["data"][0]["contents"]["properties"]]
    assert counts == ["100", "32", "49", "51", "42"]


def test_considerations_say_limits_and_what_was_pointed_out() -> None:
    considerations = card_of(golden_run())["considerations"]
    assert considerations["technicalLimitations"][0].startswith("Holds for data like the test split")
    assert considerations["technicalLimitations"][-1] == UN_NOISED
    names = [risk["name"] for risk in considerations["ethicalConsiderations"]]
    assert any(
        name.startswith("Accuracy gap between genders: 0.0503 fraction, interval -0.18 to 0.27.") for name in names
    )


def test_findings_about_groups_are_fairness_assessments() -> None:
    about = {"attributes": ("gender",), "metric": "accuracy"}
    run = with_finding(golden_run(), "fairness.accuracy_gap.gender", about=about)
    (assessment,) = card_of(run)["considerations"]["fairnessAssessments"]
    assert assessment["groupAtRisk"] == "groups of gender"
    assert "0.0503" in assessment["harms"]


def test_verdict_and_privacy_are_properties() -> None:
    properties = [(entry["name"], entry["value"]) for entry in card_of(golden_run())["properties"]]
    assert ("rft:verdict", "fail") in properties
    assert ("rft:training:epsilon", "2.998") in properties
    assert sum(name == "rft:rule" for name, _ in properties) == 4
