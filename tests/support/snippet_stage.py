"""Where the blocks of a page run: small data under the names that the pages use, and commands that stand in for pip.

A command of rft writes its exit code into ``codes.txt``, and any other that fails its line into ``errors.txt``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

import rft
from tests.conftest import write_images
from tests.support import ROOT
from tests.support.families import FAMILIES
from tests.support.recognizers import write_whisper
from tests.support.snippets import Snippet
from tests.support.speech_families import SPEECH
from tests.support.spoken_tones import write_tones

CONFIG = """\
[data]
manifest = "faces.csv"
image = "file"
label = "smiling"
positive = "smiling"
groups = ["gender"]
unit = "face_id"
split = "split"

[model]
backbone = "torchvision/resnet18"
weights = "random"
image_size = 32

[train]
epochs = 5
batch_size = 8

[fairness]
min_group_size = 5

[[policy]]
finding = "performance.accuracy"
min = 0.0
"""
POLICY = '[[policy]]\nfinding = "performance.accuracy"\nmin = 0.1\nbecause = "our minimum"\n'
# Weights that would be downloaded, and what is too large for a test, with what stands in.
SUBSTITUTES = (
    ('weights = "pretrained"', 'weights = "random"'),
    ("torchvision/resnet18 torchvision/", "torchvision/resnet18=random torchvision/"),
    ("transformers/bert-base-uncased", "transformers/own"),
    ("transformers/openai/whisper-base", "transformers/speech/own"),
    ("openai/whisper-tiny.en", "whisper"),
)
SHIM = """\
#!/bin/sh
{python} -m rft "$@"
code=$?
echo "$1 $code" >> {stage}/codes.txt
exit $code
"""
PIP = """\
#!/bin/sh
# Extras are held against pyproject.toml elsewhere; a package that lies here is installed beside the stage.
for last in "$@"; do :; done
[ "$last" = . ] || exit 0
exec {python} -m pip install --quiet --no-deps --no-build-isolation --target {stage}/.site .
"""
# Exit codes of verdicts; all other commands end with 0.
VERDICTS = {"audit": {0, 1, 3}, "report": {0, 1, 3}, "compare": {0, 1, 3}, "verify": {0, 3}}
TRAP = """\
set -o pipefail
trap 'code=$?; [[ "$BASH_COMMAND" == rft* ]] || echo "$BASH_COMMAND: $code" >> errors.txt' ERR
"""


def write_stage(folder: Path) -> None:
    """Write the data, the config and a run that every page finds in its folder."""
    images = write_images(folder, n=80)
    (folder / "images.csv").unlink()
    faces = pd.DataFrame(
        {
            "file": images["file"],
            "smiling": np.where(images["colour"] == "red", "smiling", "neutral"),
            "gender": np.where(images["camera"] == "left", "f", "m"),
            "ethnicity": np.where(np.arange(80) // 2 % 4 < 2, "a", "b"),
            "face_id": images["person"],
            "split": images["split"],
        }
    )
    faces.to_csv(folder / "faces.csv", index=False)
    shutil.copy(folder / "000.png", folder / "photo.jpg")
    for number, place in enumerate(("train/ants", "train/bees", "test/ants", "test/bees")):
        write_images(folder / "photos" / place, n=8, seed=number)
        (folder / "photos" / place / "images.csv").unlink()
    named = sorted(path.relative_to(folder / "photos").as_posix() for path in (folder / "photos").rglob("*.png"))
    people = pd.DataFrame({"file": named, "person": np.arange(len(named)) // 2})
    people.assign(gender=np.where(people["person"] % 2 == 0, "f", "m")).to_csv(folder / "people.csv", index=False)
    _write_texts(folder)
    _write_recordings(folder)
    (folder / "audit.toml").write_text(CONFIG, encoding="utf-8")
    (folder / "stricter.toml").write_text(POLICY, encoding="utf-8")
    rft.audit(folder / "audit.toml", folder / "RUN")
    for name, seed in (("runs/main", 0), ("runs/branch", 1), ("runs/a", 0), ("runs/b", 0)):
        rft.audit(folder / "audit.toml", folder / name, overrides=[f"seed={seed}"])


def _write_texts(folder: Path) -> None:
    rng = np.random.default_rng(0)
    words = ["".join(chr(97 + letter) for letter in rng.integers(0, 13, 6)) for _ in range(80)]
    recommended = np.where(np.arange(80) % 2 == 0, "yes", "no")
    texts = [word.upper() if said == "yes" else word[::-1] * 2 for word, said in zip(words, recommended, strict=True)]
    split = np.where(np.arange(80) < 40, "train", "test")
    pd.DataFrame(
        {
            "comment": [f"{text} asap" if number % 3 == 0 else text for number, text in enumerate(texts)],
            "recommended": recommended,
            "age": np.where(np.arange(80) // 2 % 2 == 0, "30-39", "60+"),
            "author": [f"a{number // 2:02}" for number in range(80)],
            "split": split,
        }
    ).to_csv(folder / "comments.csv", index=False)
    (folder / "comments.txt").write_text("\n".join(texts[:4]) + "\n", encoding="utf-8")
    FAMILIES["bert"].load(folder)
    scores = rng.random(400)
    pd.DataFrame(
        {
            "label": np.where(rng.random(400) < scores, "yes", "no"),
            "p_yes": scores,
            "gender": rng.choice(["f", "m"], 400),
            "ethnicity": rng.choice(["a", "b"], 400),
            "split": ["train"] * 200 + ["test"] * 200,
        }
    ).to_parquet(folder / "scores.parquet")


def _write_recordings(folder: Path) -> None:
    """Write clips whose letters are tones, two more in a folder, an encoder of speech and a recogniser."""
    clips = write_tones(folder)
    (folder / "tones.csv").unlink()
    clips["word"] = np.where(np.arange(len(clips)) % 2 == 0, "stop", "go")
    clips["sex"] = np.where(clips["speaker"].str[-1].astype(int) % 2 == 0, "f", "m")
    clips.to_csv(folder / "clips.csv", index=False)
    (folder / "new-recordings").mkdir()
    for name in clips["file"][:2]:
        shutil.copy(folder / name, folder / "new-recordings")
    SPEECH["whisper"].load(folder / "speech")
    write_whisper(folder / "whisper", multilingual=False)


def prepare_commands(stage: Path) -> dict[str, str]:
    """Write the commands that stand in for ``rft`` and ``pip``; return the environment that finds them."""
    folder = stage / ".bin"
    folder.mkdir()
    for name, script in (("rft", SHIM), ("pip", PIP)):
        (folder / name).write_text(script.format(python=sys.executable, stage=stage), encoding="utf-8")
        (folder / name).chmod(0o755)
    return os.environ | {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(stage / ".site"), str(ROOT)]),
        "RFT_KEY_PASSPHRASE": "a passphrase",
    }


def run_snippet(snippet: Snippet, stage: Path, environment: dict[str, str]) -> list[str]:
    """Run a block in the folder of its page; return what went wrong.

    A block that is a file is written. One for a shell is run; one of Python behind those before it, as in a notebook.
    """
    text = snippet.text
    for wanted, stand_in in SUBSTITUTES:
        text = text.replace(wanted, stand_in)
    if snippet.file is not None:
        (stage / snippet.file).parent.mkdir(exist_ok=True)
        (stage / snippet.file).write_text(text, encoding="utf-8")
    elif snippet.language == "python":
        with (stage / "session.py").open("a", encoding="utf-8") as session:
            session.write(text)
        return _run([sys.executable, "session.py"], stage, environment)
    elif snippet.language == "sh":
        return _run_script(text, stage, environment)
    return []


def _run_script(text: str, stage: Path, environment: dict[str, str]) -> list[str]:
    problems = _run(["bash", "-c", TRAP + text], stage, environment, codes={0, 1, 3})
    problems += _take_lines(stage / "errors.txt")
    for line in _take_lines(stage / "codes.txt"):
        command, code = line.split()
        problems += [] if int(code) in VERDICTS.get(command, {0}) else [f"rft {line}"]
    return problems


def _take_lines(file: Path) -> list[str]:
    """Return the lines of a file, and remove it."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return lines


def _run(command: list[str], stage: Path, environment: dict[str, str], codes: Collection[int] = (0,)) -> list[str]:
    done = subprocess.run(command, cwd=stage, env=environment, capture_output=True, text=True, check=False)
    failed = done.returncode not in codes or "Traceback" in done.stderr
    return [f"exit code {done.returncode}: {done.stderr[-1500:]}"] if failed else []
