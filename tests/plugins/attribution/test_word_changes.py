"""What words are exchanged for, what stands for the absence of a word, and what the removal of each word does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rft.plugins.attribution import Attribution, AttributionOptions
from rft.plugins.attribution.network import Network
from rft.plugins.attribution.texts.methods import MAX_REMOVALS, word_removal
from rft.plugins.attribution.texts.replacements import (
    REMOVAL,
    Replacement,
    choose_token,
    find_removal,
    measure_replacements,
)
from rft.plugins.attribution.texts.shortcuts.changes import OtherWords, Removal
from rft.plugins.attribution.texts.shortcuts.interventions import FirstPredictions, change_words
from rft.plugins.attribution.texts.shortcuts.other_words import NEAREST, WordPool
from rft.plugins.attribution.texts.tokenized_texts import TokenizedTextReader
from rft.plugins.attribution.texts.words import whole_word_pattern
from tests.support.attribution_text_cases import (
    FILLERS,
    SECRET,
    Bag,
    Batch,
    Linear,
    Planted,
    TextModel,
    audited_model,
    bert,
    gpt,
    sentences,
    single_bytes,
    word_pieces,
)


def reader_of(model: TextModel, texts: list[str], tokenizer: Any) -> TokenizedTextReader:
    return TokenizedTextReader(audited_model(model, texts, tokenizer))


@pytest.mark.parametrize(("make", "tokens"), [(bert, word_pieces), (gpt, single_bytes)])
def test_a_text_without_words_is_read_as_if_they_had_never_been_there(make: Any, tokens: Any) -> None:
    tokenizer = tokens()
    model = make(tokenizer)
    reader = reader_of(model, ["we saw a film in the north", "it was long", "saw"], tokenizer)
    texts = reader.read(np.arange(3))
    where = np.zeros_like(texts.ordinary)
    for index, word in ((0, "film"), (0, "saw"), (1, "it")):
        start = texts.strings[index].index(word)
        where[index] |= texts.cover_spans(index, np.array([[start, start + len(word)]]))[0]
    removed = texts.remove_tokens(where, reader.padding)
    network = Network(model, "cpu")
    for index in range(3):
        kept = torch.from_numpy(~where[index]) & texts.inputs["attention_mask"][index].bool()
        ids = texts.inputs["input_ids"][index][kept][None]
        alone = network.logits({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
        together = network.logits({name: tensor[index : index + 1] for name, tensor in removed.items()})
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_the_removal_of_a_word_is_what_a_text_without_it_loses() -> None:
    tokenizer = word_pieces()
    model = bert(tokenizer)
    texts = [f"we saw the {SECRET}s in the north .", "it was long"]
    reader, network = reader_of(model, texts, tokenizer), Network(model, "cpu")
    read = reader.read(np.arange(2))
    target = network.logits(read.inputs).argmax(dim=1)
    scores = word_removal(network, read, target, removal=Replacement(REMOVAL, 0.0, 0, 1, None, reader.padding))
    for index, text in enumerate(texts):
        words = [word for word in text.split() if word != "."]
        values = iter(scores.values[index][read.ordinary[index, : len(scores.values[index])]].tolist())
        whole = float(network.margins(reader.encode([text]), target[index : index + 1]))
        for place, word in enumerate(words):
            without = " ".join([*words[:place], *words[place + 1 :], *("." if "." in text else "")])
            lost = whole - float(network.margins(reader.encode([without]), target[index : index + 1]))
            pieces = len(reader.word_tokens(word))
            assert sum(next(values) for _ in range(pieces)) == pytest.approx(lost, abs=1e-4)
    assert scores.values[0][-2] == 0  # the full stop


def test_long_texts_lose_several_words_at_a_time() -> None:
    tokenizer = word_pieces()
    text = " ".join([*(["we", "saw", "a", "film", "in", "the", "north"] * 12), SECRET, *(["it", "was", "long"] * 5)])
    audited = audited_model(Planted(tokenizer), [text], tokenizer, max_length=128)
    reader, calls = TokenizedTextReader(audited), []
    network = Network(Planted(tokenizer), "cpu")
    network.model.register_forward_pre_hook(lambda _model, inputs: calls.append(len(inputs[0]["input_ids"])))
    scores = word_removal(
        network,
        reader.read(np.array([0])),
        torch.tensor([1]),
        removal=Replacement(REMOVAL, 0.0, 0, 1, None, reader.padding),
    )
    assert sum(calls) == MAX_REMOVALS + 1
    marked = np.flatnonzero(scores.values[0] > 0)
    assert 84 + 1 in marked  # the word itself, after [CLS]
    assert len(marked) <= 2  # and at most the one beside it


class Startled(TextModel):
    """Changes its mind at [MASK] alone, as sentence encoders do at a few of them."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.network, self.mask = Bag(len(tokenizer)), tokenizer.mask_token_id
        self.finish()

    def forward(self, inputs: Batch) -> Tensor:
        embedded = self.network.embedding(inputs["input_ids"])[:, :, 0] * inputs["attention_mask"]
        score = 1 + 0.01 * embedded.sum(dim=1) - 4 * (inputs["input_ids"] == self.mask).sum(dim=1)
        return torch.stack([score, -score], dim=1)


