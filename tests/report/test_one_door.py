"""Every command that reads a run checks it first: what was changed is named, and nothing is made from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rft.cli.main import app
from rft.report import save
from tests.support.signing_cases import write_keys
from tests.support.small_run import list_files, small_artifacts, small_run


def flip_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def improve_accuracy(run: Path) -> str:
    file = run / "audit.json"
    before = file.read_text(encoding="utf-8")
    file.write_text(before.replace('"value": 0.69', '"value": 0.99'), encoding="utf-8")
    assert len(file.read_text(encoding="utf-8")) == len(before)
    assert file.read_text(encoding="utf-8") != before
    return "audit.json is not the file that was written"


def change_predictions(run: Path) -> str:
    flip_byte(run / "predictions.parquet")
    return "predictions.parquet is not the file that was written"


def change_image(run: Path) -> str:
    (image,) = (run / "assets").iterdir()
    flip_byte(image)
    return f"assets/{image.name} is not the file that was written"


def change_model(run: Path) -> str:
    flip_byte(run / "model" / "head.safetensors")
    return "model/head.safetensors is not the file that was written"


def add_file(run: Path) -> str:
    (run / "assets" / "note.txt").write_text("of somebody else", encoding="utf-8")
    return "assets/note.txt was added"


def add_empty_folder(run: Path) -> str:
    (run / "extra").mkdir()
    return "the empty folder extra was added"


DAMAGES: tuple[Callable[[Path], str], ...] = (
    improve_accuracy,
    change_predictions,
    change_image,
    change_model,
    add_file,
    add_empty_folder,
)
COMMANDS = ("report", "compare", "export", "sign", "verify")


def write_command(name: str, run: Path, key: Path) -> list[str]:
    """Return the arguments of a command that reads ``run`` and would write beside it."""
    arguments = {
        "report": ["report", run],
        "compare": ["compare", run, run.with_name("other"), "--out", run.with_name("compare.html")],
        "export": ["export", run, "--format", "junit", "--out", run.with_name("junit.xml")],
        "sign": ["sign", run, "--key", key],
        "verify": ["verify", run],
    }
    return [str(argument) for argument in arguments[name]]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Return a folder with two runs."""
    for name in ("one", "other"):
        save(small_run(name), tmp_path / "runs" / name, small_artifacts())
    return tmp_path / "runs"


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_nothing_is_read_from_a_run_that_was_changed(runs: Path, tmp_path: Path, damage: Callable[[Path], str]) -> None:
    key = write_keys(tmp_path, "audit").private
    sentence = damage(runs / "one")
    before = list_files(runs)
    for command in COMMANDS:
        done = CliRunner().invoke(app, write_command(command, runs / "one", key))
        assert (command, done.exit_code) == (command, 4)
        assert sentence in " ".join(done.stderr.split())
        assert list_files(runs) == before, f"{command} left something behind"


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "compare"])
def test_a_run_as_it_was_written_is_read(runs: Path, tmp_path: Path, command: str) -> None:
    key = write_keys(tmp_path, "audit").private
    done = CliRunner().invoke(app, write_command(command, runs / "one", key))
    assert done.exit_code == 0, done.output
