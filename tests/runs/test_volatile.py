"""Two runs of one config on the same data are the same, byte for byte, but for ``run.volatile``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import rft
from rft.records import AuditRun
from rft.report import render
from rft.report.render.model_card import model_card
from rft.report.run_folder import evidence
from tests.conftest import AUDITS, CONFIG, write_images
from tests.runs import test_predictions_alone as alone
from tests.support.example_run import change_volatile

PRIVATE = (
    '[privacy]\nepsilon = 8.0\nfrontier = [4.0]\nreplicates = 1\nmechanism_runs = 0\nshadows = 0\nledger = "book"\n'
)


def write_trained(root: Path, text: str) -> Path:
    write_images(root / "data", n=80)
    (root / "audit.toml").write_text(text, encoding="utf-8")
    return root / "audit.toml"


def write_uncached(root: Path) -> Path:
    text = CONFIG.replace("image_size = 32", 'image_size = 32\nfreeze = "none"').replace("epochs = 5", "epochs = 1")
    return write_trained(root, f"{text}[privacy]\n")


def write_private(root: Path, randomness: str) -> Path:
    named = 'label = "colour"\nclasses = ["blue", "red"]\npopulation = "clinic"'
    text = CONFIG.replace('label = "colour"', named)
    return write_trained(root, f'{text}{PRIVATE}randomness = "{randomness}"\n')


CONFIGS = {
    "trained": lambda root: write_trained(root, CONFIG + AUDITS),
    "nothing cached": write_uncached,
    "predictions alone": lambda root: alone.write(root, alone.make_scores(), f"{alone.CONFIG}[fairness]\n[privacy]\n"),
    "private, from a seed": lambda root: write_private(root, "seeded"),
}


def audit_twice(
    write: Callable[[Path], Path], root: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[AuditRun, AuditRun]:
    """Audit the same twice, each time with a state folder and a ledger that nothing was written to before.

    The second run is made at a time that is set.
    """

    def audit(folder: Path) -> AuditRun:
        folder.mkdir()
        monkeypatch.setenv("RFT_STATE", str(folder / "state"))
        return rft.audit(write(folder), folder / "run", offline=True, device="cpu")

    first = audit(root / "first")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1740832205")
    return first, audit(root / "second")


def without_volatile(folder: Path) -> str:
    """Return ``audit.json`` in canonical JSON without the one object."""
    content = json.loads((folder / "run" / "audit.json").read_text(encoding="utf-8"))
    del content["run"]["volatile"]
    return json.dumps(content, sort_keys=True, ensure_ascii=False, indent=1)


QUICK = ("predictions alone",)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind in QUICK else pytest.mark.slow) for kind in CONFIGS]
)
def test_two_runs_are_the_same_bytes(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = audit_twice(CONFIGS[kind], tmp_path, monkeypatch)
    assert without_volatile(tmp_path / "first") == without_volatile(tmp_path / "second")

    one, other = first.run.volatile, second.run.volatile
    assert one.id != other.id
    assert one.salt != other.salt
    assert one.created != other.created == "2025-03-01T12:30:05+00:00"
    assert (one.training_seconds is None) == (kind == "predictions alone")
    assert [finding.id for section in first.sections for finding in section.findings if section.audit_missing] == []
    as_second = change_volatile(first, **other.model_dump())
    assert render(as_second) == (tmp_path / "second" / "run" / "report.html").read_text(encoding="utf-8")
    assert model_card(as_second) == (tmp_path / "second" / "run" / "model-card.md").read_text(encoding="utf-8")


def list_structure(run: AuditRun) -> list[tuple[str, list[str], dict[str, list[str]], list[str]]]:
    """Return the names of sections, of their findings, of their tables with columns, and of their figures."""
    return [
        (
            section.plugin,
            [finding.id for finding in section.findings],
            {name: list(table[0]) for name, table in section.tables.items()},
            [figure.id for figure in section.figures],
        )
        for section in run.sections
    ]


@pytest.mark.slow
def test_with_secret_noise_the_structure_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What noise changes is the result, and stays where it is; what the ledger says is the same."""
    runs = audit_twice(lambda root: write_private(root, "secret"), tmp_path, monkeypatch)
    first, second = runs
    assert list_structure(first) == list_structure(second)
    assert first.model.model_sha256 != second.model.model_sha256
    for table in ("ledger", "ledger_trainings"):
        assert first.section("privacy").tables[table] == second.section("privacy").tables[table]
    heads = [evidence.read(tmp_path / name / "run").plugins["privacy"]["head"] for name in ("first", "second")]
    assert heads[0] != heads[1]
    assert not any(str(head) in run.to_json() for head in heads for run in runs)
