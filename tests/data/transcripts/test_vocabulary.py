"""Characters and numbers: there and back, what is unknown, and how many vectors a transcript needs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rft.data.transcripts.vocabulary import BLANK, CharacterVocabulary, count_needed_vectors

TEXTS = ["the boat", "left before nine", "", "aa bb", "ü 日本"]


def test_texts_come_back_where_a_blank_parts_what_is_alike() -> None:
    vocabulary = CharacterVocabulary.from_texts(TEXTS)
    assert list(vocabulary.names) == sorted(set("".join(TEXTS)))
    assert len(vocabulary) == len(set("".join(TEXTS))) + 1
    for text in TEXTS:
        outputs = [number for character in vocabulary.encode(text) for number in (character, character, BLANK)]
        assert vocabulary.decode(outputs) == text
    assert vocabulary.decode(vocabulary.encode("aa")) == "a"  # without a blank they are one


def test_unknown_characters_are_left_out_and_counted() -> None:
    vocabulary = CharacterVocabulary(("a", "b"))
    assert vocabulary.encode("a?b!") == [1, 2]
    assert vocabulary.find_unknown("a?b!") == ["?", "!"]
    assert vocabulary.encode_all(["ab", "", "?"]).tolist() == [[1, 2], [0, 0], [0, 0]]
    assert vocabulary.encode_all([""], length=3).shape == (1, 3)


@pytest.mark.parametrize("label", [(), (1,), (1, 1), (1, 2, 1), (2, 2, 2), (1, 1, 2, 2)])
def test_the_vectors_that_a_transcript_needs_are_those_of_the_shortest_way_to_write_it(label: tuple[int, ...]) -> None:
    vocabulary = CharacterVocabulary(("a", "b"))
    wanted = "".join("ab"[number - 1] for number in label)
    shortest = next(
        length
        for length in itertools.count()
        if any(vocabulary.decode(outputs) == wanted for outputs in itertools.product(range(3), repeat=length))
    )
    padded = np.zeros((1, 5), np.int64)
    padded[0, : len(label)] = label
    assert count_needed_vectors(padded).tolist() == [shortest]
