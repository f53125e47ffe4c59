"""``rft check``: all that would stop an audit, at once; nothing is trained or written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rft.cli.main import app
from rft.pipeline.check import check_audit


def invoke_rft(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, done.stdout, " ".join(done.stderr.split())


def test_what_would_run_is_said_and_nothing_is_written(tiny: Path, own_cache: Path) -> None:
    before = sorted(tiny.parent.rglob("*"))
    code, stdout, stderr = invoke_rft("check", tiny)
    assert code == 0, stderr
    lines = [" ".join(line.split()) for line in stdout.splitlines()]
    assert lines[:4] == [
        "tiny: nothing stands in the way",
        "model torchvision/resnet18, fine-tuned",
        "weights random, so that nothing was learnt before",
        "classes blue, red",
    ]
    assert "train 20 examples of 10 units" in lines
    assert "camera: left 10, right 10" in lines
    assert "rules none of yours; built in is that each audit that is asked for can answer" in lines
    assert any(line.startswith("estimate features:") for line in lines)
    assert "estimate" not in invoke_rft("check", tiny, "--no-estimate")[1]
    assert sorted(tiny.parent.rglob("*")) == before
    assert not list(own_cache.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("changes", "more", "problems"),
    [
        (
            {"epochs = 5": "epochs = 0", '"adamw"': '"adam"'},
            '[fairness]\nmin_group_size = "x"\n[privcy]\n',
            (
                "unknown key 'privcy'",
                "train.epochs: expected 1 or more, not 0",
                "train.optimizer: expected 'sgd' or 'adamw', not the text 'adam'",
                "fairness.min_group_size: expected a whole number, not the text 'x'",
            ),
        ),
        (
            {'"random"': '"gone.pth"', '"colour"': '"colr"'},
            '[privacy]\nepsilon = 3.0\n[[policy]]\nfinding = "fairness.accuracy_gap.camera"\nmax = 0.1\n',
            (
                "'fairness.accuracy_gap.camera' belongs to no plugin that is switched on",
                "no such file: gone.pth",
                "data.classes: is needed where epsilon is given",
                "images.csv: has no column 'colr' Did you mean 'colour'?",
            ),
        ),
    ],
    ids=["the config", "plugins, rules, weights and data"],
)
def test_all_that_is_wrong_is_said_at_once(
    tiny: Path, changes: dict[str, str], more: str, problems: tuple[str, ...]
) -> None:
    text = tiny.read_text(encoding="utf-8")
    for old, new in changes.items():
        text = text.replace(old, new)
    tiny.write_text(f"{text}\n{more}", encoding="utf-8")
    code, stdout, stderr = invoke_rft("check", tiny)
    assert (code, stdout) == (2, "")
    assert [problem for problem in problems if problem not in stderr] == []
    assert stderr.endswith(f"{len(problems)} to mend")


def test_a_folder_in_the_place_of_a_file_and_a_plugin_misspelt_in_a_rule_are_told(tiny: Path) -> None:
    (tiny.parent / "w.pth").mkdir()
    rule = 'policy=[{finding = "performence.accuracy", min = 0.5}]'
    said = [str(problem) for problem in check_audit(tiny, ["data.manifest=data", "model.weights=w.pth", rule]).problems]
    assert "belongs to no plugin that is switched on\nDid you mean 'performance'?" in said[0]
    assert "w.pth is a folder; expected a file" in said[1]
    assert "data: is a folder, where a table is expected\nName the table in it" in said[2]


def test_class_weights_are_held_against_the_classes_of_the_data(tiny: Path) -> None:
    (problem,) = check_audit(tiny, ["train.class_weights={bleu = 2.0}"]).problems
    assert "'bleu' is no class; the classes are blue, red" in str(problem)


def test_a_check_of_what_an_audit_refuses_has_its_exit_code(tiny: Path) -> None:
    missing = tiny.with_name("none.toml")
    code, _, stderr = invoke_rft("check", missing)
    assert (code, stderr) == (2, f"rft: {missing}: no such file The folder holds audit.toml. {missing}: 1 to mend")


def test_what_cannot_answer_is_said_before_it_takes_minutes(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("label,p,place\n" + "yes,0.9,a\nno,0.2,b\n" * 20, encoding="utf-8")
    (tmp_path / "audit.toml").write_text(
        '[data]\nlabel = "label"\npositive = "yes"\ngroups = ["place"]\n'
        '[predictions]\nfile = "scores.csv"\nscore = "p"\n'
        "[fairness]\n[attribution]\n",
        encoding="utf-8",
    )
    code, said, _ = invoke_rft("check", tmp_path / "audit.toml")
    assert code == 0
    assert (
        ": would run, but 2 built-in rules cannot be met, so that the verdict cannot be a pass" in said.splitlines()[0]
    )
    assert "rules      none of yours; built in is that each audit that is asked for can answer" in said
    assert (
        "  built-in rule: attribution is audited: cannot be met, whatever the model does: this audit has no model"
        in said
    )
    assert "  built-in rule: fairness is audited: cannot be met, whatever the model does" in said
    assert "0 of 2 groups have the 30 test examples" in said
    assert "the verdict is uncertain (exit code 3)" in said


def test_a_rule_that_no_model_can_meet_is_in_the_headline_and_never_silent(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("label,said\n" + "yes,yes\nno,yes\n" * 15, encoding="utf-8")
    rule = '[[policy]]\nfinding = "performance.accuracy"\nmin = {}\n'
    start = '[data]\nlabel = "label"\n[predictions]\nfile = "scores.csv"\nprediction = "said"\n'
    config = tmp_path / "audit.toml"
    config.write_text(start + rule.format(0.95), encoding="utf-8")
    code, stdout, stderr = invoke_rft("check", config, "--quiet")
    assert (code, stdout) == (0, "")
    headline = "would run, but 1 rule cannot be met, so that the verdict cannot be a pass"
    assert stderr.startswith(f"rft: {headline} rft: performance.accuracy is at least 0.95: cannot be met by 30 test")
    (said,) = json.loads(invoke_rft("check", config, "--json")[1])["impossible_rules"]
    assert said.startswith("performance.accuracy is at least 0.95: cannot be met by 30 test examples")
    assert invoke_rft("check", config)[1].splitlines()[0].endswith(headline)
    config.write_text(start + rule.format(0.5), encoding="utf-8")
    assert invoke_rft("check", config, "--quiet") == (0, "", "")


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ('finding = "performance.ece"\nmax = 0.1', "0 is an estimate without an interval, which settles nothing"),
        ('finding = "performance.accuracy"\nmin = 0.5\nmax = 50', "no share is above 1, so 50 bounds nothing"),
    ],
)
def test_a_rule_that_nothing_can_settle_is_said(tmp_path: Path, rule: str, reason: str) -> None:
    (tmp_path / "scores.csv").write_text("label,p\n" + "yes,0.9\nno,0.2\n" * 15, encoding="utf-8")
    start = '[data]\nlabel = "label"\npositive = "yes"\n[predictions]\nfile = "scores.csv"\nscore = "p"\n'
    (tmp_path / "audit.toml").write_text(f"{start}[[policy]]\n{rule}\n", encoding="utf-8")
    (said,) = check_audit(tmp_path / "audit.toml").impossible_rules
    assert "cannot be settled, whatever the model does; even without a mistake: " + reason in said


def test_ages_as_groups_are_told_with_the_remedy_and_their_lists_are_cut(tmp_path: Path) -> None:
    rows = "".join(f"yes,yes,{age}\n" for age in range(20, 60) for _ in range(2))
    (tmp_path / "scores.csv").write_text(f"label,said,age\n{rows}no,yes,60\n", encoding="utf-8")
    init = ("init", tmp_path / "scores.csv", "--out", tmp_path / "audit.toml", "--label", "label")
    code, said, stderr = invoke_rft(*init, "--prediction", "said", "--group", "age", "--positive", "yes")
    assert code == 0, stderr
    remedy = (
        "age names no groups as it stands: 41 numbers from 20 to 60; groups are categories, so write bands, such as "
        "18-29 or 30-44, into a column of its own and name that"
    )
    assert said.count(remedy) == 1
    assert "# age names no groups" in (tmp_path / "audit.toml").read_text(encoding="utf-8")
    said = invoke_rft("check", tmp_path / "audit.toml")[1]
    assert said.count(f"[data] {remedy}") == 1
    assert "age: 20 2, 21 2, 22 2, 23 2, 24 2, 25 2, and 35 more" in said
    assert "; and 35 more" in said
    assert "; 40 " not in said


def test_classes_that_are_numbers_are_told_to_have_names(tmp_path: Path) -> None:
    text = "[data]\nlabel = 'label'\n[predictions]\nfile = 'scores.csv'\nprediction = 'said'\n"
    (tmp_path / "audit.toml").write_text(text, encoding="utf-8")
    for classes, told in ((("0", "1"), True), (("0", "one"), False)):
        rows = "".join(f"{name},{name}\n" * 20 for name in classes)
        (tmp_path / "scores.csv").write_text(f"label,said\n{rows}", encoding="utf-8")
        said = invoke_rft("check", tmp_path / "audit.toml")[1]
        assert ("[data] the classes are numbers (0, 1), and the report speaks of them as such" in said) == told


def test_a_rule_that_always_guessing_meets_is_told_before_the_audit(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text(
        "label,said,split\n" + "yes,yes,train\n" * 9 + "no,no,train\n" + ("yes,yes,test\n" * 4 + "no,no,test\n") * 20,
        encoding="utf-8",
    )
    rule = '[[policy]]\nfinding = "performance.accuracy"\nmin = {}\n'
    start = '[data]\nlabel = "label"\nsplit = "split"\n[predictions]\nfile = "scores.csv"\nprediction = "said"\n'
    config = tmp_path / "audit.toml"
    config.write_text(start + rule.format(0.8), encoding="utf-8")
    remark = "always guessing yes, the commonest class, reaches 0.800 on the test split"
    assert remark in invoke_rft("check", config)[1]
    config.write_text(start + rule.format(0.81), encoding="utf-8")
    assert "always guessing" not in invoke_rft("check", config)[1]
    config.write_text(f"{start}[report]\nsuppress_below = 30\n{rule.format(0.8)}", encoding="utf-8")
    assert "always guessing" not in invoke_rft("check", config)[1]
