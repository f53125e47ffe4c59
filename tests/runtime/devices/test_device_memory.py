"""What batches take of a device is measured there, and the process beside it does not count."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from rft.backbones.batch import Batch
from rft.errors import ConfigError
from rft.features import Dense, Store
from rft.features.batches import BatchSizer, MemoryBound, run_all
from rft.features.columns import keep_on_device
from rft.features.extract import extract_features
from rft.runtime import memory
from rft.runtime.devices import device_memory
from rft.runtime.devices.placement import place_batch
from tests.support.features_cases import Colours, Images, as_dense, split_of
from tests.support.pretended_device import pretend_device

MB = 10**6


class Accelerator:
    """Holds ``base`` bytes, and ``each`` for every example of the batch that runs."""

    def __init__(self, patch: pytest.MonkeyPatch, *, base: int, each: int) -> None:
        self.base, self.each, self.peak = base, each, base
        self.sizes: list[int] = []
        patch.setattr(torch.cuda, "memory_allocated", lambda device=None: self.base)
        patch.setattr(torch.cuda, "max_memory_allocated", lambda device=None: self.peak)
        patch.setattr(memory, "resident_bytes", lambda: 5000 * MB)  # libraries of the device, above all
        patch.setattr(memory, "peak_bytes", lambda: 5000 * MB)

    def run(self, batches: list[np.ndarray]) -> Iterator[int]:
        for batch in batches:
            self.sizes.append(len(batch))
            self.peak = self.base + self.each * len(batch)
            yield len(batch)


@pytest.mark.parametrize(("total", "largest"), [(250, 1), (300, 2), (500, 8), (800, 16)])
def test_the_size_of_batches_follows_the_memory_of_the_device(
    monkeypatch: pytest.MonkeyPatch, total: int, largest: int
) -> None:
    with pretend_device("cuda"):
        machine = Accelerator(monkeypatch, base=200 * MB, each=20 * MB)
        sizer = BatchSizer(
            np.ones(500, np.int64), 32, MemoryBound(total * MB), accelerated=True, most_rows=16, device="cuda"
        )
        assert sum(size for _, size in run_all(sizer, machine.run)) == 500
    assert max(machine.sizes) == largest
    with pytest.raises(ConfigError, match="5,000 MB with one example"):
        BatchSizer(np.ones(5, np.int64), 32, MemoryBound(total * MB), accelerated=False)


def test_a_bound_on_a_device_needs_no_system_that_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "PROC", tmp_path)
    items = list(range(20))
    with pretend_device("mps"):
        features = extract_features(
            Colours(), Images(), split_of(items), Store(tmp_path, "k"), device="mps", precision="float32", memory=10**9
        )
    assert as_dense(features).tensor[:, 0].tolist() == items


class Weighted(nn.Module):
    """Colours, times one."""

    def __init__(self) -> None:
        super().__init__()
        self.colours, self.one = Colours(), nn.Parameter(torch.ones(()))
        self.places: set[torch.device] = set()

    def forward(self, batch: Batch) -> Batch:
        self.places.add(self.one.device)
        return {name: column * self.one for name, column in self.colours(batch).items()}


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_the_frozen_part_leaves_the_device_when_it_has_run(tmp_path: Path, kind: str) -> None:
    prefix = Weighted()
    with pretend_device(kind):
        extract_features(prefix, Images(), split_of([1, 2, 3]), Store(tmp_path, "k"), device=kind, precision="float32")
        assert prefix.places == {torch.device(kind, 0)}
        assert prefix.one.device == torch.device("cpu")


def test_features_stay_on_the_device_where_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    features = Dense(torch.arange(12.0).view(6, 2))
    assert keep_on_device(features, "cpu") is features
    with pretend_device("cuda"):
        kept = keep_on_device(features, "cuda")
        assert kept.batch([1, 3])["features"].device.type == "cuda"
        assert kept.batch([1, 3])["features"].cpu().tolist() == [[2, 3], [6, 7]]
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (100, 100))
        assert keep_on_device(features, "cuda") is features


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_batches_reach_the_device_from_wherever_they_are(kind: str) -> None:
    with pretend_device(kind):
        here, there = torch.ones(2, 3), torch.ones(2, device=kind)
        placed = place_batch({"here": here, "there": there}, kind)
        assert {column.device.type for column in placed.values()} == {kind}
    assert place_batch({"here": here}, "cpu")["here"] is here


def test_what_is_free_counts_what_torch_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretend_device("cuda"):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (100, 1000))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device=None: 70)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device=None: 30)
        assert device_memory.available_bytes("cuda") == 140
        assert device_memory.held_bytes("cuda") == 30
