"""The mistakes that people make in private training, planted one after another: each is caught before anything is
trained, in all of 20 repetitions with secret random numbers, and the right mechanism is never accused.

A mistake is planted by writing it into the text of the function where people make it.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from rft.errors import ConfigError, IntegrityError
from rft.plugins.privacy.training import stepper
from rft.plugins.privacy.training.gradients import engine_stepper
from rft.plugins.privacy.training.gradients.engine_selection import EngineSelection, select_engine
from rft.plugins.privacy.training.gradients.engine_stepper import EngineStepper
from rft.plugins.privacy.training.gradients.head_stepper import HeadStepper, UnitExamples
from rft.plugins.privacy.training.mechanism_parameters import MechanismParameters
from rft.plugins.privacy.training.noise import GaussianNoise
from rft.plugins.privacy.training.randomness import random_streams
from rft.plugins.privacy.training.sampling import PoissonSampler, Sample
from rft.plugins.privacy.training.self_test import runner
from rft.plugins.privacy.training.unit_index import unit_of_row
from rft.training import Job, Task
from tests.support import privacy_cases as cases
from tests.support import step_cases as given

REPEATED = pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)])
RIGHT = pytest.mark.parametrize("times", [8, pytest.param(100, marks=pytest.mark.slow)])

PERSONS = np.repeat([f"{person:02}" for person in range(40)], 3)
WEIGHTS = torch.tensor([0.5, 1.0, 3.0])
SIGMAS = [0.8, 0.8, 1.1, 2.0, 6.0]

Plant = Callable[[pytest.MonkeyPatch], None]


def rewrite(owner: Any, name: str, *changes: tuple[str, str], used_in: Any = None) -> Plant:
    """Return what writes mistakes into a function: each (right, wrong) text must be found in it."""

    def plant_bug(monkeypatch: pytest.MonkeyPatch) -> None:
        function = getattr(owner, name)
        text = textwrap.dedent(inspect.getsource(function))
        for right, wrong in changes:
            assert right in text, f"{name} no longer reads {right!r}"
            text = text.replace(right, wrong)
        names = dict(vars(inspect.getmodule(function)))
        exec(compile(f"from __future__ import annotations\n{text}", name, "exec"), names)
        monkeypatch.setattr(used_in or owner, name, names[name])

    return plant_bug


def sample_by(draw: Callable[[PoissonSampler, int], Sample]) -> Plant:
    """Return what samples in another way."""
    return lambda monkeypatch: monkeypatch.setattr(
        PoissonSampler, "draw_sample", lambda self, heads=1: draw(self, heads)
    )


def in_shuffled_batches() -> Callable[[PoissonSampler, int], Sample]:
    """Return what deals all units out in batches of n x rate, anew in each pass, with a smaller one at the end."""
    waiting: dict[int, list[np.ndarray]] = {}

    def draw_in_turn(sampler: PoissonSampler, heads: int) -> Sample:
        size, drawn = round(sampler.n * sampler.rate), []
        for head in range(heads):
            if not waiting.get(head):
                order = np.random.default_rng().permutation(sampler.n)
                waiting[head] = np.split(order, range(size, sampler.n, size))
            drawn.append(waiting[head].pop(0))
        return given.sample(*drawn)

    return draw_in_turn


def of_a_fixed_size(sampler: PoissonSampler, heads: int) -> Sample:
    size = round(sampler.n * sampler.rate)
    return given.sample(*(np.random.default_rng().permutation(sampler.n)[:size] for _ in range(heads)))


RIGHT_DRAW = PoissonSampler.draw_sample


def shared_by_heads(sampler: PoissonSampler, heads: int) -> Sample:
    sample = RIGHT_DRAW(sampler, 1)
    return Sample(np.repeat(sample.units, heads, axis=0), np.repeat(sample.taken, heads, axis=0))


def the_same_again(sampler: PoissonSampler, heads: int) -> Sample:
    return RIGHT_DRAW(PoissonSampler(random_streams("seeded", 5).sampling, sampler.n, sampler.rate), heads)


ON_DEVICE = "draw_normals_on(self.source, totals[0].device, "
NORMALS = f"{ON_DEVICE}len(self.noise_multipliers), sum(sizes))"
SCALE = "scale = self.noise_multipliers[:, None] * self.max_grad_norm"
COUNTED = "counters.non_finite_gradients += stepper.set_gradient(sample)"
NOISED = "self.gaussian.add_noise("
ADDED = "(total + part.view_as(total))"
OF_EMPTY, OF_EXAMPLES, FRESH = "noise of an empty sample", "noise of made-up examples", "fresh noise of an empty sample"


@dataclass(frozen=True)
class Bug:
    """A mistake, the check that catches it, and whether it is one about units with several examples."""

    plant: Plant
    check: str
    persons: bool = False


def noise(right: str, wrong: str) -> Plant:
    return rewrite(GaussianNoise, "add_noise", (right, wrong))


def step(right: str, wrong: str) -> Plant:
    return rewrite(runner, "private_step", (right, wrong))


EVERYWHERE = {
    "half the noise": Bug(noise(SCALE, SCALE + " / 2"), OF_EMPTY),
    "noise over n": Bug(noise(SCALE, SCALE + " / self.divisor"), OF_EMPTY),
    "noise that forgets the clipping norm": Bug(noise(" * self.max_grad_norm", ""), OF_EMPTY),
    "no noise": Bug(noise("(total + part", "(total + 0 * part"), OF_EMPTY),
    "a tenth of the noise for the bias": Bug(
        noise(ADDED, "(total + part.view_as(total) * (1.0 if total.dim() > 2 else 0.1))"), OF_EMPTY
    ),
    "noise that begins anew in each step": Bug(
        noise(NORMALS, NORMALS.replace(ON_DEVICE, "torch.from_numpy(np.random.default_rng(0).normal(size=(") + "))"),
        FRESH,
    ),
    "twice the sampling rate": Bug(
        rewrite(PoissonSampler, "_walk_units", ("log1p(-self.rate)", "log1p(-2 * self.rate)")), "sampling rate"
    ),
    "shuffled batches": Bug(sample_by(in_shuffled_batches()), "sample sizes"),
    "batches of a fixed size": Bug(sample_by(of_a_fixed_size), "sample sizes"),
    "the same sample in each step": Bug(sample_by(the_same_again), "independent samples"),
    "empty samples skipped": Bug(
        step(COUNTED, f"if not sample.taken.any():\n        return\n    {COUNTED}"), "step with an empty sample"
    ),
    "steps that are not taken": Bug(step("optimizer.step()", "pass"), "step with an empty sample"),
}

HEADS = EVERYWHERE | {
    "no clipping": Bug(
        rewrite(
            HeadStepper,
            "_clipping_factors",
            (
                "(self.gaussian.max_grad_norm * squared.rsqrt()).clamp(max=1)",
                "torch.ones_like(squared)",
            ),
        ),
        "clipping",
    ),
    "empty samples without noise": Bug(
        rewrite(
            HeadStepper, "set_gradient", (f"{NOISED}totals)", f"({NOISED}totals) if sample.taken.any() else totals)")
        ),
        OF_EMPTY,
    ),
    "noise for empty samples alone": Bug(
        rewrite(
            HeadStepper,
            "set_gradient",
            (f"{NOISED}totals)", f"({NOISED}totals) if not sample.taken.any() else [each / 2 for each in totals])"),
        ),
        OF_EXAMPLES,
    ),
    "less noise the more examples there are": Bug(
        rewrite(
            HeadStepper,
            "set_gradient",
            (NOISED, "replace(self.gaussian, max_grad_norm=0.7 * 0.9 ** sample.units.shape[1]).add_noise("),
        ),
        OF_EXAMPLES,
    ),
    "divided by the size of the sample": Bug(
        rewrite(
            HeadStepper,
            "set_gradient",
            ("= gradient\n", "= gradient * self.gaussian.divisor / max(1, int(sample.taken.sum(1).max()))\n"),
        ),
        "divisor",
    ),
    "not a number let through": Bug(
        rewrite(HeadStepper, "_drop_non_finite", ("if math.isfinite(squared.sum()):", "if True:")), "not a number"
    ),
    "not a number not counted": Bug(
        rewrite(HeadStepper, "_drop_non_finite", ("(broken & (rows.weights != 0))", "(broken & (rows.weights < 0))")),
        "not a number",
    ),
    "noise shared by heads": Bug(noise(NORMALS, f"{NORMALS}\n    drawn[1:] = drawn[:1]"), FRESH),
    "noise shared by two heads": Bug(noise(NORMALS, f"{NORMALS}\n    drawn[3] = -0 + drawn[1]"), FRESH),
    "the noise of the first head for all": Bug(
        noise("self.noise_multipliers[:, None]", "self.noise_multipliers[:1, None]"), OF_EMPTY
    ),
    "half the noise for one head": Bug(noise(SCALE, f"{SCALE}\n    drawn[2] /= 2"), OF_EMPTY),
    "a sample shared by heads": Bug(sample_by(shared_by_heads), "independent samples"),
    "the bias left out of the norm": Bug(
        rewrite(
            UnitExamples, "gather_rows", ("vectors.squared_lengths[stored])", "vectors.squared_lengths[stored] - 1)")
        ),
        "clipping",
    ),
    "the bias left out of a person's norm": Bug(
        rewrite(HeadStepper, "_clipped_sums", (" + by_bias.square().sum(2)", "")), "clipping", persons=True
    ),
    "sums that are wrong where there are many rows": Bug(
        rewrite(
            HeadStepper,
            "_clipped_sums",
            ("if together == 1:", "if rows.x.shape[1] > 30:\n        residual *= 1.01\n    if together == 1:"),
        ),
        "as many rows as a step has",
    ),
    "rows clipped one by one": Bug(
        rewrite(HeadStepper, "_clipped_sums", ("if together == 1:", "if True:")), "clipping", persons=True
    ),
    "class weights over those of the sample": Bug(
        rewrite(UnitExamples, "gather_rows", ("there * factors / views", "there * factors / factors.mean() / views")),
        "gradients",
    ),
}

FACTORS = "factors = self.gaussian.max_grad_norm / lengths.clamp(min=self.gaussian.max_grad_norm)"
WEIGHTED = "weights = weights * task.class_weights.to(task.device)[labels]"

LEADS = "if self.share.leads"
RUN = "gradients = self.engine.example_gradients(part.batch, part.labels)"

NETWORK = EVERYWHERE | {
    "no clipping": Bug(
        rewrite(EngineStepper, "_clipped_sums", (FACTORS, "factors = torch.ones_like(lengths)")), "clipping"
    ),
    "empty samples without noise": Bug(
        rewrite(
            EngineStepper,
            "set_gradient",
            (LEADS, f"{LEADS} and sample.taken.any()"),
        ),
        OF_EMPTY,
    ),
    "noise for empty samples alone": Bug(
        rewrite(
            EngineStepper,
            "set_gradient",
            (LEADS, f"{LEADS} and not sample.taken.any()"),
        ),
        OF_EXAMPLES,
    ),
    "divided by the size of the sample": Bug(
        rewrite(
            EngineStepper,
            "set_gradient",
            ("= gradient[0]\n", "= gradient[0] * self.gaussian.divisor / max(1, int(sample.taken.sum()))\n"),
        ),
        "divisor",
    ),
    "not a number let through": Bug(
        rewrite(engine_stepper, "_zero_non_finite", ("if bool(lengths.isfinite().all()):", "if True:")), "not a number"
    ),
    "not a number not counted": Bug(
        rewrite(EngineStepper, "_unit_gradients", ("non_finite += count", "non_finite += 0")), "not a number"
    ),
    "the bias left out of the norm": Bug(
        rewrite(engine_stepper, "_gradient_norms", ("for gradient in gradients", "for gradient in gradients[:1]")),
        "clipping",
    ),
    "gradients that are wrong where there are many rows": Bug(
        rewrite(
            EngineStepper,
            "_unit_gradients",
            (
                RUN,
                f"{RUN}\n        if len(part.labels) > 30:\n            gradients = [1.1 * g for g in gradients]",
            ),
        ),
        "as many rows as a step has",
    ),
    "rows clipped one by one": Bug(
        rewrite(EngineStepper, "_unit_gradients", ("if part.unit_index is None:", "if True:")), "clipping", persons=True
    ),
    "class weights over those of the sample": Bug(
        rewrite(EngineStepper, "_read_part", (WEIGHTED, f"{WEIGHTED}\n        weights = weights / weights.mean()")),
        "gradients",
    ),
}

PLANTED = [
    pytest.param(kind, bug, id=f"{kind}: {name}")
    for kind, bugs in (("heads", HEADS), ("network", NETWORK))
    for name, bug in bugs.items()
]


def ready_task(kind: str, *, persons: bool, rate: float = 0.2) -> tuple[Task, list[MechanismParameters]]:
    task = given.head_task(120, 40, class_weights=WEIGHTS, units=PERSONS if persons else None)
    return task, given.plans(task, SIGMAS if kind == "heads" else SIGMAS[:1], rate=rate)


@REPEATED
@pytest.mark.parametrize(("kind", "bug"), PLANTED)
def test_every_planted_bug_is_caught_every_time(
    kind: str, bug: Bug, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, plans = ready_task(kind, persons=bug.persons)
    bug.plant(monkeypatch)
    for _ in range(times):
        with pytest.raises(IntegrityError, match="nothing was trained") as caught:
            runner.run_self_test(given.stepper(kind, task, plans), task, plans)
        assert f"{bug.check}: " in str(caught.value)


@RIGHT
@pytest.mark.parametrize("persons", [False, True])
@pytest.mark.parametrize("kind", given.KINDS)
def test_the_right_mechanism_is_never_accused(kind: str, persons: bool, times: int) -> None:
    task, plans = ready_task(kind, persons=persons)
    for _ in range(times):
        rows, error = runner.run_self_test(given.stepper(kind, task, plans), task, plans)
        assert error < 1e-5
        assert {row["outcome"] for row in rows} == {"passed"}


@pytest.mark.parametrize(
    ("n", "size"), [(96, 16), (100, 16), (1000, 16), (600, 16), (10_000, 256), (47, 8), (20, 9), (50_000, 1024)]
)
def test_shuffled_batches_are_caught_whether_or_not_the_last_one_is_smaller(
    n: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = given.head_task(n)
    plans = given.plans(task, rate=size / n)
    sample_by(in_shuffled_batches())(monkeypatch)
    for _ in range(5):
        with pytest.raises(IntegrityError, match=r"sample sizes|sampling rate|independent samples"):
            runner.run_self_test(given.stepper("heads", task, plans), task, plans)


class BiasOnly(cases.OnFeatures):
    """Two numbers are all that is trained."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 2))
        self.layers[0].weight.requires_grad_(False)