def test_the_baseline_is_what_shifts_predictions_least() -> None:
    tokenizer = word_pieces()
    model = Startled(tokenizer)
    reader, network = reader_of(model, sentences(60), tokenizer), Network(model, "cpu")
    measured = measure_replacements(network, reader, None, np.random.default_rng(0))
    assert [replacement.name for replacement in measured][-1] == "“[MASK]”"
    assert [replacement.shift for replacement in measured] == sorted(replacement.shift for replacement in measured)
    mask, chosen = measured[-1], choose_token(measured)
    assert (mask.flips, mask.n, mask.usable) == (60, 60, False)
    assert (chosen.flips, chosen.usable) == (0, True)
    assert chosen.token not in (None, tokenizer.mask_token_id)
    assert find_removal(measured).token is None
    section = Attribution().audit(audited_model(model, sentences(60), tokenizer), AttributionOptions(samples=4))
    finding = section.finding("attribution.replacement_flips")
    assert (finding.status, finding.value, finding.n) == ("info", 0.0, 60)
    assert f"The token is {chosen.name}." in finding.caveats
    rows = {row["replacement"]: row for row in section.tables["replacements"]}
    assert rows["“[MASK]”"]["flip_share"] == 1.0
    assert [name for name, row in rows.items() if row["used_as"] == "baseline"] == [chosen.name]
    assert section.tables["replacements"][0]["replacement"] == min(rows, key=lambda name: rows[name]["shift"] or 0.0)


def test_the_shift_is_the_mean_change_of_the_probabilities() -> None:
    tokenizer = word_pieces()
    model = Linear(tokenizer)
    reader, network = reader_of(model, ["we saw"] * 3, tokenizer), Network(model, "cpu")
    removal = find_removal(measure_replacements(network, reader, None, np.random.default_rng(0)))

    def probabilities(text: str) -> np.ndarray:
        return network.logits(reader.encode([text])).double().softmax(dim=1)[0].numpy()

    shifts = {word: np.abs(probabilities("we saw") - probabilities(word)).sum() / 2 for word in ("we", "saw")}
    possible = [(count * shifts["we"] + (3 - count) * shifts["saw"]) / 3 for count in range(4)]
    assert np.abs(np.array(possible) - removal.shift).min() < 1e-6


class Brittle(TextModel):
    """Changes its mind at any change of its words."""

    embedding_layer = "network.embedding"

    def __init__(self, tokenizer: Any) -> None:
        super().__init__()
        self.network = Bag(len(tokenizer))
        self.finish()

    def forward(self, inputs: Batch) -> Tensor:
        embedded = self.network.embedding(inputs["input_ids"])[:, :, 0]
        places = torch.arange(inputs["input_ids"].shape[1])
        score = torch.sin(1000.0 * (embedded * inputs["attention_mask"] * (places + 3) ** 2).sum(dim=1))
        return torch.stack([-score, score], dim=1)


