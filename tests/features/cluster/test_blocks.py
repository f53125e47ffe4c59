"""What an actor does, without a cluster: blocks travel as bytes, and their shards are those of one process."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from rft.data.file_source import EmbeddedFile
from rft.errors import ConfigError, OutputError
from rft.features import Store
from rft.features.cluster.block_extractor import (
    ClusterJob,
    HeldBytes,
    _prepare_job,
    build_block,
    name_software,
    run_block,
)
from rft.features.cluster.ray_extraction import count_actors
from rft.features.extract import Extraction, extract_features, missing_rows, row_digests
from rft.runtime.float32 import ieee_float32
from rft.runtime.remote.urls import Url
from tests.support.features_cases import Colours, Embedding, Images, Texts, split_of

COLOURS = [float(number) for number in range(600)]
LENGTHS = [int(length) for length in np.random.default_rng(0).permutation(400) + 1]


def shards_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.safetensors")}


@pytest.mark.parametrize(
    ("prefix", "inputs", "items", "views"),
    [(Colours, Images, COLOURS, 1), (Embedding, Texts, LENGTHS, 1), (Colours, Images, COLOURS[:200], 3)],
)
def test_blocks_give_the_shards_of_one_process(
    tmp_path: Path, prefix: type, inputs: type, items: list, views: int
) -> None:
    split = split_of(items)
    with ieee_float32():
        extract_features(
            prefix(), inputs(), split, Store(tmp_path / "one", "k"), device="cpu", precision="float32", views=views
        )
    work = Extraction(prefix(), inputs(), split.items, views, "cpu", "float32")
    digests = row_digests(inputs(), split, views)
    ordered = work.order_by_cost(missing_rows(digests, {}))
    bare = Extraction(prefix(), inputs(), (), views, "cpu", "float32")
    job = ClusterJob(
        *({"train": bare}, {"train": ordered.costs}, {"train": ordered.usual}),
        *(Store(tmp_path / "blocks", "k"), None, "float32", None, 1, name_software()),
    )
    for start in reversed(range(0, len(ordered.rows), 256)):  # whatever the order is
        share = range(start, min(start + 256, len(ordered.rows)))
        block = pickle.loads(pickle.dumps(build_block(work, digests, ordered, "train", share)))
        run_block(pickle.loads(pickle.dumps(job)), block)
    assert len(shards_in(tmp_path / "blocks")) == -(-len(ordered.rows) // 256)
    assert shards_in(tmp_path / "blocks") == shards_in(tmp_path / "one")


def test_what_lies_within_a_table_comes_along() -> None:
    items = [EmbeddedFile("a.parquet, row 1", HeldBytes(b"content"), 0), Path("relative.png")]
    split = split_of(items)
    work = Extraction(Colours(), Images(), split.items, 1, "cpu", "float32")
    ordered = work.order_by_cost(np.arange(2))
    block = pickle.loads(pickle.dumps(build_block(work, split.digests, ordered, "train", range(2))))
    assert block.items[0].read_bytes() == b"content"
    assert block.items[1] == Path.cwd() / "relative.png"


def job_of(store: Store, mark: Path | None, software: str | None = None) -> ClusterJob:
    return ClusterJob({}, {}, {}, store, mark, "float32", None, 1, software or name_software())


def test_a_machine_that_does_not_see_the_folder_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not see what this one writes") as refused:
        _prepare_job(job_of(Store(tmp_path, "k"), tmp_path / "absent"))
    assert "features.store" in str(refused.value)
    (tmp_path / "mark").touch()
    assert _prepare_job(job_of(Store(tmp_path, "k"), tmp_path / "mark")).store.folder == tmp_path


def test_a_machine_of_a_shared_store_has_a_cache_of_its_own(tmp_path: Path, own_cache: Path) -> None:
    prepared = _prepare_job(job_of(Store(tmp_path, "k", Url("s3", "bucket/rft")), None))
    assert prepared.store == Store(own_cache, "k", Url("s3", "bucket/rft"))


def test_a_machine_with_other_versions_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a machine of the cluster has rft .*, and this one rft 0\.0\.1"):
        _prepare_job(job_of(Store(tmp_path, "k"), None, "rft 0.0.1"))


@pytest.mark.parametrize(
    ("resources", "wanted", "accelerated", "count"),
    [
        ({"CPU": 8.0}, None, False, 7),
        ({"CPU": 8.0}, 7, False, 7),
        ({"CPU": 8.0, "GPU": 2.0}, None, True, 2),
        ({"CPU": 2.0, "GPU": 4.0}, None, True, 1),
    ],
)
def test_actors_are_counted(resources: dict[str, float], wanted: int | None, accelerated: bool, count: int) -> None:
    assert count_actors(resources, wanted, accelerated=accelerated) == count


@pytest.mark.parametrize(
    ("resources", "wanted", "accelerated", "said"),
    [
        ({"CPU": 4.0}, 4, False, "has 4 CPUs, and 4 actors take a CPU each beside 1 CPU that hands out the data"),
        ({"CPU": 1.0}, None, False, "has 1 CPUs, and 1 actors"),
        ({}, 1, False, "has 0 CPUs"),
        ({"CPU": 8.0}, None, True, "has 8 CPUs and 0 GPUs, and 1 actors take a CPU and a GPU each"),
        ({"CPU": 8.0, "GPU": 1.0}, 2, True, "has 8 CPUs and 1 GPUs, and 2 actors"),
    ],
)
def test_a_cluster_that_is_too_small_is_refused(
    resources: dict[str, float], wanted: int | None, accelerated: bool, said: str
) -> None:
    """Ray itself would wait for ever, without a word."""
    with pytest.raises(ConfigError, match=r"features\.actors") as refused:
        count_actors(resources, wanted, accelerated=accelerated)
    assert said in str(refused.value)
