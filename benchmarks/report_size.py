"""How long a report is: screens of 1280 x 800, words that are seen unfolded, bytes, and seconds to render.

    python benchmarks/report_size.py RUN...                # folders of runs, such as that of the demo
    python benchmarks/report_size.py --generate FOLDER     # runs the demo, 84 groups and predictions alone there first

Needs Chromium and the extra ``browser`` for screens and words. A run of faces needs data of your own: name its folder.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from rft.records import AuditRun
from rft.report.render import pdf
from rft.report.render.html import render

SCREEN = {"width": 1280, "height": 800}
MEASURE = """() => ({
  screens: document.documentElement.scrollHeight / innerHeight,
  words: document.body.innerText.split(/\\s+/).filter(Boolean).length,
  answers: document.querySelector('#answers').getBoundingClientRect().bottom,
})"""
CONFIG = """name = "{name}"
seed = 0
[data]
label = "label"
positive = "yes"
groups = ["site", "sex"]
id = "id"
[predictions]
file = "scores.csv"
score = "p_yes"
threshold = 0.5
[privacy]
[fairness]
[[policy]]
finding = "fairness.accuracy_gap.site"
max = 0.3
because = "an example"
"""


def main() -> None:
    """Print a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="*", help="folders of runs")
    parser.add_argument("--generate", type=Path, help="an empty folder for runs that are made first")
    asked = parser.parse_args()
    runs = [*asked.runs, *(generate_runs(asked.generate) if asked.generate else [])]
    if not runs:
        parser.error("name folders of runs, or give --generate")
    print(f"{'run':24} {'screens':>7} {'words':>6} {'answers end':>11} {'MB':>6} {'seconds':>8}")
    for folder in runs:
        page, seconds = time_rendering(folder)
        seen = measure_page(page)
        size = len(page.encode()) / 1e6
        print(
            f"{folder.name:24} {seen['screens']:7.1f} {seen['words']:6.0f} {seen['answers']:8.0f} px {size:6.2f} "
            f"{seconds:8.2f}"
        )


def time_rendering(folder: Path) -> tuple[str, float]:
    """Return the page of a run, and the processor time in seconds that it takes once everything is imported."""
    run = AuditRun.from_json((folder / "audit.json").read_text(encoding="utf-8"))
    images = {file.name: file.read_bytes() for file in (folder / "assets").glob("*.png")}
    render(run, images)
    begun = time.process_time()
    page = render(run, images)
    return page, time.process_time() - begun


def measure_page(page: str) -> dict[str, float]:
    """Return screens, words and where the answers end in pixels."""
    from playwright.sync_api import sync_playwright

    chromium = next(path for name in pdf.CHROMIUM_NAMES if (path := shutil.which(name)))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        file = Path(folder) / "report.html"
        file.write_text(page, encoding="utf-8")
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport=SCREEN)
        tab.goto(file.as_uri())
        seen: dict[str, float] = tab.evaluate(MEASURE)
        browser.close()
    return seen


def generate_runs(folder: Path) -> list[Path]:
    """Make the demo, a run of 84 groups and one of predictions with 5 groups; return their folders."""
    subprocess.run([sys.executable, "-m", "rft", "demo", "--out", str(folder / "demo")], check=True)
    runs = [folder / "demo" / "run"]
    for name, groups in (("groups84", 84), ("predictions", 5)):
        write_predictions(folder / f"{name}-input", name, groups)
        config, run = folder / f"{name}-input" / "audit.toml", folder / name
        subprocess.run([sys.executable, "-m", "rft", "audit", str(config), "--out", str(run)], check=False)
        runs.append(run)  # a rule that is not met gives an exit code of its own
    return runs


def write_predictions(folder: Path, name: str, groups: int) -> None:
    """Write predictions of a model that treats all groups alike, 100 rows a group, and their config."""
    rng, n = np.random.default_rng(0), 100 * groups
    label = rng.choice(["no", "yes"], n)
    score = np.clip(np.where(label == "yes", 0.65, 0.35) + rng.normal(0, 0.2, n), 0.01, 0.99)
    site = [f"clinic {number % groups:02d}" for number in range(n)]
    rows = {"id": range(n), "site": site, "sex": rng.choice(["f", "m"], n), "label": label, "p_yes": score}
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(folder / "scores.csv", index=False)
    (folder / "audit.toml").write_text(CONFIG.format(name=name), encoding="utf-8")


if __name__ == "__main__":
    main()
