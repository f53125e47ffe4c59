"""What a report says of the ledger, and what ``rft verify`` finds of it later."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rft.cli.main import app
from rft.errors import EvidenceError
from rft.plugins.privacy.accounting.accountants import composed_spending
from rft.plugins.privacy.ledger import chain
from rft.plugins.privacy.ledger.ledger_anchor import check_anchor
from rft.plugins.privacy.ledger.section import ledger_chapter, ledger_evidence
from rft.records import AuditRun, DataFacts, Environment, ModelFacts, Run, Section, Training, Verdict, VolatileFacts
from rft.report import save, verify
from rft.report.run_folder import evidence
from rft.training.privacy_facts import LedgerFacts
from rft.version import __version__
from tests.support.ledger_cases import MECHANISM, account, finish, folder_contents, ledger_of


def ledger_section(facts: LedgerFacts | None) -> Section:
    chapter = ledger_chapter(facts)
    tables = dict(chapter.tables)
    evidence = ledger_evidence([chapter])
    captions = dict(chapter.captions)
    return Section(plugin="privacy", findings=chapter.findings, tables=tables, captions=captions, evidence=evidence)


def run_with(*sections: Section) -> AuditRun:
    environment = Environment(python="3", platform="linux", device="cpu", threads=1, packages={})
    volatile = VolatileFacts(id="1", created="2026-01-01T00:00:00+00:00", seconds=1.0)
    frame = {"volatile": volatile, "name": "tiny", "seed": 0, "config": {}}
    return AuditRun(
        rft_version=__version__,
        run=Run(**frame, config_sha256="c0" * 32, environment=environment),
        model=ModelFacts(name="tiny", modality="image", classes=("a", "b"), training=Training(mode="private")),
        data=DataFacts(splits={}),
        sections=sections,
        verdict=Verdict(status="no_rules"),
    )


def test_findings_and_tables(tmp_path: Path) -> None:
    finish(account(tmp_path, budget=9.0))
    facts = finish(account(tmp_path))
    audited_section = ledger_section(facts)
    two = composed_spending([MECHANISM, MECHANISM], 1e-5).epsilon
    assert audited_section.finding("privacy.ledger_epsilon").value == two
    assert audited_section.finding("privacy.ledger_epsilon").n == 30
    assert "At delta 1e-05" in audited_section.finding("privacy.ledger_epsilon").description
    assert audited_section.finding("privacy.ledger_remaining").value == 9.0 - two
    assert audited_section.finding("privacy.ledger_interruptions").value == 0
    assert all(finding.deterministic for finding in audited_section.findings)
    stand = {row["quantity"]: row["value"] for row in audited_section.tables["ledger"]}
    assert (stand["population"], stand["entries"]) == ("clinic", facts.entries)
    recorded = audited_section.evidence
    assert recorded is not None
    assert chain.read(ledger_of(tmp_path)).contains(chain.Anchor(facts.entries, str(recorded["head"])))
    assert [row["charged_steps"] for row in audited_section.tables["ledger_trainings"]] == [40, 40]


def test_without_a_budget_none_remains(tmp_path: Path) -> None:
    audited_section = ledger_section(finish(account(tmp_path)))
    assert [finding.id for finding in audited_section.findings] == [
        "privacy.ledger_epsilon",
        "privacy.ledger_elsewhere",
        "privacy.ledger_interruptions",
    ]


def test_another_folder_than_the_remembered_one_is_a_warning(tmp_path: Path) -> None:
    finding = ledger_section(finish(account(tmp_path))).finding("privacy.ledger_elsewhere")
    assert (finding.status, finding.value) == ("info", 0)
    finding = ledger_section(finish(account(tmp_path, ledger="another"))).finding("privacy.ledger_elsewhere")
    assert (finding.status, finding.value) == ("warn", 1)
    assert "not counted here, unless that folder was moved" in finding.description


def test_spending_with_seeded_noise_adds_up_to_no_epsilon(tmp_path: Path) -> None:
    finish(account(tmp_path, budget=9.0, randomness="seeded", resumable=False))
    facts = finish(account(tmp_path))
    audited_section = ledger_section(facts)
    for id in ("privacy.ledger_epsilon", "privacy.ledger_remaining"):
        assert audited_section.finding(id).status == "not_measured"
        assert "1 of 2 trainings" in str(audited_section.finding(id).reason)
    stand = {row["quantity"]: row["value"] for row in audited_section.tables["ledger"]}
    assert (stand["epsilon"], stand["remaining"]) == (None, None)
    assert f"{facts.epsilon:.3g}" not in audited_section.model_dump_json()


def test_without_a_population_nothing_is_added_up() -> None:
    (finding,) = ledger_section(None).findings
    assert (finding.id, finding.status, finding.value) == ("privacy.ledger_epsilon", "not_measured", None)
    assert "data.population" in str(finding.reason)
    assert ledger_section(None).tables == {}


def test_an_infinite_epsilon_is_not_a_number(tmp_path: Path) -> None:
    facts = replace(finish(account(tmp_path)), epsilon=math.inf)
    assert ledger_section(facts).finding("privacy.ledger_epsilon").status == "not_measured"


def test_evidence_says_where_the_ledger_stood(tmp_path: Path) -> None:
    facts = finish(account(tmp_path))
    saved = save(run_with(ledger_section(facts)), tmp_path / "run")
    expected = {"population": "clinic", "entries": facts.entries, "head": facts.head}
    assert (
        json.loads((saved / "evidence.json").read_text())["plugins"]
        == evidence.read(saved).plugins
        == {"privacy": expected}
    )
    for number, sections in enumerate([(), (ledger_section(None),)]):
        without = save(run_with(*sections), tmp_path / f"without-{number}")
        assert evidence.read(without).plugins == {}
        assert verify(without).problems == ()


@pytest.fixture
def checked(tmp_path: Path) -> Path:
    """Return the folder of a run, whose ledger went on after it."""
    saved = save(run_with(ledger_section(finish(account(tmp_path)))), tmp_path / "run")
    finish(account(tmp_path))
    return saved


def verify_run(run: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["verify", str(run), *arguments])
    return done.exit_code, done.output


def test_verify_finds_the_run_in_its_ledger(checked: Path, tmp_path: Path) -> None:
    code, output = verify_run(checked, "--ledger", str(tmp_path / "ledgers"))
    assert code == 0, output
    assert "The ledger of population 'clinic' holds the 22 entries that the run saw." in output


def test_verify_finds_a_ledger_that_was_put_back(
    checked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(tmp_path / "ledgers")
    monkeypatch.setenv("RFT_STATE", str(tmp_path / "another state"))  # this one would not let a new one begin
    finish(account(tmp_path, identity="another"))
    finish(account(tmp_path, identity="another"))
    code, output = verify_run(checked, "--ledger", str(tmp_path / "ledgers"))
    assert code == 4
    assert "has not the 22 entries that the run saw: an older copy was put back, or it was rewritten" in output


def test_verify_finds_a_damaged_ledger(checked: Path, tmp_path: Path) -> None:
    file = ledger_of(tmp_path) / chain.ENTRIES_FILE
    whole = folder_contents(ledger_of(tmp_path))[chain.ENTRIES_FILE]
    for content in (whole[:-5], whole.replace(b'"first":0', b'"first":9', 1)):
        file.write_bytes(content)
        assert verify_run(checked, "--ledger", str(tmp_path / "ledgers"))[0] == 4
    file.unlink()
    assert verify_run(checked, "--ledger", str(tmp_path / "ledgers"))[0] == 4


def test_verify_says_when_there_is_no_ledger_to_look_at(
    checked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RFT_STATE", str(tmp_path / "state"))
    code, output = verify_run(checked)
    assert code == 3
    assert "was not checked: name its folder with --ledger" in output
    code, output = verify_run(checked, "--ledger", str(tmp_path / "nowhere"))
    assert code == 4
    assert "holds no ledger of 'clinic'" in output
    (tmp_path / "state").mkdir()
    (tmp_path / "ledgers").rename(tmp_path / "state" / "ledgers")
    assert "holds the 22 entries" in verify_run(checked)[1]


@pytest.mark.parametrize("stand", [{}, {"population": "clinic"}, {"population": "a", "entries": "1", "head": ""}])
def test_an_anchor_that_is_none(tmp_path: Path, stand: dict) -> None:
    with pytest.raises(EvidenceError, match="what it says of the ledger"):
        check_anchor(stand, tmp_path)


def test_reading_a_ledger_needs_no_torch() -> None:
    ledger = "rft.plugins.privacy.ledger"
    code = f"import sys, {ledger}.ledger_anchor, {ledger}.section; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
