"""Two splits as one: rows come from the right part, in the order asked for."""

import numpy as np
import pytest
import torch

from rft.features import Dense, Features, Lazy, Sharded
from rft.features.columns import Joined, join_features
from rft.features.shards import Shard
from tests.support.features_cases import Images


def ragged_features(lengths: list[int], start: float) -> Sharded:
    rows = [np.full((length, 2), start + number, np.float32) for number, length in enumerate(lengths)]
    places = np.array([[0, number] for number in range(len(lengths))])
    return Sharded([Shard(torch.from_numpy(np.concatenate(rows)), np.array(lengths))], places)


def test_parts_in_memory_are_joined_in_memory() -> None:
    first, second = Dense(torch.arange(8.0).view(4, 2), views=2), Dense(-torch.arange(4.0).view(2, 2), views=2)
    joined = join_features([first, second])
    assert isinstance(joined, Dense)
    assert (len(joined), joined.views) == (3, 2)
    assert joined.batch([2, 0], [1, 0])["features"].tolist() == [[-2, -3], [0, 1]]


def test_rows_of_parts_come_in_the_order_asked_for() -> None:
    parts = Dense(torch.arange(10.0).view(5, 2)), Dense(torch.arange(6.0).view(3, 2) + 100)
    whole: Features = Joined(parts)
    rows = [7, 0, 5, 4, 0]
    expected = torch.cat([part.tensor for part in parts])[rows]
    for asked in (rows, np.array(rows), torch.tensor(rows)):
        assert torch.equal(whole.batch(asked)["features"], expected)
    assert len(whole) == 8
    assert whole.batch([])["features"].shape == (0, 2)
    assert whole.batch([6])["features"].tolist() == [[102, 103]]
    with pytest.raises(IndexError):
        whole.batch([8])


def test_rows_of_unequal_length_are_padded_to_the_longest_of_both_parts() -> None:
    joined = join_features([ragged_features([2, 1], 1.0), ragged_features([4], 5.0)])
    assert isinstance(joined, Joined)
    batch = joined.batch([2, 1, 0])
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]]
    assert batch["features"][..., 0].tolist() == [[5, 5, 5, 5], [2, 0, 0, 0], [1, 1, 0, 0]]
    batch["features"].zero_()
    assert joined.batch([2])["features"][0, 0].tolist() == [5, 5]


def test_inputs_are_read_from_the_split_they_stand_in() -> None:
    images = Images()
    joined = join_features([Lazy(images, "train", 3), Lazy(images, "test", 2)])
    assert len(joined) == 5
    batch = joined.batch([3, 1])
    assert torch.equal(batch["pixels"][1], images.batch("train", [1])["pixels"][0])
    assert torch.equal(batch["pixels"][0], images.batch("test", [0])["pixels"][0])


def test_parts_with_other_views_are_refused() -> None:
    with pytest.raises(ValueError, match="equally many views"):
        join_features([Dense(torch.zeros(4, 2), views=2), Dense(torch.zeros(4, 2))])