def network_steps(task: Task, plans: list[MechanismParameters], choice: EngineSelection) -> EngineStepper:
    return stepper.build_engine_stepper(task, unit_of_row(task), Job(3), plans[0], choice, random_streams("secret", 0))


EXTREMES = {
    "one unit": (given.head_task(1), 0.5, [1.0]),
    "hardly ever anybody": (given.head_task(100), 1e-7, [1.0]),
    "nearly everybody": (given.head_task(3), 0.999, [1.0]),
    "everybody": (given.head_task(12), 1.0, [1.0, 3.0]),
    "two numbers": (cases.task(cases.seeded(BiasOnly), given.head_task(50).features.batch(range(50))), 0.3, [1.0]),
    "many heads of few numbers": (given.head_task(50, 1, 2), 0.3, np.geomspace(0.3, 300, 200)),
    "wide": (given.head_task(60, 2048, 40), 0.3, [0.3, 500.0]),
    "one person has all": (given.head_task(12, units=np.full(12, "one")), 0.3, [1.0]),
    "a class that weighs nothing": (given.head_task(40, class_weights=torch.tensor([0.0, 1.0, 1.0])), 0.3, [1.0]),
    "views": (given.head_task(40, views=3), 0.3, [1.0]),
}


@pytest.mark.slow
@pytest.mark.parametrize(("task", "rate", "sigmas"), EXTREMES.values(), ids=EXTREMES)
def test_the_right_mechanism_is_not_accused_at_the_extremes(task: Task, rate: float, sigmas: list[float]) -> None:
    plans, choice = given.plans(task, sigmas, rate=rate), select_engine(task)
    for _ in range(5):
        steps = given.stepper("heads", task, plans) if len(sigmas) > 1 else network_steps(task, plans, choice)
        runner.run_self_test(steps, task, plans)


