"""Shadow models: whom they see, that they are the run's own training, and that they cost the ledger nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from rft.plugins.privacy.attacks import shadows
from rft.plugins.privacy.training.trainer import DPTrainer
from rft.training import Fit, Job, Population, Task, linear_heads
from rft.training.loop import StandardTrainer
from tests.support import membership_cases as cases


@dataclass(frozen=True)
class Recorder:
    """The standard trainer, which keeps what it was asked for."""

    asked: list[tuple[Task, Sequence[Job]]] = field(default_factory=list)

    def prepare(self, task: Task) -> None:
        return None

    def fit(self, task: Task, jobs: Sequence[Job]) -> list[Fit]:
        self.asked.append((task, jobs))
        return StandardTrainer().fit(task, jobs)


class Deep(nn.Module):
    """More than a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(cases.DIMENSION, 5), nn.Tanh(), nn.Linear(5, 3))

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.layers(batch["features"])


def deep_suffix(seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Deep()


@pytest.mark.parametrize(("share", "times"), [(0.5, 32), (0.75, 48), (0.999, 60), (0.01, 4)])
def test_every_owner_is_in_equally_many_subsets_with_all_its_rows(share: float, times: int) -> None:
    owners = np.repeat(np.arange(50), np.arange(50) % 4 + 1)
    subsets = shadows.draw_subsets(owners, 64, share=share, rng=np.random.default_rng(0))
    assert subsets.shape == (64, len(owners))
    assert (subsets.sum(axis=0) == times).all()
    for owner in range(50):
        rows = subsets[:, owners == owner]
        assert (rows == rows[:, :1]).all()


def test_subsets_are_random() -> None:
    """An owner's presence says nothing of another's."""
    subsets = shadows.draw_subsets(np.arange(300), 64, share=0.5, rng=np.random.default_rng(0))
    overlap = np.corrcoef(subsets.T.astype(float))[np.triu_indices(300, 1)]
    assert abs(overlap.mean()) < 0.01
    assert overlap.std() == pytest.approx(1 / np.sqrt(63), rel=0.05)


def test_shadows_see_as_large_a_share_of_train_and_test_as_the_model() -> None:
    recorder = Recorder()
    audited = cases.audited_model(150, 50, trainer=recorder)
    confidences = shadows.shadow_confidences(audited, 16)
    task, jobs = recorder.asked[1]
    assert len(recorder.asked) == 2  # the model, and all shadows as one computation
    assert len(task.features) == len(task.labels) == 200
    assert len({job.seed for job in jobs}) == 16
    sizes = [job.members.sum() for job in jobs if job.members is not None]
    assert np.mean(sizes) == 150
    assert confidences.members.shape == confidences.shadows.shape == (16, 200)
    assert confidences.ids.tolist() == [*audited.splits["train"].ids, *audited.splits["test"].ids]
    for job, seen in zip(jobs, confidences.members, strict=True):
        assert np.array_equal(job.members, seen)


def test_confidences_are_those_of_the_models() -> None:
    audited = cases.audited_model()
    confidences = shadows.shadow_confidences(audited, 16)
    labels = audited.splits["test"].labels
    (logits,) = linear_heads.compute_logits(
        audited.require_task(), [audited.require_fit()], audited.require_features()["test"]
    )
    naive = [
        row[label] - np.log(np.exp(np.delete(row, label)).sum()) for row, label in zip(logits, labels, strict=True)
    ]
    assert confidences.target[150:] == pytest.approx(naive)
    assert (
        np.median(confidences.shadows[confidences.members]) > np.median(confidences.shadows[~confidences.members]) + 1
    )  # labels are noise


def test_the_attack_can_be_repeated() -> None:
    audited = cases.audited_model()
    first, second = (shadows.shadow_confidences(audited, 8) for _ in range(2))
    assert np.array_equal(first.members, second.members)
    assert np.array_equal(first.shadows, second.shadows)
    confidences = shadows.shadow_confidences(replace(audited, seed=1), 8)
    assert not np.array_equal(first.members, confidences.members)


def test_units_stay_together_and_those_on_both_sides_take_no_part() -> None:
    recorder = Recorder()
    audited = cases.audited_model(150, 90, trainer=recorder, rows_per_unit=3)
    test = audited.splits["test"]
    assert test.units is not None
    units = test.units.copy()
    units[:3] = "train-u0"
    audited = replace(audited, splits={**audited.splits, "test": replace(test, units=units)})
    confidences = shadows.shadow_confidences(audited, 16)
    assert len(confidences.ids) == 240 - 6
    task, jobs = recorder.asked[-1]
    assert task.units is not None
    for job in jobs:
        assert job.members is not None
        assert not job.members[task.units == "train-u0"].any()
        seen = {unit: set(job.members[task.units == unit]) for unit in np.unique(task.units)}
        assert all(len(values) == 1 for values in seen.values())


def test_a_deeper_part_is_trained_one_model_at_a_time() -> None:
    recorder = Recorder()
    audited = cases.audited_model(60, 40, trainer=recorder, new_suffix=deep_suffix)
    assert not shadows.is_batched(audited.require_task())
    confidences = shadows.shadow_confidences(audited, 8)
    assert [len(jobs) for _, jobs in recorder.asked] == [1] * 9
    assert np.isfinite(confidences.shadows).all()


def test_shadows_of_a_private_model_repeat_its_mechanism_uncharged(tmp_path: Path) -> None:
    trainer = DPTrainer(epsilon=2.0, ledger=str(tmp_path / "ledger"))
    people = Population("people", np.array([f"train{row:05}" for row in range(150)]), tmp_path)
    audited = cases.audited_model(150, 100, trainer=trainer, population=people)
    facts, charged = audited.require_fit().require_privacy(), folder_contents(tmp_path)
    assert charged
    shadows.shadow_confidences(audited, 8)
    pool, pinned = shadows.pool_examples(audited), shadows.shadow_trainer(audited)
    fit = pinned.fit(pool.task, [Job(0, pool.members)])[0]
    assert folder_contents(tmp_path) == charged
    public = ("noise_multiplier", "sample_rate", "steps", "max_grad_norm", "divisor", "delta")
    assert {name: getattr(fit.require_privacy(), name) for name in public} == {
        name: getattr(facts, name) for name in public
    }
    assert fit.require_privacy().randomness == "seeded"
    assert pool.task.population is None


def folder_contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_noise_hides_what_plain_training_remembers() -> None:
    def shadow_gap(trainer: object) -> float:
        confidences = shadows.shadow_confidences(cases.audited_model(trainer=trainer), 16)
        out = np.where(confidences.members, np.nan, confidences.shadows)
        inside = np.where(confidences.members, confidences.shadows, np.nan)
        return float(np.nanmean((np.nanmean(inside, axis=0) - np.nanmean(out, axis=0)) / np.nanstd(out, axis=0)))

    assert shadow_gap(StandardTrainer()) > 0.6
    assert abs(shadow_gap(DPTrainer(epsilon=0.5, randomness="seeded"))) < 0.3
