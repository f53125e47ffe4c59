"""Small generated data: images whose colour gives the class, enough for a head on a random backbone to learn."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rft.runtime.allocator import keep_freed_memory

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does, before torch is imported
# Processes side by side share the cores: with all of them for each, small matrices wait for each other.
CORES_OF_A_PROCESS = max(1, (os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
os.environ.setdefault("OMP_NUM_THREADS", str(CORES_OF_A_PROCESS))
keep_freed_memory()  # as an audit does, for tests of its parts


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", help="cuda, cuda:1 or mps: where tests/gpu run; on the CPU without it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--device") is None:
        skip = pytest.mark.skip(reason="needs an accelerator: --device cuda")
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(skip)


@pytest.fixture
def device(request: pytest.FixtureRequest) -> str:
    """Return the device that ``--device`` names, else ``cpu``."""
    return request.config.getoption("--device") or "cpu"


@pytest.fixture(autouse=True, scope="session")
def nothing_of_the_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep what fixtures of whole modules write out of the user's own folders; give their state folder."""
    state = tmp_path_factory.mktemp("shared-state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RFT_CACHE", str(tmp_path_factory.mktemp("shared-cache")))
        patch.setenv("RFT_STATE", str(state))
        yield state


@pytest.fixture(scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the caches of single tests lie: to number them, pytest would look through all folders each time."""
    return tmp_path_factory.mktemp("caches")


@pytest.fixture(autouse=True)
def own_cache(caches: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the features and the ledgers of each test to itself."""
    folder = Path(tempfile.mkdtemp(dir=caches))
    monkeypatch.setenv("RFT_CACHE", str(folder))
    monkeypatch.setenv("RFT_STATE", str(folder / "state"))
    return folder


@pytest.fixture
def shared_keys(own_cache: Path, nothing_of_the_users: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test find the keys of the runs that fixtures of its whole module wrote."""
    monkeypatch.setenv("RFT_STATE", str(nothing_of_the_users))


def write_images(folder: Path, n: int = 40, side: int = 40, seed: int = 0) -> pd.DataFrame:
    """Write ``n`` noisy red or blue images, two of each person, and ``images.csv``; return the table."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(n):
        label = ("red", "blue")[number % 2]
        pixels = rng.integers(0, 120, (side, side, 3))
        pixels[..., 0 if label == "red" else 2] += 100
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:03}.png")
        person = number // 2
        rows.append(
            {
                "file": f"{number:03}.png",
                "colour": label,
                "person": f"{person:03}",
                "camera": ("left", "right")[person % 2],
                "split": "train" if number < n // 2 else "test",
            }
        )
    table = pd.DataFrame(rows)
    table.to_csv(folder / "images.csv", index=False)
    return table


CONFIG = """\
name = "tiny"
seed = 0

[data]
manifest = "data/images.csv"
image = "file"
label = "colour"
positive = "red"
groups = ["camera"]
unit = "person"
split = "split"

[model]
backbone = "torchvision/resnet18"
weights = "random"
image_size = 32
precision = "float32"

[train]
epochs = 5
optimizer = "adamw"
learning_rate = 0.01
batch_size = 8
"""
# Tables that ask for every plugin, to stand behind CONFIG.
AUDITS = """
[fairness]
[privacy]
shadows = 4
[attribution]
samples = 4
[[attribution.shortcut]]
name = "corner"
region = [0.0, 0.0, 0.2, 0.2]
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Return the path of an ``audit.toml`` with its data beside it."""
    write_images(tmp_path / "data")
    path = tmp_path / "audit.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return path
