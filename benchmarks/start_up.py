"""What commands cost before and beside the work that they are asked for: the processor's time, against importing torch.

    python benchmarks/start_up.py [--rounds 3] [--examples 10000] [--run FOLDER]

Prints a table and writes ``start_up.json`` beside this file. All commands run with one thread, in turns; what is
compared are medians of user and system time. The audit is of tiny JPEG files in two groups: MobileNetV3 small with
random weights, the plugins performance, fairness and privacy (no epsilon, its attacks), no attribution; it runs once
before, so that its features are cached. ``rft report`` shows the run in ``--run``, such as that of ``rft demo``, or
else that of the audit.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from rft.pipeline.environment import describe_environment

TORCH = "python -c 'import torch'"
SIDE_LENGTH = 24
CONFIG = """name = "start-up"
seed = 0
[data]
manifest = "data.csv"
image = "file"
label = "label"
positive = "bright"
groups = ["site"]
test = 0.25
[model]
backbone = "torchvision/mobilenet_v3_small"
weights = "random"
image_size = 32
[privacy]
[fairness]
"""


def main() -> None:
    """Time each command in turns, print the medians, and write them down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--run", type=Path, help="the folder of a run, for rft report; the audit's where not given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(Path(folder), options.examples)
        medians = _time_commands(Path(folder), options)
    ratios = {name: seconds / medians[TORCH] for name, seconds in medians.items()}
    for name, seconds in medians.items():
        print(f"{name:44} {seconds:7.2f} s   {ratios[name]:6.2f} times importing torch")
    result = {
        "options": {"rounds": options.rounds, "examples": options.examples, "run given": options.run is not None},
        "environment": describe_environment("cpu", ["torchvision", "matplotlib"]).model_dump(mode="json"),
        "seconds of the processor": medians,
        "times importing torch": ratios,
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def write_dataset(folder: Path, n: int) -> None:
    """Write n images of noise, the brighter half labelled so, at three sites, with their manifest and the config."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    with (folder / "data.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "label", "site"])
        for number in range(n):
            bright = bool(rng.integers(2))
            noise = rng.integers(0, 200, (SIDE_LENGTH, SIDE_LENGTH, 3)) + (55 if bright else 0)
            name = f"images/{number}.jpg"
            Image.fromarray(noise.astype(np.uint8)).save(folder / name)
            rows.writerow([name, "bright" if bright else "dark", "xyz"[rng.integers(3)]])
    (folder / "audit.toml").write_text(CONFIG, encoding="utf-8")


def _time_commands(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Return the median seconds of the processor of each command."""
    rft = [sys.executable, "-m", "rft"]
    audit = [*rft, "audit", "audit.toml", "--out", "run", "--force"]
    run = str((options.run or folder / "run").resolve())
    commands = {
        TORCH: [sys.executable, "-c", "import torch"],
        "python -c 'import rft'": [sys.executable, "-c", "import rft"],
        "rft --help": [*rft, "--help"],
        "rft report": [*rft, "report", run, "--out", "report", "--force"],
        f"rft audit, {options.examples} cached examples": audit,
    }
    time_command(audit, folder)  # its features are cached from here on, and the modules of all commands compiled
    rounds = [
        {name: time_command(command, folder) for name, command in commands.items()} for _ in range(options.rounds)
    ]
    return {name: statistics.median(seconds[name] for seconds in rounds) for name in commands}


def time_command(command: list[str], folder: Path) -> float:
    """Return the user and system seconds of a command, which succeeds or finds that a rule of the run does not hold."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(folder / "cache")}
    environment |= {"XDG_STATE_HOME": str(folder / "state")}
    before = os.times()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    after = os.times()
    if done.returncode not in (0, 1, 3):
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    return after.children_user + after.children_system - before.children_user - before.children_system


if __name__ == "__main__":
    main()
