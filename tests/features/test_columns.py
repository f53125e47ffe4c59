import numpy as np
import pytest
import torch

from rft.features import Dense, Features, Lazy, Sharded
from rft.features.shards import Shard
from tests.support.features_cases import Images, as_dense


def test_dense_rows_are_copies_and_views_lie_beside_each_other() -> None:
    tensor = torch.arange(12.0).view(6, 2)  # three examples, two views of each
    features: Features = Dense(tensor, views=2)
    assert len(features) == 3
    assert features.batch([2, 0])["features"].tolist() == [[8, 9], [0, 1]]
    assert features.batch(np.array([2, 0, 1]), torch.tensor([1, 1, 0]))["features"].tolist() == [
        [10, 11],
        [2, 3],
        [4, 5],
    ]
    assert as_dense(features).dense.tolist() == [[0, 1], [4, 5], [8, 9]]
    features.batch(torch.tensor([0]))["features"].zero_()
    assert tensor[0].tolist() == [0, 1]
    assert Dense(tensor).dense.data_ptr() == tensor.data_ptr()  # no second copy of all features


def test_a_view_that_does_not_exist_is_no_other_row() -> None:
    features = Dense(torch.zeros(6, 2), views=2)
    for view in (2, -1):
        with pytest.raises(IndexError, match="from 0 to 1"):
            features.batch([0], [view])


def test_rows_of_many_shards_come_in_the_order_asked_for() -> None:
    stored = np.random.default_rng(0).normal(size=(50, 2, 3)).astype(np.float16)
    shards = [Shard(torch.from_numpy(stored[start : start + 20]), None) for start in (0, 20, 40)]
    shuffled = np.random.default_rng(1).permutation(50)
    features = Sharded(shards, np.stack([shuffled // 20, shuffled % 20], axis=1))
    rows = [7, 49, 7, 0, 31]
    batch = features.batch(rows)["features"]
    assert batch.dtype == torch.float32
    assert np.array_equal(batch.numpy(), stored[shuffled[rows]].astype(np.float32))
    assert features.batch([])["features"].shape == (0, 2, 3)


def test_ragged_rows_are_padded_with_zeros_on_the_right() -> None:
    lengths = [3, 1, 4]
    rows = [np.full((length, 2), number + 1, np.float32) for number, length in enumerate(lengths)]
    shard = Shard(torch.from_numpy(np.concatenate(rows)), np.array(lengths))
    features = Sharded([shard], np.array([[0, 0], [0, 1], [0, 2]]))
    batch = features.batch([1, 0])
    assert batch["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1]]
    assert batch["attention_mask"].dtype == torch.int64
    assert batch["features"][..., 0].tolist() == [[2, 0, 0], [1, 1, 1]]
    batch["features"].zero_()
    assert features.batch([0])["features"][0, 0].tolist() == [1, 1]


def test_lazy_features_are_the_inputs() -> None:
    features: Features = Lazy(Images(), "train", 5, views=2)
    assert len(features) == 5
    assert features.batch([3])["pixels"].item() == 3
    assert features.batch([3], [1])["pixels"].item() == 103
