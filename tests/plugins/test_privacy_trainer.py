"""Private training: each step against a naive float64 version, and the traps that void a guarantee unseen."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import warnings
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from opacus.grad_sample import GradSampleModule
from pydantic import ValidationError
from torch import Tensor, nn

from rft.backbones.classifier import Head, new_head
from rft.errors import ConfigError, DataError, RftError
from rft.features import Features
from rft.plugins.privacy import Privacy, PrivacyOptions, dp_sgd
from rft.plugins.privacy.randomness import draws
from rft.plugins.privacy.trainer import DPTrainer
from rft.training import Job, Recipe, Task

SGD = Recipe(epochs=4, optimizer="sgd", learning_rate=0.1, momentum=0.9, weight_decay=0.0, batch_size=16)
ADAMW = Recipe(epochs=4, optimizer="adamw", learning_rate=0.01, momentum=0.0, weight_decay=0.01, batch_size=16)


# Calibration takes seconds and is remembered: where the noise does not matter, tests share one mechanism, or ask for an
# epsilon so large that the least noise will do.
SHARED = DPTrainer(3.0, steps=6)
LOOSE = DPTrainer(1e4)


def blobs(n: int = 96, dimension: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    centre = np.random.default_rng(99).normal(size=dimension)
    features = rng.normal(size=(n, dimension)) + np.outer(2 * labels - 1, 2 * centre / np.linalg.norm(centre))
    return torch.tensor(features, dtype=torch.float32), torch.tensor(labels)


def task(n: int = 96, units: np.ndarray | None = None, recipe: Recipe = SGD, **changes: object) -> Task:
    features, labels = blobs(n)
    made = Task(Features(features), labels, units, partial(new_head, features.shape[1], 2, False), recipe)
    return replace(made, **changes)  # type: ignore[arg-type]


LONG = task(n=600, recipe=replace(SGD, epochs=15))


def flat(state: dict[str, Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in state.values()])


class Stepper:
    """A head and its optimizer: plain SGD with learning rate 1, so that a step moves by minus the noised gradient."""

    def __init__(self, *, noise_multiplier: float = 0.0, divisor: float = 5.0, norm: float = 0.7) -> None:
        self.head = new_head(6, 3, False, 1).train()
        self.model = GradSampleModule(self.head, loss_reduction="sum")
        self.optimizer = dp_sgd.NoisyOptimizer(
            torch.optim.SGD(self.head.parameters(), lr=1.0),
            np.random.default_rng(7),
            noise_multiplier=noise_multiplier,
            max_grad_norm=norm,
            divisor=divisor,
        )

    def step(self, features: Tensor, labels: Tensor, units: Tensor | None = None) -> tuple[Tensor, int]:
        """Return how far one step moved, and how many gradients were not finite."""
        before = flat(self.head.state_dict()).clone()
        non_finite = dp_sgd.step(self.model, self.optimizer, {"features": features}, labels, units)
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


def test_a_seed_of_more_than_32_bits_counts_in_full() -> None:
    first, other = draws("seeded", 5), draws("seeded", 5 + 2**32)
    assert not np.array_equal(first.noise.normal(size=8), other.noise.normal(size=8))
    assert not np.array_equal(first.sampling.random(8), draws("seeded", 5).noise.random(8))


def test_secret_randomness_does_not_follow_from_the_seed_of_the_run() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(0)
        np.random.seed(0)
        states += [flat(fit.state) for fit in SHARED.fit(task(), [Job(0), Job(0)])]
    assert all(not torch.equal(a, b) for a, b in pairwise(states))


def test_seeded_randomness_repeats() -> None:
    first, same, other = replace(SHARED, randomness="seeded").fit(task(), [Job(0), Job(0), Job(1)])
    assert torch.equal(flat(first.state), flat(same.state))
    assert not torch.equal(flat(first.state), flat(other.state))
    assert first.facts["randomness"] == "seeded"


def test_parameters_are_fixed_by_public_numbers() -> None:
    facts = DPTrainer(3.0).prepare(LONG)
    assert (facts["n"], facts["sample_rate"], facts["steps"]) == (600, 16 / 600, 562)  # 15 epochs of 37.5 steps
    assert facts["divisor"] == pytest.approx(16)
    assert (facts["delta"], facts["unit"], facts["rows_per_unit_max"]) == (1e-5, "example", 1)
    assert 2.99 < facts["epsilon"] <= 3.0 < facts["epsilon_rdp"]
    json.dumps(facts, allow_nan=False)


def test_delta_and_divisor_by_default() -> None:
    assert replace(LOOSE, steps=1).prepare(task(n=20_000))["delta"] == 1 / 200_000
    one = replace(LOOSE, steps=1).prepare(task(n=49, recipe=replace(SGD, batch_size=1)))
    assert one["divisor"] == pytest.approx(1.0)  # int(N / len(loader)) would give 0
    everyone = LOOSE.prepare(task(n=10))
    assert (everyone["sample_rate"], everyone["steps"], everyone["divisor"]) == (1.0, 4, 10.0)


def test_units_are_counted_sampled_and_clipped_as_one() -> None:
    units = np.repeat([f"{person:02}" for person in range(32)], 3)
    facts = LOOSE.prepare(task(units=units))
    assert (facts["n"], facts["unit"], facts["rows_per_unit_max"]) == (32, "unit", 3)
    assert (facts["sample_rate"], facts["steps"], facts["divisor"]) == (0.5, 8, 16.0)


def test_a_person_is_clipped_as_one_in_training_too() -> None:
    """With everyone sampled and one person owning all rows, the first step is bounded by the norm plus its noise."""
    plain = replace(SGD, learning_rate=1.0, momentum=0.0)
    trainer = DPTrainer(1e4, max_grad_norm=1e-3, sample_rate=1.0, steps=1)
    fit = trainer.fit(task(units=np.full(96, "one"), recipe=plain), [Job(0)])[0]
    step = flat(fit.state) - flat(new_head(8, 2, False, 0).state_dict())
    assert fit.facts["noise_multiplier"] == 0.3
    assert float(step.norm()) < 1e-3 * (1 + 0.3 * 8)  # 18 coordinates of noise; 96 rows apart would reach 96e-3


@pytest.mark.parametrize("missing", [None, ""])
def test_rows_without_a_unit_are_refused(missing: str | None) -> None:
    units = np.array(["a", missing] * 48, dtype=object)
    with pytest.raises(DataError, match="48 of 96 training examples have no unit"):
        DPTrainer(3.0).prepare(task(units=units))


def test_each_unit_is_drawn_by_itself_with_all_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    units = np.repeat(np.arange(40), 2).astype(str)
    seen = watch(monkeypatch)
    replace(LOOSE, sample_rate=0.2, steps=300).fit(task(n=80, units=units), [Job(0)])
    people = [set(units[rows]) for rows in seen]
    assert all(len(rows) == 2 * len(who) for rows, who in zip(seen, people, strict=True))
    sizes = np.array([len(who) for who in people])
    assert sizes.mean() == pytest.approx(8, abs=5 * math.sqrt(40 * 0.16 / 300))
    assert sizes.var() == pytest.approx(40 * 0.16, rel=0.45)  # shuffled batches of a fixed size have none


def test_only_members_are_sampled_and_the_public_numbers_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    features, _ = blobs(96)
    members = np.arange(96) < 40
    features[~torch.from_numpy(members)] = math.nan
    seen = watch(monkeypatch)
    some, everyone = replace(LOOSE, steps=30).fit(task(features=Features(features)), [Job(0, members), Job(0)])
    assert max(int(rows.max()) for rows in seen[:30] if len(rows)) < 40
    assert some.facts["non_finite_gradients"] == 0 < everyone.facts["non_finite_gradients"]
    for name in ("n", "sample_rate", "divisor", "noise_multiplier", "epsilon"):
        assert some.facts[name] == everyone.facts[name]


def watch(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Collect the rows of each step."""
    seen: list[np.ndarray] = []
    read = Features.batch

    def batch(self: Features, rows: Tensor) -> dict[str, Tensor]:
        seen.append(np.asarray(rows))
        return read(self, rows)

    monkeypatch.setattr(Features, "batch", batch)
    return seen


