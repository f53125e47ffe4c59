"""Privacy settings that are out of range or contradict each other: each is refused with its key and a reason."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rft.backbones.classifier import new_head
from rft.config import loader
from rft.errors import ConfigError, RftError
from rft.features.columns import Dense
from rft.plugins.privacy import PrivacyOptions
from rft.plugins.privacy.training.trainer import DPTrainer
from rft.training import Job, Population, Recipe, Task

CORE = """
name = "made"
[data]
manifest = "examples.csv"
text = "text"
label = "label"
test = 0.25
[model]
backbone = "transformers/made"
"""

REFUSED_BY_CONFIG = [
    ("epsilon = 0", "privacy.epsilon", "above 0"),
    ("epsilon = -1.0", "privacy.epsilon", "above 0"),
    ("epsilon = inf", "privacy.epsilon", "finite"),
    ("epsilon = nan", "privacy.epsilon", "finite"),
    ('epsilon = "3"', "privacy.epsilon", "expected a number"),
    ("epsilon = true", "privacy.epsilon", "expected a number"),
    ("epsilon = [1.0]", "privacy.epsilon", "expected a number"),
    ("epsilon = 3\ndelta = 0", "privacy.delta", "above 0"),
    ("epsilon = 3\ndelta = -1e-5", "privacy.delta", "above 0"),
    ("epsilon = 3\ndelta = 1.0", "privacy.delta", "below 1"),
    ("epsilon = 3\ndelta = nan", "privacy.delta", "below 1"),
    ('epsilon = 3\ndelta = "1e-5"', "privacy.delta", "expected a number"),
    ("delta = 1e-5", "privacy", "delta without epsilon"),
    ("epsilon = 3\nmax_grad_norm = 0.0", "privacy.max_grad_norm", "0.0001 or more"),
    ("epsilon = 3\nmax_grad_norm = 1e-30", "privacy.max_grad_norm", "0.0001 or more"),
    ("epsilon = 3\nmax_grad_norm = 1e30", "privacy.max_grad_norm", "10000 or less"),
    ("epsilon = 3\nmax_grad_norm = nan", "privacy.max_grad_norm", "not nan"),
    ("epsilon = 3\nmax_grad_norm = inf", "privacy.max_grad_norm", "10000 or less"),
    ("max_grad_norm = 1.0", "privacy", "max_grad_norm without epsilon"),
    ("epsilon = 3\nnoise_multiplier = 0", "privacy.noise_multiplier", "above 0"),
    ("epsilon = 3\nnoise_multiplier = -0.5", "privacy.noise_multiplier", "above 0"),
    ("epsilon = 3\nnoise_multiplier = inf", "privacy.noise_multiplier", "finite"),
    ("noise_multiplier = 1.0", "privacy", "noise_multiplier without epsilon"),
    ("epsilon = 3\nsample_rate = 0", "privacy.sample_rate", "above 0"),
    ("epsilon = 3\nsample_rate = 1.5", "privacy.sample_rate", "1 or less"),
    ("epsilon = 3\nsample_rate = -0.1", "privacy.sample_rate", "above 0"),
    ("sample_rate = 0.1", "privacy", "sample_rate without epsilon"),
    ("epsilon = 3\nsteps = 0", "privacy.steps", "1 or more"),
    ("epsilon = 3\nsteps = 10.5", "privacy.steps", "expected a whole number"),
    ("steps = 10", "privacy", "steps without epsilon"),
    ('epsilon = 3\nrandomness = "none"', "privacy.randomness", "'secret' or 'seeded'"),
    ('epsilon = 3\nmethod = "adam"', "privacy.method", "'sgd' or 'least_squares'"),
    ('epsilon = 3\nmethod = "least_squares"\nsteps = 5', "privacy", "one step with everybody"),
    ('epsilon = 3\nmethod = "least_squares"\nsample_rate = 0.1', "privacy", "one step with everybody"),
    ("epsilon = 3\nbudget = 2.0", "privacy", "less than epsilon"),
    ("epsilon = 3\nbudget = 0", "privacy.budget", "above 0"),
    ("budget = 3.0", "privacy", "budget without epsilon"),
    ("epsilon = 3\nfrontier = [1.0, 0.0]", "privacy.frontier.2", "above 0"),
    ("epsilon = 3\nfrontier = [1.0, 1.0]", "privacy", "twice"),
    ("frontier = [1.0]", "privacy", "frontier without epsilon"),
    ("epsilon = 3\nreplicates = 2", "privacy", "replicates without frontier"),
    ("epsilon = 3\nfrontier = [1.0]\nreplicates = 0", "privacy.replicates", "1 or more"),
    ("shadows = -1", "privacy.shadows", "0 or more"),
    ("epsilon = 3\ncanaries = 5", "privacy", "give 20 or more"),
    ("canaries = 50", "privacy", "canaries without epsilon"),
    ("canaries = -5", "privacy.canaries", "0 or more"),
    ("epsilon = 3\nepsilon_target = 2", "privacy.epsilon_target", "unknown key"),
]


@pytest.mark.parametrize(("table", "key", "reason"), REFUSED_BY_CONFIG, ids=lambda value: str(value)[:40])
def test_the_config_refuses(table: str, key: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "audit.toml"
    file.write_text(f"{CORE}[privacy]\n{table}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as refusal:
        loader.load_config(file, [], {"privacy": PrivacyOptions})
    message = str(refusal.value)
    assert f"{key}:" in message
    assert reason in message
    assert len(message.splitlines()) <= 2
    assert list(tmp_path.iterdir()) == [file]


def small_task(population: Population | None = None) -> Task:
    features = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    recipe = Recipe(epochs=2, optimizer="sgd", learning_rate=0.1, momentum=0.0, weight_decay=0.0, batch_size=8)
    return Task(
        Dense(features), torch.arange(40) % 2, None, partial(new_head, 5, 2, False), recipe, population=population
    )


@pytest.mark.parametrize(
    ("settings", "key", "reason"),
    [
        ({"epsilon": 1e-7}, "privacy.epsilon", "cannot be reached"),
        ({"epsilon": 0.5, "noise_multiplier": 0.4}, "privacy.noise_multiplier", "more than the 0.5"),
        ({"epsilon": 3.0, "budget": 4.0}, "privacy.budget", "none is named"),
        ({"epsilon": 3.0, "ledger": "here"}, "privacy.ledger", "none is named"),
        ({"epsilon": 3.0, "overlaps": ("ward",)}, "privacy.overlaps", "none is named"),
    ],
)
def test_training_refuses_before_it_starts(settings: dict[str, Any], key: str, reason: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        DPTrainer(**settings).prepare(small_task())
    assert str(refusal.value).startswith(f"{key}: ")
    assert reason in str(refusal.value)


def test_a_spent_budget_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    population = Population("clinic", np.array([f"p{number}" for number in range(40)]), tmp_path)
    trainer = DPTrainer(epsilon=2.0, budget=2.5, ledger="ledger", randomness="seeded")
    trainer.fit(small_task(population), [Job(0)])
    (kept,) = (tmp_path / "ledger" / "clinic").glob("*.jsonl")
    before = kept.read_bytes()
    with pytest.raises(RftError) as refusal:
        trainer.fit(small_task(population), [Job(1)])
    assert "budget" in str(refusal.value)
    assert kept.read_bytes() == before


def test_a_tiny_data_set_goes_on() -> None:
    features = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    recipe = Recipe(epochs=1, optimizer="sgd", learning_rate=0.1, momentum=0.0, weight_decay=0.0, batch_size=8)
    tiny = Task(Dense(features), torch.arange(3) % 2, None, partial(new_head, 5, 2, False), recipe)
    (fit,) = DPTrainer(epsilon=3.0).fit(tiny, [Job(0)])
    assert fit.require_privacy().n == 3
    assert fit.require_privacy().epsilon <= 3.0
