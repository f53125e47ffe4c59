"""Identity terms: what each becomes, in which case and after which article, and that lists hold what they promise."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from rft.plugins.attribution.shortcuts.options import Shortcut
from rft.plugins.attribution.texts.shortcuts.counterparts import Counterparts
from rft.plugins.attribution.texts.shortcuts.edits import Edit, apply_edits
from rft.plugins.attribution.texts.shortcuts.identity_terms import IDENTITY_TERMS, SwapName
from rft.plugins.attribution.texts.words import FoldedText


def exchange(text: str, name: SwapName, seed: int = 0) -> str:
    return apply_edits(text, Counterparts.from_list(name).find_edits(text, np.random.default_rng(seed)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("He saw the man.", "She saw the woman."),
        ("SHE SAID SO", "HE SAID SO"),
        ("Her house is hers.", "His house is his."),
        ("I saw her.", "I saw him."),
        ("I saw her yesterday, and gave her a book", "I saw him yesterday, and gave him a book"),
        ("her own 2 dogs and her 2 cats", "his own 2 dogs and his 2 cats"),
        ("His idea was his.", "Her idea was hers."),
        ("the idea was his, not mine", "the idea was hers, not mine"),
        ("I saw him and himself", "I saw her and herself"),
        ("It's hers", "It's his"),
        ("he's here, and she'll come", "she's here, and he'll come"),
        ("the hero hurt others", "the hero hurt others"),  # parts of words are no words
        ("an actor and a waiter", "an actress and a waitress"),
        ("Mr. Smith's wife", "Mrs. Smith's husband"),
    ],
)
def test_words_of_gender_become_their_counterparts(text: str, expected: str) -> None:
    assert exchange(text, "gender") == expected


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("an old man and young women", "age", "a young man and old women"),
        ("AN OLD MAN", "age", "A YOUNG MAN"),
        ("an old house", "age", "an old house"),  # not about people
        ("straight to the point, say gay people", "orientation", "straight to the point, say straight people"),
        ("a blind man", "disability", "a sighted man"),
        ("a hearing on deaf people", "disability", "a hearing on hearing people"),
    ],
)
def test_words_that_mean_other_things_are_left_alone(text: str, name: SwapName, expected: str) -> None:
    assert exchange(text, name) == expected


def test_the_identities_of_a_text_move_together() -> None:
    """Christian and church go to the same religion, and two religions never become one."""
    places = Counterparts.from_list("religion").places
    seen = set()
    for seed in range(40):
        words = exchange("christian church muslim mosque", "religion", seed).split()
        christian, church, muslim, mosque = (places[word][1] for word in words)
        assert christian == church != 0
        assert muslim == mosque != 1
        assert christian != muslim
        seen.add(words[0])
    assert seen == {"muslim", "jewish", "hindu", "buddhist"}


def test_twice_exchanged_a_pair_is_itself_again() -> None:
    for line in IDENTITY_TERMS["gender"]:
        for term in set(line) - {"her", "his", "hers", "him"}:
            assert exchange(exchange(term, "gender"), "gender") == term


def test_lists_are_whole() -> None:
    assert set(IDENTITY_TERMS) == set(get_args(SwapName))
    options = Shortcut.model_fields["swap"].annotation
    assert set(get_args(get_args(options)[0])) == set(get_args(SwapName))
    for lines in IDENTITY_TERMS.values():
        for line in lines:
            assert len(line) == len(set(line)) >= 2
            assert all(FoldedText.fold(term).text == term for term in line)


@pytest.mark.parametrize(
    ("text", "edits", "expected"),
    [
        ("we saw a film", [Edit(3, 6, "")], "we a film"),
        ("we saw", [Edit(3, 6, "")], "we "),
        ("we saw a film", [Edit(0, 2, "")], "saw a film"),
        ("we (saw) a film", [Edit(4, 7, "")], "we () a film"),
        ("we saw a film", [Edit(9, 13, "ship"), Edit(3, 6, "heard")], "we heard a ship"),
        ("我们看电影", [Edit(2, 3, "")], "我们电影"),
        ("a", [], "a"),
    ],
)
def test_edits_are_made_in_their_places(text: str, edits: list[Edit], expected: str) -> None:
    assert apply_edits(text, edits) == expected
