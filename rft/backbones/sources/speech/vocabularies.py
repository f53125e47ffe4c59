"""What the tokenizer in the folder of a backbone of speech writes with: characters, or longer tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rft.backbones.sources import snapshot, transformers
from rft.data.transcripts.tokens import TokenVocabulary, list_tokens
from rft.data.transcripts.vocabulary import CharacterVocabulary, Vocabulary


def read_vocabulary(backbone: str, folder: Path, normalizer: Callable[[str], str], *, offline: bool) -> Vocabulary:
    """Return what a tokenizer writes with, without its special tokens.

    Where every token is a character they are made alike as transcripts are, in ascending order, the blank among them.

    Args:
        backbone: ``model.backbone``.
        folder: what its path is relative to.
        normalizer: what makes transcripts alike: a tokenizer of capital letters writes small ones where it says so.
        offline: forbid downloads.

    Raises:
        ModelError: the folder has no tokenizer.
    """
    source = snapshot.find_snapshot(backbone.partition("/")[2], folder, offline=offline, where="model.backbone")
    tokenizer = transformers.read_tokenizer(source)
    delimiter = getattr(tokenizer, "word_delimiter_token", None)
    tokens = [" " if token == delimiter else token for token in list_tokens(tokenizer)]
    if any(len(token) != 1 for token in tokens):
        return TokenVocabulary.from_tokenizer(tokenizer, normalizer)
    alike = {token if token.isspace() else normalizer(token) for token in tokens}
    return CharacterVocabulary(tuple(sorted(character for character in alike if len(character) == 1)))


def read_saved_vocabulary(folder: Path, names: tuple[str, ...], *, capitals: bool) -> TokenVocabulary:
    """Return what a saved recogniser writes with, by the tokenizer in its folder; arguments as in ``TokenVocabulary``.

    Raises:
        ModelError: there is no tokenizer.
    """
    source = snapshot.find_snapshot(".", folder, offline=True, where=folder.name)
    return TokenVocabulary(transformers.read_tokenizer(source), names, capitals)
