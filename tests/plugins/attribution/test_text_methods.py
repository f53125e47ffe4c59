"""Attributions of tokens against closed forms, naive float64 versions and Captum's own layer method."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import LayerIntegratedGradients
from torch import Tensor, nn

from rft.errors import Unavailable
from rft.plugins.attribution.network import Network
from rft.plugins.attribution.path import MAP_TOLERANCE
from rft.plugins.attribution.quality.deletion import find_top_parts
from rft.plugins.attribution.quality.parts import measure_faithfulness
from rft.plugins.attribution.texts import profile
from rft.plugins.attribution.texts.methods import Scores, integrated_gradients
from rft.plugins.attribution.texts.quality import TextExamples
from rft.plugins.attribution.texts.replacements import Replacement
from rft.plugins.attribution.texts.tokenized_texts import (
    TokenizedTextReader,
    TokenizedTexts,
    baseline_tokens,
    special_tokens,
)
from rft.stats.intervals import mean_interval
from tests.support.attribution_text_cases import (
    SECRET,
    Batch,
    Linear,
    Planted,
    TextModel,
    audited_model,
    bert,
    gpt,
    sentences,
    single_bytes,
    transformers,
    word_pieces,
)


def read_texts(
    model: nn.Module, texts: list[str], tokenizer: Any
) -> tuple[Network, TokenizedTextReader, TokenizedTexts, Tensor]:
    network, reader = Network(model, "cpu"), TokenizedTextReader(audited_model(model, texts, tokenizer))
    read = reader.read(np.arange(len(texts)))
    return network, reader, read, network.logits(read.inputs).argmax(dim=1)


def first_baseline(reader: TokenizedTextReader) -> int:
    """Return [MASK] where there is one, else a full stop."""
    return next(iter(reader.list_baselines().values()))


def attribute_texts(
    model: nn.Module, texts: list[str], tokenizer: Any, *, max_steps: int = 256
) -> tuple[TokenizedTexts, Scores]:
    network, reader, read, target = read_texts(model, texts, tokenizer)
    return read, integrated_gradients(network, read, target, baseline=first_baseline(reader), max_steps=max_steps)


def from_ids(model: nn.Module, ids: Tensor, target: int) -> float:
    """Return the logit of one text's (1, T) tokens in float64, without any replaced embedding."""
    with torch.no_grad():
        exact = copy.deepcopy(model).double()
        return float(exact({"input_ids": ids, "attention_mask": torch.ones_like(ids)})[0, target])


def naive_gradients(model: TextModel, inputs: Batch, absent: Tensor, target: int, steps: int) -> np.ndarray:
    """Sum gradients at the middle of equal steps, in float64, one step at a time."""
    exact = copy.deepcopy(model).double()
    layer = exact.get_submodule(str(model.embedding_layer))
    start, end = layer(absent).detach(), layer(inputs["input_ids"]).detach()
    total = torch.zeros_like(end)
    for step in range(steps):
        point = (start + (step + 0.5) / steps * (end - start)).requires_grad_()
        handle = layer.register_forward_hook(lambda *_, point=point: point)
        total += torch.autograd.grad(exact(inputs)[0, target], point)[0]
        handle.remove()
    return ((end - start) * total / steps).sum(dim=2)[0].numpy()


FAMILIES = [(bert, word_pieces), (gpt, single_bytes)]


@pytest.mark.parametrize(("make", "tokens"), [FAMILIES[0], pytest.param(*FAMILIES[1], marks=pytest.mark.slow)])
def test_gradients_match_a_naive_sum_and_captum(make: Any, tokens: Any) -> None:
    tokenizer = tokens()
    model = make(tokenizer)
    texts = sentences(2)
    network, reader, read, target = read_texts(model, texts, tokenizer)
    scores = integrated_gradients(network, read, target, baseline=first_baseline(reader), max_steps=1024)
    absent = read.replace_tokens(read.ordinary, first_baseline(reader))["input_ids"]
    captum = LayerIntegratedGradients(
        lambda ids, mask: model({"input_ids": ids, "attention_mask": mask}), model.get_submodule(model.embedding_layer)
    )
    for index, values in enumerate(scores.values):
        inputs = read.batch_of(index)
        without = absent[index : index + 1, : len(values)]
        expected = naive_gradients(model, inputs, without, int(target[index]), steps=200)
        peer = captum.attribute(
            inputs["input_ids"],
            without,
            target=int(target[index]),
            additional_forward_args=inputs["attention_mask"],
            n_steps=100,
            internal_batch_size=50,
        )
        scale = np.abs(expected).max()
        np.testing.assert_allclose(peer.sum(dim=2)[0].numpy(), expected, atol=0.01 * scale)
        np.testing.assert_allclose(values, expected, atol=0.05 * scale)  # converged within 5 %