def test_empty_batches_are_taken_and_counted() -> None:
    facts = replace(LOOSE, sample_rate=0.005, steps=60).fit(task(), [Job(0)])[0].facts
    assert 20 < facts["empty_batches"] < 55  # 60 * 0.995^96 = 37
    nobody = SHARED.fit(task(), [Job(0, np.zeros(96, dtype=bool))])[0]
    assert nobody.facts["empty_batches"] == 6
    assert nobody.facts["unmoved"] == 0


@pytest.mark.parametrize("recipe", [SGD, ADAMW])
def test_it_learns_and_returns_the_plain_suffix(recipe: Recipe) -> None:
    fit = DPTrainer(3.0, randomness="seeded").fit(replace(LONG, recipe=replace(recipe, epochs=15)), [Job(0)])[0]
    head = new_head(8, 2, False, 0)
    assert list(fit.state) == list(head.state_dict())
    head.load_state_dict(fit.state)
    features, labels = blobs(2000, seed=1)
    accuracy = float((head({"features": features}).argmax(1) == labels).float().mean())
    assert accuracy > 0.9
    assert fit.facts["unmoved"] == 0
    assert all(tensor.device.type == "cpu" and tensor.isfinite().all() for tensor in fit.state.values())


def test_the_log_holds_public_numbers_alone() -> None:
    fits = [LOOSE.fit(task(n=n), [Job(0)])[0] for n in (96, 96)]
    assert fits[0].log == fits[1].log  # whatever was sampled
    assert fits[0].log == [{"epoch": epoch, "steps": 6 * epoch} for epoch in (1, 2, 3, 4)]


