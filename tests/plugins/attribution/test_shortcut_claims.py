"""What is claimed of the verdict on shortcuts, by simulation: of the statistic itself, and on a trained network."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rft.data.images.geometry import Box
from rft.plugins.attribution.images.shortcuts.region_swaps import swap_regions
from rft.plugins.attribution.interventions import Condition, Intervention
from rft.plugins.attribution.network import Network
from rft.plugins.attribution.shortcuts import findings
from rft.plugins.attribution.shortcuts.findings import ShortcutTest, judge_shortcuts
from rft.plugins.attribution.shortcuts.options import Shortcut
from rft.plugins.attribution.shortcuts.pairing import plan_swaps
from rft.plugins.attribution.shortcuts.wording import region_wording
from rft.records import Finding
from rft.stats.discordant_pairs import smallest_excess
from tests.support.attribution_cases import CORNER, Convolutional, Images, noise


@pytest.fixture(autouse=True)
def computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remember the smallest excess that is found, which thousands of simulated audits ask for again and again."""
    monkeypatch.setattr(findings, "smallest_excess", cache(smallest_excess))


def judge_together(results: list[Intervention], floor: float = 0.05) -> list[Finding]:
    suspects = [Shortcut(name=f"s{number}", region=[*CORNER], min_flip_rate=floor) for number in range(len(results))]
    tested = [
        ShortcutTest(suspect, result, region_wording(suspect, result))
        for suspect, result in zip(suspects, results, strict=True)
    ]
    return list(judge_shortcuts(tested))


def simulate_flips(rng: np.random.Generator, n: int, rate: float, excess: float = 0.0) -> Intervention:
    """Return flips of n examples under both conditions, as often as their example is easily upset, and an excess."""
    upset = rng.beta(2 * rate, 2 * (1 - rate), size=n)
    shortcut, control = rng.random((2, n)) < upset
    return Intervention(Condition("a", shortcut | (rng.random(n) < excess)), Condition("b", control), np.arange(n))


@pytest.mark.slow
@pytest.mark.parametrize("floor", [0.0, 0.05])
def test_the_innocent_are_accused_in_one_of_a_thousand_audits_at_most(floor: float) -> None:
    """3,000 audits of three shortcuts that do nothing beyond what the control does; one accusation spoils an audit."""
    rng, accused = np.random.default_rng(0), 0
    for _ in range(3000):
        results = [simulate_flips(rng, 200, rng.uniform(0.01, 0.5)) for _ in range(3)]
        accused += any(finding.status == "warn" for finding in judge_together(results, floor))
    assert accused <= 3


@pytest.mark.slow
def test_reliance_at_a_prevalence_of_a_fifth_is_found_by_200_pairs() -> None:
    """The mark decides wherever it is, in 20 % of the images; one of three shortcuts, in a network that 5 % upsets."""
    rng, found = np.random.default_rng(1), 0
    for _ in range(1000):
        results = [simulate_flips(rng, 200, 0.05, 0.2), *(simulate_flips(rng, 200, 0.05) for _ in range(2))]
        found += judge_together(results)[0].status == "warn"
    assert found >= 990


@pytest.mark.slow
@pytest.mark.parametrize(("n", "lost"), [(60, 0.02), (200, 0.02), (200, 0.1)])
def test_the_share_that_a_clearance_names_is_found_in_80_percent(n: int, lost: float) -> None:
    rng = np.random.default_rng(2)
    excess = smallest_excess(n, lost, alpha=0.001, floor=0.05)
    assert excess is not None
    found = 0
    for _ in range(2000):
        won, lost_pairs, _ = rng.multinomial(n, [lost + excess, lost, 1 - 2 * lost - excess])
        places = np.arange(n)
        result = Intervention(
            Condition("a", places < won), Condition("b", (places >= won) & (places < won + lost_pairs)), places
        )
        found += judge_together([result])[0].status == "warn"
    assert 0.77 <= found / 2000 <= 0.83


def bright_noise(n: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Return noise, bright or dark in the middle by its label."""
    pixels, labels = 0.4 + 0.2 * noise(n, seed=seed), torch.arange(n) % 2
    pixels[:, :, 6:12, 6:12] += (0.1 * (2.0 * labels - 1))[:, None, None, None]
    return pixels, labels


def train_network() -> nn.Module:
    torch.manual_seed(0)
    model = Convolutional()
    model.requires_grad_(True)
    pixels, labels = bright_noise(1024, seed=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for _ in range(400):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model({"pixels": pixels}), labels).backward()
        optimizer.step()
    return model.requires_grad_(False)


@pytest.mark.slow
def test_a_trained_network_that_looks_elsewhere_is_never_accused() -> None:
    """40 audits of new images each, by a network for which the corner says nothing of the class."""
    model, accused = train_network(), 0
    for seed in range(40):
        pixels, labels = bright_noise(420, seed=100 + seed)
        network = Network(model, "cpu")
        predicted = network.logits({"pixels": pixels}).argmax(dim=1)
        assert (predicted == labels).float().mean() > 0.9
        plan = plan_swaps(predicted.numpy(), None, pairs=200, rng=np.random.default_rng(seed))
        [result] = swap_regions(network, Images(pixels).test_images(), plan, [Box(*CORNER)])
        accused += judge_together([result])[0].status == "warn"
    assert accused == 0