@pytest.mark.parametrize(("make", "tokens"), FAMILIES)
def test_attributions_sum_to_the_change_of_the_logit(make: Any, tokens: Any) -> None:
    """The sum is held against plain forward passes in float64 on the tokens of the text and of its baseline."""
    tokenizer = tokens()
    model = make(tokenizer)
    network, reader, read, target = read_texts(model, sentences(5), tokenizer)
    scores = integrated_gradients(network, read, target, baseline=first_baseline(reader), max_steps=1024)
    absent = read.replace_tokens(read.ordinary, first_baseline(reader))["input_ids"]
    for index, values in enumerate(scores.values):
        ids = read.batch_of(index)["input_ids"]
        change = from_ids(model, ids, int(target[index])) - from_ids(
            model, absent[index : index + 1, : len(values)], int(target[index])
        )
        gap = abs(values.astype(np.float64).sum() - change)
        assert scores.completeness[index].error is not None
        assert gap <= MAP_TOLERANCE * np.abs(values).sum() + 1e-3 * abs(change)


def test_gradients_of_a_linear_model_are_weight_times_difference() -> None:
    tokenizer = word_pieces()
    model = Linear(tokenizer)
    read, scores = attribute_texts(model, sentences(4), tokenizer)
    table, mask_vector = model.network.embedding.weight, model.network.embedding.weight[tokenizer.mask_token_id]
    for index, values in enumerate(scores.values):
        inputs = read.batch_of(index)
        weight = model.linear.weight[model(inputs).argmax()]
        expected = (table[inputs["input_ids"][0]] - mask_vector) @ weight / len(values)
        ordinary = read.ordinary[index, : len(values)]
        np.testing.assert_allclose(values[ordinary], expected[torch.from_numpy(ordinary)], atol=1e-6)
        assert (values[~ordinary] == 0).all()


def test_the_planted_word_has_all_of_the_attribution() -> None:
    tokenizer = word_pieces()
    texts = [f"we saw a {SECRET} in the north", "it was long"]
    read, scores = attribute_texts(Planted(tokenizer), texts, tokenizer)
    assert scores.sound.tolist() == [True, False], "nothing in the second text changes the logit"
    tokens = tokenizer.convert_ids_to_tokens(read.batch_of(0)["input_ids"][0].tolist())
    assert tokens[int(np.abs(scores.values[0]).argmax())] == SECRET
    assert np.abs(scores.values[0]).sum() == pytest.approx(scores.values[0].max())
    assert scores.completeness[1].error is None


def test_padding_changes_nothing() -> None:
    tokenizer = word_pieces()
    short, long = "we saw a film", " ".join(["the old ships in the north"] * 4)
    model = bert(tokenizer)
    _, together = attribute_texts(model, [short, long], tokenizer)
    _, alone = attribute_texts(model, [short], tokenizer)
    assert together.values[0].shape == alone.values[0].shape == (6,)
    np.testing.assert_allclose(together.values[0], alone.values[0], atol=1e-5)


def test_steps_are_doubled_until_attributions_have_converged() -> None:
    tokenizer = single_bytes()
    texts = sentences(8, seed=2)
    _, few = attribute_texts(gpt(tokenizer), texts, tokenizer, max_steps=16)
    _, many = attribute_texts(gpt(tokenizer), texts, tokenizer, max_steps=1024)
    assert any(text.unsettled for text in few.completeness)  # said, not hidden
    assert not any(text.unsettled for text in many.completeness)
    assert max(text.steps for text in few.completeness) <= 16 < max(text.steps for text in many.completeness)


