from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from rft.backbones.classifier import new_head
from rft.errors import RftError
from rft.features import Dense
from rft.training import Job, Recipe, Task
from rft.training.loop import StandardTrainer
from tests.support.features_cases import as_dense


def linear_task(optimizer: str = "sgd", learning_rate: float = 0.05, n: int = 50, **changes: object) -> Task:
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(n, 6, generator=rng)
    labels = (features[:, 0] + 0.3 * torch.randn(n, generator=rng) > 0).long()
    settings = {"momentum": 0.9, "weight_decay": 0.01, "batch_size": 8, "epochs": 5, **changes}
    recipe = Recipe(optimizer=optimizer, learning_rate=learning_rate, **settings)
    return Task(Dense(features), labels, None, lambda seed: new_head(6, 2, False, seed), recipe)


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
            logits = head.linear(as_dense(task.features).dense[rows].double())
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
    training_task = linear_task()
    (fit,) = StandardTrainer().fit(training_task, [Job(seed=3)])
    state, losses = by_hand(training_task, seed=3)
    assert np.allclose([row["loss"] for row in fit.log], losses, atol=1e-5)
    assert all(torch.allclose(fit.state[name].double(), state[name], atol=1e-5) for name in state)
    assert (fit.mode, fit.unchanged_tensors) == ("standard", 0)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_it_learns(optimizer: str) -> None:
    training_task = linear_task(optimizer, epochs=40)
    (fit,) = StandardTrainer().fit(training_task, [Job(seed=0)])
    assert fit.log[-1]["loss"] < 0.5 * fit.log[0]["loss"]


def test_jobs_are_independent_and_repeatable() -> None:
    training_task = linear_task()
    first, two, again = StandardTrainer().fit(training_task, [Job(0), Job(1), Job(0)])
    assert all(torch.equal(first.state[name], again.state[name]) for name in first.state)
    assert not torch.equal(first.state["linear.weight"], two.state["linear.weight"])


def test_a_job_sees_its_members_only() -> None:
    training_task = linear_task()
    members = np.zeros(50, dtype=bool)
    members[:20] = True
    (fit,) = StandardTrainer().fit(training_task, [Job(0, members)])
    poisoned = as_dense(training_task.features).dense.clone()
    poisoned[20:] = 1e6
    changed = Task(Dense(poisoned), training_task.labels, None, training_task.new_suffix, training_task.recipe)
    (same,) = StandardTrainer().fit(changed, [Job(0, members)])
    assert all(torch.equal(fit.state[name], same.state[name]) for name in fit.state)


def test_a_loss_that_explodes_stops_the_run_with_a_remedy() -> None:
    with pytest.raises(RftError, match=r"Lower train\.learning_rate"):
        StandardTrainer().fit(linear_task(learning_rate=1e30), [Job(0)])