@pytest.mark.parametrize(
    ("build", "data"),
    [(cases.cnn, cases.maps), (cases.resnet, cases.maps), (cases.gpt, cases.texts), (cases.lora, cases.texts)],
)
@pytest.mark.parametrize("units", [None, np.repeat(list("abcd"), 3)], ids=["examples", "persons"])
def test_the_right_mechanism_of_a_network_is_not_accused(build: Any, data: Any, units: np.ndarray | None) -> None:
    task = cases.task(cases.seeded(build), data(), units=units, class_weights=WEIGHTS)
    plans, choice = given.plans(task), select_engine(task)
    for _ in range(3):
        runner.run_self_test(network_steps(task, plans, choice), task, plans)


@REPEATED
@pytest.mark.parametrize("affine", [True, False])
def test_batchnorm_in_training_mode_is_refused_before_the_self_test(affine: bool, times: int) -> None:
    norm = nn.BatchNorm2d(8).requires_grad_(affine)
    task = cases.task(cases.seeded(lambda: cases.OnFeatures(norm, *cases.pooled_to(8))), cases.maps())
    for _ in range(times):
        with pytest.raises(ConfigError, match=r"\(BatchNorm2d\) mixes the examples"):
            select_engine(task)


@REPEATED
def test_batchnorm_that_is_put_in_training_mode_afterwards_is_caught(times: int) -> None:
    task = cases.task(cases.seeded(cases.resnet_with_frozen_norms), cases.maps())
    plans, choice = given.plans(task), select_engine(task)
    for _ in range(times):
        steps = network_steps(task, plans, choice)
        for norm in steps.network.norms():
            norm.train()
        with pytest.raises(IntegrityError, match="frozen tensors"):
            runner.run_self_test(steps, task, plans)
