"""A step of DP-SGD against a naive float64 version, and the bound on what one unit can change."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import privacy_cases as cases
import pytest
import torch
from opacus.grad_sample import GradSampleModule
from opacus.optimizers import DPOptimizer
from torch import Tensor, nn

from rft.backbones.classifier import new_head
from rft.plugins.privacy import dp_sgd, self_test
from rft.plugins.privacy.engines import Engine, Functorch, Hooks, OneByOne


def flat(state: dict[str, Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in state.values()])


class Stepper:
    """A head and its optimizer: plain SGD with learning rate 1, so that a step moves by minus the noised gradient."""

    def __init__(self, *, noise_multiplier: float = 0.0, divisor: float = 5.0, norm: float = 0.7) -> None:
        self.head = new_head(6, 3, False, 1).train()
        self.engine = Hooks(self.head)
        self.optimizer = torch.optim.SGD(self.head.parameters(), lr=1.0)
        self.gaussian = dp_sgd.Gaussian(np.random.default_rng(7), noise_multiplier, norm, divisor)

    def step(
        self, features: Tensor, labels: Tensor, units: Tensor | None = None, rows_at_once: int = 1000
    ) -> tuple[Tensor, int]:
        """Return how far one step moved, and how many gradients were not finite."""
        before = flat(self.head.state_dict()).clone()
        owners = np.arange(len(labels)) if units is None else units.numpy()
        groups = [
            [
                dp_sgd.Part({"features": features[part]}, labels[part], None if units is None else units[part])
                for part in map(torch.from_numpy, group)
            ]
            for group in dp_sgd.pack(owners, rows_at_once)
        ]
        non_finite = dp_sgd.step(self.engine, self.optimizer, groups, self.gaussian)
        return flat(self.head.state_dict()) - before, non_finite


def naive(features: Tensor, labels: Tensor, units: Tensor, *, norm: float, divisor: float) -> Tensor:
    """Return minus the clipped and divided gradient, one example at a time in float64."""
    head = new_head(6, 3, False, 1).double()
    sums: dict[int, Tensor] = {}
    for row, label, unit in zip(features.double(), labels, units.tolist(), strict=True):
        loss = nn.functional.cross_entropy(head({"features": row[None]}), label[None])
        gradient = torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(head.parameters()))])
        sums[unit] = sums.get(unit, torch.zeros_like(gradient)) + gradient
    clipped = [gradient * min(1.0, norm / float(gradient.norm())) for gradient in sums.values()]
    return -sum(clipped, torch.zeros(21, dtype=torch.float64)) / divisor


def batch(n: int = 12, seed: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scale = torch.linspace(0.05, 3, n)[:, None]  # some gradients are clipped, some are not
    return torch.randn(n, 6, generator=generator) * scale, torch.randint(0, 3, (n,), generator=generator)


@pytest.mark.parametrize("by_person", [False, True])
def test_a_step_is_the_clipped_sum_over_the_divisor(by_person: bool) -> None:
    features, labels = batch()
    units = torch.tensor([0, 0, 0, 1, 1, 5, 6, 6, 6, 6, 9, 9]) if by_person else torch.arange(12)
    moved, _ = Stepper().step(features, labels, units if by_person else None)
    assert torch.allclose(moved.double(), naive(features, labels, units, norm=0.7, divisor=5.0), atol=1e-6)


def test_noise_is_added_to_the_sum_and_divided_with_it() -> None:
    features, labels = batch()
    moved, _ = Stepper(noise_multiplier=1.5).step(features, labels)
    rng = np.random.default_rng(7)
    noise = np.concatenate([rng.normal(0, 1.5 * 0.7, size=shape).ravel() for shape in ((3, 6), (3,))])
    expected = naive(features, labels, torch.arange(12), norm=0.7, divisor=5.0) - torch.from_numpy(noise) / 5.0
    assert torch.allclose(moved.double(), expected, atol=1e-6)


def test_one_person_moves_a_step_by_the_clipping_norm_at_most() -> None:
    features, labels = torch.full((50, 6), 4.0), torch.zeros(50, dtype=torch.long)
    together, _ = Stepper().step(features, labels, torch.zeros(50, dtype=torch.long))
    apart, _ = Stepper().step(features, labels)
    assert float(together.norm()) <= 0.7 / 5.0 * (1 + 1e-6)
    assert float(apart.norm()) > 10 * 0.7 / 5.0  # rows clipped one by one would not bound the person


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("by_person", [False, True])
def test_a_row_that_is_not_finite_counts_as_zero_and_is_counted(bad: float, by_person: bool) -> None:
    features, labels = batch()
    units = torch.arange(12) // 2 if by_person else None
    spoilt = features.clone()
    spoilt[4, 2] = bad
    moved, non_finite = Stepper().step(spoilt, labels, units)
    kept = [row for row in range(12) if row != 4]
    expected, _ = Stepper().step(features[kept], labels[kept], None if units is None else units[kept])
    assert non_finite == 1
    assert torch.allclose(moved, expected, atol=1e-6)


def test_a_persons_sum_that_overflows_poisons_nothing() -> None:
    features, labels = torch.full((6, 6), 1.5e38), torch.tensor([0, 0, 0, 0, 0, 1])
    features[5] = 1.0
    spoilt, alone = Stepper(), Stepper()
    for stepper in (spoilt, alone):
        nn.init.zeros_(stepper.head.linear.weight)
    moved, non_finite = spoilt.step(features, labels, torch.tensor([0, 0, 0, 0, 0, 1]))
    expected, _ = alone.step(features[5:], labels[5:])
    assert non_finite == 0
    assert torch.allclose(moved, expected, atol=1e-6)


def test_an_empty_batch_is_a_step_of_fresh_noise() -> None:
    stepper = Stepper(noise_multiplier=2.0)
    nobody = torch.empty(0, 6), torch.empty(0, dtype=torch.long)
    moves = torch.stack([stepper.step(*nobody)[0] for _ in range(400)])
    assert moves.std() == pytest.approx(2.0 * 0.7 / 5.0, rel=0.03)
    assert len(moves.unique(dim=0)) == 400


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_a_step_is_that_of_opacus() -> None:
    features, labels = batch()
    head = new_head(6, 3, False, 1).train()
    model = GradSampleModule(head, loss_reduction="sum")
    optimizer = DPOptimizer(
        torch.optim.SGD(head.parameters(), lr=1.0), noise_multiplier=0.0, max_grad_norm=0.7, expected_batch_size=5
    )
    before = flat(head.state_dict()).clone()
    nn.functional.cross_entropy(model({"features": features}), labels, reduction="sum").backward()
    optimizer.step()
    moved, _ = Stepper().step(features, labels)
    assert torch.allclose(moved, flat(head.state_dict()) - before, atol=1e-6)


@pytest.mark.parametrize("rows_at_once", [1, 2, 3, 5, 11])
@pytest.mark.parametrize("by_person", [False, True])
def test_what_does_not_fit_is_run_in_parts_with_the_same_result(rows_at_once: int, by_person: bool) -> None:
    features, labels = batch()
    features[4, 2] = math.nan
    units = torch.tensor([0, 1, 0, 1, 0, 5, 6, 5, 6, 6, 6, 9]) if by_person else None
    whole, count = Stepper(noise_multiplier=1.0).step(features, labels, units)
    in_parts, count_in_parts = Stepper(noise_multiplier=1.0).step(features, labels, units, rows_at_once)
    assert torch.allclose(in_parts, whole, atol=1e-6)
    assert count == count_in_parts == 1


def test_packing_keeps_units_whole_and_parts_small() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        owners = rng.integers(0, rng.integers(1, 12), size=rng.integers(0, 40))
        limit = int(rng.integers(1, 12))
        groups = list(dp_sgd.pack(owners, limit))
        assert sorted(np.concatenate([part for group in groups for part in group] or [[]])) == list(range(len(owners)))
        assert all(0 < len(part) <= limit for group in groups for part in group)
        people = [{int(owner) for part in group for owner in owners[part]} for group in groups]
        assert sum(map(len, people)) == len(set(owners.tolist()))  # nobody is in two groups
        assert all(len(group) == 1 or len(who) == 1 for group, who in zip(groups, people, strict=True))


SENSITIVE: list[tuple[Callable[[], nn.Module], Callable[..., cases.Batch], type[Engine]]] = [
    (cases.cnn, cases.maps, Hooks),
    (cases.resnet, cases.maps, Functorch),
    (cases.Odd, cases.vectors, Functorch),
    (cases.gpt, cases.texts, Hooks),
    (cases.bert, cases.texts, OneByOne),
]


@pytest.mark.parametrize(("build", "data", "engine"), SENSITIVE, ids=[build.__name__ for build, _, _ in SENSITIVE])
@pytest.mark.parametrize("rows_at_once", [100, 3])
def test_without_one_unit_the_sum_changes_by_the_clipping_norm_at_most(
    build: Callable[[], nn.Module], data: Callable[..., cases.Batch], engine: type[Engine], rows_at_once: int
) -> None:
    """The claim that the proof rests on, for units of one to five rows, the longest texts' owner among them."""
    everything, labels = data(), torch.arange(12) % cases.CLASSES
    if "features" in everything:
        everything["features"] *= torch.logspace(-1, 1, 12).reshape(-1, *[1] * (everything["features"].dim() - 1))
    units = np.array([0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 4])
    suffix = self_test._calm(cases.seeded(build)(0).train())
    running, norm = engine(suffix), 0.3

    def clipped_sum(kept: np.ndarray) -> Tensor:
        parameters = [parameter.detach().clone() for parameter in running.parameters]
        groups = [
            [
                dp_sgd.Part(trimmed(everything, kept[part]), labels[kept[part]], torch.from_numpy(units[kept[part]]))
                for part in group
            ]
            for group in dp_sgd.pack(units[kept], rows_at_once)
        ]
        optimizer = torch.optim.SGD(running.parameters, lr=0.0)
        dp_sgd.step(running, optimizer, groups, dp_sgd.Gaussian(np.random.default_rng(0), 0.0, norm, 1.0))
        assert all(torch.equal(a, b) for a, b in zip(parameters, running.parameters, strict=True))
        return torch.cat([parameter.grad.flatten() for parameter in running.parameters])

    total = clipped_sum(np.arange(12))
    changes = [float((total - clipped_sum(np.flatnonzero(units != unit))).norm()) for unit in range(5)]
    assert max(changes) <= norm * (1 + 1e-5)
    assert max(changes) > 0.99 * norm  # some are clipped, or the bound would show nothing


def trimmed(everything: cases.Batch, rows: np.ndarray) -> cases.Batch:
    """Return rows as they would be read: padded to the longest text among them."""
    taken = {name: column[torch.from_numpy(rows)] for name, column in everything.items()}
    if "attention_mask" not in taken:
        return taken
    longest = int(taken["attention_mask"].sum(1).max())
    return {name: column[:, :longest] for name, column in taken.items()}
