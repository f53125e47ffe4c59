"""A table of transcripts of any recogniser: error rates by speaker, gaps between accents, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

pytest.importorskip("rapidfuzz")
import rft
from rft.cli.main import app
from rft.errors import ConfigError, DataError, RftError
from rft.pipeline.compare_runs import compare_runs
from rft.run import FinishedRun
from tests.support import ROOT
from tests.support.transcript_cases import make_transcripts

CONFIG = """\
name = "recogniser"
[data]
groups = ["accent", "microphone"]
unit = "speaker"
[predictions]
file = "transcripts.csv"
reference = "said"
hypothesis = "written"
normalizer = "simple"
[fairness]
"""
ARGUMENTS: dict[str, Any] = {
    "reference": "said",
    "hypothesis": "written",
    "normalizer": "simple",
    "unit": "speaker",
    "groups": ["accent", "microphone"],
    "plugins": {"fairness": {}},
}


def audit_table(table: pd.DataFrame | None = None, **changed: Any) -> FinishedRun:
    return rft.audit_predictions(make_transcripts() if table is None else table, **{**ARGUMENTS, **changed})


def write_config(folder: Path, table: pd.DataFrame, config: str = CONFIG, name: str = "transcripts.csv") -> Path:
    if name.endswith(".csv"):
        table.to_csv(folder / name, index=False)
    elif name.endswith(".jsonl"):
        (folder / name).write_text("\n".join(json.dumps(row) for row in table.to_dict("records")), encoding="utf-8")
    else:
        table.to_parquet(folder / name)
    (folder / "audit.toml").write_text(config.replace("transcripts.csv", name), encoding="utf-8")
    return folder / "audit.toml"


def test_a_planted_gap_is_found_and_microphones_are_cleared_with_what_would_have_been_found() -> None:
    run = audit_table(policy=[{"finding": "fairness.word_error_rate_gap.accent", "max": 0.05}])
    gap, cleared = (run[f"fairness.word_error_rate_gap.{name}"] for name in ("accent", "microphone"))
    assert gap.status == "warn"
    assert gap.interval.low > 0.05
    assert cleared.status == "info"
    assert cleared.interval.low == 0
    assert "would be found in about 80 % of cases" in cleared.description
    assert run.verdict.status == "fail"
    assert run["fairness.worst_word_error_rate.accent"].about.group == "hills"
    pillar = next(pillar for pillar in run.pillars if pillar.plugin == "fairness")
    [contrast] = [c for c in pillar.contrasts if (c.attribute, c.metric) == ("accent", "Word error rate")]
    assert (contrast.lowest.group, contrast.highest.group) == ("coast", "hills")
    assert "hills" in pillar.summary


def test_overall_rates_stand_raw_beside_normalised_and_are_made_of_their_parts() -> None:
    run = audit_table()
    rates = {row["metric"]: row for row in run.section("performance").table("error_rates")}
    whole = rates["word_error_rate"]
    parts = [rates[f"{kind}_rate"]["value"] for kind in ("substitution", "deletion", "insertion")]
    assert whole["value"] == pytest.approx(sum(parts))
    assert whole["raw"] == run["performance.raw_word_error_rate"].value > whole["value"]  # case and full stops
    assert whole["n"] == 24
    errors = run.section("fairness").table("errors")
    by_accent = [row for row in errors if row["attribute"] == "accent"]
    wrong = sum(float(str(row["wer"])) * int(str(row["words"])) for row in by_accent)
    assert wrong / sum(int(str(row["words"])) for row in by_accent) == pytest.approx(whole["value"])
    assert "cannot be compared" in " ".join(run.section("performance").notes)


def test_without_normaliser_there_is_one_rate() -> None:
    run = audit_table(normalizer="none")
    assert "performance.raw_word_error_rate" not in run
    assert "raw" not in run.section("performance").table("error_rates")[0]


def test_a_group_of_four_speakers_is_not_measured_and_leaves_rules_open() -> None:
    finding = "fairness.word_error_rate_gap.accent"
    run = audit_table(make_transcripts(small=4), policy=[{"finding": finding, "max": 0.9}])
    rows = {row["group"]: row for row in run.section("fairness").table("errors") if row["attribute"] == "accent"}
    assert rows["island"]["wer"] is None
    assert rows["island"]["status"] == "too few (4 speakers, 5 are needed)"
    assert run[finding].small_groups == ("island",)
    assert run.verdict.status == "uncertain"
    assert "island" in run.verdict.rules[0].explanation
    five = audit_table(make_transcripts(small=5))
    rows = {row["group"]: row for row in five.section("fairness").table("errors") if row["attribute"] == "accent"}
    assert rows["island"]["wer"] is not None


def test_gaps_are_corrected_for_their_number() -> None:
    gaps = audit_table().section("fairness").table("gaps")
    p_values = sorted(row["p"] for row in gaps)
    assert min(row["p_holm"] for row in gaps) == pytest.approx(len(p_values) * p_values[0])


def test_words_are_shown_where_examples_may_be_and_enough_speakers_said_them() -> None:
    hidden = audit_table()
    assert "wrong_words" not in hidden.section("fairness").tables
    assert "show_examples" in " ".join(hidden.section("fairness").notes)
    table = make_transcripts()
    table.loc[0, "said"] = "Zanzibar"
    shown = audit_table(table, report={"show_examples": True})
    words = shown.section("fairness").table("wrong_words")
    assert {row["group"] for row in words} == {"coast", "hills", "headset", "phone"}
    assert all(row["n"] >= 5 and row["wrong"] <= row["said"] for row in words)
    assert "zanzibar" not in json.dumps(words)
    assert shown.section("fairness").computed_from["wrong_words"] == "examples"  # which strangers do not get


def test_no_transcript_is_kept_in_the_run_folder(tmp_path: Path) -> None:
    table = make_transcripts()
    table.loc[0, "said"] = "Zanzibar secret"
    run = audit_table(table, out=tmp_path / "run")
    assert not set(pd.read_parquet(tmp_path / "run" / "predictions.parquet")) & {"label", "prediction", "reference"}
    assert run.model.task == "recognition"
    for path in (tmp_path / "run").rglob("*"):
        assert not path.is_file() or b"anzibar" not in path.read_bytes()
    card = (tmp_path / "run" / "model-card.md").read_text(encoding="utf-8")
    assert "pipeline_tag: automatic-speech-recognition" in card
    assert "type: wer" in card


def test_small_groups_are_withheld() -> None:
    run = audit_table(make_transcripts(small=6), report={"suppress_below": 8, "show_examples": True})
    rows = run.section("fairness").table("by_group")
    of_island = [row for row in rows if row["group"] == "island"]
    assert of_island
    assert all(row["value"] is None and row["n"] is None and "suppressed" in row["status"] for row in of_island)
    assert all(row["n"] >= 8 for row in run.section("fairness").table("wrong_words"))


def test_what_does_not_apply_says_so() -> None:
    run = audit_table(plugins={"fairness": {}, "privacy": {}, "attribution": {}})
    for plugin in ("privacy", "attribution"):
        finding = run[f"{plugin}.audit"]
        assert finding.absence == "not_applicable"
        assert "these are transcripts of speech" in finding.reason
    assert run.verdict.status == "uncertain"  # they were asked for
    assert audit_table().verdict.status == "no_rules"  # what nobody asked for is not missed
    claims = [claim for pillar in run.pillars if pillar.plugin == "privacy" for claim in pillar.claims]
    assert {claim.state for claim in claims} == {"not_applicable"}


def test_two_recognisers_are_compared_speaker_by_speaker(tmp_path: Path) -> None:
    table = make_transcripts()
    better = table.assign(written=table["written"].where(table.index % 2 == 0, table["said"]))
    audit_table(table, out=tmp_path / "before")
    audit_table(better, out=tmp_path / "after")
    compared = compare_runs(tmp_path / "before", tmp_path / "after")
    changes = {finding.id: finding for section in compared.sections for finding in section.findings}
    change = changes["change.performance.word_error_rate"]
    assert change.interval.high < 0
    assert compared.not_paired == ""
    audit_table(better, out=tmp_path / "other", normalizer="none")
    assert "normaliser" in compare_runs(tmp_path / "before", tmp_path / "other").not_paired


@pytest.mark.parametrize("name", ["transcripts.csv", "transcripts.jsonl", "transcripts.parquet"])
def test_every_file_gives_the_findings_of_the_frame(tmp_path: Path, name: str) -> None:
    table = make_transcripts()
    table["written"] = table["written"].replace("", "a")
    table.loc[[2, 3], "written"] = None
    run = rft.audit(write_config(tmp_path, table, name=name))
    assert run["performance.word_error_rate"] == audit_table(table)["performance.word_error_rate"]
    assert run["dataset.empty_hypotheses"].value == 2


def test_an_empty_reference_is_told_from_a_missing_one_where_the_file_tells_them(tmp_path: Path) -> None:
    table = make_transcripts()
    table.loc[0, ["said", "written"]] = ["", "noise"]
    table.loc[1, "said"] = "..."
    for name in ("transcripts.jsonl", "transcripts.parquet"):
        run = rft.audit(write_config(tmp_path, table, name=name))
        assert run["dataset.empty_references"].value == 1
        assert run["dataset.emptied_references"].value == 1
        assert run["dataset.emptied_references"].status == "warn"
    with pytest.raises(DataError, match="column 'said' is empty in line 2"):
        rft.audit(write_config(tmp_path, table))
    table.loc[0, "said"] = " "
    assert rft.audit(write_config(tmp_path, table))["dataset.empty_references"].value == 1


Change = Callable[[pd.DataFrame], pd.DataFrame]
REFUSED: dict[str, tuple[Change, str]] = {
    "a missing column": (lambda table: table.drop(columns="written"), "has no column 'written'"),
    "no rows": (lambda table: table.iloc[:0], "holds no rows"),
    "empty references": (lambda table: table.assign(said=""), "no cell of the reference column 'said' has a word"),
    "emptied references": (lambda table: table.assign(said="?!"), "'simple' leaves no word of any reference"),
    "missing references": (
        lambda table: table.assign(said=table["said"].mask(table.index == 3)),
        "column 'said' is empty in row 4",
    ),
    "no speaker": (
        lambda table: table.assign(speaker=table["speaker"].mask(table.index < 2)),
        r"column 'speaker' is empty in 2 rows \(1, 2\)",
    ),
    "numbers": (lambda table: table.assign(written=7), "column 'written' holds whole numbers; expected a text"),
    "lists": (lambda table: table.assign(written=[["a"]] * len(table)), "column 'written' holds list"),
    "one speaker": (lambda table: table.assign(speaker="s"), "names one speaker, 's'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_told_in_a_line(case: str) -> None:
    change, message = REFUSED[case]
    with pytest.raises(DataError, match=message) as raised:
        audit_table(change(make_transcripts()))
    assert len(str(raised.value).splitlines()) <= 2


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"unit": None}, "unit is missing: the column that says who speaks"),
        ({"normalizer": None}, "normalizer is missing"),
        ({"hypothesis": None}, "hypothesis is missing"),
        ({"label": "x"}, "transcripts have no classes: remove label"),
        ({"prediction": "x"}, "transcripts of a recogniser, which have no classes: remove prediction"),
        ({"hypothesis": "said"}, "the column 'said' is given two meanings"),
        ({"plugins": {"fairness": {"metrics": ["accuracy"]}}}, "transcripts have no classes"),
        ({"plugins": {"fairness": {"min_group_size": 9}}}, "compared from 5 speakers"),
        ({"policy": [{"finding": "performance.accuracy", "min": 0.5}]}, "cannot occur here"),
    ],
)
def test_what_contradicts_itself_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        audit_table(**changed)


def test_numbers_in_lines_of_json_are_refused(tmp_path: Path) -> None:
    table = make_transcripts().assign(written=4)
    with pytest.raises(RftError, match="column 'written' holds int; expected a text in each cell"):
        rft.audit(write_config(tmp_path, table, name="transcripts.jsonl"))


def test_rows_without_a_reference_are_skipped_on_request() -> None:
    table = make_transcripts()
    table.loc[5, "said"] = None
    assert audit_table(table, on_error="skip").data.skipped == 1


def test_check_and_init_know_transcripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = make_transcripts(small=3).rename(columns={"said": "text", "written": "pred_text"})
    table.to_csv("lines.csv", index=False)
    started = CliRunner().invoke(app, ["init", "lines.csv", "--yes"])
    assert started.exit_code == 0, started.output
    config = (tmp_path / "audit.toml").read_text(encoding="utf-8")
    for line in ('reference = "text"', 'hypothesis = "pred_text"', 'normalizer = "simple"', 'unit = "speaker"'):
        assert line in config
    checked = CliRunner().invoke(app, ["check", "audit.toml"])
    assert checked.exit_code == 0, checked.output
    assert "speech recognition" in checked.output
    assert "island has 3" in checked.output
    table.drop(columns="speaker").to_csv("lines.csv", index=False)
    refused = CliRunner().invoke(app, ["init", "lines.csv", "--yes", "--force"])
    assert refused.exit_code == 2
    assert "no column says who speaks" in refused.output


def test_the_example_runs_as_it_stands(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples" / "transcripts", tmp_path / "example")
    subprocess.run([sys.executable, "prepare.py"], cwd=tmp_path / "example", check=True)
    run = rft.audit(tmp_path / "example" / "audit.toml")
    assert run["fairness.word_error_rate_gap.accent"].status == "warn"
    assert run["fairness.word_error_rate_gap.microphone"].status == "info"
    assert run.verdict.status == "fail"
