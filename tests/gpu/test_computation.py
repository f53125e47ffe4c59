"""What is computed on a device: float32 is IEEE whatever the process says, noise is normal, gradients are exact.

``pytest tests/gpu --device cuda -m "slow or not slow"`` runs all of it there; without a device it runs on the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torchvision import models

from rft.backbones.batch import Batch
from rft.errors import ConfigError
from rft.features import Dense
from rft.features.extract import choose_device
from rft.plugins.privacy.empirical import mechanism_audit
from rft.plugins.privacy.training.gradients.engine_selection import build_network, select_engine
from rft.plugins.privacy.training.gradients.engines import ENGINES, summed_loss
from rft.plugins.privacy.training.randomness import SecretSource, draw_normals_on
from rft.plugins.privacy.training.trainer import DPTrainer
from rft.runtime.float32 import describe_float32, ieee_float32
from rft.training import Job, Task
from rft.training.loop import StandardTrainer
from tests.support import privacy_cases as cases
from tests.support.step_cases import head_task

BACKENDS: Any = torch.backends
IEEE_ERROR = 1e-5  # relative: TF32 has errors of a thousandth, and another order of sums of a millionth


@pytest.fixture
def tf32() -> Iterator[None]:
    """Let the process compute float32 in TF32 where it can, as ``tf32=True`` of transformers does."""
    before = BACKENDS.fp32_precision
    BACKENDS.fp32_precision = "tf32"
    try:
        yield
    finally:
        BACKENDS.fp32_precision = before


class Deep(nn.Module):
    """Twelve convolutions with GroupNorm, in which the rounding of TF32 adds up."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            layers = [
                nn.Sequential(nn.Conv2d(3 if first else 16, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.ReLU())
                for first in [True] + [False] * 11
            ]
            self.layers, self.head = nn.Sequential(*layers), nn.Linear(16, cases.CLASSES)

    def forward(self, batch: Batch) -> Tensor:
        return self.head(self.layers(batch["features"]).mean((2, 3)))


def deep_task(device: str) -> Task:
    random = torch.Generator().manual_seed(0)
    return replace(
        head_task(n=24), features=Dense(torch.randn(24, 3, 8, 8, generator=random)), new_suffix=Deep, device=device
    )


def private_trainer(**changes: object) -> DPTrainer:
    return DPTrainer(epsilon=8.0, delta=1e-3, charged=False, **changes)


def test_a_deep_network_passes_the_self_test_of_private_training(device: str, tf32: None) -> None:
    (fit,) = private_trainer().fit(deep_task(device), [Job(1)])
    assert fit.require_privacy().self_test  # which raises where a check fails
    assert BACKENDS.fp32_precision == "tf32"


def test_private_heads_pass_the_self_test_of_private_training(device: str, tf32: None) -> None:
    fits = private_trainer().fit(head_task(n=40, dimension=64, device=device), [Job(1), Job(2)])
    assert all(fit.require_privacy().self_test for fit in fits)


def test_a_network_of_convolutions_computes_as_on_the_cpu(device: str, tf32: None) -> None:
    with torch.random.fork_rng(devices=[]), torch.no_grad(), ieee_float32():
        torch.default_generator.manual_seed(0)
        network = models.resnet18().eval()
        images = torch.rand(4, 3, 64, 64)
        wanted = network.double()(images.double())
        got = network.float().to(device)(images.to(device)).cpu().double()
    assert (got - wanted).norm() <= IEEE_ERROR * wanted.norm()


def test_a_setting_that_followed_the_general_one_follows_it_again(tf32: None) -> None:
    with ieee_float32():
        assert set(describe_float32().values()) == {"ieee"}
    assert set(describe_float32().values()) == {"tf32"}
    BACKENDS.fp32_precision = "ieee"
    assert describe_float32()["cuda.matmul"] == "ieee"


@pytest.mark.parametrize("tokens", [6, 24, 48])
def test_gradients_of_single_texts_are_exact_at_the_length_of_training(device: str, tokens: int) -> None:
    """On an accelerator the engine is tried out at that length, where other kernels run."""
    task = replace(attention_task(device), tokens=tokens)
    selection = select_engine(task)
    assert selection.engine is not None
    assert selection.error <= 1e-4


