"""Audits in two processes that torchrun starts; slow, since every process imports torch."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.support.run_numbers import numbers_of_run
from tests.support.torchrun_cases import (
    SECONDS_TO_END,
    finish_command,
    in_processes,
    list_shards,
    process_of_rank,
    said_of_errors,
    start_command,
)

pytestmark = pytest.mark.slow
IMAGES, SIZE = 900, 32
CONFIG = """
name = "shared"
seed = 0
[data]
manifest = "squares.csv"
image = "file"
label = "label"
test = 0.3
[model]
backbone = "torchvision/resnet18"
weights = "random"
image_size = {size}
[train]
epochs = 3
[performance]
[[policy]]
finding = "performance.accuracy"
min = 0.99
because = "an interval of 272 images that reaches across it"
"""
# What one of the processes does before it becomes rft.
ONE_FAILS = """
import os, resource, sys
if os.environ["RANK"] == "1":
    {deed}
from rft.cli.start import main
main()
"""


def write_audit(folder: Path, *, size: int = SIZE) -> None:
    random = np.random.default_rng(0)
    (folder / "images").mkdir()
    rows = []
    for number in range(IMAGES):
        pixels = random.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
        pixels[:8, :8] = (220, 40, 40) if number % 2 else (40, 80, 220)
        Image.fromarray(pixels).save(folder / f"images/{number}.png")
        rows.append((f"images/{number}.png", "red" if number % 2 else "blue"))
    pd.DataFrame(rows, columns=["file", "label"]).to_csv(folder / "squares.csv", index=False)
    (folder / "audit.toml").write_text(CONFIG.format(size=size))


def test_two_processes_give_the_shards_and_numbers_of_one(tmp_path: Path) -> None:
    write_audit(tmp_path)
    alone = finish_command(start_command(tmp_path, "alone", "-m", "rft", "audit", "audit.toml", "--out", "alone-run"))
    shared = finish_command(
        start_command(tmp_path, "shared", *in_processes("-m", "rft", "audit", "audit.toml", "--out", "run"))
    )
    assert alone[0] == 3  # uncertain, and torchrun's own code would be 1
    assert shared[0] == 3
    assert len(list_shards(tmp_path / "alone")) == 5
    assert list_shards(tmp_path / "shared") == list_shards(tmp_path / "alone")
    records = [json.loads((tmp_path / run / "audit.json").read_text()) for run in ("alone-run", "run")]
    assert numbers_of_run(records[0]) == numbers_of_run(records[1])
    assert records[0]["model"]["model_sha256"] == records[1]["model"]["model_sha256"]
    assert shared[1].count("Verdict: uncertain") == 1
    assert shared[2].count("rft: data,") == 1
    assert "Features of train, 512" in shared[2] or "Features of train" not in shared[2]


def test_a_killed_process_ends_the_others_with_one_line_and_a_new_start_goes_on(tmp_path: Path) -> None:
    write_audit(tmp_path, size=96)
    audit = start_command(tmp_path, "cache", *in_processes("-m", "rft", "audit", "audit.toml", "--out", "run"))
    while not list_shards(tmp_path / "cache"):
        assert audit.poll() is None, audit.communicate()
        time.sleep(0.05)
    os.kill(process_of_rank(1, tmp_path), signal.SIGKILL)
    killed = time.monotonic()
    code, _, err = finish_command(audit)
    assert time.monotonic() - killed < SECONDS_TO_END
    assert code in (128 + signal.SIGKILL, 128 + signal.SIGTERM, 75)
    said = said_of_errors(err)
    assert len(said) <= 2, err  # what is wrong, and what to do
    assert "another process" in said[0] or "interrupted" in said[0]
    assert not (tmp_path / "run").exists()
    kept = list_shards(tmp_path / "cache")
    assert kept
    code, _, err = finish_command(
        start_command(tmp_path, "cache", *in_processes("-m", "rft", "audit", "audit.toml", "--out", "run"))
    )
    assert code in (1, 3), err  # a verdict
    assert (tmp_path / "run" / "report.html").exists()
    assert set(kept) < set(list_shards(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("deed", "message"),
    [
        ("os.environ['RFT_CACHE'] += '-elsewhere'", "process 1 does not see what process 0 writes there"),
        ("resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))", "cannot keep features: File too large"),
        ("sys.argv[2] = 'other.toml'", "other.toml: no such file"),
    ],
)
def test_a_process_that_cannot_go_on_says_so_once(tmp_path: Path, deed: str, message: str) -> None:
    write_audit(tmp_path)
    (tmp_path / "as_rft.py").write_text(ONE_FAILS.format(deed=deed))
    code, out, err = finish_command(
        start_command(tmp_path, "cache", *in_processes("as_rft.py", "audit", "audit.toml", "--out", "run"))
    )
    assert code == 2, err
    said = said_of_errors(err)
    assert message in said[0]
    assert len(said) <= 2, err  # and what to do
    assert not out
    assert not (tmp_path / "run").exists()
