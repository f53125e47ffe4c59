"""Training with differential privacy: the loop, its ledger, and many heads at once.

Nothing about the schedule depends on the data: number of units, sampling rate, steps, noise, clipping norm and divisor
are plain numbers that stand in the report. The training loss is not recorded, since it is private itself.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from torch import nn

from rft.config.tables.train import TrainConfig
from rft.errors import ConfigError, RftError
from rft.plugins.privacy.ledger.account import Account, Resumed, finalize_trainings, open_account
from rft.plugins.privacy.training import least_squares_fit, training_checkpoint
from rft.plugins.privacy.training.default_recipe import choose_private_recipe
from rft.plugins.privacy.training.gradients import engine_selection
from rft.plugins.privacy.training.identity import training_identity
from rft.plugins.privacy.training.mechanism_parameters import MechanismParameters, choose_mechanism_parameters
from rft.plugins.privacy.training.randomness import random_streams
from rft.plugins.privacy.training.self_test import runner
from rft.plugins.privacy.training.settings import DPSettings
from rft.plugins.privacy.training.stepper import (
    PrivateStepper,
    StepCounters,
    build_engine_stepper,
    build_head_stepper,
    private_step,
    split_into_stacks,
    stackable_vectors,
)
from rft.plugins.privacy.training.unit_index import unit_of_row
from rft.runtime.devices.random_state import seeded_torch
from rft.runtime.float32 import ieee_float32
from rft.runtime.progress import track_progress
from rft.training import Fit, Job, Recipe, Task, Workload
from rft.training.linear_heads import unchanged_tensors
from rft.training.privacy_facts import EngineFacts, PrivacyFacts
from rft.training.sharing import TrainingShare
from rft.training.threads import one_thread

log = logging.getLogger("rft")

STEPS_TAKEN = "steps_taken"  # beside the tensors of a checkpoint
Purpose = Literal["training", "frontier", "canaries"]


@dataclass(frozen=True)
class DPTrainer(DPSettings):
    """Trains to a target epsilon by DP-SGD or least squares, whatever part of a network the task trains."""

    @property
    def needs_independent_examples(self) -> bool:
        """Yes: a bound on one example's contribution is of use only if those of the others stay without it."""
        return True

    def choose_recipe(self, asked: TrainConfig, workload: Workload) -> Recipe:
        """Return the recipe; what is left open follows from the number of units, which is public."""
        return choose_private_recipe(asked, workload)

    def prepare(self, task: Task) -> PrivacyFacts:
        """Return the parameters of training, calibrated to epsilon, and how gradients will be computed.

        Raises:
            ConfigError: epsilon cannot be reached, or the trained part cannot be trained privately.
            DataError: there are no training examples, or some have no unit.
        """
        _check_population(self, task)
        if self.method == "least_squares":
            return least_squares_fit.prepare(self, task)
        stack = next(_build_stacks([self], task, [Job(0)]))
        stack.stepper.close()
        return stack.plans[0].describe(stack.engine)

    def fit(self, task: Task, jobs: Sequence[Job]) -> list[Fit]:
        """Train one suffix for each job, each with its own samples and noise; raises as ``prepare`` does.

        A job's ``members`` decide who can be sampled. The public numbers stay: who is left out counts as zero.

        Raises:
            IntegrityError: the self-test failed; nothing was trained.
        """
        return fit_together([self] * len(jobs), task, jobs)

    def pin_parameters(self, facts: PrivacyFacts) -> DPTrainer:
        """Return the trainer that repeats a fit's mechanism on any task: its public numbers are those of the facts.

        For shadow models and audits, which are not charged.
        """
        names = ("delta", "max_grad_norm", "noise_multiplier", "sample_rate", "steps", "divisor", "randomness")
        numbers = {name: getattr(facts, name) for name in names}
        return replace(self, epsilon=facts.target_epsilon, charged=False, repeats=True, **numbers)


