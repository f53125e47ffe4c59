"""Where memory runs out, fewer rows are run at once, and what comes out is what it would have been."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rft.backbones.batch import Batch
from rft.pipeline.targets.prediction_table import predict_probabilities
from rft.plugins.attribution.network import Network
from rft.plugins.privacy.training.gradients.engines import OneByOne
from rft.runtime.devices.fitting_batches import FittingSize, map_batches
from rft.training import Job, Task, linear_heads
from rft.training.loop import StandardTrainer
from tests.plugins.privacy.training.test_engine_stepper import network_steps
from tests.support import privacy_cases as cases
from tests.support import step_cases as given
from tests.support.step_cases import head_task

MPS = "MPS backend out of memory (MPS allocated: 8 GB)"


class Crowded(nn.Module):
    """A network that finds room for ``most`` rows at once, and otherwise says so as MPS does, after it has begun."""

    def __init__(self, network: nn.Module, most: int, *, seen: list[int]) -> None:
        super().__init__()
        self.network, self.most, self.seen = network, most, seen

    def forward(self, batch: Batch) -> Tensor:
        rows = len(next(iter(batch.values())))
        output = self.network(batch)
        if rows > self.most:
            raise RuntimeError(MPS)
        self.seen.append(rows)
        return output


def crowded(task: Task, most: int, seen: list[int]) -> Task:
    fresh = task.new_suffix
    return replace(task, new_suffix=lambda seed: Crowded(fresh(seed), most, seen=seen))


def test_rows_are_halved_and_stay_few() -> None:
    tried: list[int] = []

    def run(rows: np.ndarray) -> list[int]:
        tried.append(len(rows))
        if len(rows) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return rows.tolist()

    parts = list(map_batches(run, 10, 8))
    assert [row for _, part in parts for row in part] == list(range(10))
    assert tried == [8, 4, 2, 2, 2, 2, 2]
    assert [rows.tolist() for rows, _ in parts] == [part for _, part in parts]
    assert [rows.tolist() for rows, _ in map_batches(run, 0, 8)] == [[]]


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), torch.OutOfMemoryError("CUDA out of memory")])
def test_other_errors_and_a_row_that_is_too_much_are_raised(error: Exception) -> None:
    def run(rows: np.ndarray) -> None:
        raise error

    with pytest.raises(type(error), match=str(error)):
        list(map_batches(run, 1, 8))


def test_scores_are_the_same_in_fewer_rows() -> None:
    task, seen = head_task(n=40), list[int]()
    fits = StandardTrainer().fit(task, [Job(1)])
    (wanted,) = linear_heads.compute_logits(task, fits, task.features)
    suffix = task.new_suffix(0)
    suffix.load_state_dict(fits[0].state)
    named = [replace(fit, state={f"network.{name}": value for name, value in fit.state.items()}) for fit in fits]
    (got,) = linear_heads.compute_logits(crowded(task, 7, seen), named, task.features)
    assert np.allclose(got, wanted, atol=1e-6)
    few = Crowded(suffix, 7, seen=seen)
    probabilities = predict_probabilities(few, {"train": task.features}, "cpu", "train")
    assert np.allclose(probabilities, torch.tensor(wanted).softmax(1).numpy(), atol=1e-6)
    few.eval()
    logits = Network(few, "cpu").logits(task.features.batch(range(40)))
    assert np.allclose(logits.numpy(), wanted, atol=1e-6)
    assert max(seen) <= 7


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 1.0, 2.0])])
def test_a_batch_that_is_trained_in_parts_gives_the_same_weights(weights: Tensor | None) -> None:
    task, seen = head_task(n=50, class_weights=weights), list[int]()
    task = replace(task, recipe=replace(task.recipe, batch_size=20, epochs=3))
    (wanted,) = StandardTrainer().fit(task, [Job(1)])
    (got,) = StandardTrainer().fit(crowded(task, 6, seen), [Job(1)])
    for name, value in wanted.state.items():
        assert torch.allclose(got.state[f"network.{name}"], value, atol=1e-6)
    assert [row["loss"] for row in got.log] == pytest.approx([row["loss"] for row in wanted.log], rel=1e-6)
    assert max(seen) <= 6


class WithBatchNorm(nn.Module):
    def __init__(self, _seed: int) -> None:
        super().__init__()
        self.norm, self.linear = nn.BatchNorm1d(6), nn.Linear(6, cases.CLASSES)

    def forward(self, batch: Batch) -> Tensor:
        return self.linear(self.norm(batch["features"]))


def test_a_batch_whose_examples_depend_on_each_other_is_not_split() -> None:
    task = replace(head_task(n=40), new_suffix=WithBatchNorm)
    with pytest.raises(RuntimeError, match="MPS backend out of memory"):
        StandardTrainer().fit(crowded(task, 3, []), [Job(1)])


def test_a_private_step_in_smaller_parts_adds_up_the_same_sample() -> None:
    """The noise is drawn once, after the sum is there, and the sample is never another one."""
    task = head_task(n=12)
    whole = network_steps(task, OneByOne)
    sample = given.sample(range(12))
    wanted, _ = whole._clipped_sums(sample)
    steps = network_steps(task, OneByOne)
    right, tried = steps.engine.example_gradients, list[int]()

    def run_out(batch: Batch, labels: Tensor) -> list[Tensor]:
        tried.append(len(labels))
        gradients = right(batch, labels)
        if len(labels) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return gradients

    steps.engine.example_gradients = run_out
    drawn: list[tuple[int, ...]] = []
    source = type(steps.gaussian.source)
    draw = source.draw_normals

    def count_draws(self: object, *shape: int) -> np.ndarray:
        drawn.append(shape)
        return draw(self, *shape)

    steps = replace(steps, size=FittingSize(8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "draw_normals", count_draws)
        steps.set_gradient(sample)
    sums, _ = steps._clipped_sums(sample)
    for total, expected in zip(sums, wanted, strict=True):
        assert torch.allclose(total, expected, atol=1e-6)
    assert len(drawn) == 1
    assert steps.rows_at_once <= 2 < max(tried)


def test_as_many_networks_lie_on_a_device_as_find_room(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Linear(1000, 1000)
    monkeypatch.setattr(linear_heads, "MAX_NETWORK_BYTES", 3 * sum(p.numel() * 4 for p in network.parameters()))
    count = linear_heads._count_together
    assert count(network) == 3
    assert count(head_task().new_suffix(0)) == linear_heads.FITS_AT_ONCE
    monkeypatch.setattr(linear_heads, "MAX_NETWORK_BYTES", 1)
    assert count(network) == 1