def test_where_any_replacement_flips_predictions_nothing_is_explained() -> None:
    tokenizer = word_pieces()
    audited = audited_model(Brittle(tokenizer), sentences(80), tokenizer)
    section = Attribution().audit(audited, AttributionOptions(samples=4))
    assert section.finding("attribution.replacement_flips").status == "warn"
    for method in ("integrated_gradients", "word_removal"):
        finding = section.finding(f"attribution.deletion.{method}")
        assert finding.status == "not_measured"
        assert "more than 10 %: it does not stand for their absence" in (finding.reason or "")
    assert "completeness" not in section.tables


def pool_of(model: TextModel, texts: list[str], tokenizer: Any, excluded: str = SECRET) -> WordPool:
    reader = reader_of(model, texts, tokenizer)
    pattern = whole_word_pattern([excluded])
    return WordPool.collect(Network(model, "cpu"), reader, pattern, np.random.default_rng(0))


def test_other_words_are_those_of_the_texts_and_never_the_suspected() -> None:
    tokenizer = word_pieces()
    pool = pool_of(Linear(tokenizer), sentences(60), tokenizer)
    assert set(pool.vocabulary) == set(FILLERS)
    rng = np.random.default_rng(1)
    drawn = [pool.draw_word("We", rng) for _ in range(200)]
    assert all(word[0].isupper() and word != "We" for word in drawn)
    assert {word.lower() for word in drawn} == set(FILLERS) - {"we"}


def test_words_as_far_are_as_far_in_the_embeddings() -> None:
    tokenizer = word_pieces()
    model = Linear(tokenizer)
    pool = pool_of(model, sentences(60), tokenizer)
    table = model.network.embedding.weight.double().numpy()
    vectors = {word: table[tokenizer.convert_tokens_to_ids(word)] for word in (*FILLERS, SECRET)}
    assert pool.mean_distance([(SECRET, "film"), ("we", "saw")]) == pytest.approx(
        np.mean([np.linalg.norm(vectors[SECRET] - vectors["film"]), np.linalg.norm(vectors["we"] - vectors["saw"])])
    )
    others = [word for word in FILLERS if word != "north"]
    off = {word: abs(np.linalg.norm(vectors["north"] - vectors[word]) - 1.5) for word in others}
    allowed = set(sorted(off, key=lambda word: off[word])[:NEAREST])
    drawn = {pool.draw_as_far("north", 1.5, np.random.default_rng(seed)) for seed in range(100)}
    assert drawn == allowed


@pytest.mark.parametrize("change", ["removal", "other_words"])
def test_planted_words_are_found_by_either_change(change: str) -> None:
    tokenizer = word_pieces()
    shortcut = {"name": "animal", "tokens": [SECRET], "change": change}
    options = AttributionOptions.model_validate({"samples": 2, "methods": ["word_removal"], "shortcut": [shortcut]})
    finding = (
        Attribution()
        .audit(audited_model(Planted(tokenizer), sentences(60), tokenizer), options)
        .finding("attribution.shortcut.animal")
    )
    assert (finding.status, finding.n) == ("warn", 30)
    assert ("taken out" if change == "removal" else "random words of other texts") in finding.description


def test_shortcuts_share_first_predictions() -> None:
    tokenizer = word_pieces()
    texts = sentences(40, secret=1.0)
    reader, network, seen = reader_of(Planted(tokenizer), texts, tokenizer), Network(Planted(tokenizer), "cpu"), []
    network.model.register_forward_pre_hook(lambda _model, inputs: seen.append(len(inputs[0]["input_ids"])))
    first, rng = FirstPredictions(network), np.random.default_rng(0)
    change = Removal(whole_word_pattern([SECRET]))
    change_words(first, reader, None, change=change, most=200, rng=rng)
    assert sum(seen) == 3 * 40
    seen.clear()
    pool = WordPool.collect(network, reader, change.pattern, rng)
    change_words(first, reader, None, change=OtherWords(change.pattern, pool), most=200, rng=rng)
    assert sum(seen) == 2 * 40


