"""Gradients of single utterances in closed form: against one at a time, Opacus, and what clipping promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("opacus")
from rft.backbones.recognizer import FrameHead
from rft.plugins.privacy.training.gradients.engine_selection import select_engine
from rft.plugins.privacy.training.gradients.engine_stepper import HeldBatch
from rft.plugins.privacy.training.gradients.engines import Batch, ClosedForm, Functorch, Hooks, OneByOne
from rft.plugins.privacy.training.trainer import DPTrainer
from rft.training import Job, Recipe, Task
from rft.training.objectives import CTC

RECIPE = Recipe(2, "adamw", 0.01, 0.0, 0.0, 4)


def make_head(seed: int = 0, *, row_norm: bool = True) -> FrameHead:
    torch.manual_seed(seed)
    return FrameHead(6, 5, row_norm=row_norm)


def make_utterances(n: int = 8, dtype: torch.dtype = torch.float32) -> tuple[Batch, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    mask = (torch.arange(12) < torch.randint(6, 13, (n, 1), generator=random)).long()
    features = torch.randn(n, 12, 6, generator=random, dtype=dtype) * mask[..., None]
    labels = torch.randint(0, 5, (n, 3), generator=random).sort(dim=1, descending=True).values
    return {"features": features, "attention_mask": mask}, labels


def make_task(n: int = 24) -> Task:
    batch, labels = make_utterances(n)
    units = np.array([f"speaker {number // 2}" for number in range(n)])
    return Task(HeldBatch(batch, 1), labels, units, make_head, RECIPE, objective=CTC)


@pytest.mark.parametrize("row_norm", [True, False])
def test_closed_form_is_one_by_one_and_opacus(row_norm: bool) -> None:
    batch, labels = make_utterances(dtype=torch.float64)
    heads = [make_head(row_norm=row_norm).double() for _ in range(3)]
    closed = ClosedForm(heads[0], CTC).example_gradients(batch, labels)
    exact = OneByOne(heads[1], CTC).example_gradients(batch, labels)
    hooks = Hooks(heads[2], CTC).example_gradients(batch, labels)
    for ours, one_by_one, opacus in zip(closed, exact, hooks, strict=True):
        assert torch.allclose(ours, one_by_one, rtol=1e-9, atol=1e-11)
        assert torch.allclose(ours, opacus, rtol=1e-9, atol=1e-11)


def test_functorch_cannot_map_this_loss() -> None:
    batch, labels = make_utterances()
    with pytest.raises((RuntimeError, ValueError)):
        Functorch(make_head(), CTC).example_gradients(batch, labels)


def test_closed_form_is_chosen_for_this_head_alone() -> None:
    assert select_engine(make_task()).name == "closed form"
    with pytest.raises(TypeError, match="each vector"):
        ClosedForm(nn.Linear(3, 2), CTC)


def test_each_speaker_adds_at_most_the_clipping_norm_and_training_spends_what_was_promised() -> None:
    trainer = DPTrainer(epsilon=8.0, randomness="seeded", max_grad_norm=0.5)
    (fit,) = trainer.fit(make_task(), [Job(0)])
    facts = fit.require_privacy()
    assert facts.epsilon <= 8
    assert facts.unit == "unit"
    assert facts.n == 12
    assert facts.engine.name == "closed form"
    assert {row["outcome"] for row in facts.self_test} == {"passed"}
    assert {"clipping", "gradients", "not a number"} <= {row["check"] for row in facts.self_test}
    assert set(fit.state) == {"linear.weight", "linear.bias"}
