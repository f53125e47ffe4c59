"""Ray on this machine: whole audits on its actors. Starting it takes half a minute on a busy machine."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import CONFIG, write_images
from tests.support import ROOT

pytestmark = pytest.mark.slow
CPUS = 3


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Start Ray with a few pretended CPUs; give its address."""
    ray = pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with pytest.MonkeyPatch.context() as patch:
        # Actors import rft and the tests from here, as the caller does.
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        context = ray.init(num_cpus=CPUS, include_dashboard=False, log_to_driver=False)
        try:
            yield context.address_info["gcs_address"]
        finally:
            ray.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a config with 600 images, which are three blocks."""
    folder = tmp_path_factory.mktemp("ray")
    write_images(folder / "data", 600, side=8)
    (folder / "audit.toml").write_text(CONFIG, encoding="utf-8")
    return folder


def audit(folder: Path, name: str, *lines: str, address: str = "", cache: str = "") -> subprocess.CompletedProcess:
    """Run an audit in a process and a cache of its own."""
    environment = os.environ | {"RFT_CACHE": str(folder / (cache or f"{name}-cache")), "RAY_ADDRESS": address}
    overrides = [part for line in lines for part in ("--set", line)]
    arguments = ["audit", "audit.toml", "--out", name, "--force", "--device", "cpu", *overrides]
    return subprocess.run(
        [sys.executable, "-m", "rft", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )


def shards_of(folder: Path, name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / name).rglob("*.safetensors")}


def test_features_of_actors_are_those_of_one_process(folder: Path, cluster: str) -> None:
    alone = audit(folder, "alone")
    assert alone.returncode == 0, alone.stderr
    done = audit(folder, "actors", "features.engine=ray", "features.actors=2", address=cluster)
    assert done.returncode == 0, done.stderr
    assert shards_of(folder, "actors-cache") == shards_of(folder, "alone-cache")
    assert "Blocks by Ray, 4" in done.stderr
    tables = [pd.read_parquet(folder / name / "predictions.parquet") for name in ("alone", "actors")]
    assert tables[0].equals(tables[1])
    records = [json.loads((folder / name / "audit.json").read_text())["model"] for name in ("alone", "actors")]
    assert records[0]["model_sha256"] == records[1]["model_sha256"]
    again = audit(folder, "actors", "features.engine=ray", address="127.0.0.1:1")  # there is nothing to compute
    assert again.returncode == 0, again.stderr


def test_actors_write_into_a_shared_store(folder: Path, cluster: str) -> None:
    store = f"features.store=file://{folder}/shared"
    done = audit(folder, "through", "features.engine=ray", "features.actors=2", store, address=cluster)
    assert done.returncode == 0, done.stderr
    assert shards_of(folder, "shared") == shards_of(folder, "through-cache") == shards_of(folder, "alone-cache")


def test_a_cluster_that_is_too_small_is_one_line_and_no_silence(folder: Path, cluster: str) -> None:
    done = audit(folder, "small", "features.engine=ray", f"features.actors={CPUS}", address=cluster)
    assert done.returncode == 2
    assert f"features.actors: the cluster has {CPUS} CPUs, and {CPUS} actors take a CPU each" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "small").exists()


def test_what_an_actor_cannot_do_is_one_line(folder: Path, cluster: str) -> None:
    shutil.copytree(folder / "data", folder / "kept")
    damaged = folder / "data" / "300.png"
    damaged.write_bytes(damaged.read_bytes()[:120])  # its header is whole
    try:
        done = audit(folder, "damaged", "features.engine=ray", address=cluster)
    finally:
        shutil.copy(folder / "kept" / "300.png", damaged)
    assert done.returncode == 2
    assert "data/300.png: cannot be read as an image" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("address", "code", "said"),
    [
        ("127.0.0.1:1", 75, "127.0.0.1:1: Ray failed: ConnectionRefusedError: "),
        ("ray://127.0.0.1:1", 2, "RAY_ADDRESS: expected the address of a machine of the cluster"),
    ],
)
def test_a_cluster_that_is_not_there_is_one_line(folder: Path, address: str, code: int, said: str) -> None:
    done = audit(folder, "nowhere", "features.engine=ray", address=address)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
