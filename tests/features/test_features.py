import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from rft.errors import ConfigError
from rft.features import Dense, Sharded, Store
from rft.features.extract import choose_device, choose_precision, extract_features, store_key
from rft.runtime import memory
from tests.support import ROOT
from tests.support.features_cases import Colours, Embedding, Images, Texts, as_dense, split_of

ITEMS = [float(number) for number in range(20)]
LENGTHS = [int(length) for length in np.random.default_rng(0).integers(1, 60, 50)]
CPU = {"device": "cpu", "precision": "float32"}


class Convolution(nn.Module):
    """A module whose parameters have four dimensions, so that their layout can change."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 2).requires_grad_(False)

    def forward(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"features": self.conv(batch["pixels"] / 20).flatten(1)}


def test_features_come_in_the_order_of_the_split(tmp_path: Path) -> None:
    features = extract_features(Colours(), Images(), split_of(ITEMS), Store(tmp_path, "k"), **CPU)
    assert isinstance(features, Dense)
    assert as_dense(features).tensor.dtype == torch.float32
    assert as_dense(features).tensor.tolist() == [[colour, colour**2] for colour in ITEMS]


def test_pooled_texts_come_in_the_order_of_the_split(tmp_path: Path) -> None:
    features = extract_features(Embedding(pooled=True), Texts(), split_of(LENGTHS), Store(tmp_path, "k"), **CPU)
    assert isinstance(features, Dense)
    assert as_dense(features).tensor.tolist() == [[1, 2, 3]] * 50


def test_ragged_features_hold_no_padding_and_come_in_order(tmp_path: Path) -> None:
    features = extract_features(Embedding(), Texts(), split_of(LENGTHS), Store(tmp_path, "k"), **CPU)
    assert isinstance(features, Sharded)
    assert sum(len(shard.values) for shard in features.shards) == sum(set(LENGTHS))
    batch = features.batch([4, 9, 4, 0])
    for row, mask, number in zip(batch["features"], batch["attention_mask"], [4, 9, 4, 0], strict=True):
        length = LENGTHS[number]
        assert mask.tolist() == [1] * length + [0] * (len(mask) - length)
        assert row[:length, 1].tolist() == [2.0 * token for token in range(1, length + 1)]
        assert not row[length:].any()


def test_a_second_run_computes_nothing(tmp_path: Path) -> None:
    prefix = Colours()
    first = extract_features(prefix, Images(), split_of(ITEMS), Store(tmp_path, "k"), **CPU)
    assert prefix.seen == 20
    again = extract_features(prefix, Images(), split_of(ITEMS[::-1]), Store(tmp_path, "k"), **CPU)
    assert torch.equal(as_dense(again).tensor, as_dense(first).tensor.flip(0))
    assert prefix.seen == 20
    extract_features(prefix, Images(), split_of(ITEMS), Store(tmp_path, "another prefix"), **CPU)
    assert prefix.seen == 40


def test_an_interrupted_extraction_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rft.features.store.SHARD_ROWS", 8)
    prefix = Colours(fail_after=12)
    with pytest.raises(KeyboardInterrupt):
        extract_features(prefix, Images(), split_of(ITEMS), Store(tmp_path, "k"), **CPU)
    assert not list(tmp_path.rglob("*.partial"))
    prefix.fail_after, prefix.batches = None, []
    features = extract_features(prefix, Images(), split_of(ITEMS), Store(tmp_path, "k"), **CPU)
    assert prefix.seen == 12  # eight of twenty were kept
    assert as_dense(features).tensor[:, 0].tolist() == ITEMS


KILLED = """
import os, sys
from pathlib import Path
import rft.features.store as store
from tests.support.features_cases import Colours, Images, split_of, as_dense
from rft.features.extract import extract_features

store.SHARD_ROWS = 8
real = os.fsync
writes = []
def killed(descriptor):
    writes.append(real(descriptor))
    if len(writes) == 2:
        os.kill(os.getpid(), 9)  # the second shard is on disk, but not yet under its name