class Ends(TextModel):
    """A GPT-2 classifier that looks for padding in the tokens to find the end of a text, as transformers' own does."""

    embedding_layer = "network.transformer.wte"

    def __init__(self, tokenizer: Any) -> None:
        super().__init__()
        torch.manual_seed(5)
        config = gpt(tokenizer).network.config
        config.update({"num_labels": 2, "pad_token_id": tokenizer.pad_token_id})
        self.network = transformers.GPT2ForSequenceClassification(config)
        self.finish()

    def forward(self, inputs: Batch) -> Tensor:
        return self.network(**inputs).logits


def test_the_baseline_is_not_padding_which_would_move_the_end_of_the_text() -> None:
    tokenizer = single_bytes()
    model = Ends(tokenizer)
    network, reader, read, target = read_texts(model, sentences(4), tokenizer)
    assert first_baseline(reader) != tokenizer.pad_token_id

    def worst_error(baseline: int) -> float:
        scores = integrated_gradients(network, read, target, baseline=baseline, max_steps=1024)
        absent = read.replace_tokens(read.ordinary, baseline)
        change = (network.logits(read.inputs) - network.logits(absent)).gather(1, target[:, None])[:, 0].numpy()
        return max(
            abs(values.sum() - total) / abs(total) for values, total in zip(scores.values, change.tolist(), strict=True)
        )

    assert worst_error(first_baseline(reader)) < 0.1
    assert worst_error(tokenizer.pad_token_id) > 0.3


def test_baselines_are_ordinary_or_meant_to_be_nothing() -> None:
    def names(tokenizer: Any) -> list[str]:
        return tokenizer.convert_ids_to_tokens(baseline_tokens(tokenizer))

    pieces = word_pieces()
    assert names(pieces) == ["[MASK]", "[UNK]", "the", ".", "a"]
    pieces.mask_token = None
    assert names(pieces) == ["[UNK]", "the", ".", "a"]
    pieces.pad_token = pieces.unk_token
    assert names(pieces) == ["the", ".", "a"]
    single = single_bytes()
    assert names(single) == [".", ",", "a"]
    single.add_special_tokens({"bos_token": "<start>", "eos_token": "<end>", "pad_token": "<end>"})
    assert names(single) == [".", ",", "a"], "no word becomes its token of unknown words"
    assert single.unk_token_id in special_tokens(single)


def test_unknown_words_are_ordinary_and_marks_are_not() -> None:
    tokenizer = word_pieces()
    reader = TokenizedTextReader(audited_model(Planted(tokenizer), ["we saw gnus", "it [SEP] was"], tokenizer))
    texts = reader.read(np.arange(2))
    assert texts.ordinary.tolist() == [[False, True, True, True, False], [False, True, False, True, False]]
    assert tokenizer.unk_token_id not in special_tokens(tokenizer)
    assert special_tokens(single_bytes()) == {0}, "one token in every role"


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (word_pieces, "We saw  a film about ZEBRAS!"),
        (single_bytes, "We saw 😂 “naïve” שלום"),
        (single_bytes, "a\tb\n<img src=x onerror=alert(1)>"),
    ],
)
def test_the_pieces_of_a_text_are_the_text(tokens: Any, text: str) -> None:
    tokenizer = tokens()
    reader = TokenizedTextReader(audited_model(Linear(tokenizer), [text], tokenizer))
    texts = reader.read(np.array([0]))
    pieces = reader.token_pieces(texts, 0)
    assert "".join(piece for piece, ordinary in zip(pieces, texts.ordinary[0], strict=True) if ordinary) == text
    assert [piece for piece, ordinary in zip(pieces, texts.ordinary[0], strict=True) if not ordinary] == (
        ["[CLS]", "[SEP]"] if tokens is word_pieces else []
    )


def test_long_texts_are_read_as_far_as_the_model_reads_them() -> None:
    tokenizer = word_pieces()
    text = "we saw a film " * 50
    reader = TokenizedTextReader(audited_model(Linear(tokenizer), [text], tokenizer, max_length=8))
    texts = reader.read(np.array([0]))
    assert "".join(reader.token_pieces(texts, 0)[1:-1]) == "we saw a film we saw"


def test_another_tokenizer_than_the_models_is_refused() -> None:
    tokenizer = word_pieces()
    audited = audited_model(Linear(tokenizer), ["we saw a film"], tokenizer)
    reader = TokenizedTextReader(audited)
    reader._tokenizer = single_bytes()
    with pytest.raises(Unavailable, match="other tokens than the model reads"):
        reader.read(np.array([0]))


