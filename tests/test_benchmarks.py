"""Each benchmark runs, at a size that measures nothing: its imports and its calls are those of the present code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

SMALL = {
    "forward_passes.py": "--rounds 1 --networks efficientnet_lite0 --batch 4 --side-length 32",
    "group_metrics.py": "--rows 2000 --peer 1",
    "image_reading.py": "--rounds 1 --images 2",
    "membership_attack.py": "--train 300 --test 200 --dimension 16 --classes 2 --epochs 2",
    "predictions_alone.py": "--rows 2000",
    "private_training.py": "--steps 3 --rounds 1 --epochs 1",
    "recognizer_gradients.py": "--rounds 1 --utterances 2 --vectors 90",
    "shared_training.py": "--rounds 1 --examples 4 --ways layers",
    "start_up.py": "--rounds 1 --examples 200",
}


def test_every_benchmark_is_tried_but_those_that_need_weights_or_a_browser() -> None:
    assert {file.name for file in (ROOT / "benchmarks").glob("*.py")} == {
        *SMALL,
        "attribution_maps.py",
        "cached_features.py",
        "defaults.py",
        "labelled_sets.py",
        "report_size.py",
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_benchmark_runs(tmp_path: Path, name: str) -> None:
    script = shutil.copy(ROOT / "benchmarks" / name, tmp_path)  # it writes its results beside itself
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, script, *SMALL[name].split()]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
