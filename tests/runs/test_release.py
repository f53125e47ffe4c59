"""What of a finished run may be given away names none of the files, people and examples that it was made from."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import rft
from rft.cli.main import app
from tests.conftest import AUDITS, CONFIG, write_images

TABLES = f"""{AUDITS}
[fairness.mitigation]
attribute = "camera"
metric = "selection_rate"
methods = ["threshold"]
constraints = ["demographic_parity"]
[report]
show_examples = true
"""
EPSILON = "epsilon = 8.0\nfrontier = [4.0]\nreplicates = 1\nmechanism_runs = 0\n"


def write(root: Path, tables: str) -> Path:
    """Write a config and data in which every file, person and example has a name to look for."""
    table = write_images(root / "data", n=80)
    for file in table["file"]:
        (root / "data" / file).rename(root / "data" / f"portrait-of-{file}")
    table["file"] = "portrait-of-" + table["file"]
    table["person"] = "person-called-" + table["person"]
    table["case"] = [f"case-number-{number}" for number in range(len(table))]
    table.to_csv(root / "data" / "images.csv", index=False)
    path = root / "audit.toml"
    columns = 'unit = "person"\nid = "case"\nclasses = ["blue", "red"]'
    columns += '\npopulation = "p"' if "epsilon" in tables else ""
    text = CONFIG.replace('unit = "person"', columns)
    path.write_text(text + tables, encoding="utf-8")
    return path


def to_give_away(run: Path) -> list[Path]:
    private = {run / "predictions.parquet", run / "mitigated" / "predictions.parquet"}
    return [file for file in run.rglob("*") if file.is_file() and file not in private]


def forbidden_words(data: Path) -> list[bytes]:
    """Return what must not occur: names, and hashes in hex and in bytes."""
    words = [b"portrait-of-", b"person-called-", b"case-number-", str(data.parent).encode()]
    for file in data.iterdir():
        digest = hashlib.sha256(file.read_bytes())
        words += [digest.digest(), digest.hexdigest().encode()]
    return words


@pytest.mark.slow
@pytest.mark.parametrize("private", [False, True])
def test_nothing_that_is_given_away_names_an_input(tmp_path: Path, private: bool) -> None:
    tables = TABLES
    if private:
        tables = TABLES.replace("shadows = 4\n", EPSILON + "shadows = 4\n")
        tables = tables[: tables.index("[fairness.mitigation]")] + "[report]\nshow_examples = true\n"
    config = write(tmp_path, tables)
    rft.audit(config, tmp_path / "run", offline=True)
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    page = tmp_path / "compare.html"
    compared = CliRunner().invoke(app, ["compare", str(tmp_path / "run"), str(tmp_path / "other"), "--out", str(page)])
    assert compared.exit_code == 0, compared.output
    released = [*to_give_away(tmp_path / "run"), page]
    assert {"report.html", "audit.json", "evidence.json", "model-card.md"} <= {file.name for file in released}
    words = forbidden_words(tmp_path / "data")
    assert len(words) == 4 + 2 * 81
    assert [(file.name, word) for file in released for word in words if word in file.read_bytes()] == []
    kept = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    assert kept["id"].str.startswith("case-number-").all(), "the table of predictions stays with the owner"
    assert CliRunner().invoke(app, ["verify", str(tmp_path / "run")]).exit_code == 0


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("privacy.budget", "privacy.budget: is spent"),
        ("/home/ann/state/x", "is spent"),
        ("x.csv, line 3", "is spent"),
        (None, "is spent"),
    ],
)
def test_a_reason_in_a_report_names_keys_and_no_paths(where: str | None, said: str) -> None:
    assert rft.RftError("is spent", where=where, remedy="Remove it.").public == said


@pytest.mark.slow
def test_the_report_holds_a_salt_that_the_evidence_does_not(tmp_path: Path) -> None:
    """Who is given the evidence without the report cannot confirm a guess of it by its hash."""
    config = write(tmp_path, "")
    first, second = (rft.audit(config, tmp_path / name, offline=True) for name in ("run", "other"))
    assert len(bytes.fromhex(first.run.volatile.salt)) == 32
    assert first.run.volatile.salt != second.run.volatile.salt
    holding = {
        file.name for file in to_give_away(tmp_path / "run") if first.run.volatile.salt in file.read_text("latin-1")
    }
    assert holding == {"audit.json", "report.html"}


@pytest.mark.slow
def test_what_a_broken_plugin_says_stays_on_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail_to_read(*_: object) -> None:
        raise ValueError(f"cannot read {tmp_path}/portrait-of-ann.png")

    monkeypatch.setattr("rft.plugins.performance.Performance.audit", fail_to_read)
    run = rft.audit(write(tmp_path, ""), offline=True)
    reason = run.finding("performance.audit").reason
    assert reason == "the plugin failed (ValueError); the terminal said more"
    assert "portrait-of-ann.png" in caplog.text
