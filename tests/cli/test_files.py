"""What a command made is made again unasked, where nobody changed it; what others wrote takes --force."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rft.cli.main import app
from rft.cli.runs.files import OF_SOMETHING_ELSE, check_absent, write_file
from rft.errors import OutputError
from rft.report import save
from tests.support.small_run import small_artifacts, small_run

WRITTEN = (0, 3)  # a comparison of so few examples settles nothing, and is written
REFUSED = f"exists already, and {OF_SOMETHING_ELSE}"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return two runs in ``runs``, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        save(small_run(name), tmp_path / "runs" / name, small_artifacts())
    return ["runs/one", "runs/two"]


def invoke_rft(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*arguments])
    return done.exit_code, " ".join(done.stderr.split())


Command = Callable[[list[str]], list[str]]
COMMANDS: dict[str, Command] = {
    "compare.html": lambda runs: ["compare", *runs],
    "history.html": lambda runs: ["history", "runs"],
    "findings.csv": lambda runs: ["export", runs[0], "--format", "csv"],
    "audit.toml.schema.json": lambda runs: ["schema", "--out", "audit.toml.schema.json"],
    "rft.sarif": lambda runs: ["export", runs[0], "--format", "sarif"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_second_call_replaces_what_the_first_one_made(runs: list[str], name: str) -> None:
    arguments = COMMANDS[name](runs)
    assert invoke_rft(*arguments)[0] in WRITTEN
    written = Path(name).read_bytes()
    assert invoke_rft(*arguments)[0] in WRITTEN
    assert Path(name).read_bytes() == written


@pytest.mark.parametrize("name", COMMANDS)
def test_what_somebody_edited_since_stays(runs: list[str], name: str) -> None:
    arguments = COMMANDS[name](runs)
    assert invoke_rft(*arguments)[0] in WRITTEN
    edited = Path(name).read_text(encoding="utf-8") + "my remark"
    Path(name).write_text(edited, encoding="utf-8")
    code, stderr = invoke_rft(*arguments)
    assert (code, f"{name}: {REFUSED} Replace it with --force" in stderr) == (2, True), stderr
    assert Path(name).read_text(encoding="utf-8") == edited
    assert invoke_rft(*arguments, "--force")[0] in WRITTEN
    assert "my remark" not in Path(name).read_text(encoding="utf-8")


def test_what_was_made_of_another_run_stays(runs: list[str]) -> None:
    assert invoke_rft("export", runs[0], "--format", "csv")[0] == 0
    first = Path("findings.csv").read_bytes()
    code, stderr = invoke_rft("export", runs[1], "--format", "csv")
    assert (code, REFUSED in stderr) == (2, True)
    assert invoke_rft("export", runs[0], "--format", "json", "--out", "findings.csv")[0] == 2, "nor of another format"
    assert Path("findings.csv").read_bytes() == first
    assert invoke_rft("compare", *runs)[0] in WRITTEN
    assert invoke_rft("compare", *reversed(runs))[0] == 2
    Path("backbones.html").write_text("mine", encoding="utf-8")
    code, stderr = invoke_rft("compare-backbones", "audit.toml", "torchvision/resnet18=random")
    assert (code, REFUSED in stderr) == (2, True), "before anything is read"


def test_the_same_run_is_known_by_its_folder_however_it_is_named(
    runs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert invoke_rft("compare", *runs)[0] in WRITTEN
    monkeypatch.chdir(tmp_path / "runs")
    assert invoke_rft("compare", "one", str(tmp_path / runs[1]), "--out", "../compare.html")[0] in WRITTEN


def test_what_is_made_of_nothing_takes_force(tmp_path: Path) -> None:
    file = tmp_path / "audit.toml"
    write_file(file, "x", force=False)
    with pytest.raises(OutputError, match=r"exists already\nReplace"):
        check_absent(file, force=False)


def test_without_a_state_folder_a_file_is_written_and_then_takes_force(
    runs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").write_text("a file, no folder", encoding="utf-8")
    monkeypatch.setenv("RFT_STATE", str(tmp_path / "state"))
    arguments = ("export", runs[0], "--format", "csv")
    assert invoke_rft(*arguments)[0] in WRITTEN
    assert invoke_rft(*arguments)[0] == 2


def test_a_signature_is_made_again_by_the_same_key_alone(runs: list[str]) -> None:
    pytest.importorskip("securesystemslib")
    for key in ("a.key", "b.key"):
        assert invoke_rft("sign", "--new-key", key)[0] == 0
    for _ in range(2):
        assert invoke_rft("sign", runs[0], "--key", "a.key")[0] == 0
    signed = Path("runs/one.dsse.json").read_bytes()
    assert invoke_rft("sign", runs[0], "--key", "b.key")[0] == 2
    assert Path("runs/one.dsse.json").read_bytes() == signed