store.os.fsync = killed
items = split_of([float(number) for number in range(20)])
extract_features(Colours(), Images(), items, store.Store(Path(sys.argv[1]), "k"), device="cpu", precision="float32")
"""


def test_a_killed_extraction_keeps_what_was_finished(tmp_path: Path) -> None:
    paths = os.pathsep.join([str(ROOT), *sys.path])
    process = subprocess.run([sys.executable, "-c", KILLED, tmp_path], env={**os.environ, "PYTHONPATH": paths})
    assert process.returncode == -9
    assert len(list(tmp_path.rglob(".*.partial"))) == 1
    prefix = Colours()
    features = extract_features(prefix, Images(), split_of(ITEMS), Store(tmp_path, "k"), **CPU)
    assert prefix.seen == 12
    assert as_dense(features).tensor[:, 0].tolist() == ITEMS


def test_a_damaged_shard_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = extract_features(Colours(), Images(), split_of(ITEMS), Store(tmp_path, "k"), **CPU)
    (shard,) = tmp_path.rglob("*.safetensors")
    content = bytearray(shard.read_bytes())
    content[-3] ^= 0xFF
    shard.write_bytes(bytes(content))
    again = extract_features(Colours(), Images(), split_of(ITEMS), Store(tmp_path, "k"), **CPU)
    assert "are damaged and are made again" in caplog.text
    assert torch.equal(as_dense(again).tensor, as_dense(first).tensor)


def test_equal_items_are_computed_once(tmp_path: Path) -> None:
    prefix = Colours()
    features = extract_features(prefix, Images(), split_of([7.0] * 20), Store(tmp_path, "k"), **CPU)
    assert as_dense(features).tensor.tolist() == [[7, 49]] * 20
    assert prefix.seen == 1


def test_views_lie_beside_each_other_and_share_the_plain_one(tmp_path: Path) -> None:
    prefix = Colours()
    extract_features(prefix, Images(), split_of(ITEMS), Store(tmp_path, "k"), **CPU)
    features = extract_features(prefix, Images(), split_of(ITEMS), Store(tmp_path, "k"), views=3, **CPU)
    assert prefix.seen == 20 + 40
    assert features.views == 3
    assert len(features) == 20
    assert features.batch([5, 5, 5, 6], [0, 1, 2, 1])["features"][:, 0].tolist() == [5, 105, 205, 106]
    assert features.batch([5])["features"][:, 0].tolist() == [5]
    extract_features(prefix, Images(seed=1), split_of(ITEMS), Store(tmp_path, "k"), views=3, **CPU)
    assert prefix.seen == 60 + 40  # views made otherwise are others


def test_float16_takes_half_the_space_and_is_read_as_float32(tmp_path: Path) -> None:
    values = [number + 1 / 3 for number in range(200)]
    stored = {}
    for dtype in ("float32", "float16"):
        features = extract_features(
            Colours(), Images(), split_of(values), Store(tmp_path / dtype, "k"), dtype=dtype, **CPU
        )
        assert features.batch([1])["features"].dtype == torch.float32
        (shard,) = (tmp_path / dtype).rglob("*.safetensors")
        stored[dtype] = shard.stat().st_size
    assert np.array_equal(as_dense(features).tensor[:, 0].numpy(), np.array(values, np.float16).astype(np.float32))
    assert stored["float32"] - stored["float16"] == 200 * 2 * 2


@pytest.mark.parametrize(("prefix", "inputs", "items"), [(Colours(), Images(), ITEMS), (Embedding(), Texts(), LENGTHS)])
def test_mapped_features_are_those_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: nn.Module, inputs: object, items: list
) -> None:
    monkeypatch.setattr("rft.features.store.SHARD_ROWS", 8)
    held = extract_features(prefix, inputs, split_of(items), Store(tmp_path, "k"), **CPU)
    monkeypatch.setattr(memory, "available_bytes", lambda: 100)
    mapped = extract_features(prefix, inputs, split_of(items), Store(tmp_path, "k"), **CPU)
    assert isinstance(mapped, Sharded)
    assert len(mapped.shards) > 2
    rows = torch.randperm(len(items))
    first, second = held.batch(rows), mapped.batch(rows)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name])
    second["features"].zero_()  # a copy, not the file
    assert torch.equal(mapped.batch(rows)["features"], first["features"])


def test_the_layout_of_shared_tensors_comes_back(tmp_path: Path) -> None:
    prefix = Convolution()
    strides = prefix.conv.weight.stride()
    features = extract_features(prefix, Images(), split_of(ITEMS), Store(tmp_path, "k"), **CPU)
    assert prefix.conv.weight.stride() == strides
    head = nn.Linear(8, 2)
    head(as_dense(features).tensor).sum().backward()  # raises for tensors made under inference_mode
    assert head.weight.grad is not None
    assert torch.is_grad_enabled()


class Clip(nn.Module):
    """A network for moving images: it takes one as a film of a single frame."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 4, 1).requires_grad_(False)

    def forward(self, batch: dict) -> dict:
        return {"features": self.conv(batch["pixels"][:, :, None]).flatten(2).mean(dim=2)}


