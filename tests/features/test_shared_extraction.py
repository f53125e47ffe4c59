from pathlib import Path

import numpy as np
import pytest
import torch

from rft.features import Store
from rft.features.batches import BatchSizer, MemoryBound
from rft.features.extract import Extraction, Storage, extract_features, missing_rows, row_digests, store_rows
from rft.features.shared_extraction import share_rows
from tests.support.features_cases import Colours, Embedding, Images, Texts, split_of

COLOURS = [float(number) for number in range(700)]
LENGTHS = [int(length) for length in np.random.default_rng(0).permutation(400) + 1]


def share_extraction(
    prefix: torch.nn.Module, inputs: object, items: list, folder: Path, shares: list[range]
) -> list[list[int]]:
    """Store the shares one after the other, as processes do; return the sizes of the batches of each."""
    sizes = []
    for share in shares:
        split, store = split_of(items), Store(folder, "k")
        work = Extraction(prefix, inputs, split.items, 1, "cpu", "float32")
        digests = row_digests(inputs, split, 1)
        ordered = work.order_by_cost(missing_rows(digests, {}))
        store_rows(work, Storage(store, store.find_rows([]), "float32", None), "Features", digests, ordered, share)
        sizes.append(list(getattr(prefix, "batches", [])))
        prefix.batches = []
    return sizes


def shard_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("prefix", "inputs", "items"),
    [(Colours, Images, COLOURS), (Embedding, Texts, LENGTHS), (lambda: Embedding(pooled=True), Texts, LENGTHS)],
)
def test_shares_give_the_shards_of_one_process(tmp_path: Path, prefix: type, inputs: type, items: list) -> None:
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    extract_features(prefix(), inputs(), split_of(items), Store(whole, "k"), device="cpu", precision="float32")
    share_extraction(prefix(), inputs(), items, shared, [range(256, len(items)), range(256)])
    assert len(shard_names(whole)) == -(-len(items) // 256)
    assert shard_names(shared) == shard_names(whole)


def test_a_later_share_has_the_batches_of_one_process(tmp_path: Path) -> None:
    whole = Colours()
    extract_features(whole, Images(), split_of(COLOURS), Store(tmp_path / "a", "k"), device="cpu", precision="float32")
    first, second = share_extraction(Colours(), Images(), COLOURS, tmp_path / "b", [range(256), range(256, 700)])
    assert [*first, *second[1:]] == whole.batches  # the later one tries whether they fit
    assert second[0] == 4


def test_a_share_begins_small_where_the_usual_batches_do_not_fit() -> None:
    costs = np.ones(700, np.int64)
    sizer = BatchSizer(costs, 32, MemoryBound(2**62), accelerated=False, block=256, share=range(256, 700))
    sizer.follow_plan(cost=4, peak=2**60)
    assert len(sizer.next_batches(256)[0]) == 1
    sizer.follow_plan(cost=4, peak=1)
    assert len(sizer.next_batches(256)[0]) == 32


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_every_row_is_in_one_share(processes: int) -> None:
    costs = [np.ones(1000, np.int64), np.ones(0, np.int64), np.arange(900, 0, -1)]
    shares = share_rows(costs, processes, 256)
    assert len(shares) == processes
    for split, split_costs in enumerate(costs):
        rows = [row for share in shares for row in share[split]]
        assert rows == list(range(len(split_costs)))
        assert all(share[split].start % 256 == 0 for share in shares)


def test_shares_cost_about_the_same() -> None:
    first, second = share_rows([np.arange(5120, 0, -1)], 2, 256)
    costs = np.arange(5120, 0, -1)
    assert len(first[0]) < len(second[0])  # the long ones come first
    assert 0.9 < costs[first[0].start : first[0].stop].sum() / costs[second[0].start : second[0].stop].sum() < 1.1


def test_more_processes_than_blocks_leave_some_without_work() -> None:
    shares = share_rows([np.ones(300, np.int64)], 4, 256)
    assert sorted(len(share[0]) for share in shares) == [0, 0, 44, 256]
