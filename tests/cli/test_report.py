"""``rft report --policy``: a later verdict stands beside that of the run, in a folder of its own."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from rft.cli.main import app
from rft.records import Verdict
from rft.report import open_run, save
from rft.signing.statement import describe_run
from tests.support import ROOT
from tests.support.small_run import list_files, small_artifacts, small_run

STRICT = '[[policy]]\nfinding = "performance.accuracy"\nmin = 0.8\nbecause = "release criterion R-9"\n'
CLOSE = STRICT.replace("0.8", "0.7").replace("R-9", "R-10")
APPLIED = "1740832205"  # 2025-03-01 12:30:05 UTC


def invoke_rft(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, done.stdout, " ".join(done.stderr.split())


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a run that passed its own rule, with two stricter policies beside its folder."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", APPLIED)
    (tmp_path / "strict.toml").write_text(STRICT, encoding="utf-8")
    (tmp_path / "close.toml").write_text(CLOSE, encoding="utf-8")
    return save(small_run(), tmp_path / "runs" / "one", small_artifacts())


def test_the_run_stays_as_it_is_and_the_new_folder_verifies(saved: Path, tmp_path: Path) -> None:
    before = list_files(saved)
    code, stdout, _ = invoke_rft("report", saved, "--policy", tmp_path / "strict.toml")
    assert code == 1, "accuracy 0.69 is below 0.8"
    written = saved.with_name("one-strict")
    assert f"Report: {written / 'report.html'}" in stdout
    assert stdout.index("Verdict: pass") < stdout.index("Later verdict by strict.toml: fail")
    assert list_files(saved) == before
    assert sorted(entry.name for entry in saved.parent.iterdir()) == ["one", "one-strict"]
    code, stdout, stderr = invoke_rft("verify", written)
    assert code == 0, stderr
    assert "Made from the run one, whose evidence.json has the sha256 " in stdout
    assert hashlib.sha256(before["evidence.json"]).hexdigest() in stdout


def test_page_json_and_card_lead_with_the_verdict_of_the_run_and_show_the_later_one(
    saved: Path, tmp_path: Path
) -> None:
    invoke_rft("report", saved, "--policy", tmp_path / "strict.toml")
    written = saved.with_name("one-strict")
    sha256 = hashlib.sha256(STRICT.encode()).hexdigest()
    source = f"strict.toml (sha256 {sha256}), applied on 2025-03-01 12:30 UTC"
    content = json.loads((written / "audit.json").read_text(encoding="utf-8"))
    assert content["verdict"]["status"] == "pass"
    (later,) = content["later_verdicts"]
    assert {key: later[key] for key in ("file", "sha256", "applied")} == {
        "file": "strict.toml",
        "sha256": sha256,
        "applied": "2025-03-01T12:30:05+00:00",
    }
    assert (later["verdict"]["status"], later["verdict"]["source"]) == ("fail", source)
    page = (written / "report.html").read_text(encoding="utf-8").partition("<script")[0]
    assert page.index('id="verdict-heading">Pass</h2>') < page.index("Later, by other rules: Fail")
    assert "Accuracy is 0.69; at least 0.8 was asked. The one rule is broken." in page
    assert source in page
    assert "release criterion R-9" in page
    card = (written / "model-card.md").read_text(encoding="utf-8")
    assert card.index("**Verdict: Pass.**") < card.index("Later, by other rules: **Fail.**")
    assert sha256 in card
    assert "applied on 2025\\-03\\-01 12:30 UTC" in card or "applied on 2025-03-01 12:30 UTC" in card


def test_a_later_verdict_leads_where_the_run_itself_has_no_rules(tmp_path: Path) -> None:
    (tmp_path / "strict.toml").write_text(STRICT, encoding="utf-8")
    without = small_run().model_copy(update={"verdict": Verdict(status="no_rules", rules=())})
    saved = save(without, tmp_path / "runs" / "one", small_artifacts())
    code, stdout, _ = invoke_rft("report", saved, "--policy", tmp_path / "strict.toml", "--brief")
    assert code == 1
    assert stdout.startswith("Later verdict by strict.toml: fail")
    assert stdout.count("The run itself has no rules.") == 1
    assert "Verdict: no rules" not in stdout
    for name in ("report.html", "brief.html", "model-card.md"):
        page = (saved.with_name("one-strict") / name).read_text(encoding="utf-8").partition("<script")[0]
        assert "Judged later: " in page
        assert "The run itself has no rules." in page
        assert "Not judged" not in page
    assert 'id="verdict"' in (saved.with_name("one-strict") / "report.html").read_text(encoding="utf-8")


def test_a_second_policy_is_appended_and_the_images_stay(saved: Path, tmp_path: Path) -> None:
    invoke_rft("report", saved, "--policy", tmp_path / "strict.toml")
    code, _, stderr = invoke_rft("report", saved.with_name("one-strict"), "--policy", tmp_path / "close.toml")
    assert code == 3, stderr
    written = saved.with_name("one-strict-close")
    run = open_run(written)
    assert run.verdict.status == "pass"
    assert [(later.file, later.verdict.status) for later in run.later_verdicts] == [
        ("strict.toml", "fail"),
        ("close.toml", "uncertain"),
    ]
    assert "image not kept" not in (written / "report.html").read_text(encoding="utf-8")
    assert invoke_rft("verify", written)[0] == 0


def test_what_a_former_call_made_of_the_run_is_made_again(saved: Path, tmp_path: Path) -> None:
    arguments = ("report", saved, "--policy", tmp_path / "strict.toml")
    for _ in range(2):
        assert invoke_rft(*arguments)[0] == 1
        before = list_files(saved.parent)
    assert list_files(saved.parent) == before, "the same bytes at the same time"


@pytest.mark.parametrize("change", ["edited", "added", "of another run", "a run itself"])
def test_what_is_not_what_a_former_call_made_is_replaced_by_force_alone(
    saved: Path, tmp_path: Path, change: str
) -> None:
    arguments = ("report", saved, "--policy", tmp_path / "strict.toml")
    place = saved.with_name("one-strict")
    if change in ("edited", "added"):
        assert invoke_rft(*arguments)[0] == 1
        file = place / ("model-card.md" if change == "edited" else "notes.txt")
        file.write_text("mine", encoding="utf-8")
    else:
        other = save(small_run("two"), tmp_path / "other", small_artifacts())
        if change == "of another run":
            assert invoke_rft("report", other, "--out", place)[0] == 0
        else:
            other.rename(place)
    before = list_files(saved.parent)
    code, _, stderr = invoke_rft(*arguments)
    assert (code, "one-strict: already holds a run" in stderr) == (2, True)
    assert list_files(saved.parent) == before
    assert invoke_rft(*arguments, "--force")[0] == 1
    assert sorted(entry.name for entry in place.iterdir()) == [
        *("audit.json", "evidence.json", "model-card.md", "report.html")
    ]


@pytest.mark.parametrize("place", [".", "again"])
def test_it_never_writes_into_the_run(saved: Path, place: str) -> None:
    before = list_files(saved)
    code, _, stderr = invoke_rft("report", saved, "--out", saved / place, "--force")
    assert code == 2
    assert "stays as it is" in stderr
    assert list_files(saved) == before


def test_the_run_may_be_the_current_folder(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(saved)
    code, _, stderr = invoke_rft("report", ".")
    assert code == 0, stderr
    assert (saved.with_name("one-report") / "report.html").read_bytes() == (saved / "report.html").read_bytes()


def test_a_time_that_is_none_is_an_error_of_the_user(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    code, _, stderr = invoke_rft("report", saved, "--policy", tmp_path / "strict.toml")
    assert code == 2
    assert "SOURCE_DATE_EPOCH: is 'yesterday', which is no time" in stderr
    assert [entry.name for entry in saved.parent.iterdir()] == ["one"]


@pytest.fixture
def stricter(saved: Path, tmp_path: Path) -> Path:
    """Return what the stricter rules made of the run that passed."""
    assert invoke_rft("report", saved, "--policy", tmp_path / "strict.toml")[0] == 1
    return saved.with_name("one-strict")


def test_exports_say_what_the_latest_rules_say(stricter: Path, tmp_path: Path) -> None:
    for format in ("junit", "sarif", "json", "csv"):
        code, _, stderr = invoke_rft("export", stricter, "--format", format, "--out", tmp_path / format)
        assert code == 0, stderr
    suite = ET.parse(tmp_path / "junit").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    (result,) = json.loads((tmp_path / "sarif").read_text(encoding="utf-8"))["runs"][0]["results"]
    assert result["level"] == "error"
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "strict.toml"
    exported = json.loads((tmp_path / "json").read_text(encoding="utf-8"))
    assert exported["verdict"]["status"] == "fail"
    assert exported["verdict"]["source"].startswith("strict.toml")
    (row,) = [row for row in csv.DictReader((tmp_path / "csv").open(encoding="utf-8")) if row["outcome"]]
    assert (row["id"], row["outcome"]) == ("performance.accuracy", "fail")


def test_a_signature_vouches_for_what_the_latest_rules_say(stricter: Path) -> None:
    results = describe_run(stricter).predicate
    assert (results.result, results.failed, results.passed) == ("FAILED", ("performance.accuracy",), ())
    sha256 = hashlib.sha256(STRICT.encode()).hexdigest()
    assert ("strict.toml", sha256) in [(config.name, config.digest["sha256"]) for config in results.configuration]


def test_verify_and_a_second_report_tell_of_both_verdicts(stricter: Path) -> None:
    assert ": pass; later, by the rules of strict.toml: fail." in invoke_rft("verify", stricter)[1]
    assert invoke_rft("report", stricter)[0] == 1, "the rules that were applied last decide"


def test_a_brief_shows_the_later_verdict_as_large_and_reviews_nothing_that_it_judges(
    saved: Path, tmp_path: Path
) -> None:
    rules = STRICT + '[[policy]]\nfinding = "performance.accuracy"\nmin = 0.65\nbecause = "R-11"\n'
    (tmp_path / "two.toml").write_text(rules, encoding="utf-8")
    invoke_rft("report", saved, "--policy", tmp_path / "two.toml", "--brief")
    brief = (saved.with_name("one-two") / "brief.html").read_text(encoding="utf-8")
    assert brief.index("Later, by other rules: Fail") < brief.index("at least 0.65")
    assert brief.count('class="word"') == 2
    assert "at least 0.8" in brief


def test_a_version_of_a_run_is_not_compared(saved: Path, stricter: Path) -> None:
    code, _, stderr = invoke_rft("compare", stricter, saved)
    assert code == 2
    assert "one-strict: holds no predictions Compare the run itself" in stderr


def test_a_rule_on_what_no_run_of_this_config_can_have_is_an_error(saved: Path, tmp_path: Path) -> None:
    """One on what the run might have, and did not measure, stays uncertain."""
    policy = tmp_path / "strict.toml"
    policy.write_text("# ours\n\n" + STRICT.replace("accuracy", "acuracy"), encoding="utf-8")
    code, stdout, stderr = invoke_rft("report", saved, "--policy", policy)
    assert (code, stdout) == (2, "")
    assert f"{policy}, line 3: 'performance.acuracy' cannot occur here" in stderr
    assert "Did you mean 'performance.accuracy'" in stderr
    policy.write_text(STRICT.replace("performance", "perfromance"), encoding="utf-8")
    code, _, stderr = invoke_rft("report", saved, "--policy", policy)
    assert (code, "Did you mean 'performance'?" in stderr) == (2, True)
    assert not saved.with_name("one-strict").exists()
    policy.write_text(STRICT.replace("accuracy", "log_loss"), encoding="utf-8")
    assert invoke_rft("report", saved, "--policy", policy)[0] == 3


@pytest.mark.parametrize("command", ["report", "verify", "export"])
def test_a_finished_run_is_shown_without_what_made_it(saved: Path, tmp_path: Path, command: str) -> None:
    """Importing torch alone takes longer than to write the report; see ``docs/performance.md``."""
    arguments = {
        "report": ["report", saved, "--out", tmp_path / "shown"],
        "verify": ["verify", saved],
        "export": ["export", saved, "--format", "csv", "--out", tmp_path / "findings.csv"],
    }
    heavy = {"torch", "torchvision", "timm", "transformers", "opacus", "captum", "fairlearn"}
    heavy |= {"sklearn", "pandas", "pyarrow", "matplotlib" if command == "export" else "scipy"}
    code = (
        "import sys\n"
        "from rft.cli.main import app\n"
        f"try: app({[str(argument) for argument in arguments[command]]!r})\n"
        "except SystemExit as stop: print('ended', stop.code)\n"
        f"print('loaded', sorted({heavy!r} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    ended, loaded = done.stdout.splitlines()[-2:]
    assert ended.startswith("ended ")
    assert ended != "ended 2"
    assert loaded == "loaded []"
