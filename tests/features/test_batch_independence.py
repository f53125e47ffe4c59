"""What other examples do to the features of one, and that nothing is left of it where each is run alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import rft
from rft.backbones.batch import Batch
from rft.features import Dense, Store, batch_independence
from rft.features.batch_independence import NEGLIGIBLE_CHANGE, measure_batch_dependence
from rft.features.batches import USUAL_EXAMPLES
from rft.features.extract import extract_features
from rft.records import Split
from rft.training.loop import StandardTrainer
from tests.conftest import CONFIG, write_images


def random_images(count: int, tokens: int, seed: int) -> Batch:
    return {"pixels": torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))}


def random_texts(count: int, tokens: int, seed: int) -> Batch:
    random = torch.Generator().manual_seed(seed)
    mask = (torch.arange(tokens) < tokens - torch.arange(count)[:, None] % 3).long()
    return {"input_ids": torch.randint(1, 30, (count, tokens), generator=random) * mask, "attention_mask": mask}


class OfImages(nn.Module):
    """A frozen part; ``mixing`` is how much of the batch's mean each example gets."""

    def __init__(self, mixing: float = 0.0) -> None:
        super().__init__()
        self.linear = nn.Linear(192, 16)
        self.mixing = mixing
        self.sizes: list[int] = []

    def forward(self, batch: Batch) -> Batch:
        self.sizes.append(len(batch["pixels"]))
        features: Tensor = self.linear(batch["pixels"].flatten(1))
        return {"features": features + self.mixing * features.mean(dim=0)}


class OfTexts(nn.Module):
    """A frozen part whose features are a row for each token; ``careless`` lets padding change them."""

    def __init__(self, careless: bool) -> None:
        super().__init__()
        self.embedding, self.careless = nn.Embedding(30, 8), careless

    def forward(self, batch: Batch) -> Batch:
        embedded = self.embedding(batch["input_ids"])
        mask = batch["attention_mask"][..., None]
        whole = embedded if self.careless else embedded * mask
        self.lengths = batch["attention_mask"].sum(dim=1).tolist()
        return {"features": embedded + whole.sum(dim=1, keepdim=True), "attention_mask": batch["attention_mask"]}


def measure_dependence(
    prefix: nn.Module, example: Any = random_images, tokens: int | None = None, precision: str = "float32"
) -> batch_independence.BatchDependence:
    return measure_batch_dependence(prefix, example, tokens=tokens, device="cpu", precision=precision)


def test_a_part_that_treats_each_image_by_itself_is_run_in_batches() -> None:
    prefix = OfImages()
    measurement = measure_dependence(prefix)
    assert 0 <= measurement.change < 1e-5
    assert not measurement.alone
    assert prefix.sizes == [USUAL_EXAMPLES, 1, 1, 1, 1]


def test_in_few_bits_each_is_run_alone_whatever_was_seen() -> None:
    assert measure_dependence(OfImages(), precision="bfloat16").alone


@pytest.mark.parametrize("mixing", [0.01, 1.0])
def test_one_that_mixes_them_is_not(mixing: float) -> None:
    measurement = measure_dependence(OfImages(mixing))
    assert measurement.change > 0.1 * mixing
    assert measurement.alone


def test_neither_is_one_that_gives_no_numbers() -> None:
    assert measure_dependence(OfImages(float("nan"))).alone


@pytest.mark.parametrize("tokens", [4, 24, 512])
def test_texts_are_compared_without_the_padding_of_company(tokens: int) -> None:
    assert measure_dependence(OfTexts(careless=False), random_texts, tokens).change < 1e-5
    assert measure_dependence(OfTexts(careless=True), random_texts, tokens).alone


class Given:
    """Inputs that give what they were given."""

    def __init__(self, batch: Batch) -> None:
        self.batch_ = batch

    def batches(self, items: list[int], batches: list[np.ndarray]) -> Any:
        for rows in batches:
            yield {name: column[[items[row] for row in rows]] for name, column in self.batch_.items()}


def split_of(rows: list[int]) -> Split:
    digests = np.array([f"{row:064}" for row in rows], dtype=object)
    return Split("train", digests, rows, np.zeros(len(rows), np.int64), {}, None, digests)


def test_features_that_are_computed_alone_do_not_depend_on_who_else_is_there(tmp_path: Path) -> None:
    """The very bits, for a part that mixes: with and without one example, and in another order."""
    prefix, inputs = OfImages(mixing=0.5), Given(random_images(50, 0, 3))
    features_by_row = []
    for number, rows in enumerate(([*range(50)], [*range(7), *range(8, 50)], [*range(49, -1, -1)])):
        prefix.sizes.clear()
        options = {"device": "cpu", "precision": "float32", "alone": True}
        extracted = extract_features(prefix, inputs, split_of(rows), Store(tmp_path / str(number), "key"), **options)
        assert isinstance(extracted, Dense)
        features_by_row.append(dict(zip(rows, extracted.tensor, strict=True)))
        assert set(prefix.sizes) == {1}
    for of_other_batches in features_by_row[1:]:
        assert all(torch.equal(features_by_row[0][row], features) for row, features in of_other_batches.items())


PRIVATE = "\n[privacy]\nepsilon = 20.0\nsample_rate = 0.5\nmechanism_runs = 0\nshadows = 0\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_images(tmp_path / "data", n=20)
    path = tmp_path / "audit.toml"
    path.write_text(CONFIG.replace('"red"\n', '"red"\nclasses = ["blue", "red"]\n', 1) + PRIVATE, encoding="utf-8")
    return path


@pytest.mark.parametrize("method", ["sgd", pytest.param("least_squares", marks=pytest.mark.slow)])
def test_a_private_run_says_what_company_does(config: Path, method: str) -> None:
    pytest.importorskip("opacus")
    settings = ["privacy={epsilon=20.0, method='least_squares'}", "train={}"] if method == "least_squares" else []
    run = rft.audit(config, overrides=settings, device="cpu")
    finding = run.finding("privacy.batch_independence")
    assert finding.value is not None
    assert 0 <= finding.value <= NEGLIGIBLE_CHANGE
    assert "may together differ by some" in finding.description or "No change was seen" in finding.description
    (row,) = [
        row for row in run.section("privacy").tables["parameters"] if row["parameter"] == "features of an example"
    ]
    assert (row["value"], row["grade"]) == ("computed in batches", "measured")


def test_where_company_matters_each_example_of_a_private_run_is_computed_alone(
    config: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    """And features that were computed in company, by a run without privacy, are not taken for them."""
    pytest.importorskip("opacus")
    monkeypatch.setattr(batch_independence, "NEGLIGIBLE_CHANGE", -1.0)
    rft.audit(config, overrides=["privacy={}"], device="cpu")
    (in_company,) = (own_cache / "features").iterdir()
    run = rft.audit(config, device="cpu")
    assert len(list((own_cache / "features").iterdir())) > 1
    assert in_company.exists()
    assert run.finding("privacy.batch_independence").value == 0
    (row,) = [
        row for row in run.section("privacy").tables["parameters"] if row["parameter"] == "features of an example"
    ]
    assert row["value"] == "each computed alone"


def test_training_without_privacy_asks_for_nothing_of_it() -> None:
    assert not StandardTrainer().needs_independent_examples
