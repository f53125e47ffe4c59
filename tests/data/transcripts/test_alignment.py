"""Counted errors against jiwer 4, the rules of Whisper against transformers, wrong words against a loop."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("rapidfuzz")
from rft.data.transcripts.alignment import align_transcripts
from rft.data.transcripts.normalizers import load_normalizer, simplify_text
from rft.predictions.wrong_words import find_wrong_words
from rft.stats.scores.error_rates import (
    CHARACTER_ERRORS,
    CHARACTERS,
    DELETIONS,
    INSERTIONS,
    RAW_CHARACTER_ERRORS,
    RAW_CHARACTERS,
    RAW_WORD_ERRORS,
    RAW_WORDS,
    SUBSTITUTIONS,
    WORDS,
)

VOCABULARY = ["a", "b", "cat", "dog", "the", "don't", "I'm", "Colour", "twenty", "one", "uh", "Mr.", "é", "$5", "", " "]


def make_pairs(n: int = 400, seed: int = 1) -> tuple[list[str], list[str]]:
    """Return references, some of them empty, and hypotheses that are near them, empty, or something else."""
    rng = random.Random(seed)
    references = [" ".join(rng.choices(VOCABULARY, k=rng.randint(0, 9))) for _ in range(n)]
    hypotheses = [
        " ".join(rng.choices(VOCABULARY, k=rng.randint(0, 9)))
        if rng.random() < 0.3
        else " ".join(word if rng.random() < 0.8 else rng.choice(VOCABULARY) for word in reference.split(" "))
        for reference in references
    ]
    return references, hypotheses


@pytest.mark.parametrize("name", ["none", "simple", "whisper_english"])
def test_rates_are_those_of_jiwer_to_the_last_digit(name: str) -> None:
    jiwer = pytest.importorskip("jiwer")
    if name == "whisper_english":
        pytest.importorskip("whisper_normalizer")
    normalizer = load_normalizer(name)
    references, hypotheses = make_pairs()
    assert "" in references
    assert "" in hypotheses
    aligned = align_transcripts(pd.Categorical(references), pd.Categorical(hypotheses), normalizer)
    total = {name: int(values.sum()) for name, values in aligned.counts.items()}
    compared = [normalizer(text) for text in references], [normalizer(text) for text in hypotheses]
    words, characters = jiwer.process_words(*compared), jiwer.process_characters(*compared)
    assert (total[SUBSTITUTIONS], total[DELETIONS], total[INSERTIONS]) == (
        words.substitutions,
        words.deletions,
        words.insertions,
    )
    assert (total[SUBSTITUTIONS] + total[DELETIONS] + total[INSERTIONS]) / total[WORDS] == words.wer
    assert total[CHARACTER_ERRORS] / total[CHARACTERS] == characters.cer
    assert total[RAW_WORD_ERRORS] / total[RAW_WORDS] == jiwer.wer(references, hypotheses)
    assert total[RAW_CHARACTER_ERRORS] / total[RAW_CHARACTERS] == jiwer.cer(references, hypotheses)


def test_a_missing_hypothesis_is_silence_and_what_is_written_into_silence_is_inserted() -> None:
    references = pd.Categorical(["", "one two", "three"])
    hypotheses = pd.Categorical(["uh oh", None, "three"])
    counts = align_transcripts(references, hypotheses, lambda text: text).counts
    assert counts[INSERTIONS].tolist() == [2, 0, 0]
    assert counts[DELETIONS].tolist() == [0, 2, 0]
    assert counts[WORDS].tolist() == [0, 2, 1]


def test_the_rules_for_english_are_those_of_whisper() -> None:
    pytest.importorskip("whisper_normalizer")
    peer = pytest.importorskip("transformers.models.whisper.english_normalizer")
    normalizer: Any = load_normalizer("whisper_english")
    other = peer.EnglishTextNormalizer(normalizer.standardize_spellings.mapping)
    texts = ["Mr. O'Brien's colour, twenty-one dollars [laughs]", "won't  uh, go 3,000 £5.50", "", *make_pairs()[0]]
    assert [normalizer(text) for text in texts] == [other(text) for text in texts]
    assert normalizer("The colour of 21 Dr. Smith's") == normalizer("the color of twenty-one doctor smith's")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don’t -- STOP!", "dont stop"),
        ("well-known\tA.B.", "well known a b"),
        ("Straße ｆｕｌｌ", "strasse full"),
        ("नमस्ते, दुनिया", "नमस्ते दुनिया"),  # marks of vowels are no punctuation
        ("... 5 € ?", "5"),
    ],
)
def test_the_simple_normalizer_leaves_words(text: str, expected: str) -> None:
    assert simplify_text(text) == expected


def test_wrong_words_are_those_that_a_loop_counts() -> None:
    references, hypotheses = make_pairs(300, seed=2)
    words = align_transcripts(pd.Categorical(references), pd.Categorical(hypotheses), simplify_text).words
    rng = np.random.default_rng(0)
    groups, units = rng.integers(-1, 2, 300), rng.integers(0, 40, 300)
    found = find_wrong_words(words, groups, units, n_groups=2, fewest_speakers=3)
    for group in range(2):
        said: Counter[str] = Counter()
        wrong: Counter[str] = Counter()
        speakers: dict[str, set[int]] = {}
        for row, code, is_wrong in zip(words.rows, words.words, words.wrong, strict=True):
            if groups[row] == group:
                word = words.vocabulary[code]
                said[word] += 1
                wrong[word] += int(is_wrong)
                speakers.setdefault(word, set()).add(units[row])
        shown = [word for word in said if wrong[word] and len(speakers[word]) >= 3]
        expected = sorted(shown, key=lambda word: (-wrong[word], word))[:10]
        assert [word.word for word in found[group]] == expected
        assert [(word.said, word.wrong, word.speakers) for word in found[group]] == [
            (said[word], wrong[word], len(speakers[word])) for word in expected
        ]
