"""Measure `rft audit` on a table of predictions alone: seconds and peak resident memory of the whole command.

    python benchmarks/predictions_alone.py --rows 10000000

It makes calibrated scores of two classes with two attributes of five groups, and runs the command as a child. With
--units every two rows are of one person; --fairness adds the group metrics. Prints a table, and writes JSON beside
itself.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

CONFIG = """\
name = "ten-million"
[data]
label = "label"
positive = "yes"
groups = ["gender", "region"]
{unit}
[predictions]
file = "scores.parquet"
score = "p_yes"
{plugins}
"""


def write_scores(folder: Path, rows: int) -> None:
    """Write scores.parquet: labels drawn with the probability that the score says."""
    rng = np.random.default_rng(0)
    score = rng.beta(2, 2, rows)
    table = pd.DataFrame(
        {
            "label": pd.Categorical.from_codes((rng.random(rows) < score).astype(np.int8), ["no", "yes"]),
            "p_yes": score,
            "gender": pd.Categorical.from_codes(rng.integers(0, 5, rows), list("abcde")),
            "region": pd.Categorical.from_codes(rng.integers(0, 5, rows), list("vwxyz")),
            "person": np.arange(rows) // 2,
        }
    )
    table.to_parquet(folder / "scores.parquet", index=False)


def measure_audit(rows: int, *, units: bool, fairness: bool) -> dict[str, object]:
    """Return what one audit of so many rows took."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scores(folder, rows)
        plugins = "[fairness]" if fairness else ""
        config = CONFIG.format(unit='unit = "person"' if units else "", plugins=plugins)
        (folder / "audit.toml").write_text(config, encoding="utf-8")
        start = time.monotonic()
        command = [sys.executable, "-m", "rft", "audit", "audit.toml", "--out", "run"]
        done = subprocess.run(command, cwd=folder, env=os.environ, check=False, capture_output=True, text=True)
        seconds = time.monotonic() - start
        if done.returncode != 0:
            sys.exit(done.stderr)
        sections = json.loads((folder / "run" / "audit.json").read_text(encoding="utf-8"))["sections"]
        lost = [row["reason"] for section in sections for row in section["findings"] if row["id"].endswith(".audit")]
        if lost:
            sys.exit(f"an audit was not made: {lost}")
        written = sum(file.stat().st_size for file in (folder / "run").rglob("*") if file.is_file())
    # On Linux in units of 1,024 bytes; the largest of all children, and this one is the only one.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return {
        "rows": rows,
        "units": units,
        "fairness": fairness,
        "seconds": round(seconds, 1),
        "peak_rss_gb": round(peak / 1e9, 2),
        "run_folder_mb": round(written / 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--units", action="store_true")
    parser.add_argument("--fairness", action="store_true")
    arguments = parser.parse_args()
    figures = measure_audit(arguments.rows, units=arguments.units, fairness=arguments.fairness)
    for key, value in figures.items():
        print(f"{key:15} {value}")
    Path(__file__).with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
