from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rft.backbones.classifier import Head, new_head
from rft.features import Dense
from rft.features.columns import Joined
from rft.training import Fit, Job, Recipe, Task, trained_state
from rft.training.linear_heads import (
    Heads,
    compute_logits,
    linear_head_vectors,
    shared_gradient,
    softmax_residuals,
    unchanged_tensors,
)
from rft.training.loop import StandardTrainer
from tests.support.features_cases import as_dense

RECIPE = Recipe(epochs=1, optimizer="sgd", learning_rate=0.1, momentum=0.9, weight_decay=0.0, batch_size=8)
WEIGHTS = torch.tensor([0.5, 2.0, 3.0])


def linear_task(n: int = 20, views: int = 1, row_norm: bool = False, **changes: Any) -> Task:
    random = torch.Generator().manual_seed(0)
    features = Dense(torch.randn(n * views, 6, generator=random), views)
    labels = torch.randint(0, 3, (n,), generator=random)
    return replace(Task(features, labels, None, partial(new_head, 6, 3, row_norm), RECIPE), **changes)


class Rectified(Head):
    """A head by its class, and none by what it computes."""

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return super().forward(batch).relu()


def frozen_bias(seed: int) -> Head:
    head = new_head(6, 3, False, seed)
    head.linear.bias.requires_grad_(False)
    return head


@pytest.mark.parametrize(
    "changes",
    [
        {"new_suffix": lambda _seed: Rectified(6, 3)},
        {"new_suffix": frozen_bias},
        {"new_suffix": lambda _seed: nn.Linear(6, 3)},
        {"features": Dense(torch.zeros(20, 6, 2, 2))},
        {"features": Joined((Dense(torch.zeros(10, 6)), Dense(torch.zeros(10, 6))))},
    ],
)
def test_what_is_no_linear_head_on_vectors_in_memory_is_told_apart(changes: dict[str, Any]) -> None:
    assert linear_head_vectors(linear_task()) is not None
    assert linear_head_vectors(replace(linear_task(), **changes)) is None


def test_the_stack_holds_each_head_as_its_seed_makes_it() -> None:
    training_task = linear_task(row_norm=True)
    heads = Heads(training_task, [3, 5, 3])
    assert (heads.weight.shape, heads.bias.shape, len(heads)) == ((3, 3, 6), (3, 3), 3)
    for number, seed in enumerate((3, 5, 3)):
        expected = trained_state(new_head(6, 3, True, seed))
        state = heads.head_state(number)
        assert list(state) == list(expected)
        assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())
        assert heads.build_network(number).row_norm
    heads.head_state(0)["linear.weight"].zero_()
    assert heads.weight[0].any()


@pytest.mark.parametrize("shape", [(7, 4), (2, 5, 4)])
def test_residuals_are_the_gradient_of_cross_entropy(shape: tuple[int, ...]) -> None:
    scores = 5 * torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    scores.requires_grad_(True)
    labels = torch.randint(0, 4, shape[:-1], generator=torch.Generator().manual_seed(2))
    loss = nn.functional.cross_entropy(scores.flatten(0, -2), labels.flatten(), reduction="sum")
    (wanted,) = torch.autograd.grad(loss, scores)
    assert torch.allclose(softmax_residuals(scores.detach(), labels[..., None], -1), wanted)
    turned = softmax_residuals(scores.detach().movedim(-1, 0), labels[None], 0)
    assert torch.allclose(turned.movedim(0, -1), wanted)


