"""LogME against the density of a Gaussian with its covariance written out, maximised over alpha and beta directly."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from rft.plugins.backbone.logme import measure_logme
from rft.records import NotMeasured


def naive_logme(features: np.ndarray, labels: np.ndarray) -> float:
    features, n = features.astype(np.float64), len(labels)

    def largest_evidence(target: np.ndarray) -> float:
        def negative_evidence(logs: np.ndarray) -> float:
            log_alpha, log_beta = np.clip(logs, -30, 30)
            covariance = np.eye(n) / np.exp(log_beta) + features @ features.T / np.exp(log_alpha)
            return -multivariate_normal.logpdf(target, np.zeros(n), covariance, allow_singular=True)

        starts = itertools.product((-4.0, 0.0, 4.0, 8.0), (-1.0, 1.0, 3.0))
        return -min(minimize(negative_evidence, start, method="Nelder-Mead", tol=1e-9).fun for start in starts)

    return float(np.mean([largest_evidence((labels == label).astype(float)) for label in np.unique(labels)])) / n


@pytest.mark.parametrize(("n", "dimension", "classes"), [(8, 3, 2), (9, 12, 3)])
def test_logme_is_the_maximum_of_the_evidence(n: int, dimension: int, classes: int) -> None:
    rng = np.random.default_rng(n)
    labels = np.arange(n) % classes
    features = rng.normal(size=(n, dimension)).astype(np.float32)
    features[:, 0] += 2 * labels
    assert measure_logme(features, labels) == pytest.approx(naive_logme(features, labels), abs=1e-5)


def test_logme_does_not_change_with_a_rotation_or_the_scale_of_all_features() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    features = rng.normal(size=(60, 10)) + labels[:, None]
    rotation, _ = np.linalg.qr(rng.normal(size=(10, 10)))
    plain = measure_logme(features, labels)
    assert measure_logme(features @ rotation, labels) == pytest.approx(plain)
    assert measure_logme(1000 * features, labels) == pytest.approx(plain)
    padded = np.hstack([features, np.zeros((60, 80))])  # more features than examples takes another way
    assert measure_logme(padded, labels) == pytest.approx(plain)


def test_logme_ranks_features_by_what_they_carry() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    noise = rng.normal(size=(200, 20))
    values = [
        measure_logme((noise + strength * labels[:, None]).astype(np.float32), labels) for strength in (0.0, 0.3, 1.0)
    ]
    assert values == sorted(values)


def test_features_that_hold_nothing_give_the_evidence_of_noise_alone() -> None:
    """Without features y ~ N(0, 1/beta), whose best beta is n / |y|^2."""
    labels = np.arange(20) % 2
    expected = -0.5 * (np.log(2 * np.pi * 0.5) + 1)
    assert measure_logme(np.zeros((20, 4), np.float32), labels) == pytest.approx(expected)


def test_what_has_no_maximum_is_undefined() -> None:
    labels = np.arange(30) % 2
    exact = measure_logme(np.eye(2, dtype=np.float32)[labels], labels)
    assert isinstance(exact, NotMeasured)
    assert "exactly" in exact.reason
    one_class = measure_logme(np.ones((30, 2), np.float32), np.zeros(30, int))
    assert isinstance(one_class, NotMeasured)
    broken = measure_logme(np.full((30, 2), np.nan, np.float32), labels)
    assert isinstance(broken, NotMeasured)
    assert "not finite" in broken.reason
