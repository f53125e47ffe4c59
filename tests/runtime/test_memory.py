"""``model.memory`` holds, as the system counts it, and would not without it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rft.runtime import memory
from tests.support import ROOT

pytestmark = pytest.mark.skipif(not memory.is_measurable(), reason="needs /proc")

MB = 10**6


def probe_memory(kind: str, folder: Path, megabytes: int) -> dict[str, Any]:
    paths = os.pathsep.join([str(ROOT), *sys.path])
    command = [sys.executable, ROOT / "tests" / "support" / "memory_probe.py", kind, folder, str(megabytes)]
    printed = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, check=True, capture_output=True)
    return json.loads(printed.stdout)


@pytest.mark.parametrize(
    ("kind", "megabytes"),
    [
        pytest.param("mobilenet_v2", 300, marks=pytest.mark.slow),
        pytest.param("text", 300, marks=pytest.mark.slow),
        pytest.param("speech", 300, marks=pytest.mark.slow),
        pytest.param("resnet50", 400, marks=pytest.mark.slow),
    ],
)
def test_the_peak_stays_below_the_limit(tmp_path: Path, kind: str, megabytes: int) -> None:
    free = probe_memory(kind, tmp_path, 0)
    limited = probe_memory(kind, tmp_path, megabytes)
    assert limited["peak"] <= limited["limit"]
    assert free["peak"] - free["before"] > megabytes * MB  # or the limit would have held by itself
    assert 1 < limited["largest"] < free["largest"]
    assert limited["sum"] == pytest.approx(free["sum"], rel=1e-4)


def test_what_the_process_holds_is_seen_to_rise_and_fall() -> None:
    size = 200 * MB
    memory.release_freed_memory()
    with memory.PeakWatch() as watch:
        before = memory.resident_bytes()
        held = bytearray(size)
        held[::4096] = b"x" * len(held[::4096])
        assert watch.peak() - before > 0.9 * size
        del held
        assert watch.peak() - before > 0.9 * size
        memory.release_freed_memory()
        watch.forget_peak()
        assert watch.peak() - before < 0.2 * size
    assert memory.peak_bytes() >= memory.resident_bytes()
    assert memory.available_bytes() > 0


def test_the_watch_leaves_no_file_open() -> None:
    files = len(os.listdir("/proc/self/fd"))
    with memory.PeakWatch() as watch:
        assert len(os.listdir("/proc/self/fd")) == files + 1
        assert watch.peak() > 0
    assert len(os.listdir("/proc/self/fd")) == files
