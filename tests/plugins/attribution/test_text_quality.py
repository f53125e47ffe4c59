"""How far attributions of texts can be believed: planted words, shams, noise in the embeddings, and groups."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rft.config.schema import DataConfig
from rft.plugins.attribution import Attribution, AttributionOptions
from rft.plugins.attribution.interventions import NOISE
from rft.plugins.attribution.modality_words import text_wording
from rft.plugins.attribution.network import Network
from rft.plugins.attribution.quality.measures import state_quality
from rft.plugins.attribution.quality.parts import Parts, measure_faithfulness, measure_part_quality
from rft.plugins.attribution.texts.methods import Scores, integrated_gradients, remove_words, word_removal
from rft.plugins.attribution.texts.quality import TextExamples
from rft.plugins.attribution.texts.replacements import Replacement, choose_token, find_removal
from rft.plugins.attribution.texts.tokenized_texts import TokenizedTextReader, TokenizedTexts
from rft.records import Finding, Section
from rft.stats.intervals import mean_interval
from tests.support.attribution_text_cases import (
    FILLERS,
    SECRET,
    Batch,
    Linear,
    Planted,
    audited_model,
    bert,
    sentences,
    word_pieces,
)

WORDS = text_wording("“[MASK]”", "nothing")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return word_pieces()


class Counting(Planted):
    """Counts the planted word, so that its copies with random weights, in which many words count, do not saturate."""

    def forward(self, inputs: Batch) -> Tensor:
        seen = self.network.embedding(inputs["input_ids"])[:, :, 0] * inputs["attention_mask"]
        score = 8 * seen.sum(dim=1) - 3
        return torch.stack([torch.zeros_like(score), score], dim=1)


def long_sentences(n: int, words: int = 60) -> list[str]:
    rng = np.random.default_rng(0)
    texts = []
    for _ in range(n):
        chosen = rng.choice(FILLERS, size=words).tolist()
        chosen[rng.integers(words)] = SECRET
        texts.append(" ".join(chosen))
    return texts


def attribute_texts(model: nn.Module, texts: list[str], tokenizer: Any, method: str) -> TextExamples:
    network, reader = Network(model, "cpu"), TokenizedTextReader(audited_model(model, texts, tokenizer))
    read = reader.read(np.arange(len(texts)))
    target = network.logits(read.inputs).argmax(dim=1)
    replacements = [
        Replacement("“[MASK]”", 0.0, 0, 1, tokenizer.mask_token_id, reader.padding),
        Replacement("nothing", 0.0, 0, 1, None, reader.padding),
    ]
    scores = (
        integrated_gradients(network, read, target, baseline=tokenizer.mask_token_id, max_steps=64)
        if method == "integrated_gradients"
        else word_removal(network, read, target, removal=find_removal(replacements))
    )
    return TextExamples.from_scores(network, read, target, scores, replacements)


def state_measures(examples: TextExamples) -> dict[str, Finding]:
    places = np.arange(len(examples.values))
    quality = measure_part_quality(examples.network, examples, places, np.random.default_rng(0))
    findings = state_quality(quality, None, WORDS)
    return {finding.id.removeprefix("attribution.").partition(".")[0]: finding for finding in findings}


@pytest.mark.parametrize("method", ["integrated_gradients", "word_removal"])
def test_the_planted_word_brings_the_class_and_depends_on_what_was_learned(tokenizer: Any, method: str) -> None:
    stated = state_measures(attribute_texts(Counting(tokenizer), long_sentences(12), tokenizer, method))
    assert [stated[name].status for name in ("deletion", "insertion", "randomization")] == ["info"] * 3
    assert stated["insertion"].interval is not None
    assert stated["insertion"].interval.low > 0.3
    assert stated["randomization"].interval is not None
    assert stated["randomization"].interval.high < 0.2
    assert "of the range of the word embeddings" in stated["stability"].description


@pytest.mark.parametrize("method", ["integrated_gradients", "word_removal"])
def test_attributions_of_a_smooth_network_are_stable(tokenizer: Any, method: str) -> None:
    stated = state_measures(attribute_texts(Linear(tokenizer), sentences(12), tokenizer, method))["stability"]
    assert stated.interval is not None
    assert stated.interval.low > 0.8
    assert stated.caveats.endswith("Surely at 0.8 or above: stable.")


@dataclass(frozen=True)
class Distances(TextExamples):
    """A sham: what is far from the baseline, by whatever network."""

    def attribute(self, network: Network, places: np.ndarray) -> Parts:
        return self.measure_content(places)


def test_attributions_that_ignore_the_network_are_found(tokenizer: Any) -> None:
    known = attribute_texts(bert(tokenizer), sentences(6), tokenizer, "word_removal")
    places = np.arange(len(known.values))
    sham = Distances(
        known.network, known.method, known.texts, known.target, known.measure_content(places), known.replacements
    )
    stated = state_measures(sham)["randomization"]
    assert (stated.status, stated.value) == ("warn", pytest.approx(1))
    assert "the attributions show the text, whatever was learned" in stated.caveats
    assert "and how far the embeddings of the tokens are from the baseline 1.00" in stated.caveats


def test_random_attributions_bring_no_more_than_chance(tokenizer: Any) -> None:
    model, passed, shown = Planted(tokenizer), 0, []
    for seed in range(20):
        texts, rng = sentences(20, secret=1.0, seed=seed), np.random.default_rng(seed)
        network, reader = Network(model, "cpu"), TokenizedTextReader(audited_model(model, texts, tokenizer))
        read = reader.read(np.arange(20))
        sham = Scores("word_removal", tuple(rng.random(len(read.batch_of(row)["input_ids"][0])) for row in range(20)))
        replacement = Replacement("“[MASK]”", 0.0, 0, 1, tokenizer.mask_token_id, reader.padding)
        target = network.logits(read.inputs).argmax(dim=1)
        examples = TextExamples.from_scores(network, read, target, sham, [replacement])
        gain = measure_faithfulness(examples, rng).insertion
        interval = mean_interval(gain)
        assert interval is not None
        passed += interval.low > 0
        shown.append(gain.mean())
    assert passed <= 3  # 0.5 of 20 is nominal, for one side of a 95 % interval
    assert abs(np.mean(shown)) < 4 * np.std(shown) / 20**0.5


def move_table(model: nn.Module, tokens: Tensor, noise: Tensor) -> Any:
    """Return a copy of a model with other word embeddings: noise without any hook."""
    moved = copy.deepcopy(model)
    table = moved.get_submodule(str(moved.embedding_layer)).weight
    with torch.no_grad():
        table[tokens] += noise
    return moved


@pytest.mark.parametrize("method", ["integrated_gradients", "word_removal"])
@pytest.mark.parametrize("make", [Linear, bert])
def test_noise_is_that_of_another_table_of_embeddings(tokenizer: Any, make: Any, method: str) -> None:
    """The same for the text, for the baseline, and for the text without some of its words."""
    examples = attribute_texts(make(tokenizer), sentences(6), tokenizer, method)
    places = np.arange(min(3, len(examples.values)))
    noisy = examples.attribute_noisy(places, np.random.default_rng(5))
    rng, model = np.random.default_rng(5), examples.network.model
    for place, values in zip(places.tolist(), noisy, strict=True):
        ids = examples.texts.batch_of(place)["input_ids"]
        embeddings = model.get_submodule(str(model.embedding_layer))(ids)
        tokens = torch.cat([ids[0], torch.tensor([tokenizer.mask_token_id])]).unique()
        drawn = torch.from_numpy(rng.standard_normal((len(tokens), embeddings.shape[-1]), dtype=np.float32))
        noise = NOISE * (embeddings.max() - embeddings.min()) * drawn
        other = Network(move_table(model, tokens, noise), "cpu")
        alone, target = examples.texts.select_texts(np.array([place])), examples.target[[place]]
        expected = _attribute_alone(other, alone, target, examples, method)
        np.testing.assert_allclose(values, expected, atol=1e-5)
        assert not np.allclose(values, examples.attribute(examples.network, np.array([place]))[0], atol=1e-5)
    assert not model.get_submodule(str(model.embedding_layer))._forward_hooks


def _attribute_alone(
    network: Network, texts: TokenizedTexts, target: Tensor, examples: TextExamples, method: str
) -> np.ndarray:
    if method == "word_removal":
        return remove_words(network, texts, target, 0, find_removal(examples.replacements))
    (values,) = TextExamples(network, method, texts, target, [np.zeros(1)], examples.replacements).attribute(
        network, np.array([0])
    )
    return values


def test_content_is_the_distance_of_embeddings_from_the_baseline(tokenizer: Any) -> None:
    examples = attribute_texts(Linear(tokenizer), sentences(4), tokenizer, "word_removal")
    table = examples.network.model.network.embedding.weight
    for place, distances in enumerate(examples.measure_content(np.arange(len(examples.values)))):
        ids = examples.texts.batch_of(place)["input_ids"][0]
        expected = (table[ids] - table[choose_token(examples.replacements).token]).square().sum(dim=1).sqrt()
        np.testing.assert_allclose(distances, expected, atol=1e-6)


def test_without_word_embeddings_there_is_no_noise_and_no_content(tokenizer: Any) -> None:
    model = Counting(tokenizer)
    model.embedding_layer = None
    stated = state_measures(attribute_texts(model, long_sentences(6), tokenizer, "word_removal"))
    assert (stated["stability"].status, stated["stability"].value) == ("not_measured", None)
    assert stated["stability"].reason == "this model has no word embeddings"
    assert stated["randomization"].value is not None
    assert "how far the embeddings of the tokens are from the baseline not defined" in stated["randomization"].caveats


@pytest.fixture(scope="module")
def grouped(tokenizer: Any) -> Section:
    """Audit texts of two groups: those of ``b`` have the secret three times."""
    once, texts = sentences(80, secret=1.0), []
    for row, text in enumerate(once):
        texts.append(f"{text} {SECRET} it was {SECRET}" if row % 2 else text)
    groups = {"region": np.array(["a", "b"] * 40, dtype=object)}
    audited = audited_model(Counting(tokenizer), texts, tokenizer, groups=groups)
    options = AttributionOptions.model_validate({"samples": 80, "methods": ["integrated_gradients"]})
    return Attribution().audit(audited, options)


def test_groups_have_rows_and_a_gap(grouped: Section) -> None:
    gap = grouped.finding("attribution.deletion_gap.integrated_gradients.region")
    assert gap.n == 80
    assert gap.value is not None
    assert "40 texts" in gap.caveats
    rows = grouped.tables["map_quality"]
    by_group = {(row["group"], row["measure"]): row["n"] for row in rows if row["attribute"] == "region"}
    for name in ("a", "b"):
        for measure in (
            "deletion",
            "insertion",
            "likeness to attributions of random networks",
            "stability under noise",
        ):
            assert by_group[name, measure] == 40
    assert "Groups with 30 explained texts or more" in grouped.captions["map_quality"]


def test_every_finding_of_texts_is_announced(grouped: Section) -> None:
    data = DataConfig.model_validate({"manifest": "x.csv", "text": "t", "label": "y", "groups": ["region"]})
    assert {finding.id for finding in grouped.findings} <= set(Attribution().list_findings(AttributionOptions(), data))