def fit_together(
    trainers: Sequence[DPTrainer], task: Task, jobs: Sequence[Job], *, purpose: Purpose = "training"
) -> list[Fit]:
    """Train each job by its trainer; linear heads as one batched computation.

    Each has samples and noise of its own: on a shared sample the mechanisms would compose to a far larger epsilon.

    Args:
        trainers: one a job; they may differ in epsilon and noise, and in nothing else.
        task: what is trained.
        jobs: seeds and members; one at least.
        purpose: what the ledger says of it.
    """
    if len({replace(trainer, epsilon=1.0, noise_multiplier=None) for trainer in trainers}) > 1:
        raise ValueError("trainers of one computation differ in epsilon and noise only")
    _check_population(trainers[0], task)
    if trainers[0].method == "least_squares":
        return least_squares_fit.fit(trainers, task, jobs, purpose=purpose)
    with ieee_float32():  # in TF32 clipped gradients are longer than the bound
        return [fit for stack in _build_stacks(trainers, task, jobs) for fit in _fit_stack(stack, task, purpose)]


@dataclass(frozen=True)
class Stack:
    """What is trained in one go: the public numbers of each job, and the objects that take the steps.

    ``share`` is this process's part of it; the first process alone keeps the ledger.
    """

    trainer: DPTrainer
    jobs: Sequence[Job]
    plans: Sequence[MechanismParameters]
    stepper: PrivateStepper
    dropout: int
    engine: EngineFacts
    share: TrainingShare


def _build_stacks(trainers: Sequence[DPTrainer], task: Task, jobs: Sequence[Job]) -> Iterator[Stack]:
    units = unit_of_row(task)
    by_trainer = {
        trainer: choose_mechanism_parameters(trainer, task.recipe, units, declared=task.units is not None)
        for trainer in set(trainers)
    }
    plans = [by_trainer[trainer] for trainer in trainers]
    examples = stackable_vectors(task, units, plans[0])
    selection = engine_selection.select_closed_form(task) if examples else engine_selection.select_engine(task)
    groups = (
        split_into_stacks(jobs, examples, units, plans[0]) if examples else (slice(i, i + 1) for i in range(len(jobs)))
    )
    for group in groups:
        random, share = random_streams(plans[0].randomness, jobs[group.start].seed), jobs[group.start].share
        if examples:
            stepper: PrivateStepper = build_head_stepper(task, examples, units, jobs[group], plans[group], random)
        else:
            stepper = build_engine_stepper(task, units, jobs[group.start], plans[group.start], selection, random)
        dropout = share.spread_seed(random.dropout)
        yield Stack(trainers[group.start], jobs[group], plans[group], stepper, dropout, selection.facts, share)


def _check_population(trainer: DPTrainer, task: Task) -> None:
    if not trainer.charged or task.population is not None:
        return
    if key := next((key for key in ("budget", "ledger", "overlaps") if getattr(trainer, key)), None):
        raise ConfigError(
            "a ledger is kept for a population, and none is named",
            where=f"privacy.{key}",
            remedy='Add population = "..." to [data], or remove the key.',
        )


def _fit_stack(stack: Stack, task: Task, purpose: Purpose) -> list[Fit]:
    stack.share.check_same_start(task, stack.stepper.parameters)
    tested, error = runner.run_self_test(stack.stepper, task, stack.plans)
    before = [parameter.detach().clone() for parameter in stack.stepper.parameters]
    with _open_stack_account(stack, task, purpose) as account:
        counters = _train_stack(stack, task, account)
    stack.share.check_same_result(stack.stepper.parameters)
    ledger = account.summarize_ledger()
    _check_finite(stack.stepper.parameters)
    _warn_of_non_finite(counters, stack.trainer)
    unchanged = unchanged_tensors(
        *([tensor.reshape(len(stack.jobs), -1) for tensor in both] for both in (before, stack.stepper.parameters))
    )
    engine = replace(stack.engine, error=stack.engine.error or error)
    return [
        Fit(
            state,
            _public_log(plan),
            unchanged_tensors=unchanged[head],
            privacy=plan.describe(engine, self_test=tested, batch_dependence=task.batch_dependence, ledger=ledger),
            finalize=partial(finalize_trainings, task.population, stack.trainer.ledger) if ledger else None,
        )
        for head, (state, plan) in enumerate(zip(stack.stepper.trained_states(), stack.plans, strict=True))
    ]