class Twice(Linear):
    """Asks its embedding layer twice."""

    def forward(self, inputs: Batch) -> Tensor:
        return super().forward(inputs) + super().forward(inputs)


@pytest.mark.parametrize(
    ("make", "layer", "reason"),
    [
        (Linear, None, "no word embeddings"),
        (Twice, "network.embedding", "asks the embedding layer 2 times"),
        (bert, "network.embeddings.position_embeddings", "the embedding layer gives"),
    ],
)
def test_what_is_no_word_embedding_is_refused(make: Any, layer: str | None, reason: str) -> None:
    tokenizer = word_pieces()
    model = make(tokenizer)
    model.embedding_layer = layer
    with pytest.raises(Unavailable, match=reason):
        attribute_texts(model, ["we saw a film", "it was"], tokenizer)


def test_the_model_is_as_it_was() -> None:
    tokenizer = word_pieces()
    model = bert(tokenizer)
    before = [len(module._forward_hooks) for module in model.modules()]
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    attribute_texts(model, sentences(2), tokenizer)
    assert [len(module._forward_hooks) for module in model.modules()] == before
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(tensors[name], tensor) for name, tensor in model.state_dict().items())


def test_attributions_that_are_zero_or_not_finite_are_caught() -> None:
    values = tuple(np.array(scores) for scores in ([1.0, 0.0], [0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]))
    assert Scores("integrated_gradients", values).sound.tolist() == [True, False, False, False]


def delete_tokens(model: nn.Module, texts: list[str], tokenizer: Any, seed: int, known: bool) -> np.ndarray:
    network, reader, read, target = read_texts(model, texts, tokenizer)
    rng = np.random.default_rng(seed)
    scores = integrated_gradients(network, read, target, baseline=first_baseline(reader), max_steps=64)
    if not known:
        scores = Scores(scores.method, tuple(rng.random(len(values)) for values in scores.values))
    replacement = Replacement("[MASK]", 0.0, 0, 1, first_baseline(reader), reader.padding)
    examples = TextExamples.from_scores(network, read, target, scores, [replacement])
    return measure_faithfulness(examples, rng).deletion


def test_right_attributions_beat_random_tokens() -> None:
    tokenizer = word_pieces()
    gain = delete_tokens(Planted(tokenizer), sentences(20, secret=1.0), tokenizer, 0, known=True)
    interval = mean_interval(gain)
    assert len(gain) == 20
    assert interval is not None
    assert interval.low > 0.3


def test_attributions_that_know_nothing_seldom_pass() -> None:
    tokenizer = word_pieces()
    model, passed = Planted(tokenizer), 0
    for seed in range(24):
        texts = sentences(20, secret=1.0, seed=seed)
        interval = mean_interval(delete_tokens(model, texts, tokenizer, seed, known=False))
        assert interval is not None
        passed += interval.low > 0
    assert passed <= 3  # 0.6 of 24 is nominal, for one side of a 95 % interval


def test_a_share_of_the_ordinary_tokens_is_deleted_and_no_other() -> None:
    tokenizer = word_pieces()
    reader = TokenizedTextReader(audited_model(Linear(tokenizer), ["we saw a film " * 5, "it"], tokenizer))
    texts = reader.read(np.arange(2))
    values = [np.arange(22.0), np.array([9.0, 1.0, 9.0])]
    tops = [find_top_parts(values[index], texts.ordinary[index, : len(values[index])], 0.2) for index in range(2)]
    assert np.flatnonzero(tops[0]).tolist() == [17, 18, 19, 20], "the largest, the final [SEP] apart"
    assert np.flatnonzero(tops[1]).tolist() == [1]


def test_profiles_are_shares_from_beginning_to_end() -> None:
    np.testing.assert_allclose(profile.share_by_part(np.ones(37)), 0.1)
    np.testing.assert_allclose(
        profile.share_by_part(np.array([0, -3.0, 2.0])), [0] * 6 + [0.1, 0.3, 0.3, 0.3], atol=1e-12
    )
    assert profile.share_by_part(np.random.default_rng(0).normal(size=51)).sum() == pytest.approx(1)