def test_a_network_with_other_than_flat_convolutions_runs(tmp_path: Path) -> None:
    features = extract_features(Clip(), Images(), split_of(ITEMS), Store(tmp_path, "k"), **CPU)
    assert as_dense(features).tensor.shape == (len(ITEMS), 4)


def test_bfloat16_stays_near_float32(tmp_path: Path) -> None:
    torch.manual_seed(0)
    prefix = Convolution()
    full = extract_features(prefix, Images(), split_of(ITEMS), Store(tmp_path / "a", "k"), **CPU)
    reduced = extract_features(
        prefix, Images(), split_of(ITEMS), Store(tmp_path / "b", "k"), device="cpu", precision="bfloat16"
    )
    assert as_dense(reduced).tensor.dtype == torch.float32
    assert torch.allclose(as_dense(reduced).tensor, as_dense(full).tensor, atol=0.02)
    assert not torch.equal(as_dense(reduced).tensor, as_dense(full).tensor)


def test_the_key_follows_all_that_features_depend_on() -> None:
    state = Convolution().state_dict()
    keys = [
        store_key(state, {"crop": 32}, "float32"),
        store_key(state, {"crop": 64}, "float32"),
        store_key(state, {"crop": 32}, "bfloat16"),
        store_key(state, {"crop": 32}, "float32", "float16"),
        store_key({**state, "conv.bias": state["conv.bias"] + 1}, {"crop": 32}, "float32"),
        store_key({f"network.{name}": tensor for name, tensor in state.items()}, {"crop": 32}, "float32"),
    ]
    assert len(set(keys)) == len(keys)
    assert store_key(dict(reversed(state.items())), {"crop": 32}, "float32") == keys[0]


def test_devices_and_precisions_are_chosen_or_refused() -> None:
    assert choose_device("cpu") == "cpu"
    assert choose_device(None) in ("cuda", "mps", "cpu")
    with pytest.raises(ConfigError, match="unknown device 'gpu'"):
        choose_device("gpu")
    assert choose_device("cpu:0") == "cpu"
    for wrong in ("cpu:", "cpu:1", "cuda:x"):
        with pytest.raises(ConfigError, match=wrong):
            choose_device(wrong)
    assert choose_precision("auto") == "float32"  # whatever the hardware
    assert [choose_precision(name) for name in ("float32", "bfloat16", "int8")] == ["float32", "bfloat16", "int8"]
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="has no cuda"):
            choose_device("cuda:0")


def test_a_memory_limit_needs_a_system_that_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "PROC", tmp_path)
    with pytest.raises(ConfigError, match="does not say how much memory"):
        extract_features(Colours(), Images(), split_of(ITEMS), Store(tmp_path, "k"), memory=10**9, **CPU)
    without = extract_features(Colours(), Images(), split_of(ITEMS), Store(tmp_path, "k"), **CPU)
    assert as_dense(without).tensor[:, 0].tolist() == ITEMS
