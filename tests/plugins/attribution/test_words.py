"""Words are found as a reader finds them, and where they stand in the text as it is written."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from rft.plugins.attribution.texts.words import FoldedText, whole_word_pattern


def find_words(words: list[str], text: str) -> list[str]:
    spans = FoldedText.fold(text).find_spans(whole_word_pattern(words))
    return [text[start:end] for start, end in spans.tolist()]


@pytest.mark.parametrize(
    ("words", "text", "matches"),
    [
        (["man"], "Man, human, woman; man's MAN", ["Man", "man", "MAN"]),
        (["old", "old ships"], "old ships and old", ["old ships", "old"]),
        (["c++"], "c++ and c", ["c++"]),
        (["😂", "!"], "so 😂😂 good!!", ["😂", "😂", "!", "!"]),
        (["a.b"], "aXb a.b", ["a.b"]),
        (["C++"], "C and C++ and c++", ["C++", "c++"]),
        ([":)"], "fine:) :)", [":)", ":)"]),
        # over line breaks, and other blanks
        (["old ships"], "the old\n   ships, old\u00a0ships", ["old\n   ships", "old\u00a0ships"]),
        # inside Chinese, Japanese and Thai, which have no blanks
        (["女人"], "那个女人是医生", ["女人"]),
        (["医生"], "女医生和医生", ["医生", "医生"]),
        (["女性"], "その女性は医者です", ["女性"]),
        (["หญิง"], "ผู้หญิงเป็นหมอ", ["หญิง"]),
        (["man"], "一个man在这里", ["man"]),  # Latin within Chinese is a word by itself
        # other forms of the same letters
        (["café"], f"the {unicodedata.normalize('NFD', 'café')} here", [unicodedata.normalize("NFD", "café")]),
        ([unicodedata.normalize("NFD", "café")], "the CAFÉ here", ["CAFÉ"]),
        (["cafe"], "the café here", []),  # another word
        (["man"], "a ｍａｎ and a human", ["ｍａｎ"]),
        (["office"], "the oﬃce", ["oﬃce"]),
        (["ice"], "the oﬃce", []),
        (["straße"], "STRASSE, Straße", ["STRASSE", "Straße"]),
        (["don't"], "I don’t and don't", ["don’t", "don't"]),
        (["disabled"], "dis\u00adabled", ["dis\u00adabled"]),
        (["한국"], unicodedata.normalize("NFD", "한국 사람"), [unicodedata.normalize("NFD", "한국")]),
        # a vowel sign makes another word
        (["कम"], "कम और कमी", ["कम"]),
    ],
)
def test_words_are_found_whole_in_any_form(words: list[str], text: str, matches: list[str]) -> None:
    assert find_words(words, text) == matches


def test_a_text_of_ascii_folds_as_any_other_does() -> None:
    text = "The  OLD\r\nships' crew\t(1) "
    plain, folded = FoldedText.fold(text), FoldedText.fold(text + "é")
    assert plain.text == folded.text[:-1] == "the old ships' crew (1) "
    assert plain.starts.tolist() == folded.starts[:-1].tolist()
    assert np.diff(plain.starts).min() > 0


def test_every_word_of_a_text_is_listed_and_signs_of_chinese_one_by_one() -> None:
    text = "Two words, 两个字!"
    assert [text[start:end] for start, end in FoldedText.fold(text).find_words().tolist()] == [
        *("Two", "words", "两", "个", "字"),
    ]