def _train_stack(stack: Stack, task: Task, account: Account) -> StepCounters:
    """Train in place; return what was counted."""
    stepper, counters = stack.stepper, StepCounters.start_at_zero(len(stack.jobs))
    optimizer = task.recipe.build_optimizer(stepper.parameters)
    account.resumed = _share_resumed(stack.share, account.resumed)
    if account.resumed:
        log.warning(
            "an interrupted training goes on after step %d of %d", account.resumed[0], stack.plans[0].mechanism.steps
        )
        training_checkpoint.restore_training(account.resumed[1], stepper.parameters, optimizer)
        counters = StepCounters.from_tensors(account.resumed[1])
    threads = one_thread(task.device) if stepper.small else nullcontext()
    with threads, seeded_torch(stack.dropout, task.device):
        for block in account.charge_blocks():
            for _ in track_progress(block, "Private training"):
                private_step(stepper, optimizer, stepper.draw_sample(), counters)
            account.write_checkpoint(
                training_checkpoint.checkpoint_tensors(stepper.parameters, optimizer) | counters.to_tensors()
            )
    stepper.close()
    return counters


def _share_resumed(share: TrainingShare, resumed: Resumed | None) -> Resumed | None:
    """Return where the training of process 0 goes on, and from what; None at the start."""
    steps, tensors = resumed or (0, {})
    shared = dict(share.share_tensors({STEPS_TAKEN: torch.tensor([steps]), **tensors}))
    taken = int(shared.pop(STEPS_TAKEN))
    return (taken, shared) if taken else None


def _open_stack_account(stack: Stack, task: Task, purpose: Purpose) -> AbstractContextManager[Account]:
    """Return what spending is written down in before it happens."""
    start = {str(number): parameter for number, parameter in enumerate(stack.stepper.parameters)}
    population = task.population if stack.trainer.charged and stack.share.leads else None
    return open_account(
        population,
        stack.trainer.ledger,
        stack.trainer.budget,
        purpose=purpose,
        mechanisms=[plan.mechanism for plan in stack.plans],
        delta=stack.plans[0].delta,
        randomness=stack.plans[0].randomness,
        identity=training_identity(stack.trainer, stack.plans, task, stack.jobs, start) if population else "",
        resumable=stack.plans[0].randomness == "secret",  # seeded numbers would begin anew
        overlaps=stack.trainer.overlaps,
    )


def _check_finite(parameters: Sequence[nn.Parameter]) -> None:
    if not all(parameter.isfinite().all() for parameter in parameters):
        raise RftError(
            "private training ended with weights that are not finite",
            where="train.learning_rate",
            remedy="Lower train.learning_rate.",
        )


def _warn_of_non_finite(counters: StepCounters, trainer: DPTrainer) -> None:
    """Tell the one who trains, and no report: how often it happened follows from the secret samples."""
    if trainer.charged and (count := int(counters.non_finite_gradients.sum())):
        log.warning(
            "%d gradients of single examples were not finite and counted as zero: some features are not finite, or "
            "training diverged. This number follows from secret samples: do not publish it",
            count,
        )


def _public_log(plan: MechanismParameters) -> list[dict[str, float]]:
    """Return one row an epoch, of public numbers alone; an epoch is 1 / sample_rate steps."""
    steps, rate = plan.mechanism.steps, plan.mechanism.sample_rate
    ends = [min(steps, round(epoch / rate)) for epoch in range(1, max(1, round(steps * rate)) + 1)]
    return [{"epoch": epoch, "steps": end} for epoch, end in enumerate(ends, start=1)]