@pytest.mark.parametrize("views", [1, 3])
@pytest.mark.parametrize("row_norm", [False, True])
@pytest.mark.parametrize("class_weights", [None, WEIGHTS])
def test_the_shared_gradient_is_that_of_each_heads_mean_loss(
    views: int, row_norm: bool, class_weights: Tensor | None
) -> None:
    """Against autograd in float64, for heads with members of their own; one has none in the batch."""
    training_task = linear_task(views=views, row_norm=row_norm, class_weights=class_weights)
    data, heads = linear_head_vectors(training_task), Heads(training_task, [0, 1, 2, 3])
    assert data is not None
    random = torch.Generator().manual_seed(4)
    rows = torch.randperm(20, generator=random)[:9]
    view = torch.randint(views, (9,), generator=random) if views > 1 else None
    members = torch.rand(9, 4, generator=random) < torch.tensor([1.0, 0.5, 0.0, 0.3])
    gradients = shared_gradient(data, heads, rows, view, members)
    for number in range(4):
        seen = members[:, number]
        head = heads.build_network(number).double()
        stored = training_task.features.batch(rows[seen], None if view is None else view[seen])["features"].double()
        losses = nn.functional.cross_entropy(
            head({"features": stored}), training_task.labels[rows[seen]], reduction="none"
        )
        losses = losses * (1 if class_weights is None else class_weights[training_task.labels[rows[seen]]])
        assert float(gradients[number]) == pytest.approx(float(losses.sum().detach()), rel=1e-5, abs=1e-7)
        mean = losses.sum() / max(1, len(losses))
        wanted = torch.autograd.grad(mean, [head.linear.weight, head.linear.bias])
        for ours, theirs in zip((heads.weight.grad, heads.bias.grad), wanted, strict=True):
            assert torch.allclose(ours[number].double(), theirs, atol=1e-6)


def test_the_label_of_one_example_leaves_the_share_of_others_alone() -> None:
    shares = []
    for label in range(3):
        training_task = linear_task(class_weights=WEIGHTS)
        training_task.labels[1] = label
        data, heads = linear_head_vectors(training_task), Heads(training_task, [0])
        both = []
        for rows in ([0, 1], [1]):
            shared_gradient(data, heads, torch.tensor(rows), None, torch.ones(len(rows), 1, dtype=torch.bool))
            both.append(len(rows) * heads.weight.grad.clone())
        shares.append(both[0] - both[1])
    assert shares[0].abs().max() > 1e-2
    assert torch.allclose(shares[0], shares[1], atol=1e-6)
    assert torch.allclose(shares[0], shares[2], atol=1e-6)


def test_tensors_that_did_not_move_are_counted_by_head() -> None:
    before = [torch.zeros(3, 2, 2), torch.zeros(3, 2)]
    after = [before[0].clone(), before[1].clone()]
    after[0][1, 0, 1], after[0][2], after[1][2, 0] = 1.0, 2.0, 1.0
    assert unchanged_tensors(before, after) == [2, 1, 0]


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 3))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.layers(batch["features"])


@pytest.mark.parametrize("new_suffix", [partial(new_head, 6, 3, True), lambda _seed: Layers()])
def test_logits_are_those_of_each_fit_on_the_plain_views(new_suffix: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In parts of rows, and of fits."""
    training_task = linear_task(n=25, views=2, new_suffix=new_suffix)
    networks = [new_suffix(seed).eval() for seed in range(5)]
    fits = [Fit(trained_state(network)) for network in networks]
    plain = {"features": as_dense(training_task.features).tensor[::2]}
    for rows, together in ((1024, 64), (7, 2)):
        monkeypatch.setattr("rft.training.linear_heads.ROWS_AT_ONCE", rows)
        monkeypatch.setattr("rft.training.linear_heads.FITS_AT_ONCE", together)
        logits = list(compute_logits(training_task, fits, training_task.features))
        assert len(logits) == 5
        for scores, network in zip(logits, networks, strict=True):
            assert (scores.shape, scores.dtype) == ((25, 3), np.float64)
            assert np.allclose(scores, network(plain).detach().numpy(), atol=1e-5)


def test_logits_of_a_class_made_from_a_head_are_its_own() -> None:
    training_task = linear_task(new_suffix=lambda _seed: Rectified(6, 3))
    network = training_task.new_suffix(0)
    (logits,) = compute_logits(training_task, [Fit(trained_state(network))], training_task.features)
    assert (logits >= 0).all()
    assert np.allclose(logits, network(training_task.features.batch(range(20))).detach().numpy(), atol=1e-6)


def test_there_may_be_nothing_to_score() -> None:
    training_task = linear_task()
    fit = StandardTrainer().fit(training_task, [Job(0)])[0]
    assert list(compute_logits(training_task, [], training_task.features)) == []
    (logits,) = compute_logits(training_task, [fit], Dense(torch.zeros(0, 6)))
    assert logits.shape == (0, 3)
