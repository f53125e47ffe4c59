"""The GitHub action and the pre-commit hook: their scripts are run as their runners would, without a network."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import CONFIG
from tests.support import ROOT
from tests.support.snippet_stage import prepare_commands

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
RULE = '\n[[policy]]\nfinding = "performance.accuracy"\n{key} = {bound}\n'


def fill_in(text: str, values: dict[str, str]) -> str:
    """Put values in the place of ``${{ inputs.name }}`` and the like; an expression without one is an error."""
    return re.sub(r"\$\{\{ (\S+) \}\}", lambda match: values[match[1]], text)


def run_action(folder: Path, environment: dict[str, str], **inputs: str) -> tuple[int, list[str]]:
    """Run the steps of the action as a runner does; return its exit code and the names of the steps that ran."""
    defaults = {name: str(given["default"]) for name, given in ACTION["inputs"].items()}
    values = {f"inputs.{name}": value for name, value in (defaults | inputs).items()}
    values["github.action_path"] = str(ROOT)
    steps = []
    for step in ACTION["runs"]["steps"]:
        assert step["shell"] == "bash"
        assert "${{" not in step["run"], "values come by the environment: a script would run what is in them"
        given = {name: fill_in(value, values) for name, value in step["env"].items()}
        output = {"GITHUB_OUTPUT": str(folder / "output.txt")}
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        done = subprocess.run(command, cwd=folder, env=environment | given | output, check=False)
        steps.append(step["name"])
        if done.returncode:
            return done.returncode, steps
    return 0, steps


@pytest.fixture
def job(tiny: Path) -> tuple[Path, dict[str, str]]:
    """Return a folder with a config and its data, and the environment of a job in which pip says what it was asked."""
    folder = tiny.parent
    environment = prepare_commands(folder)
    for name in ("pip", "python"):
        (folder / ".bin" / name).write_text(f'#!/bin/sh\necho "$@" >> {folder}/asked.txt\n', encoding="utf-8")
        (folder / ".bin" / name).chmod(0o755)
    return folder, environment


def test_the_page_says_what_each_input_of_the_action_is() -> None:
    page = (ROOT / "docs" / "journeys" / "ci.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w-]+)` \| `([^`]*)`", page, re.MULTILINE))
    assert rows == {name: str(given["default"]) or '""' for name, given in ACTION["inputs"].items()}


@pytest.mark.parametrize(
    ("key", "bound", "inputs", "code"),
    [
        ("min", 0.0, {}, 0),
        ("max", 0.0, {"fail-on-uncertain": "false"}, 1),
        ("min", 0.7, {"fail-on-uncertain": "false", "set": "train.epochs=3\nseed=2"}, 0),
    ],
    ids=["holds", "broken", "uncertain"],
)
@pytest.mark.slow
def test_the_action_ends_as_the_verdict_does(
    job: tuple[Path, dict[str, str]], key: str, bound: float, inputs: dict[str, str], code: int
) -> None:
    folder, environment = job
    (folder / "audit.toml").write_text(CONFIG + RULE.format(key=key, bound=bound), encoding="utf-8")
    ended, steps = run_action(folder, environment, extras="privacy,fairness", **inputs)
    assert (ended, len(steps)) == (code, 3)
    assert (folder / "asked.txt").read_text(encoding="utf-8").split() == [
        *("-m", "pip", "install", f"{ROOT}[privacy,fairness]")
    ]
    verdict = re.findall(r"verdict=(\d)", (folder / "output.txt").read_text(encoding="utf-8"))
    assert verdict == [{"max": "1", "min": "0" if not inputs else "3"}[key]]
    given_away = {path.name for path in (folder / "rft-artifact").iterdir()}
    assert given_away == {"report.html", "audit.json", "model-card.md", "rft-junit.xml", "rft.sarif"}


def test_the_action_stops_at_a_wrong_config(job: tuple[Path, dict[str, str]]) -> None:
    folder, environment = job
    (folder / "audit.toml").write_text(CONFIG.replace("epochs = 5", "epoch = 5"), encoding="utf-8")
    assert run_action(folder, environment) == (2, ["Install rft", "Check the config"])
    assert not (folder / "runs").exists()


def write_repository(folder: Path, epochs: str) -> None:
    """Write a git repository with a config in it."""
    folder.mkdir()
    (folder / "audit.toml").write_text(CONFIG.replace("epochs = 5", epochs), encoding="utf-8")
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=folder, check=True)


def run_hook_entry(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess:
    """Run the entry of the hook on what it matches, as pre-commit does."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    files = [path for path in ("audit.toml", "a/audit.toml", "my-audit.toml") if re.search(hook["files"], path)]
    assert files == ["audit.toml", "a/audit.toml"]
    command = f'{hook["entry"]} "$@"'
    return subprocess.run(
        ["sh", "-c", command, "pre-commit", files[0]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_hook_stops_at_a_wrong_config(tiny: Path) -> None:
    environment = prepare_commands(tiny.parent)
    assert run_hook_entry(tiny.parent, environment).returncode == 0
    tiny.write_text(CONFIG.replace("epochs = 5", "epoch = 5"), encoding="utf-8")
    done = run_hook_entry(tiny.parent, environment)
    assert done.returncode == 2
    assert "epoch" in done.stderr


@pytest.mark.slow
def test_pre_commit_runs_the_hook(tmp_path: Path) -> None:
    """With pre-commit itself, where it is installed: of the repository as it was committed last."""
    if shutil.which("pre-commit") is None:
        pytest.skip("pre-commit is not installed")
    write_repository(tmp_path / "mine", "epoch = 5")
    environment = prepare_commands(tmp_path) | {"PRE_COMMIT_HOME": str(tmp_path / "cache")}
    command = [shutil.which("pre-commit") or "", "try-repo", str(ROOT), "rft-check", "--files", "audit.toml"]
    done = subprocess.run(command, cwd=tmp_path / "mine", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "epoch" in done.stdout