class Sexist(TextModel):
    """Decides by he and she alone, and by nothing else."""

    first_term: int

    def __init__(self, tokenizer: Any, *, fair: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = Bag(len(tokenizer))
        weight = self.network.embedding.weight.data
        weight[:, 0] = 0
        for word, value in (("he", 1.0), ("she", -1.0)) if not fair else (("film", 1.0), ("ships", -1.0)):
            weight[tokenizer.convert_tokens_to_ids(word), 0] = value
        self.finish()

    def forward(self, inputs: Batch) -> Tensor:
        seen = (self.network.embedding(inputs["input_ids"])[:, :, 0] * inputs["attention_mask"]).sum(dim=1)
        return torch.stack([seen + 0.1, -seen - 0.1], dim=1)


@pytest.mark.parametrize("fair", [False, True])
def test_reliance_on_gender_is_found_and_its_absence_cleared(fair: bool) -> None:
    tokenizer = word_pieces(extra=("he", "she"))
    rng = np.random.default_rng(0)
    plain = [word for word in FILLERS if word not in ("film", "ships")]
    texts = [
        " ".join([("he", "she")[row % 2], *rng.choice(plain, size=9).tolist(), ("film", "ships")[row // 2 % 2]])
        for row in range(80)
    ]
    options = AttributionOptions.model_validate(
        {"samples": 2, "methods": ["word_removal"], "shortcut": [{"name": "sex", "swap": "gender"}]}
    )
    finding = (
        Attribution()
        .audit(audited_model(Sexist(tokenizer, fair=fair), texts, tokenizer), options)
        .finding("attribution.shortcut.sex")
    )
    assert finding.status == ("info" if fair else "warn"), finding.reason
    assert "as far from them in the model's word embeddings" in finding.caveats
    if not fair:
        assert finding.value == 1.0


class SexistAndBrittle(Sexist):
    """Decides by he and she, and is upset by any other change of words in four of ten texts."""

    def forward(self, inputs: Batch) -> Tensor:
        plain = super().forward(inputs)
        places = torch.arange(inputs["input_ids"].shape[1]) + 3
        ordinary = inputs["input_ids"] * (inputs["input_ids"] < self.first_term) * inputs["attention_mask"]
        upset = (torch.sin((ordinary * places**2).sum(dim=1) * 1000.0) > 0.3)[:, None]
        return torch.where(upset, -plain, plain)


@pytest.mark.parametrize("embeddings", [True, False])
def test_pairs_say_what_terms_add_to_a_change_as_large(embeddings: bool) -> None:
    """A control as far in the embeddings may flip many predictions; random words that do say nothing of any word."""
    tokenizer = word_pieces(extra=("he", "she"))
    model = SexistAndBrittle(tokenizer, fair=False)
    model.first_term = tokenizer.convert_tokens_to_ids("he")
    if not embeddings:
        model.embedding_layer = None
    rng = np.random.default_rng(0)
    texts = [" ".join([("he", "she")[row % 2], *rng.choice(FILLERS, size=9).tolist()]) for row in range(160)]
    options = AttributionOptions.model_validate(
        {"samples": 2, "methods": ["word_removal"], "shortcut": [{"name": "sex", "swap": "gender"}]}
    )
    section = Attribution().audit(audited_model(model, texts, tokenizer), options)
    finding = section.finding("attribution.shortcut.sex")
    shares = [row["flip_share"] for row in section.tables["shortcuts"]]
    assert shares[0] == 1.0
    assert 0.2 < float(shares[1] or 0) < 0.7
    assert finding.status == ("warn" if embeddings else "not_measured")
