import numpy as np
import pytest
import torch
from torch import nn

from rft.backbones import new_head
from rft.errors import RftError
from rft.features import Features
from rft.training import Job, Recipe, Task
from rft.training.loop import StandardTrainer


def task(optimizer: str = "sgd", learning_rate: float = 0.05, n: int = 50, **changes: object) -> Task:
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(n, 6, generator=rng)
    labels = (features[:, 0] + 0.3 * torch.randn(n, generator=rng) > 0).long()
    settings = {"momentum": 0.9, "weight_decay": 0.01, "batch_size": 8, "epochs": 5, **changes}
    recipe = Recipe(optimizer=optimizer, learning_rate=learning_rate, **settings)
    return Task(Features(features), labels, None, lambda seed: new_head(6, 2, False, seed), recipe)


def by_hand(task: Task, seed: int) -> tuple[dict, list[float]]:
    """SGD with momentum written out in float64, on the same batches."""
    head = new_head(6, 2, False, seed).double()
    parameters = list(head.parameters())
    velocity = [torch.zeros_like(parameter) for parameter in parameters]
    order = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(task.recipe.epochs):
        total = 0.0
        for rows in torch.randperm(len(task.labels), generator=order).split(task.recipe.batch_size):
            logits = head.linear(task.features.dense[rows].double())
            loss = -logits.log_softmax(1)[range(len(rows)), task.labels[rows]].mean()
            gradients = torch.autograd.grad(loss, parameters)
            total += loss.item() * len(rows)
            with torch.no_grad():
                for parameter, gradient, speed in zip(parameters, gradients, velocity, strict=True):
                    speed.mul_(task.recipe.momentum).add_(gradient + task.recipe.weight_decay * parameter)
                    parameter.sub_(task.recipe.learning_rate * speed)
        losses.append(total / len(task.labels))
    return head.state_dict(), losses


def test_the_loop_is_sgd_with_momentum_to_the_digit() -> None:
    given = task()
    (fit,) = StandardTrainer().fit(given, [Job(seed=3)])
    state, losses = by_hand(given, seed=3)
    assert np.allclose([row["loss"] for row in fit.log], losses, atol=1e-5)
    assert all(torch.allclose(fit.state[name].double(), state[name], atol=1e-5) for name in state)
    assert fit.facts == {"mode": "standard", "unmoved": 0}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_it_learns(optimizer: str) -> None:
    given = task(optimizer, epochs=40)
    (fit,) = StandardTrainer().fit(given, [Job(seed=0)])
    assert fit.log[-1]["loss"] < 0.5 * fit.log[0]["loss"]


def test_jobs_are_independent_and_repeatable() -> None:
    given = task()
    one, two, again = StandardTrainer().fit(given, [Job(0), Job(1), Job(0)])
    assert all(torch.equal(one.state[name], again.state[name]) for name in one.state)
    assert not torch.equal(one.state["linear.weight"], two.state["linear.weight"])


def test_a_job_sees_its_members_only() -> None:
    given = task()
    members = np.zeros(50, dtype=bool)
    members[:20] = True
    (fit,) = StandardTrainer().fit(given, [Job(0, members)])
    poisoned = given.features.dense.clone()
    poisoned[20:] = 1e6
    changed = Task(Features(poisoned), given.labels, None, given.new_suffix, given.recipe)
    (same,) = StandardTrainer().fit(changed, [Job(0, members)])
    assert all(torch.equal(fit.state[name], same.state[name]) for name in fit.state)


def test_a_loss_that_explodes_stops_the_run_with_a_remedy() -> None:
    with pytest.raises(RftError, match=r"Lower train\.learning_rate"):
        StandardTrainer().fit(task(learning_rate=1e30), [Job(0)])


def test_a_head_that_stays_put_is_reported() -> None:
    given = task()

    def frozen(seed: int) -> nn.Module:
        head = new_head(6, 2, False, seed)
        head.linear.bias.requires_grad_(False)
        return head

    (fit,) = StandardTrainer().fit(Task(given.features, given.labels, None, frozen, given.recipe), [Job(0)])
    assert fit.facts["unmoved"] == 1


def test_the_number_of_threads_is_restored() -> None:
    before = torch.get_num_threads()
    StandardTrainer().fit(task(), [Job(0)])
    assert torch.get_num_threads() == before