class Attention(nn.Module):
    """Attention over vectors with a mask, and a head on their mean."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.query, self.head = nn.Linear(16, 48), nn.Linear(16, cases.CLASSES)

    def forward(self, batch: Batch) -> Tensor:
        mask = batch["attention_mask"].bool()
        query, key, value = self.query(batch["features"]).chunk(3, dim=-1)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None])
        return self.head((mixed * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))


class Vectors:
    """Features of texts: (B, T, 16) and a mask."""

    views, identity = 1, "made up"

    def __len__(self) -> int:
        return 12

    def batch(self, rows: object, view: object = None) -> Batch:
        count = len(torch.as_tensor(rows))
        return {"features": torch.ones(count, 4, 16), "attention_mask": torch.ones(count, 4, dtype=torch.int64)}


def attention_task(device: str) -> Task:
    return replace(head_task(n=12), features=Vectors(), new_suffix=Attention, device=device)


@pytest.mark.parametrize("engine", ENGINES)
def test_gradients_of_single_examples_are_those_of_float64(device: str, engine: type) -> None:
    task = deep_task(device)
    network = build_network(task, 1)
    random = torch.Generator().manual_seed(1)
    batch = {"features": torch.randn(3, 3, 8, 8, generator=random)}
    labels = torch.arange(3) % cases.CLASSES
    with ieee_float32():
        running = engine(network)
        gradients = running.example_gradients(
            {name: column.to(device) for name, column in batch.items()}, labels.to(device)
        )
        running.close()
    exact = build_network(replace(task, device="cpu"), 1).double()
    for row in range(3):
        loss = summed_loss(exact, {"features": batch["features"][row : row + 1].double()}, labels[row : row + 1])
        for got, wanted in zip(gradients, torch.autograd.grad(loss, list(exact.parameters())), strict=True):
            assert (got[row].cpu().double() - wanted).norm() <= 1e-4 * wanted.norm() + 1e-9


def test_noise_has_the_moments_of_a_normal(device: str) -> None:
    count = 200_000
    place = torch.device(device)
    drawn = draw_normals_on(SecretSource(), place, count)
    assert drawn.dtype == torch.float64
    assert drawn.device.type == ("cpu" if place.type == "mps" else place.type)
    numbers = drawn.cpu().numpy()
    for power, wanted, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((numbers**power).mean() - wanted) < 6.5 * math.sqrt(variance / count)
    assert stats.kstest(numbers, "norm").pvalue > 1e-9
    assert len(np.unique(numbers)) == count


def test_the_mechanism_is_audited_where_it_trained(device: str) -> None:
    facts = cases.private_facts(steps=20, randomness="seeded", noise_multiplier=1.5, sample_rate=0.25)
    trainer = private_trainer()
    got = mechanism_audit.audit_mechanism(trainer, facts, 60, device=device)
    wanted = mechanism_audit.audit_mechanism(trainer, facts, 60)
    assert np.allclose(got.with_canary, wanted.with_canary, atol=1e-3)  # of the same samples and noise
    assert np.allclose(got.without_canary, wanted.without_canary, atol=1e-3)


def test_the_same_seed_gives_the_same_weights_twice(device: str) -> None:
    task = head_task(n=40, device=device)
    first, second = (StandardTrainer().fit(task, [Job(3)])[0].state for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_devices_that_are_not_there_are_refused() -> None:
    for wrong in ("cuda:99", "cpu:", "cpu:1", "mps:1", "cuda:", "gpu"):
        with pytest.raises(ConfigError):
            choose_device(wrong)


@pytest.mark.gpu
def test_the_steps_of_a_head_wait_for_nothing(device: str) -> None:
    """The loop asks the device once an epoch; within it nothing may."""
    if not device.startswith("cuda"):
        pytest.skip("CUDA alone tells of what waits")
    task = head_task(n=400, device=device)
    StandardTrainer().fit(task, [Job(1)])  # libraries are loaded
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with pytest.warns(UserWarning, match="synchronizing") as waited:
            StandardTrainer().fit(task, [Job(1)])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(waited) < 10 * task.recipe.epochs + 20  # and not some for each batch


@pytest.mark.gpu
def test_random_numbers_of_others_stay_as_they_were(device: str) -> None:
    if not device.startswith("cuda"):
        pytest.skip("of CUDA")
    before = [torch.cuda.get_rng_state(number) for number in range(torch.cuda.device_count())]
    StandardTrainer().fit(head_task(n=40, device=device), [Job(1)])
    private_trainer().fit(head_task(n=40, device=device), [Job(1)])
    for number, state in enumerate(before):
        assert torch.equal(torch.cuda.get_rng_state(number), state)
