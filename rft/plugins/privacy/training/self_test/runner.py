"""What the proof of privacy takes for granted, tried out before the first step on the very objects that will train.

No private example takes part, and what is expected comes from the public numbers of the plan and from backward passes
over one example at a time, never from the objects that are tested. Where the objects draw secret numbers, the bounds
are so wide that a right one fails once in a billion runs; the mistakes that people make are far outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from rft.backbones.classifier import hash_tensors
from rft.errors import IntegrityError
from rft.plugins.privacy.training.gradients.engine_selection import (
    eval_untrained_modules,
    make_up_examples,
    perturb_parameters,
)
from rft.plugins.privacy.training.mechanism_parameters import MechanismParameters
from rft.plugins.privacy.training.self_test.check_record import SelfTestCheck
from rft.plugins.privacy.training.self_test.clipping_checks import MADE_UP_ROWS, check_clipping
from rft.plugins.privacy.training.self_test.random_checks import check_noise, check_sampling
from rft.plugins.privacy.training.self_test.sample_gradients import (
    empty_sample,
    full_sample,
    noised_gradients,
)
from rft.plugins.privacy.training.stepper import PrivateStepper, StepCounters, private_step
from rft.records import Row
from rft.runtime.devices.random_state import seeded_torch
from rft.training import Task

EMPTY_SAMPLE = "an empty sample"


def run_self_test(stepper: PrivateStepper, task: Task, plans: Sequence[MechanismParameters]) -> tuple[list[Row], float]:
    """Return the table of checks, and the largest relative error of a sum of clipped gradients.

    Args:
        stepper: what will train; afterwards it is as it was.
        task: gives the shape of an example, and nothing else.
        plans: the public numbers of each of the H that are trained.

    Raises:
        IntegrityError: a check failed.
    """
    with _restore_afterwards(stepper), seeded_torch(0, task.device):
        checks = [*check_sampling(stepper, plans), *check_noise(stepper, plans, empty_sample(plans), EMPTY_SAMPLE, 0.0)]
        checks += [*_check_step(stepper, plans), _check_frozen(stepper, task, plans)]
        if stepper.network:
            eval_untrained_modules(stepper.network)
        perturb_parameters(stepper.parameters)
        clipping, error = check_clipping(stepper, task, plans)
        checks += clipping
    failed = [check for check in checks if not check.passed]
    if failed:
        problems = "; ".join(f"{check.name}: {check.observed}, expected {check.expected}" for check in failed)
        raise IntegrityError(
            f"the self-test of private training failed, and nothing was trained ({problems})",
            where="[privacy]",
            remedy="This is a defect of rft or of a library that it uses: please report it with this line.",
        )
    return [check.to_row() for check in checks], error


@contextmanager
def _restore_afterwards(stepper: PrivateStepper) -> Iterator[None]:
    """Give values, gradients and modes back as they were."""
    values = [parameter.detach().clone() for parameter in stepper.parameters]
    modes = {module: module.training for module in stepper.network.modules()} if stepper.network else {}
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        _put_back(stepper, values)


def _put_back(stepper: PrivateStepper, values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(stepper.parameters, values, strict=True):
            parameter.copy_(value)
            parameter.grad = None


def _check_step(stepper: PrivateStepper, plans: Sequence[MechanismParameters]) -> Iterator[SelfTestCheck]:
    """Take a whole step with an empty sample."""
    before = [parameter.detach().clone() for parameter in stepper.parameters]
    counters = StepCounters.start_at_zero(len(plans))
    smallest = min(plan.mechanism.noise_multiplier for plan in plans) * plans[0].max_grad_norm / plans[0].divisor
    private_step(stepper, torch.optim.SGD(stepper.parameters, lr=1 / smallest), empty_sample(plans), counters)
    moved = sum(not torch.equal(old, new) for old, new in zip(before, stepper.parameters, strict=True))
    _put_back(stepper, before)  # noise of this size makes a network so sure that some gradients vanish
    yield SelfTestCheck(
        "step with an empty sample",
        f"{len(before)} of {len(before)} moved",
        f"{moved} of {len(before)} moved",
        moved == len(before),
        "Trained tensors that a step changes in which nobody takes part: it is taken, with noise, like any other.",
    )


def _check_frozen(stepper: PrivateStepper, task: Task, plans: Sequence[MechanismParameters]) -> SelfTestCheck:
    """Compute a gradient in the modes of training, where a BatchNorm in the wrong one would keep what it saw."""
    before = _hash_frozen(stepper)
    batch, labels = make_up_examples(task, stepper.copy_network(0), MADE_UP_ROWS)
    noised_gradients(stepper.with_examples(batch, labels, np.arange(MADE_UP_ROWS)), full_sample(plans, MADE_UP_ROWS))
    still = _hash_frozen(stepper) == before
    return SelfTestCheck(
        "frozen tensors",
        "0 moved",
        "0 moved" if still else "some moved",
        still,
        "What is not trained behind the cut, by its hash, buffers included: a gradient of made-up examples moves none.",
    )


def _hash_frozen(stepper: PrivateStepper) -> str:
    """Return the hash of what belongs to the network and is not trained."""
    network = stepper.network
    if network is None:
        return ""
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    return hash_tensors({name: tensor for name, tensor in network.state_dict().items() if name not in trained})
