"""Training by DP least squares: its plan, its self-test, the ledger, and one noised sum for each head."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from rft.errors import ConfigError, IntegrityError
from rft.plugins.privacy.ledger.account import Purpose, open_account
from rft.plugins.privacy.training import least_squares
from rft.plugins.privacy.training.identity import training_identity
from rft.plugins.privacy.training.least_squares import SufficientStatistics
from rft.plugins.privacy.training.mechanism_parameters import MechanismParameters, choose_mechanism_parameters
from rft.plugins.privacy.training.randomness import RandomSource, random_streams
from rft.plugins.privacy.training.self_test.check_record import SelfTestCheck
from rft.plugins.privacy.training.self_test.random_checks import DEVIATIONS, NOISE_NUMBERS
from rft.plugins.privacy.training.settings import DPSettings
from rft.plugins.privacy.training.unit_index import unit_of_row
from rft.training import Fit, Job, Task
from rft.training.linear_heads import Vectors, linear_head_vectors
from rft.training.privacy_facts import EngineFacts, PrivacyFacts

log = logging.getLogger("rft")

LENGTH_ROUNDING = 1e-9  # of a length, in float64
UNIT_SIZES = (1, 3, 40)  # of the made-up units
State = dict[str, torch.Tensor]


def prepare(trainer: DPSettings, task: Task) -> PrivacyFacts:
    """Return the parameters of a fit; raises as ``fit`` does."""
    data, classes = _head_vectors(task)
    return _least_squares_parameters(trainer, task, unit_of_row(task), classes).describe(_engine_facts(data, classes))


def fit(trainers: Sequence[DPSettings], task: Task, jobs: Sequence[Job], *, purpose: Purpose) -> list[Fit]:
    """Solve for the head of each job with noise of its own.

    Args:
        trainers: one a job; they may differ in epsilon and noise, and in nothing else.
        task: what is trained.
        jobs: seeds and members.
        purpose: what the ledger says of it.

    Raises:
        ConfigError: more than a linear head on vectors in memory is trained, or epsilon cannot be reached.
        IntegrityError: the self-test failed; no noised sum was made.
    """
    data, classes = _head_vectors(task)
    units = unit_of_row(task)
    by_trainer = {trainer: _least_squares_parameters(trainer, task, units, classes) for trainer in set(trainers)}
    plans = [by_trainer[trainer] for trainer in trainers]
    sources = [random_streams(plan.randomness, job.seed).noise for plan, job in zip(plans, jobs, strict=True)]
    tested = [check.to_row() for check in self_test(data, classes, plans[0], sources[0])]
    population = task.population if trainers[0].charged else None
    with open_account(
        population,
        trainers[0].ledger,
        trainers[0].budget,
        purpose=purpose,
        mechanisms=[plan.mechanism for plan in plans],
        delta=plans[0].delta,
        randomness=plans[0].randomness,
        identity=training_identity(trainers[0], plans, task, jobs, {}) if population else "",
        resumable=False,
        overlaps=trainers[0].overlaps,
    ) as account:
        solved: list[tuple[State, int]] = []
        for _ in account.charge_blocks():  # the one step there is: charged before it is taken
            solved = list(_solve_heads(data, units, classes, jobs, plans, sources))
    if trainers[0].charged and (broken := max(non_finite for _, non_finite in solved)):
        log.warning("%d training examples have features that are not finite and counted as zero", broken)
    engine, ledger = _engine_facts(data, classes), account.summarize_ledger()
    return [
        Fit(
            state,
            [{"epoch": 1, "steps": 1}],
            unchanged_tensors=0,
            privacy=plan.describe(engine, self_test=tested, batch_dependence=task.batch_dependence, ledger=ledger),
        )
        for (state, _), plan in zip(solved, plans, strict=True)
    ]


def _solve_heads(
    data: Vectors,
    units: np.ndarray,
    classes: int,
    jobs: Sequence[Job],
    plans: Sequence[MechanismParameters],
    sources: Sequence[RandomSource],
) -> Iterator[tuple[State, int]]:
    """Yield the state of each head, and how many of its examples were not finite."""
    everyone: SufficientStatistics | None = None
    for job, plan_, source in zip(jobs, plans, sources, strict=True):
        if job.members is None:
            sums = everyone = everyone or least_squares.sufficient_statistics(data, units, classes)
        else:
            sums = least_squares.sufficient_statistics(data, units, classes, job.members)
        yield least_squares.solve_head(sums, plan_.mechanism.noise_multiplier, source), sums.non_finite


def _head_vectors(task: Task) -> tuple[Vectors, int]:
    data = linear_head_vectors(task)
    if data is None:
        raise ConfigError(
            "least squares needs a linear head on cached vectors, and this run trains more, or caches none",
            where="privacy.method",
            remedy='Give method = "sgd", or model.freeze = "all".',
        )
    return data, len(next(iter(task.new_suffix(0).parameters())))


def _least_squares_parameters(trainer: DPSettings, task: Task, units: np.ndarray, classes: int) -> MechanismParameters:
    """Return the plan: one step with everybody in it; what is bounded is a unit's part of the sums, not a gradient."""
    parameters = choose_mechanism_parameters(trainer, task.recipe, units, declared=task.units is not None)
    return replace(parameters, max_grad_norm=least_squares.unit_bound(classes), divisor=1.0)


