"""A recogniser that writes the tokens of a tokenizer: letters, pieces of words or words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from rft.data.transcripts.vocabulary import BLANK, Vocabulary


@dataclass(frozen=True)
class TokenVocabulary(Vocabulary):
    """The tokens of a tokenizer, by number: its first ordinary token has number 1, after the blank.

    Special tokens, such as those of padding and of what is unknown, are none that a transcript is written with.

    Attributes:
        tokenizer: of transformers.
        names: its ordinary tokens, in the order of their numbers there.
        capitals: whether its tokens are of capital letters while transcripts are of small ones: texts are made capital
            before they are cut into tokens, and small again where they come back.
    """

    tokenizer: Any = field(repr=False)
    names: tuple[str, ...]
    capitals: bool = False

    @classmethod
    def from_tokenizer(cls, tokenizer: Any, normalizer: Callable[[str], str]) -> TokenVocabulary:
        """Return the tokens of a tokenizer, for transcripts that ``normalizer`` makes alike."""
        names = list_tokens(tokenizer)
        letters = "".join(names)
        capitals = letters.upper() == letters != letters.lower() and normalizer("A") == "a"
        return cls(tokenizer, tuple(names), capitals)

    @cached_property
    def _token_ids(self) -> list[int]:
        ids: list[int] = self.tokenizer.convert_tokens_to_ids(list(self.names))
        return ids

    @cached_property
    def _token_numbers(self) -> dict[int, int]:
        return {token: number for number, token in enumerate(self._token_ids, start=BLANK + 1)}

    def encode(self, text: str) -> list[int]:
        """Return the numbers of the tokens that the tokenizer cuts a text into, unknown ones left out."""
        cased = text.upper() if self.capitals else text
        # The tokenizer of wav2vec2 loses blanks beside longer tokens, and keeps its word delimiter.
        delimiter = getattr(self.tokenizer, "word_delimiter_token", None)
        parted = cased if delimiter is None else cased.replace(" ", delimiter)
        tokens = self.tokenizer(parted, add_special_tokens=False, verbose=False)["input_ids"]
        return [self._token_numbers[token] for token in tokens if token in self._token_numbers]

    def find_unknown(self, text: str) -> list[str]:
        """Return the characters of a text that do not come back from its tokens; blanks are not counted."""
        missed = Counter(text) - Counter(self.join(self.encode(text)))
        return [character for character in missed.elements() if not character.isspace()]

    def join(self, numbers: Sequence[int]) -> str:
        """Return the text of these tokens, as the tokenizer puts them together."""
        text = join_tokens(self.tokenizer, [self._token_ids[number - 1] for number in numbers])
        return text.lower() if self.capitals else text


def list_tokens(tokenizer: Any) -> list[str]:
    """Return the ordinary tokens of a tokenizer in the order of their numbers, a word delimiter among them."""
    special = set(tokenizer.all_special_tokens) - {getattr(tokenizer, "word_delimiter_token", None)}
    numbered = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    return [token for token, _ in numbered if token not in special]


def join_tokens(tokenizer: Any, tokens: Sequence[int]) -> str:
    """Return the text of tokens of which none is a blank, and a repeated one is meant twice."""
    options = {"group_tokens": False} if hasattr(tokenizer, "word_delimiter_token") else {}
    text: str = tokenizer.decode(list(tokens), skip_special_tokens=True, **options)
    return text
