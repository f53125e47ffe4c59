"""Tokens longer than a character: there and back, what is unknown, and how many vectors they need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")
from rft.data.transcripts.normalizers import load_normalizer
from rft.data.transcripts.tokens import TokenVocabulary
from rft.data.transcripts.vocabulary import BLANK, count_needed_vectors
from tests.support.token_cases import delimited_tokenizer, pair_tokenizer, piece_tokenizer

TEXTS = ["bad cab", "a bed", "he fed abe", "dad had ababab", "ab ab"]


def vocabulary_of(kind: str, folder: Path) -> TokenVocabulary:
    tokenizers: dict[str, Any] = {
        "pairs": lambda: pair_tokenizer(TEXTS * 3, 40),
        "pieces": lambda: piece_tokenizer([*"abcdefgh", *(f"##{letter}" for letter in "abcdefgh"), "ab", "##ab"]),
        "delimited": lambda: delimited_tokenizer(folder),
    }
    return TokenVocabulary.from_tokenizer(tokenizers[kind](), load_normalizer("simple"))


@pytest.mark.parametrize("kind", ["pairs", "pieces", "delimited"])
def test_texts_come_back_where_a_blank_parts_what_is_alike(tmp_path: Path, kind: str) -> None:
    vocabulary = vocabulary_of(kind, tmp_path)
    assert len(vocabulary) == len(vocabulary.names) + 1
    assert not any("pad" in name.lower() for name in vocabulary.names)
    assert sum(len(vocabulary.encode(text)) for text in TEXTS) < len("".join(TEXTS)), "some tokens are longer"
    for text in TEXTS:
        numbers = vocabulary.encode(text)
        assert 0 < len(numbers) <= len(text)
        assert BLANK not in numbers
        assert max(numbers) < len(vocabulary)
        outputs = [number for written in numbers for number in (written, written, BLANK)]
        assert vocabulary.decode(outputs).split() == text.split()
        assert vocabulary.find_unknown(text) == []


@pytest.mark.parametrize("kind", ["pairs", "pieces", "delimited"])
def test_what_does_not_come_back_is_unknown(tmp_path: Path, kind: str) -> None:
    vocabulary = vocabulary_of(kind, tmp_path)
    missed = vocabulary.find_unknown("bad cxb")
    # A tokenizer of pieces of words knows no word of which it lacks a piece.
    assert sorted(missed) == (["b", "c", "x"] if kind == "pieces" else ["x"])


def test_repeated_tokens_need_a_vector_between_them(tmp_path: Path) -> None:
    vocabulary = vocabulary_of("delimited", tmp_path)
    labels = vocabulary.encode_all(["ababab", "ab ab", "abc"])
    assert [vocabulary.names[number - 1] for number in labels[0, :3]] == ["AB", "AB", "AB"]
    assert count_needed_vectors(labels).tolist() == [5, 3, 2]
    assert count_needed_vectors(np.array([[1, 1, 2, 2, 2, 0]])).tolist() == [8]


def test_small_letters_are_written_with_capital_tokens_where_the_normaliser_makes_them_alike(tmp_path: Path) -> None:
    tokenizer = delimited_tokenizer(tmp_path)
    alike = TokenVocabulary.from_tokenizer(tokenizer, load_normalizer("simple"))
    as_it_is = TokenVocabulary.from_tokenizer(tokenizer, load_normalizer("none"))
    assert alike.decode(alike.encode("bad cab")) == "bad cab"
    assert as_it_is.find_unknown("bad") == ["b", "a", "d"]
    assert as_it_is.decode(as_it_is.encode("BAD CAB")) == "BAD CAB"
