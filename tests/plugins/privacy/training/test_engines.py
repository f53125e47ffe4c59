"""Gradients of single examples: exact for every kind of trained part, or refused. Never silently wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rft.errors import ConfigError
from rft.plugins.privacy.training.gradients import engine_selection
from rft.plugins.privacy.training.gradients.engine_selection import build_network as built_by
from rft.plugins.privacy.training.gradients.engine_selection import (
    eval_untrained_modules,
    select_engine,
    with_perturbed_parameters,
)
from rft.plugins.privacy.training.gradients.engines import Engine, Functorch, Hooks, OneByOne
from tests.support import privacy_cases as cases

Build = Callable[[], nn.Module]

KINDS: list[tuple[Build, Callable[[], cases.Batch], type[Engine]]] = [
    (cases.cnn, cases.maps, Hooks),
    (cases.resnet, cases.maps, Functorch),  # trained layers with buffers
    (cases.resnet_with_frozen_norms, cases.maps, Hooks),
    (cases.convnext, cases.maps, Functorch),  # channels_last inside
    (cases.bert, cases.texts, OneByOne),  # positions shared by the batch, and a mask that is looked at
    (cases.bert_without_positions, cases.texts, Hooks),
    (cases.gpt, cases.texts, Hooks),
    (cases.lora, cases.texts, Hooks),
    (cases.Tied, cases.vectors, Hooks),
    (cases.Odd, cases.vectors, Functorch),
    (cases.Idle, cases.vectors, Hooks),
]
IDS = [build.__name__ for build, _, _ in KINDS]


def relative_error(gradients: list[Tensor], exact: list[Tensor]) -> float:
    """Return the largest error of an example's gradient, relative to its length."""
    apart = [a.double().flatten(1) - b.flatten(1) for a, b in zip(flat_rows(gradients), flat_rows(exact), strict=True)]
    return float(
        (torch.cat(apart, 1).norm(dim=1) / torch.cat([b.flatten(1) for b in flat_rows(exact)], 1).norm(dim=1)).max()
    )


def flat_rows(gradients: list[Tensor]) -> list[Tensor]:
    return [gradient.reshape(len(gradient), -1) for gradient in gradients]


@pytest.mark.parametrize(("build", "data", "engine"), KINDS, ids=IDS)
def test_the_chosen_engine_is_exact(build: Build, data: Callable[[], cases.Batch], engine: type[Engine]) -> None:
    """On other examples, and other weights, than those of the self-test."""
    task = cases.task(cases.seeded(build), data())
    choice = select_engine(task)
    assert choice.engine is engine
    suffix = eval_untrained_modules(with_perturbed_parameters(built_by(task, 5)))
    exact = cases.gradients_one_by_one(suffix, cases.columns_of(task), task.labels)
    running = choice.engine(suffix)
    for _ in range(2):
        assert relative_error(running.example_gradients(cases.columns_of(task), task.labels), exact) < 1e-5
    assert choice.error < 1e-4


def test_a_batch_that_follows_a_larger_one_knows_nothing_of_it() -> None:
    """Opacus keeps the input of a layer that the loss does not need, and pairs it with a later batch."""
    suffix, batch = cases.Idle().train(), cases.vectors()
    few = {"features": batch["features"][:3]}
    exact = cases.gradients_one_by_one(suffix, few, torch.arange(3))
    engine = Hooks(suffix)
    engine.example_gradients(batch, torch.zeros(12, dtype=torch.long))
    assert not hasattr(suffix.unused, "activations")
    gradients = engine.example_gradients(few, torch.arange(3))
    assert relative_error(gradients, exact) < 1e-6
    assert not gradients[0].any()
    assert gradients[0].shape == (3, 4, 8)
    engine.close()
    assert not hasattr(suffix.head.weight, "grad_sample")


def test_hooks_are_wrong_for_channels_last_and_are_passed_over() -> None:
    task = cases.task(cases.seeded(cases.convnext), cases.maps())
    suffix = eval_untrained_modules(with_perturbed_parameters(built_by(task, 0)))
    exact = cases.gradients_one_by_one(suffix, cases.columns_of(task), task.labels)
    assert relative_error(Hooks(suffix).example_gradients(cases.columns_of(task), task.labels), exact) > 0.1
    assert "relative error" in select_engine(task).rejected_engines["hooks"]


def test_a_layer_scale_near_zero_does_not_hide_a_wrong_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    task = cases.task(cases.seeded(lambda: cases.OnFeatures(cases.ScaledBranch(), *cases.pooled_to(8))), cases.maps())
    assert select_engine(task).engine is Functorch
    monkeypatch.setattr(engine_selection, "with_perturbed_parameters", lambda suffix: suffix)
    assert select_engine(task).engine is Hooks


def test_weights_laid_out_channels_last_are_put_right() -> None:
    def channels_last_cnn(seed: int) -> nn.Module:
        return cases.seeded(cases.cnn)(seed).to(memory_format=torch.channels_last)

    task = cases.task(channels_last_cnn, cases.maps())
    assert select_engine(task).engine is Hooks
    wrong = Hooks(eval_untrained_modules(channels_last_cnn(0).train()))
    exact = cases.gradients_one_by_one(channels_last_cnn(0).eval(), cases.columns_of(task), task.labels)
    assert relative_error(wrong.example_gradients(cases.columns_of(task), task.labels), exact) > 0.1


