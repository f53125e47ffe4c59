"""The attribution section of text models, and the verdict on suspected words."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from rft.config.schema import SEE_WORDS
from rft.errors import Unavailable
from rft.plugins.attribution import Attribution, AttributionOptions
from rft.plugins.attribution.interventions import Intervention
from rft.plugins.attribution.network import Network
from rft.plugins.attribution.shortcuts.findings import ALPHA
from rft.plugins.attribution.shortcuts.options import Shortcut
from rft.plugins.attribution.texts.shortcuts.changes import Removal
from rft.plugins.attribution.texts.shortcuts.interventions import (
    FirstPredictions,
    change_words,
    select_control_words,
)
from rft.plugins.attribution.texts.tokenized_texts import TokenizedTextReader
from rft.plugins.attribution.texts.words import FoldedText, whole_word_pattern
from rft.records import Section
from rft.stats.discordant_pairs import mcnemar_p_value
from tests.support.attribution_cases import CORNER, Convolutional, noise
from tests.support.attribution_cases import audited_model as audited_images
from tests.support.attribution_text_cases import (
    SECRET,
    Batch,
    Linear,
    Planted,
    TextModel,
    audited_model,
    sentences,
    single_bytes,
    word_pieces,
)

QUALITIES = ("deletion", "insertion", "randomization", "stability")
SUSPECTS = [{"name": "animal", "tokens": [SECRET]}, {"name": "article", "tokens": ["the", "a"]}]


def options(**changes: Any) -> AttributionOptions:
    return AttributionOptions.model_validate({"shortcut": SUSPECTS} | changes)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return word_pieces()


@pytest.fixture(scope="module")
def section(tokenizer: Any) -> Section:
    return Attribution().audit(audited_model(Planted(tokenizer), sentences(60), tokenizer), options())


def swap(model: nn.Module, texts: list[str], tokenizer: Any, words: list[str], **changes: Any) -> Intervention:
    audited = audited_model(model, texts, tokenizer, max_length=changes.pop("max_length", 64))
    settings = {"units": None, "most": 200, "rng": np.random.default_rng(changes.pop("seed", 0))} | changes
    first = FirstPredictions(Network(model, "cpu"))
    change = Removal(whole_word_pattern(words))
    return change_words(first, TokenizedTextReader(audited), settings.pop("units"), change=change, **settings)


def test_the_planted_word_is_found_and_others_are_not(section: Section) -> None:
    animal, article = section.finding("attribution.shortcut.animal"), section.finding("attribution.shortcut.article")
    assert (animal.status, animal.value, animal.n) == ("warn", 1.0, 30)
    assert "30 of 30 predictions change" in animal.caveats
    assert article.status == "info"
    assert (article.value or 0.0) <= 0  # none by its own, some by the animal among the other words
    assert article.caveats.startswith("0 of ")


def test_where_any_words_flip_predictions_nothing_is_said_of_some(tokenizer: Any) -> None:
    texts = [f"{text} the" for text in sentences(60, secret=1.0)]  # the control takes out the animal now and then
    section = Attribution().audit(audited_model(Planted(tokenizer), texts, tokenizer), options())
    finding = section.finding("attribution.shortcut.article")
    assert (finding.status, finding.value) == ("not_measured", None)
    assert "predictions change when random other words of the same texts are taken out, more than 10 %" in (
        finding.reason or ""
    )


def test_the_findings_and_tables_have_their_names(section: Section) -> None:
    assert [finding.id for finding in section.findings] == [
        "attribution.shortcut.animal",
        "attribution.shortcut.article",
        "attribution.replacement_flips",
        "attribution.failed_maps.integrated_gradients",
        "attribution.map_change",
        "attribution.completeness",
        "attribution.completeness_undefined",
        "attribution.baseline_same_class",
        *(f"attribution.{quality}.integrated_gradients" for quality in QUALITIES),
        "attribution.failed_maps.word_removal",
        *(f"attribution.{quality}.word_removal" for quality in QUALITIES),
    ]
    assert set(section.tables) == {"shortcuts", "replacements", "map_quality", "completeness", "position_profile"}
    assert list(section.tables["completeness"][0]) == ["text", "method", "steps", "map_change", "error"]
    assert sum(float(row["share"] or 0) for row in section.tables["position_profile"]) == pytest.approx(1)
    assert set(section.captions) == set(section.tables)
    for figure in section.figures:
        assert set(figure.encode.values()) <= set(section.tables[figure.table][0])


def test_without_leave_to_show_examples_no_word_of_a_text_appears(tokenizer: Any) -> None:
    texts = [f"{text} gnu{number}" for number, text in enumerate(sentences(60))]
    section = Attribution().audit(audited_model(Planted(tokenizer), texts, tokenizer), options(shortcut=[]))
    assert "tokens" not in section.tables
    assert all(figure.kind != "tokens" for figure in section.figures)
    assert not re.search(rf"gnu|{SECRET}", section.model_dump_json())
    assert section.notes[0] == SEE_WORDS


def test_shown_tokens_are_the_texts_with_their_attributions(tokenizer: Any) -> None:
    texts = sentences(8, secret=1.0)
    shown = Attribution().audit(
        audited_model(Planted(tokenizer), texts, tokenizer, show_examples=True), options(shortcut=[])
    )
    assert SEE_WORDS not in shown.notes
    table = shown.tables["tokens"]
    assert list(table[0]) == ["method", "text", "caption", "position", "token", "attribution", "special"]
    for method, number in {(row["method"], row["text"]) for row in table}:
        tokens = [row for row in table if (row["method"], row["text"]) == (method, number)]
        assert [row["position"] for row in tokens] == list(range(1, len(tokens) + 1))
        assert "".join(str(row["token"]) for row in tokens if not row["special"]) == texts[int(number or 0) - 1]
        assert [row["token"] for row in tokens if row["special"]] == ["[CLS]", "[SEP]"]
        assert all((row["attribution"] is None) == row["special"] for row in tokens)
        assert max(tokens, key=lambda row: row["attribution"] or 0.0)["token"].strip() == SECRET
    figures = [figure for figure in shown.figures if figure.table == "tokens"]
    assert [figure.where["method"] for figure in figures] == ["integrated_gradients", "word_removal"]
    assert all(f"most for it speak “{SECRET}”" in figure.alt for figure in figures)
    assert table[0]["caption"] == "label unkind, predicted unkind"


def test_gradcam_is_for_images(tokenizer: Any) -> None:
    named = options(methods=["gradcam", "integrated_gradients"], shortcut=[])
    section = Attribution().audit(audited_model(Planted(tokenizer), sentences(60), tokenizer), named)
    refused = section.finding("attribution.deletion.gradcam")
    assert refused.status == "not_measured"
    assert refused.reason == "GradCAM is no method for texts"
    assert section.finding("attribution.deletion.integrated_gradients").value is not None


def test_without_word_embeddings_the_suspects_are_still_judged(tokenizer: Any) -> None:
    model = Planted(tokenizer)
    model.embedding_layer = None
    section = Attribution().audit(audited_model(model, sentences(60), tokenizer), options())
    assert section.finding("attribution.shortcut.animal").status == "warn"
    refused = section.finding("attribution.deletion.integrated_gradients")
    assert refused.reason == "this model has no word embeddings"
    assert set(section.tables) == {"shortcuts", "replacements", "map_quality", "position_profile"}
    assert section.finding("attribution.deletion.word_removal").value is not None


def test_a_region_of_a_text_and_words_of_an_image_are_not_measured(tokenizer: Any) -> None:
    mixed = options(shortcut=[{"name": "corner", "region": CORNER}, {"name": "animal", "tokens": [SECRET]}])
    of_text = Attribution().audit(audited_model(Planted(tokenizer), sentences(60), tokenizer), mixed)
    of_image = Attribution().audit(audited_images(Convolutional(), noise(8)), mixed)
    for section, name, word in ((of_text, "corner", "texts"), (of_image, "animal", "images")):
        finding = section.finding(f"attribution.shortcut.{name}")
        assert finding.status == "not_measured"
        assert word in (finding.reason or "")
    assert of_text.finding("attribution.shortcut.animal").status == "warn"


def test_what_is_neither_image_nor_text_is_refused(tokenizer: Any) -> None:
    audited = audited_model(Linear(tokenizer), sentences(4), tokenizer)
    speech = dataclasses.replace(audited, facts=audited.facts.model_copy(update={"modality": "speech"}))
    with pytest.raises(Unavailable, match="not speech"):
        Attribution().audit(speech, options())
    assert audited.inputs is not None
    audited.inputs.tokenizer = None  # type: ignore[attr-defined]
    with pytest.raises(Unavailable, match="without a tokenizer"):
        Attribution().audit(audited, options())


class Brittle(TextModel):
    """Changes its mind at any change of its words, whichever they are."""

    embedding_layer = None

    def __init__(self) -> None:
        super().__init__()
        self.finish()

    def forward(self, inputs: Batch) -> Tensor:
        places = torch.arange(inputs["input_ids"].shape[1])
        score = torch.sin((inputs["input_ids"] * inputs["attention_mask"] * (places + 3) ** 2).sum(dim=1) * 1000.0)
        return torch.stack([-score, score], dim=1)


def test_flips_that_any_words_cause_are_no_accusation(tokenizer: Any) -> None:
    accused = 0
    for seed in range(20):
        swapped = swap(Brittle(), sentences(80, secret=1.0, seed=seed), tokenizer, [SECRET], seed=seed)
        assert 0.2 < (swapped.shortcut.share or 0) < 0.8  # without a control this would look like reliance
        accused += mcnemar_p_value(swapped.won, swapped.lost) <= ALPHA
    assert accused == 0


def test_few_texts_are_not_measured(tokenizer: Any) -> None:
    section = Attribution().audit(audited_model(Planted(tokenizer), sentences(12), tokenizer), options())
    finding = section.finding("attribution.shortcut.animal")
    assert (finding.status, finding.n) == ("not_measured", 6)
    assert "6 test texts" in (finding.reason or "")
    assert "10 are needed" in (finding.reason or "")


def test_a_unit_gives_one_text_and_the_number_is_capped(tokenizer: Any) -> None:
    texts, units = sentences(60, secret=1.0), np.repeat([f"u{number}" for number in range(20)], 3)
    assert swap(Planted(tokenizer), texts, tokenizer, [SECRET], units=units).shortcut.n == 20
    assert swap(Planted(tokenizer), texts, tokenizer, [SECRET], most=37).shortcut.n == 37


def test_words_that_the_model_does_not_read_are_not_counted(tokenizer: Any) -> None:
    texts = ["we saw a film " * 5 + SECRET] * 20
    assert swap(Planted(tokenizer), texts, tokenizer, [SECRET], max_length=12).shortcut.n == 0
    assert swap(Planted(tokenizer), texts, tokenizer, [SECRET], max_length=32).shortcut.n == 20


def test_texts_of_nothing_else_are_left_out_of_both_arms(tokenizer: Any) -> None:
    swapped = swap(Planted(tokenizer), [SECRET, f"{SECRET} {SECRET} saw", f"we {SECRET}"] * 10, tokenizer, [SECRET])
    assert (swapped.shortcut.n, swapped.control.n) == (10, 10)


@pytest.mark.parametrize("tokens", [word_pieces, single_bytes])
def test_the_control_takes_other_words_and_no_fewer(tokens: Any) -> None:
    tokenizer = tokens()
    text = f"We saw the {SECRET}s, a {SECRET.upper()} and old ships in the north!"
    texts = TokenizedTextReader(audited_model(Linear(tokenizer), [text], tokenizer)).read(np.array([0]))
    pattern = whole_word_pattern([SECRET, f"{SECRET}s"])
    named = np.logical_or.reduce(texts.cover_spans(0, FoldedText.fold(text).find_spans(pattern)))
    for rng in map(np.random.default_rng, range(20)):
        spans = select_control_words(texts, 0, pattern, rng)
        assert spans is not None
        words = [text[start:end] for start, end in spans.tolist()]
        assert len(words) >= 2
        assert set(words) <= {"We", "saw", "the", "a", "and", "old", "ships", "in", "north"}
        control = np.logical_or.reduce(texts.cover_spans(0, spans))
        assert not (named & control).any()
        assert control.sum() >= named.sum()


def test_the_same_seed_gives_the_same_counts(tokenizer: Any) -> None:
    first, again = (swap(Brittle(), sentences(60, secret=1.0), tokenizer, [SECRET], seed=3) for _ in range(2))
    assert first.shortcut.flipped.tolist() == again.shortcut.flipped.tolist()
    assert first.control.flipped.tolist() == again.control.flipped.tolist()


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a"},
        {"name": "a", "region": CORNER, "tokens": ["b"]},
        {"name": "a", "tokens": []},
        {"name": "a", "tokens": [""]},
        {"name": "a", "tokens": [" b"]},
        {"name": "a", "tokens": "b"},
        {"name": "a", "tokens": [1]},
        {"name": "a", "swap": "colour"},
        {"name": "a", "swap": "gender", "tokens": ["b"]},
        {"name": "a", "swap": "gender", "change": "removal"},
        {"name": "a", "tokens": ["b"], "change": "nothing"},
    ],
)
def test_wrong_suspects_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Shortcut.model_validate(wrong)