def test_nothing_reaches_the_user_and_torch_stays_as_it_was() -> None:
    state = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SHARED.fit(task(), [Job(0)])
    assert torch.equal(torch.get_rng_state(), state)


def test_small_steps_use_one_thread_and_give_the_others_back(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    step = dp_sgd.step
    monkeypatch.setattr(dp_sgd, "step", lambda *arguments: threads.append(torch.get_num_threads()) or step(*arguments))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        SHARED.fit(task(), [Job(0)])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert threads == [1] * 6


class BiasOnly(Head):
    def __init__(self, seed: int) -> None:
        super().__init__(8, 2)
        self.load_state_dict(new_head(8, 2, False, seed).state_dict())
        self.linear.weight.requires_grad_(False)


def test_only_what_requires_a_gradient_is_trained() -> None:
    fit = SHARED.fit(task(new_suffix=BiasOnly), [Job(4)])[0]
    start = BiasOnly(4).state_dict()
    assert torch.equal(fit.state["linear.weight"], start["linear.weight"])
    assert not torch.equal(fit.state["linear.bias"], start["linear.bias"])
    assert fit.facts["unmoved"] == 0


class Scaled(nn.Module):
    """A trainable parameter outside of the layers that Opacus knows."""

    def __init__(self, _seed: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(8))
        self.linear = nn.Linear(8, 2)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.linear(batch["features"] * self.scale)


class Normalised(Head):
    def __init__(self, _seed: int, *, trainable: bool) -> None:
        super().__init__(8, 2)
        self.norm = nn.BatchNorm1d(8, affine=trainable)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.linear(self.norm(batch["features"]))


@pytest.mark.parametrize(
    ("new_suffix", "reason"),
    [
        (Scaled, "Scaled"),
        (partial(Normalised, trainable=True), "mixes the examples"),
        (partial(Normalised, trainable=False), "mixes the examples"),  # would move its statistics without noise
        (lambda seed: BiasOnly(seed).requires_grad_(False), "no trainable parameters"),
    ],
)
def test_layers_that_cannot_be_trained_privately_are_refused(new_suffix: object, reason: str) -> None:
    refused = task(new_suffix=new_suffix)
    with pytest.raises(ConfigError, match=reason):
        LOOSE.prepare(refused)
    with pytest.raises(ConfigError, match=reason):
        LOOSE.fit(refused, [Job(0)])


def test_weights_that_are_not_finite_are_an_error() -> None:
    with pytest.raises(RftError, match="not finite"):
        replace(LOOSE, max_grad_norm=1e3).fit(task(recipe=replace(SGD, learning_rate=3e38)), [Job(0)])


def test_an_epsilon_out_of_reach_is_refused_before_training() -> None:
    with pytest.raises(ConfigError, match="cannot be reached"):
        DPTrainer(0.001, sample_rate=1.0, steps=100_000).prepare(task())


def test_a_trainer_is_a_value() -> None:
    noise = [replace(SHARED, epsilon=epsilon).prepare(task())["noise_multiplier"] for epsilon in (1e4, 3.0)]
    assert noise[0] < noise[1]


@pytest.mark.parametrize(
    ("key", "value"),
    [(key, value) for key in ("epsilon", "max_grad_norm") for value in (0, -1, math.inf, math.nan, "3", True)]
    + [("delta", value) for value in (0, 1, -1e-5, math.nan, "1e-5")]
    + [("sample_rate", value) for value in (0, 1.01, -0.1, math.nan)]
    + [("steps", value) for value in (0, -1, 2.5, "10")]
    + [("randomness", "public"), ("sigma", 1.0)],
)
def test_bad_options_are_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError) as refused:
        PrivacyOptions.model_validate({"epsilon": 3.0, key: value})
    assert refused.value.errors()[0]["loc"] == (key,)


def test_options_of_training_need_an_epsilon() -> None:
    with pytest.raises(ValidationError, match="delta, steps without epsilon"):
        PrivacyOptions.model_validate({"delta": 1e-5, "steps": 10})


def test_the_plugin_takes_over_training_only_when_asked() -> None:
    assert Privacy().trainer(PrivacyOptions()) is None
    options = PrivacyOptions(epsilon=3, sample_rate=0.5, randomness="seeded")
    assert Privacy().trainer(options) == DPTrainer(3.0, sample_rate=0.5, randomness="seeded")


def test_importing_the_plugin_imports_no_heavy_library() -> None:
    heavy = "{'torch', 'opacus', 'dp_accounting'}"
    code = f"import rft.plugins.privacy, sys; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