class Centred(nn.Module):
    """Looks at the whole batch, without a layer that says so."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 3)

    def forward(self, batch: cases.Batch) -> Tensor:
        return self.head(batch["features"] - batch["features"].mean(0))


class CentredInTraining(nn.Module):
    """Does so in training mode only, in a layer without parameters, with dropout beside it."""

    class Centre(nn.Module):
        def forward(self, features: Tensor) -> Tensor:
            return features - features.mean(0) if self.training else features

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(self.Centre(), nn.Dropout(0.1), nn.Linear(8, 3))

    def forward(self, batch: cases.Batch) -> Tensor:
        return self.layers(batch["features"])


class Unmasked(nn.Module):
    """Averages over the padding too, so that a longer text in the batch changes what a shorter one gives."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(40, 16), nn.Linear(16, 3)

    def forward(self, batch: cases.Batch) -> Tensor:
        return self.head(self.words(batch["input_ids"]).mean(1))


class Noisy(nn.Linear):
    """Random in a way that no mode switches off."""

    def __init__(self) -> None:
        super().__init__(8, 3)

    def forward(self, batch: cases.Batch) -> Tensor:  # type: ignore[override]  # a suffix takes columns
        return super().forward(batch["features"] + torch.randn_like(batch["features"]))


def normed(norm: nn.Module) -> Build:
    return lambda: cases.OnFeatures(nn.Conv2d(8, 8, 1), norm, *cases.pooled_to(8))


@pytest.mark.parametrize(
    ("build", "data", "words"),
    [
        (normed(nn.BatchNorm2d(8)), cases.maps, "layers.1 .BatchNorm2d. mixes the examples"),
        (normed(nn.BatchNorm2d(8).requires_grad_(False)), cases.maps, "layers.1 .BatchNorm2d. mixes"),
        (
            normed(nn.BatchNorm2d(8, affine=False, track_running_stats=False)),
            cases.maps,
            "layers.1 .BatchNorm2d. mixes",
        ),
        (normed(nn.InstanceNorm2d(8, track_running_stats=True)), cases.maps, "moves the buffer layers.1.running_mean"),
        (Centred, cases.vectors, "it mixes the examples"),
        (CentredInTraining, cases.vectors, "it mixes the examples"),
        (Unmasked, cases.texts, "it mixes the examples"),
        (Noisy, cases.vectors, "random even without dropout"),
        (lambda: cases.OnFeatures(nn.Linear(8, 3)).bfloat16(), cases.vectors, "layers.0.weight is held in bfloat16"),
        (lambda: cases.OnFeatures(nn.Linear(8, 3)).requires_grad_(False), cases.vectors, "no trainable parameters"),
    ],
)
def test_what_cannot_be_trained_privately_is_refused(build: Build, data: Callable[[], cases.Batch], words: str) -> None:
    network = build()
    with pytest.raises(ConfigError, match=words) as refused:
        select_engine(cases.task(lambda _seed: copy.deepcopy(network), data()))
    assert "private_cases" not in str(refused.value)
    assert refused.value.remedy or "no trainable" in words


def test_the_remedy_for_batchnorm_says_what_helps() -> None:
    with pytest.raises(ConfigError, match="LayerNorm or GroupNorm") as refused:
        select_engine(cases.task(cases.seeded(normed(nn.BatchNorm2d(8))), cases.maps()))
    assert "adapters alone does not help" in str(refused.value)


def test_nothing_but_the_shape_of_private_data_counts() -> None:
    build = cases.seeded(cases.cnn)
    usual = select_engine(cases.task(build, cases.maps()))
    assert select_engine(cases.task(build, {"features": torch.full((3, 8, 6, 6), torch.nan)})) == usual
    texts = {name: torch.full_like(column, 10**6) for name, column in cases.texts().items()}  # no such tokens
    assert select_engine(cases.task(cases.seeded(cases.lora), texts)).engine is Hooks


def test_choosing_leaves_the_random_state_and_the_parts_it_was_given() -> None:
    state, task = torch.get_rng_state(), cases.task(cases.seeded(cases.cnn), cases.maps())
    assert select_engine(task) == select_engine(task)
    assert torch.equal(torch.get_rng_state(), state)
    first, again = task.new_suffix(0), task.new_suffix(0)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


def test_an_engine_that_fails_only_with_dropout_is_passed_over() -> None:
    """Changing a layer's output in place breaks hooks, and dropout does so in training mode only."""
    build = cases.seeded(lambda: cases.OnFeatures(nn.Linear(8, 8), nn.Dropout(0.5, inplace=True), nn.Linear(8, 3)))
    choice = select_engine(cases.task(build, cases.vectors()))
    assert choice.engine is Functorch
    assert "inplace" in choice.rejected_engines["hooks"]