def _engine_facts(data: Vectors, classes: int) -> EngineFacts:
    return EngineFacts(
        name="least squares",
        error=0.0,  # nothing is approximated: there are no gradients
        rejected={},
        trained_parameters=classes * (data.dimension + 1),
        precision="float64",
        recipe_used=False,
    )


def self_test(data: Vectors, classes: int, plan: MechanismParameters, source: RandomSource) -> list[SelfTestCheck]:
    """Return what was tried out on the functions that train; no private example takes part.

    Raises:
        IntegrityError: a check failed.
    """
    made_up, units = _made_up(data, classes)
    checks = [
        _check_bound(made_up, units, classes),
        _check_non_finite(made_up, units, classes),
        *_check_noise(data, classes, plan, source),
    ]
    failed = "; ".join(
        f"{check.name}: {check.observed}, expected {check.expected}" for check in checks if not check.passed
    )
    if failed:
        raise IntegrityError(
            f"the self-test of least squares failed, and nothing was trained ({failed})",
            where="[privacy]",
            remedy="This is a defect of rft or of a library that it uses: please report it with this line.",
        )
    return checks


def _made_up(data: Vectors, classes: int) -> tuple[Vectors, np.ndarray]:
    """Return made-up examples of the same kind, of units with 1, 3 and 40 of them."""
    units, random = np.repeat([0, 1, 2], UNIT_SIZES), torch.Generator().manual_seed(0)
    stored = torch.randn(len(units) * data.views, data.dimension, generator=random).to(data.stored)
    labels = torch.randint(0, classes, (len(units),), generator=random).to(data.labels)
    return replace(data, stored=stored + 1, labels=labels), units


def _check_bound(examples: Vectors, units: np.ndarray, classes: int) -> SelfTestCheck:
    whole = least_squares.sufficient_statistics(examples, units, classes)
    parts = [
        _sum_distance(whole, least_squares.sufficient_statistics(examples, units, classes, units != unit))
        for unit in set(units)
    ]
    return SelfTestCheck(
        "one unit's part",
        "at most 1",
        f"{max(parts):.6g}",
        max(parts) <= 1 + LENGTH_ROUNDING,
        "Largest change of the sums when one unit is left out, over the bound that the noise goes by.",
    )


def _check_non_finite(examples: Vectors, units: np.ndarray, classes: int) -> SelfTestCheck:
    stored = examples.stored.clone()
    stored[0] = math.nan
    broken = least_squares.sufficient_statistics(replace(examples, stored=stored), units, classes)
    change = _sum_distance(broken, least_squares.sufficient_statistics(examples, units, classes, units != 0))
    return SelfTestCheck(
        "input that is not finite",
        "counted, and 0",
        f"{broken.non_finite} counted, {change:.3g}",
        broken.non_finite == 1 and change == 0,
        "An example with NaN counts as zero and is counted.",
    )


def _check_noise(
    data: Vectors, classes: int, plan: MechanismParameters, source: RandomSource
) -> Iterator[SelfTestCheck]:
    """Add noise to empty sums: all that comes out is noise, here in units of what the plan promises."""
    d = data.dimension + 1
    empty = SufficientStatistics(np.zeros((d, d)), np.zeros((d, classes)), plan.max_grad_norm, 0)
    pairs = max(1, math.ceil(NOISE_NUMBERS / (d * (d + 1 + 2 * classes))))
    drawn = np.stack([_noise_numbers(empty, plan, source) for _ in range(2 * pairs)])
    error = DEVIATIONS / math.sqrt(2 * drawn.size)
    deviation = float(np.sqrt(np.mean(drawn**2)))
    description = "Standard deviation of the noise, over what the plan promises."
    yield SelfTestCheck("noise", f"1 ± {error:.2g}", f"{deviation:.5g}", abs(deviation - 1) <= error, description)
    first, second = drawn[::2].ravel(), drawn[1::2].ravel()
    error = DEVIATIONS / math.sqrt(len(first))
    alike = float(np.mean(first * second))
    description = "Correlation of the noise of two heads."
    yield SelfTestCheck("fresh noise", f"0 ± {error:.2g}", f"{alike:.2g}", abs(alike) <= error, description)


def _noise_numbers(empty: SufficientStatistics, plan: MechanismParameters, source: RandomSource) -> np.ndarray:
    """Return (P,) the numbers that noise is added to, each once, as they count in the length of a unit's part."""
    moments, products = least_squares.add_noise(empty, plan.mechanism.noise_multiplier, source)
    twice = math.sqrt(2) * moments[np.triu_indices(len(moments), 1)]
    scale = plan.mechanism.noise_multiplier * empty.bound
    return np.concatenate([twice, np.diag(moments), products.ravel()]) / scale


def _sum_distance(first: SufficientStatistics, second: SufficientStatistics) -> float:
    """Return the length of the difference of two pairs of sums, over the bound."""
    moments, products = first.moments - second.moments, first.products - second.products
    return math.hypot(float(np.linalg.norm(moments)), float(np.linalg.norm(products))) / first.bound
