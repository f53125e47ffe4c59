"""A seed for a while: what is drawn follows from it, and the random state of every device is what it was."""

from __future__ import annotations

import secrets

import pytest
import torch

from rft.runtime.devices.random_state import seeded_torch
from rft.training import Job
from rft.training.loop import StandardTrainer
from tests.support.pretended_device import pretend_device
from tests.support.step_cases import head_task


def test_torch_is_seeded_inside_and_left_as_it_was() -> None:
    before = torch.get_rng_state()
    with seeded_torch(3):
        inside = torch.rand(4)
    with seeded_torch(3):
        assert torch.equal(torch.rand(4), inside)
    with seeded_torch(secrets.randbits(63)):
        assert not torch.equal(torch.rand(4), inside)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_the_device_that_draws_is_seeded_and_given_back(kind: str) -> None:
    with pretend_device(kind) as (generator,):
        before = generator.get_state()
        with seeded_torch(3, kind):
            inside = generator.get_state()
        with seeded_torch(3, kind):
            assert torch.equal(generator.get_state(), inside)
        assert not torch.equal(inside, before)
        assert torch.equal(generator.get_state(), before)


def test_a_training_touches_no_device_that_it_does_not_use() -> None:
    """``torch.manual_seed`` would have reseeded them all."""
    with pretend_device("cuda", count=2) as generators:
        before = [generator.get_state() for generator in generators]
        seen: list[torch.Tensor] = []
        with seeded_torch(3, "cuda:1"):
            seen = [generator.get_state() for generator in generators]
        assert torch.equal(seen[0], before[0])
        assert not torch.equal(seen[1], before[1])
        for device in ("cpu", "cuda:1"):
            StandardTrainer().fit(head_task(device=device), [Job(1)])
            assert all(torch.equal(now.get_state(), then) for now, then in zip(generators, before, strict=True))
