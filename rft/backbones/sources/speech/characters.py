"""The characters that the tokenizer in the folder of a backbone of speech writes with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rft.backbones.sources import snapshot, transformers
from rft.errors import ModelError


def read_characters(backbone: str, folder: Path, normalizer: Callable[[str], str], *, offline: bool) -> tuple[str, ...]:
    """Return the characters of a tokenizer, made alike as transcripts are, in ascending order, the blank among them.

    Args:
        backbone: ``model.backbone``.
        folder: what its path is relative to.
        normalizer: what makes transcripts alike: a tokenizer of capital letters writes small ones where it says so.
        offline: forbid downloads.

    Raises:
        ModelError: the folder has no tokenizer, or one whose tokens are more than single characters.
    """
    source = snapshot.find_snapshot(backbone.partition("/")[2], folder, offline=offline, where="model.backbone")
    tokenizer = transformers.read_tokenizer(source)
    delimiter = getattr(tokenizer, "word_delimiter_token", None)
    special = set(tokenizer.all_special_tokens) - {delimiter}
    tokens = [" " if token == delimiter else token for token in tokenizer.get_vocab() if token not in special]
    longer = sorted(token for token in tokens if len(token) != 1)
    if longer:
        raise ModelError(
            f"{len(longer):,} of the {len(tokens):,} tokens of its tokenizer are no single characters, such as "
            f"{longer[0]!r}",
            where="data.vocabulary",
            remedy="Name the characters in data.characters, or leave both out to take those of the training "
            "transcripts.",
        )
    alike = {token if token.isspace() else normalizer(token) for token in tokens}
    return tuple(sorted(character for character in alike if len(character) == 1))
