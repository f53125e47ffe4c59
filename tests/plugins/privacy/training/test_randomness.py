"""Where private training gets its random numbers from: their distribution, and that nobody else can make them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats

from rft.plugins.privacy.training.randomness import (
    UNIFORM_RESOLUTION,
    RandomSource,
    SecretSource,
    SeededSource,
    random_streams,
)

COUNT = 400_000
SOURCES: list[Callable[[], RandomSource]] = [SecretSource, lambda: SeededSource(np.random.default_rng(3))]
both = pytest.mark.parametrize("source", SOURCES, ids=["secret", "seeded"])


@both
def test_uniforms_are_uniform(source: Callable[[], RandomSource]) -> None:
    uniforms = source().draw_uniforms(COUNT)
    assert uniforms.dtype == np.float64
    assert uniforms.min() > 0
    assert uniforms.max() <= 1
    assert stats.kstest(uniforms, "uniform").pvalue > 1e-7
    assert abs(np.corrcoef(uniforms[1:], uniforms[:-1])[0, 1]) < 6 / np.sqrt(COUNT)


@both
def test_uniforms_have_53_random_bits(source: Callable[[], RandomSource]) -> None:
    """Each of them is even as often as odd, from the first to the last."""
    words = (source().draw_uniforms(COUNT) / UNIFORM_RESOLUTION - 0.5).astype(np.uint64)
    for bit in range(1, 53):  # the last one is lost to rounding above 1/2
        ones = float((words >> np.uint64(bit) & np.uint64(1)).mean())
        assert ones == pytest.approx(0.5, abs=6 * 0.5 / np.sqrt(COUNT))
    assert len(np.unique(words)) == COUNT  # 32 bits would repeat 18 of them


@both
def test_normals_are_normal(source: Callable[[], RandomSource]) -> None:
    normals = source().draw_normals(COUNT)
    assert normals.dtype == np.float64
    assert stats.kstest(normals, "norm").pvalue > 1e-7
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10_170)):
        assert np.mean(normals**power) == pytest.approx(moment, abs=6 * np.sqrt(variance / COUNT))
    for tail in (2.0, 3.0, 4.0):
        expected = 2 * stats.norm.sf(tail) * COUNT
        assert np.sum(np.abs(normals) > tail) == pytest.approx(expected, abs=6 * np.sqrt(expected) + 12)
    assert len(np.unique(normals)) == COUNT


@both
def test_normals_that_are_made_together_are_independent(source: Callable[[], RandomSource]) -> None:
    """Box and Muller make two from a radius and an angle: neither these nor their squares may be related."""
    pairs = source().draw_normals(2, COUNT // 2)
    for first, second in ((pairs[0], pairs[1]), (pairs[0][1:], pairs[0][:-1])):
        for a, b in ((first, second), (first**2, second**2), (np.abs(first), second)):
            assert abs(np.corrcoef(a, b)[0, 1]) < 6 / np.sqrt(COUNT // 2)


def test_the_largest_normal_is_beyond_that_of_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """From 24 bits the largest would be 5.8, from 53 it is 8.6; no number gives one that is not finite."""
    smallest = np.zeros(8, dtype=np.uint8).tobytes()
    largest = np.full(8, 255, dtype=np.uint8).tobytes()
    for words, radius in ((smallest, np.sqrt(2 * 54 * np.log(2))), (largest, 0.0)):
        monkeypatch.setattr(os, "urandom", lambda count, words=words: words * (count // 8))
        normals = SecretSource().draw_normals(2)
        assert np.isfinite(normals).all()
        assert np.hypot(*normals) == pytest.approx(radius, abs=1e-6)


@both
@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (3, 0), (3, 5), (2, 3, 4)])
def test_shapes(source: Callable[[], RandomSource], shape: tuple[int, ...]) -> None:
    assert source().draw_uniforms(*shape).shape == shape
    assert source().draw_normals(*shape).shape == shape


def test_secret_numbers_are_those_of_the_operating_system_each_used_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def count_bytes(count: int) -> bytes:
        asked.append(count)
        return real(count)

    real = os.urandom
    monkeypatch.setattr(os, "urandom", count_bytes)
    source = SecretSource()
    source.draw_uniforms(3, 5)
    source.draw_normals(4, 2)
    source.draw_normals(3)
    assert asked == [8 * 15, 8 * 8, 8 * 4]
    assert not vars(source)  # nothing is kept


def test_secret_numbers_follow_no_seed() -> None:
    runs = []
    for _ in range(2):
        np.random.seed(0)
        torch.manual_seed(0)
        random.seed(0)
        streams = random_streams("secret", 5)
        runs.append([*streams.sampling.draw_uniforms(4), *streams.noise.draw_normals(4), streams.dropout])
    assert not set(runs[0]) & set(runs[1])


def test_seeded_numbers_repeat_with_all_bits_of_the_seed_and_in_two_streams() -> None:
    first, same, second = (random_streams("seeded", seed) for seed in (5, 5, 5 + 2**32))
    assert first.dropout == same.dropout != second.dropout
    numbers = first.noise.draw_normals(8)
    assert np.array_equal(numbers, same.noise.draw_normals(8))
    assert not np.array_equal(numbers, second.noise.draw_normals(8))
    assert not np.array_equal(
        random_streams("seeded", 5).sampling.draw_uniforms(8), random_streams("seeded", 5).noise.draw_uniforms(8)
    )
    assert not np.array_equal(numbers, first.noise.draw_normals(8))  # the stream goes on


def test_a_fork_of_the_process_shares_no_secret_numbers() -> None:
    source = SecretSource()
    source.draw_normals(4)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, source.draw_normals(4).tobytes())
        os._exit(0)
    os.waitpid(child, 0)
    assert not set(np.frombuffer(os.read(reading, 32))) & set(source.draw_normals(4))
    os.close(reading)
    os.close(writing)