class Layered(nn.Module):
    """A frozen layer, a BatchNorm, dropout and a head: what a trained part behind a cut is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(6, 6).requires_grad_(False)
        self.norm = nn.BatchNorm1d(6)
        self.head = nn.Linear(6, 2)
        self.unused = nn.Linear(6, 1)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        hidden = self.norm(self.frozen(batch["features"]))
        return self.head(nn.functional.dropout(hidden, 0.5, self.training))


def layered_suffix(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Layered()


def test_the_state_is_what_was_trained_and_the_statistics() -> None:
    changed_copy = replace(linear_task(), new_suffix=layered_suffix)
    (fit,) = StandardTrainer().fit(changed_copy, [Job(0)])
    statistics = {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}
    layers = {f"{name}.{kind}" for name in ("norm", "head", "unused") for kind in ("weight", "bias")}
    assert set(fit.state) == layers | statistics
    assert fit.state["norm.num_batches_tracked"] == 5 * 7
    fresh = layered_suffix(0).state_dict()
    assert not torch.equal(fit.state["head.weight"], fresh["head.weight"])
    assert torch.equal(fit.state["unused.weight"], fresh["unused.weight"])


def test_parameters_that_stay_put_are_counted() -> None:
    (fit,) = StandardTrainer().fit(replace(linear_task(), new_suffix=layered_suffix), [Job(0)])
    assert fit.unchanged_tensors == 2  # no gradient reaches them, as with an adapter that is never called


def test_dropout_follows_the_jobs_seed_and_leaves_the_global_state_alone() -> None:
    changed_copy = replace(linear_task(), new_suffix=layered_suffix)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    (first,) = StandardTrainer().fit(changed_copy, [Job(0)])
    assert torch.equal(torch.rand(1), expected)
    (again,) = StandardTrainer().fit(changed_copy, [Job(0)])
    assert all(torch.equal(first.state[name], again.state[name]) for name in first.state)


def test_a_batch_of_one_example_that_batch_norm_refuses_is_an_error_with_a_remedy() -> None:
    changed_copy = replace(linear_task(n=17), new_suffix=layered_suffix)  # batches of 8, 8 and 1
    with pytest.raises(RftError, match=r"train\.batch_size: a batch of one example is too small"):
        StandardTrainer().fit(changed_copy, [Job(0)])


def test_each_step_sees_views_of_each_example_that_follow_from_the_seed() -> None:
    seen: list[torch.Tensor] = []

    class Watched(Dense):
        def batch(self, rows: object, view: object = None) -> dict[str, torch.Tensor]:
            seen.append(view)
            return super().batch(rows, view)

    training_task = linear_task()
    three = Watched(as_dense(training_task.features).dense.repeat_interleave(3, dim=0), views=3)
    (fit,) = StandardTrainer().fit(replace(training_task, features=three), [Job(0)])
    counts = torch.cat(seen).bincount(minlength=3)
    assert counts.sum() == 250
    assert counts.min() > 50
    first, seen = seen, []
    (again,) = StandardTrainer().fit(replace(training_task, features=three), [Job(0)])
    assert all(torch.equal(before, second) for before, second in zip(first, seen, strict=True))
    assert all(torch.equal(fit.state[name], again.state[name]) for name in fit.state)


def test_bfloat16_trains_nearly_as_float32() -> None:
    full, reduced = (
        StandardTrainer().fit(replace(linear_task(epochs=20), precision=precision), [Job(0)])[0]
        for precision in ("float32", "bfloat16")
    )
    assert reduced.state["linear.weight"].dtype == torch.float32
    assert not torch.equal(full.state["linear.weight"], reduced.state["linear.weight"])
    assert torch.allclose(full.state["linear.weight"], reduced.state["linear.weight"], atol=0.05)


@pytest.mark.parametrize("members", [None, np.ones(50, bool)], ids=["alone", "stacked"])
def test_heads_are_trained_by_one_thread_and_the_number_is_restored(
    members: np.ndarray | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[int] = []
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self: used.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    StandardTrainer().fit(linear_task(), [Job(0, members), Job(1, members)])
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)
    assert set(used) == {1}


def test_training_in_bfloat16_follows_that_in_float32() -> None:
    training_task = linear_task()
    both = (training_task, replace(training_task, precision="bfloat16"))
    plain, reduced = (StandardTrainer().fit(variant, [Job(0)])[0] for variant in both)
    assert all(tensor.dtype == torch.float32 for tensor in reduced.state.values())
    assert reduced.log[-1]["loss"] == pytest.approx(plain.log[-1]["loss"], rel=0.05)
    assert not torch.equal(plain.state["linear.weight"], reduced.state["linear.weight"])


def members_of(*shares: float, n: int = 50) -> list[np.ndarray]:
    random = np.random.default_rng(7)
    return [random.random(n) < share for share in shares]


def by_hand_with_members(task: Task, jobs: list[Job], number: int, batch: int) -> dict:
    """One of several heads on shared batches of given size, each past those it may not see, in float64."""
    head = new_head(6, 2, False, jobs[number].seed).double()
    optimizer = task.recipe.build_optimizer(list(head.parameters()))
    order = torch.Generator().manual_seed(jobs[0].seed)
    seen = torch.from_numpy(np.logical_or.reduce([job.members for job in jobs])).nonzero()[:, 0]
    for _ in range(task.recipe.epochs):
        for rows in seen[torch.randperm(len(seen), generator=order)].split(batch):
            members = rows[torch.from_numpy(jobs[number].members)[rows]]
            losses = nn.functional.cross_entropy(
                head.linear(as_dense(task.features).dense[members].double()), task.labels[members], reduction="none"
            )
            if task.class_weights is not None:
                losses = losses * task.class_weights[task.labels[members]]
            optimizer.zero_grad()
            (losses.sum() / max(1, len(members))).backward()
            optimizer.step()
    return head.state_dict()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("class_weights", [None, torch.tensor([0.5, 3.0])])
def test_a_stack_of_heads_is_each_of_them_trained_by_hand(optimizer: str, class_weights: torch.Tensor | None) -> None:
    changed_copy = replace(linear_task(optimizer), class_weights=class_weights)
    jobs = [Job(seed, members) for seed, members in enumerate(members_of(0.5, 0.4, 0.7))]
    seen = np.logical_or.reduce([job.members for job in jobs]).sum()
    batch = round(8 * seen / np.mean([job.members.sum() for job in jobs]))
    for number, fit in enumerate(StandardTrainer().fit(changed_copy, jobs)):
        state = by_hand_with_members(changed_copy, jobs, number, batch)
        assert all(torch.allclose(fit.state[name].double(), state[name], atol=1e-4) for name in state)
        assert (fit.mode, fit.unchanged_tensors) == ("standard", 0)
        assert [row["epoch"] for row in fit.log] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("views", [1, 3])
def test_a_stack_in_which_all_see_everybody_is_the_plain_loop(views: int) -> None:
    """The same order, batches and views, which follow from the first seed; the first head is that of its own fit."""
    training_task = linear_task()
    features = Dense(
        as_dense(training_task.features).dense.repeat_interleave(views, dim=0) * torch.rand(50 * views, 1), views
    )
    training_task = replace(training_task, features=features, class_weights=torch.tensor([0.5, 3.0]))
    everybody = np.ones(50, dtype=bool)
    together = StandardTrainer().fit(training_task, [Job(3, everybody), Job(4, everybody)])[0]
    alone = StandardTrainer().fit(training_task, [Job(3, everybody)])[0]
    assert all(torch.allclose(together.state[name], tensor, atol=1e-5) for name, tensor in alone.state.items())
    assert [row["loss"] for row in together.log] == pytest.approx([row["loss"] for row in alone.log], rel=1e-4)


def test_a_head_of_a_stack_sees_its_members_only() -> None:
    training_task = linear_task()
    first, second = members_of(0.5, 0.5)
    jobs = [Job(0, first), Job(1, second)]
    separate = StandardTrainer().fit(training_task, jobs)[0]
    spoilt = as_dense(training_task.features).dense.clone()
    spoilt[torch.from_numpy(second & ~first)] *= 100
    same = StandardTrainer().fit(replace(training_task, features=Dense(spoilt)), jobs)[0]
    assert all(torch.allclose(separate.state[name], same.state[name], atol=1e-6) for name in separate.state)
    assert separate.log[-1]["loss"] == pytest.approx(same.log[-1]["loss"], rel=1e-5)


def test_jobs_that_see_everybody_do_not_depend_on_what_else_is_trained() -> None:
    training_task = linear_task()
    first, *_ = StandardTrainer().fit(training_task, [Job(0), Job(1, members_of(0.5)[0])])
    (alone,) = StandardTrainer().fit(training_task, [Job(0)])
    assert all(torch.equal(first.state[name], alone.state[name]) for name in first.state)


def test_a_stack_whose_loss_explodes_stops_the_run() -> None:
    jobs = [Job(seed, members) for seed, members in enumerate(members_of(0.5, 0.5))]
    with pytest.raises(RftError, match=r"Lower train\.learning_rate"):
        StandardTrainer().fit(linear_task(learning_rate=1e30), jobs)


def test_an_examples_weight_is_its_own_whatever_else_is_in_the_batch() -> None:
    """Against a loss written out: the mean divides by the number of examples, not by their weights."""
    weights = torch.tensor([0.5, 3.0])
    changed_copy = replace(linear_task(epochs=1, batch_size=50, momentum=0.0, weight_decay=0.0), class_weights=weights)
    (fit,) = StandardTrainer().fit(changed_copy, [Job(3)])
    head = new_head(6, 2, False, 3).double()
    scores = head.linear(as_dense(changed_copy.features).dense.double())
    loss = sum(
        -weights[label] * scores[row].log_softmax(0)[label] for row, label in enumerate(changed_copy.labels.tolist())
    ) / len(changed_copy.labels)
    loss.backward()
    assert fit.log[0]["loss"] == pytest.approx(float(loss.detach()), rel=1e-5)
    moved = head.linear.weight - 0.05 * head.linear.weight.grad
    assert torch.allclose(fit.state["linear.weight"].double(), moved, atol=1e-6)
