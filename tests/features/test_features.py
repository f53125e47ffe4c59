from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_pictures
from torch import nn

from rft.backbones import Prefix
from rft.config import DataConfig
from rft.data import Inputs, read
from rft.data.images import Preprocessing
from rft.errors import ConfigError, OutputError
from rft.features import Features, Store
from rft.features.extract import choose_device, choose_precision, extract, store_key

PLAIN = Preprocessing(resize=40, crop=32, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3)


class Counting(nn.Module):
    """Counts the pictures it sees and can fail after some of them."""

    def __init__(self, fail_after: int | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 5, stride=4)
        self.seen, self.fail_after = 0, fail_after

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        self.seen += len(pixels)
        if self.fail_after is not None and self.seen > self.fail_after:
            raise KeyboardInterrupt
        return self.conv(pixels).mean(dim=(2, 3))


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    write_pictures(tmp_path / "data")
    settings = DataConfig(manifest="data/pictures.csv", image="file", label="colour", split="split")
    return Inputs(read(settings, tmp_path, 0).splits, PLAIN, 10**7)


def run(prefix: Prefix, inputs: Inputs, folder: Path, split: str = "train", key: str = "k") -> torch.Tensor:
    return extract(prefix, inputs, inputs.splits[split], Store(folder, key), device="cpu", precision="float32")


def test_features_are_those_of_a_plain_forward_in_row_order(inputs: Inputs, tmp_path: Path) -> None:
    prefix = Prefix(Counting(), (0.5,) * 3, (0.5,) * 3)
    found = run(prefix, inputs, tmp_path / "store")
    with torch.no_grad():
        expected = prefix(inputs.batch("train", range(20)))["features"]
    assert torch.allclose(found, expected, atol=1e-6)
    rows = torch.tensor([3, 1, 3])
    assert torch.equal(Features(found).batch(rows)["features"], found[rows])


def test_a_second_run_computes_nothing(inputs: Inputs, tmp_path: Path) -> None:
    prefix = Prefix(Counting(), (0.5,) * 3, (0.5,) * 3)
    first = run(prefix, inputs, tmp_path / "store")
    assert prefix.backbone.seen == 20
    assert torch.equal(run(prefix, inputs, tmp_path / "store"), first)
    assert prefix.backbone.seen == 20
    run(prefix, inputs, tmp_path / "store", key="another prefix")
    assert prefix.backbone.seen == 40


def test_an_interrupted_extraction_goes_on(inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rft.features.extract.BATCH", 4)
    monkeypatch.setattr("rft.features.extract.SHARD_ROWS", 8)
    prefix = Prefix(Counting(fail_after=12), (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(KeyboardInterrupt):
        run(prefix, inputs, tmp_path / "store")
    assert not list((tmp_path / "store").rglob("*.partial"))
    prefix.backbone.fail_after, prefix.backbone.seen = None, 0
    resumed = run(prefix, inputs, tmp_path / "store")
    assert prefix.backbone.seen == 12  # eight of twenty were kept
    assert torch.allclose(resumed, run(prefix, inputs, tmp_path / "fresh"), atol=1e-6)


def test_a_damaged_shard_is_noticed_and_made_again(inputs: Inputs, tmp_path: Path) -> None:
    prefix = Prefix(Counting(), (0.5,) * 3, (0.5,) * 3)
    first = run(prefix, inputs, tmp_path / "store")
    (shard,) = (tmp_path / "store").rglob("*.safetensors")
    content = bytearray(shard.read_bytes())
    content[-3] ^= 0xFF  # a flipped payload byte, which safetensors accepts
    shard.write_bytes(bytes(content))
    with pytest.warns(UserWarning, match="damaged"):
        again = run(prefix, inputs, tmp_path / "store")
    assert torch.equal(again, first)


def test_equal_pictures_are_computed_once(inputs: Inputs, tmp_path: Path) -> None:
    split = inputs.splits["train"]
    same = replace(split, digests=np.array([split.digests[0]] * len(split), dtype=object))
    prefix = Prefix(Counting(), (0.5,) * 3, (0.5,) * 3)
    found = run(prefix, replace(inputs, splits={"train": same}), tmp_path / "store")
    assert found.shape == (20, 4)
    assert prefix.backbone.seen == 1


def test_features_are_for_their_owner_only(inputs: Inputs, tmp_path: Path) -> None:
    run(Prefix(Counting(), (0.5,) * 3, (0.5,) * 3), inputs, tmp_path / "store")
    (shard,) = (tmp_path / "store").rglob("*.safetensors")
    assert shard.parent.stat().st_mode & 0o077 == 0


def test_the_key_follows_weights_preprocessing_and_precision() -> None:
    prefix = Prefix(Counting(), (0.5,) * 3, (0.5,) * 3)
    keys = {store_key(prefix, {"crop": 32}, "float32"), store_key(prefix, {"crop": 64}, "float32")}
    keys.add(store_key(prefix, {"crop": 32}, "bfloat16"))
    with torch.no_grad():
        prefix.backbone.conv.bias[0] += 1
    keys.add(store_key(prefix, {"crop": 32}, "float32"))
    assert len(keys) == 4


def test_features_can_train_a_head(inputs: Inputs, tmp_path: Path) -> None:
    found = run(Prefix(Counting(), (0.5,) * 3, (0.5,) * 3), inputs, tmp_path / "store")
    head = nn.Linear(4, 2)
    head(found).sum().backward()  # raises for tensors made under inference_mode
    assert head.weight.grad is not None


def test_a_full_disk_is_an_error_for_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rft.features.store.os.fsync", full)
    with pytest.raises(OutputError, match="cannot keep features: No space left on device"):
        Store(tmp_path, "k").write(np.array(["00" * 32]), np.zeros((1, 2), np.float32))
    assert not list(tmp_path.rglob("*.*"))


def test_devices_and_precisions_are_chosen_or_refused() -> None:
    assert choose_device("cpu") == "cpu"
    assert choose_device(None) in ("cuda", "mps", "cpu")
    with pytest.raises(ConfigError, match="unknown device 'gpu'"):
        choose_device("gpu")
    assert choose_precision("float32", "cpu") == "float32"
    assert choose_precision("auto", "cpu") in ("float32", "bfloat16")
    assert choose_precision("auto", "mps") == "float32"
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="has no cuda"):
            choose_device("cuda:0")


def test_bfloat16_stays_near_float32(inputs: Inputs, tmp_path: Path) -> None:
    prefix = Prefix(Counting(), (0.5,) * 3, (0.5,) * 3)
    full = run(prefix, inputs, tmp_path / "a")
    reduced = extract(
        prefix, inputs, inputs.splits["train"], Store(tmp_path / "b", "k"), device="cpu", precision="bfloat16"
    )
    assert reduced.dtype == torch.float32
    assert torch.allclose(reduced, full, atol=0.02)
    assert not torch.equal(reduced, full)
