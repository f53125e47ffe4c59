"""Every command says what it has to say in three ways: to read, as one JSON object, or what decided alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

import rft
from rft.cli.main import app
from tests.conftest import CONFIG, write_images
from tests.support import ROOT

NAMES = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
# A command whose result, where it goes to standard output, is asked for: it comes with --quiet too.
PAYLOADS = {"predict", "export", "schema"}
VERDICTS = {"audit", "compare", "report"}  # what decided them is said with --quiet too
OUTER = json.loads((ROOT / "docs" / "schemas" / "command.json.schema.json").read_text(encoding="utf-8"))
SLOW, SLOW_ONES = pytest.mark.slow, {"cut-points", "compare-backbones", "predict"}  # they run networks
# Arguments that are wrong for each command in a way that its own code tells.
WRONG = {
    "audit": ["none.toml"],
    "cache": ["prune", "--to", "much"],
    "check": ["none.toml"],
    "compare": ["none", "none"],
    "compare-backbones": ["none.toml", "torchvision/resnet18"],
    "cut-points": ["torchvision/none"],
    "demo": ["--out", "audit.toml"],  # which is a file
    "export": ["none", "--format", "json"],
    "history": ["none"],
    "init": ["none"],
    "plugins": None,  # takes nothing that could be wrong
    "predict": ["none", "none.png"],
    "report": ["none"],
    "schema": ["--out", "audit.toml"],  # which exists
    "sign": [],
    "verify": ["none"],
}


def invoke_rft(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, nothing_of_the_users: Path) -> Path:
    """Return a folder with images and predictions, a config of each, a run in ``runs/one``, and a key to sign with."""
    folder = tmp_path_factory.mktemp("workplace")
    write_images(folder / "data")
    (folder / "audit.toml").write_text(CONFIG, encoding="utf-8")
    random = np.random.default_rng(0)
    label = random.random(100) < 0.5
    frame = {"label": np.where(label, "yes", "no"), "prediction": np.where(random.random(100) < 0.5, "yes", "no")}
    pd.DataFrame(frame).to_csv(folder / "predictions.csv", index=False)
    config = '[data]\nlabel = "label"\npositive = "yes"\n[predictions]\nfile = "predictions.csv"\n'
    config += 'prediction = "prediction"\n'
    (folder / "scores.toml").write_text(config, encoding="utf-8")
    rft.audit(folder / "scores.toml", folder / "runs" / "one")
    assert invoke_rft("sign", "--new-key", folder / "audit.key")[0] == 0
    return folder


# Arguments of each command with which it works, and the keys of its JSON.
RIGHT: dict[str, tuple[Sequence[str], set[str]]] = {
    "audit": (
        ["scores.toml", "--out", "runs/scores", "--force"],
        {"run", "name", "verdict", "later_verdicts", "to_review", "not_measured", "folder", "report", "key"},
    ),
    "cache": (["list"], {"folder", "bytes", "prefixes"}),
    "check": (
        ["scores.toml"],
        {"problems", "classes", "weights", "data", "audits", "rules", "remarks", "estimates"},
    ),
    "compare": (["runs/one", "runs/one"], {"format_version", "verdict", "sections"}),
    "compare-backbones": (
        ["audit.toml", "torchvision/resnet18=random", "--set", "model.image_size=32"],
        {"page", "name", "n", "sections"},
    ),
    "cut-points": (["torchvision/resnet18", "--image-size", "32"], {"model", "cut_points"}),
    "export": (["runs/one", "--format", "csv", "--out", "-"], {"format", "text"}),
    "history": (["runs"], {"format_version", "histories"}),
    "init": (["data/images.csv", "--label", "colour", "--out", "new.toml", "--force"], {"config", "keys", "left_out"}),
    "plugins": ([], {"plugins"}),
    "predict": (["trained", "data/000.png"], {"predictions"}),
    "report": (
        ["runs/one", "--out", "shown"],
        {"run", "name", "verdict", "later_verdicts", "to_review", "not_measured", "folder", "files"},
    ),
    "schema": ([], {"schema"}),
    "sign": (["runs/one", "--key", "audit.key"], {"signature", "fingerprint"}),
    "verify": (
        ["runs/one"],
        {
            *("run", "name", "verdict", "kind", "whole", "unchecked", "files", "inputs", "recorded"),
            "evidence_sha256",
        },
    ),
}


def test_every_command_is_tried_here() -> None:
    """A command more needs its arguments here, and its row in the table of ``docs/exports.md``."""
    assert sorted(WRONG) == NAMES
    assert sorted([*RIGHT, "demo"]) == NAMES  # the demo takes a minute: tests/runs tries it
    page = (ROOT / "docs" / "exports.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert [name for name in NAMES if not any(row.startswith(f"| `{name}` |") for row in rows)] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_both_options(name: str) -> None:
    options = {flag for option in typer.main.get_command(app).commands[name].params for flag in option.opts}  # type: ignore[attr-defined]
    assert {"--json", "--quiet"} <= options


@pytest.mark.parametrize("name", [name for name, arguments in WRONG.items() if arguments is not None])
def test_an_error_is_json_too_and_the_exit_code_stays(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "audit.toml").write_text("", encoding="utf-8")
    arguments = WRONG[name] or []
    code, stdout, stderr = invoke_rft(name, *arguments)
    assert (code, stdout) == (2, "")
    assert stderr.startswith("rft: ")
    assert invoke_rft(name, *arguments, "--quiet")[:2] == (2, "")
    code, stdout, _ = invoke_rft(name, *arguments, "--json")
    content = json.loads(stdout)
    jsonschema.validate(content, OUTER)
    (error,) = content["errors"]
    assert content.get("problems", [error]) == [error]
    assert (code, content["exit_code"]) == (2, 2)
    assert error.keys() == {"where", "what", "remedy"}
    assert error["what"] in " ".join(stderr.split())


@pytest.mark.usefixtures("shared_keys")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=SLOW if name in SLOW_ONES else ()) for name in sorted(RIGHT)]
)
def test_a_result_is_one_json_object_or_nothing(name: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    arguments, keys = RIGHT[name]
    if name == "predict":
        rft.audit("audit.toml", "trained")
    code, stdout, stderr = invoke_rft(name, *arguments, "--json")
    assert code in (0, 3), stderr
    content = json.loads(stdout)
    jsonschema.validate(content, OUTER)
    assert keys <= content.keys()
    assert (content["exit_code"], content["errors"]) == (code, [])
    quiet_code, quiet, notes = invoke_rft(name, *arguments, "--quiet")
    assert quiet_code == code
    assert (quiet != "") == (name in PAYLOADS)
    assert notes.startswith("rft: verdict: ") == (name in VERDICTS)
    assert notes.count("\n") == (name in VERDICTS), "no stage, no warning, no bar"


RULES = """
[[policy]]
finding = "performance.accuracy"
min = 0.9
because = "release criterion R-1"

