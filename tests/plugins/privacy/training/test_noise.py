"""The noise of a step: its size, where it goes, and that nothing of it is used twice."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from rft.plugins.privacy.training.noise import GaussianNoise
from rft.plugins.privacy.training.randomness import SecretSource


class Ones:
    """A source of ones, which shows what is done with them."""

    def draw_uniforms(self, *shape: int) -> np.ndarray:
        raise AssertionError("noise is made of normals")

    def draw_normals(self, *shape: int) -> np.ndarray:
        return np.ones(shape)


def head_sums(heads: int) -> list[torch.Tensor]:
    return [torch.full((heads, 3, 4), 10.0), torch.full((heads, 3), 20.0), torch.full((heads,), 30.0)]


def test_each_head_has_its_sigma_times_the_norm_and_all_is_divided() -> None:
    gaussian = GaussianNoise(Ones(), np.array([0.5, 2.0, 8.0]), max_grad_norm=0.25, divisor=4.0)
    noised = gaussian.add_noise(head_sums(3))
    for total, wanted in zip(noised, (10.0, 20.0, 30.0), strict=True):
        for head, sigma in enumerate((0.5, 2.0, 8.0)):
            assert (total[head] == (wanted + sigma * 0.25) / 4).all()
    assert [value.shape for value in noised] == [(3, 3, 4), (3, 3), (3,)]


def test_the_sums_stay_as_they_were() -> None:
    totals = head_sums(2)
    GaussianNoise(SecretSource(), np.ones(2), 1.0, 2.0).add_noise(totals)
    assert all(torch.equal(a, b) for a, b in zip(totals, head_sums(2), strict=True))


@pytest.mark.parametrize("heads", [1, 5])
def test_noise_is_normal_and_fresh_for_each_head_parameter_and_step(heads: int) -> None:
    sigmas = np.linspace(0.5, 4.0, heads)
    gaussian = GaussianNoise(SecretSource(), sigmas, max_grad_norm=0.7, divisor=16.0)
    totals = [torch.zeros(heads, 50, 20), torch.zeros(heads, 50)]
    steps = np.stack(
        [torch.cat([noised.flatten(1) for noised in gaussian.add_noise(totals)], 1).double().numpy() for _ in range(20)]
    )
    standard = steps / (sigmas[:, None] * 0.7 / 16)  # (steps, heads, numbers)
    assert stats.kstest(standard.ravel(), "norm").pvalue > 1e-7
    for head in range(heads):
        numbers = standard[:, head].size
        assert standard[:, head].std() == pytest.approx(1, abs=6 / math.sqrt(2 * numbers))
    rows = standard.reshape(-1, standard.shape[2])
    related = np.corrcoef(rows) - np.eye(len(rows))
    assert np.abs(related).max() < 6.5 / math.sqrt(rows.shape[1])
    assert len(np.unique(steps)) > 0.99 * steps.size  # float32 repeats a few by rounding


def test_noise_beyond_the_reach_of_float32_normals_is_kept() -> None:
    class Far(Ones):
        def draw_normals(self, *shape: int) -> np.ndarray:
            return np.full(shape, 8.5)

    noised = GaussianNoise(Far(), np.ones(1), 1.0, 1.0).add_noise([torch.zeros(1, 4)])
    assert (noised[0] == 8.5).all()


def test_sums_in_float64_are_noised_in_float64() -> None:
    noised = GaussianNoise(SecretSource(), np.ones(1), 1.0, 1.0).add_noise([torch.zeros(1, 100, dtype=torch.float64)])
    assert noised[0].dtype == torch.float64
    assert not torch.equal(noised[0], noised[0].float().double())
