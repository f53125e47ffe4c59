from collections.abc import Iterator

import numpy as np
import pytest
import torch

from rft.errors import ConfigError
from rft.features import Store
from rft.features.batches import BatchSizer, MemoryBound, run_all
from rft.features.extract import extract_features
from rft.runtime import memory
from tests.support.features_cases import Colours, Embedding, Images, Texts, as_dense, split_of

MB = 10**6


def extract_to(prefix: torch.nn.Module, inputs: object, items: list, folder: object) -> None:
    extract_features(prefix, inputs, split_of(items), Store(folder, "k"), device="cpu", precision="float32")


def test_batches_of_images_double_up_to_the_usual_size(tmp_path: object) -> None:
    prefix = Colours()
    extract_to(prefix, Images(), list(range(200)), tmp_path)
    assert prefix.batches == [1] * 3 + [2] * 3 + [4] * 3 + [8] * 3 + [16] * 3 + [32] * 3 + [11]


def test_batches_of_texts_are_sorted_and_bounded_in_tokens(tmp_path: object) -> None:
    prefix = Embedding()
    extract_to(prefix, Texts(), [int(length) for length in np.random.default_rng(0).permutation(400) + 1], tmp_path)
    lengths = [length for _, length in prefix.shapes]
    assert lengths == sorted(lengths, reverse=True)
    assert prefix.shapes[0] == (1, 400)
    sizes = [rows * length for rows, length in prefix.shapes]
    assert 4000 < max(sizes) <= 4096


def test_a_batch_that_does_not_fit_the_device_is_tried_again_at_half(tmp_path: object) -> None:
    prefix = Colours(most=5)
    items = list(range(60))
    features = extract_features(
        prefix, Images(), split_of(items), Store(tmp_path, "k"), device="cpu", precision="float32"
    )
    assert as_dense(features).tensor[:, 0].tolist() == items
    assert prefix.seen == 60  # nothing is run twice
    assert prefix.batches[9:] == [4] * 9 + [3]  # 8 did not fit


def test_a_device_without_room_for_one_example_is_named(tmp_path: object) -> None:
    with pytest.raises(ConfigError, match="one example at a time takes more memory than the device has: no room for 1"):
        extract_to(Colours(most=0), Images(), [1, 2], tmp_path)


class Machine:
    """Holds ``base`` bytes, and ``each`` for every example of the batch that runs; keeps ``kept`` of the last."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, base: int, per_example: int, seconds: float = 0.0) -> None:
        self.base, self.each, self.peak = base, per_example, base
        self.sizes: list[int] = []
        self.clock, self.seconds = 0.0, seconds
        monkeypatch.setattr(memory, "resident_bytes", lambda: self.base)
        monkeypatch.setattr(memory.PeakWatch, "peak", lambda watch: self.peak)
        monkeypatch.setattr("rft.features.batches.time.monotonic", lambda: self.clock)

    def run(self, batches: list[np.ndarray]) -> Iterator[int]:
        for batch in batches:
            self.sizes.append(len(batch))
            self.peak = self.base + self.each * len(batch)
            self.clock += 1.0 + self.seconds * len(batch)
            yield len(batch)

    def largest(self, bound: MemoryBound, *, accelerated: bool = False, n: int = 500) -> int:
        for _ in run_all(BatchSizer(np.ones(n, np.int64), 32, bound, accelerated=accelerated), self.run):
            pass
        return max(self.sizes)


@pytest.mark.parametrize(("total", "largest"), [(250, 1), (300, 2), (500, 8), (800, 16), (3000, 32)])
def test_the_size_follows_the_memory_that_is_allowed(monkeypatch: pytest.MonkeyPatch, total: int, largest: int) -> None:
    machine = Machine(monkeypatch, base=200 * MB, per_example=20 * MB)
    assert machine.largest(MemoryBound(total * MB)) == largest
    assert machine.base + largest * machine.each <= 0.9 * total * MB


def test_what_is_reserved_is_not_taken_by_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        Machine(monkeypatch, base=200 * MB, per_example=20 * MB).largest(MemoryBound(1000 * MB, reserved=400 * MB)) == 8
    )


def test_more_memory_than_was_foreseen_makes_batches_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, base=200 * MB, per_example=20 * MB)
    sizes = BatchSizer(np.ones(1000, np.int64), 32, MemoryBound(800 * MB), accelerated=False)
    for number, _ in enumerate(run_all(sizes, machine.run)):
        if number == 30:
            machine.each = 50 * MB  # larger photos from here on
    assert machine.sizes[31] == 16
    assert machine.sizes[-2] == 8


def test_one_example_that_is_too_large_is_an_error_with_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigError, match=r"takes 220 MB with one example at a time, 200 MB of them before .* 210 MB are"
    ):
        Machine(monkeypatch, base=200 * MB, per_example=20 * MB).largest(MemoryBound(210 * MB))
    with pytest.raises(ConfigError, match="200 MB of them before the first; 190 MB are allowed"):
        Machine(monkeypatch, base=200 * MB, per_example=20 * MB).largest(MemoryBound(190 * MB))


def test_only_an_accelerator_goes_on_while_it_gets_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    def machine(seconds: float) -> Machine:
        return Machine(monkeypatch, base=200 * MB, per_example=1 * MB, seconds=seconds)

    assert machine(0.0).largest(MemoryBound(9000 * MB), accelerated=True, n=5000) == 512
    assert (
        machine(0.05).largest(MemoryBound(9000 * MB), accelerated=True, n=5000) == 256
    )  # 2 s at 20, 14 s at 256: little is left
    assert machine(0.0).largest(MemoryBound(9000 * MB)) == 32