[[policy]]
finding = "performance.accuracy"
min = 0.55

[[policy]]
finding = "performance.roc_auc"
min = 0.6

[[policy]]
finding = "performance.accuracy"
max = 0.99
"""


@pytest.mark.parametrize("way", [["--quiet"], ["--json"], []], ids=["quiet", "json", "to read"])
def test_a_log_has_the_verdict_and_each_rule_that_does_not_hold(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, way: list[str]
) -> None:
    """Value, bound and reason stand in one line, worst first, behind the stages; what holds is counted alone."""
    monkeypatch.chdir(workplace)
    Path("judged.toml").write_text(Path("scores.toml").read_text(encoding="utf-8") + RULES, encoding="utf-8")
    code, stdout, stderr = invoke_rft("audit", "judged.toml", "--out", "runs/judged", "--force", *way)
    lines = stderr.splitlines()

    first = lines.index("rft: verdict: fail (rules: 1 broken, 2 undecided, 1 met)")
    assert (code, first > 0) == (1, way != ["--quiet"])
    broken, unsettled, absent = lines[first + 1 :]
    assert re.fullmatch(
        r"rft: fail: performance\.accuracy is at least 0\.9: 0\.\d+, interval 0\.\d+ to 0\.\d+ at 97\.5 %, since the "
        r"rules name 2 estimates: "
        r"below the bound, even allowing for chance \(release criterion R-1\)",
        broken,
    ), broken
    assert unsettled.startswith("rft: uncertain: performance.accuracy is at least 0.55: 0.")
    assert absent.startswith("rft: uncertain: performance.roc_auc is at least 0.6: not measured: ")
    if way == ["--json"]:
        rules = json.loads(stdout)["verdict"]["rules"]
        accuracy = rules[0]["value"]
        assert [rule["value"] for rule in rules] == [accuracy, accuracy, None, accuracy]
        assert [rule["bounds"] for rule in rules] == [{"min": 0.9}, {"min": 0.55}, {"min": 0.6}, {"max": 0.99}]
        assert rules[0]["interval"]["low"] < accuracy < rules[0]["interval"]["high"] < 0.9


@pytest.mark.slow
def test_one_log_for_both_streams_has_the_verdict_once(workplace: Path) -> None:
    """What was just to be read in the same file is not said again."""
    command = [sys.executable, "-m", "rft", "audit", "scores.toml", "--out", "runs/joined", "--force"]
    done = subprocess.run(
        command, cwd=workplace, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
    )
    assert "rft: audit: performance" in done.stdout
    assert done.stdout.lower().count("verdict: no rules") == 1
    apart = subprocess.run(command, cwd=workplace, capture_output=True, text=True, check=True)
    assert (apart.stdout.count("Verdict: no rules"), apart.stderr.count("rft: verdict: no rules")) == (1, 1)


@pytest.mark.usefixtures("shared_keys")
def test_a_check_that_is_not_whole_says_quietly_what_was_not_checked(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    Path("predictions.csv").rename("elsewhere.csv")
    code, stdout, stderr = invoke_rft("verify", "runs/one", "--quiet")
    whole = json.loads(invoke_rft("verify", "runs/one", "--json")[1])
    Path("elsewhere.csv").rename("predictions.csv")
    assert (code, stdout) == (3, "")
    assert stderr.startswith("rft: not checked: the input predictions.csv in ")
    assert (whole["whole"], len(whole["unchecked"])) == (False, 1)


def test_quiet_and_json_hold_for_one_command_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke_rft("plugins", "--quiet")[1] == ""
    assert "fairness" in invoke_rft("plugins")[1]


def test_the_schema_has_the_tables_of_installed_plugins(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny.parent)
    assert invoke_rft("schema", "--out", "audit.toml.schema.json")[0] == 0
    schema = json.loads(Path("audit.toml.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    config: dict[str, Any] = tomllib.loads(CONFIG)
    assert list(validator.iter_errors(config)) == []
    assert [error.json_path for error in validator.iter_errors(config | {"train": {"epochs": 0}})] == ["$.train.epochs"]
    assert json.loads(invoke_rft("schema", "--json")[1])["schema"] == schema


def test_a_started_config_points_editors_to_a_schema_beside_it(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    code, _, stderr = invoke_rft("init", "data/images.csv", "--label", "colour", "--out", "mine.toml", "--schema")
    assert code == 0, stderr
    first = Path("mine.toml").read_text(encoding="utf-8").splitlines()[0]
    assert first == "#:schema ./mine.toml.schema.json"
    schema = json.loads(Path("mine.toml.schema.json").read_text(encoding="utf-8"))
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(tomllib.loads(Path("mine.toml").read_text()))) == []
