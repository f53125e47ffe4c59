"""Texts: checked before they are used, tokenised the way the backbone was pretrained."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from rft.config.schema import DataConfig
from rft.data.decoders import Rows
from rft.errors import DataError, ModelError
from rft.records import Split, TextPreprocessingFacts
from rft.runtime.progress import track_progress

# The last range is halves of pairs, which JSON can escape one by one and which no tokenizer takes.
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
CHUNK = 1000  # texts that are tokenised at once
MANY = 10  # chunks that are held at a time


def text_digest(text: str) -> str:
    """Return the sha256 of a text's UTF-8 bytes; raises ``DataError`` for an empty text and for binary data."""
    if not text.strip():
        raise DataError("the text is empty", remedy='Remove the row, or set data.on_error = "skip" to count it.')
    if match := CONTROL.search(text):
        problem = "half of a surrogate pair, or U+FFFF" if match[0] == "\uffff" else f"U+{ord(match[0]):04X}"
        raise DataError(
            f"holds the character {problem}: this looks like binary data, not text",
            remedy='Mend or remove the row, or set data.on_error = "skip" to leave such rows out and count them.',
        )
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class TextPreprocessing:
    """How a text becomes the input of a backbone.

    Attributes:
        tokenizer: a tokenizer of transformers, which pads on the right.
        max_length: tokens, special ones included, that are left of a longer text: those at its beginning or, where the
            tokenizer's ``truncation_side`` is left, those at its end.
    """

    tokenizer: Any
    max_length: int

    def facts(self) -> TextPreprocessingFacts:
        """Return what stands in ``audit.json``; the hash is over all that the tokenizer does."""
        return TextPreprocessingFacts(
            tokenizer=type(self.tokenizer).__name__,
            tokenizer_sha256=self._sha256,
            vocabulary=len(self.tokenizer),
            max_length=self.max_length,
            truncation=self.tokenizer.truncation_side,
        )

    @cached_property
    def _sha256(self) -> str:
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is None:
            content = repr(sorted(self.tokenizer.get_vocab().items()))
        else:  # how it was called last, how texts were cut and padded, is no part of what it is
            whole = json.loads(backend.to_str())
            content = json.dumps(whole | {"truncation": None, "padding": None}, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def inputs(self, splits: Mapping[str, Split], config: DataConfig, seed: int) -> TextInputs:
        """Return the reader of texts for these splits."""
        return TextInputs(splits, self)

    def __call__(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return ``{"input_ids": (B, T), "attention_mask": (B, T)}``, padded on the right to the longest text."""
        options = {"truncation": True, "max_length": self.max_length, "padding": True, "return_tensors": "pt"}
        encoded = self._encode_texts(texts, **options)
        if "token_type_ids" in encoded and encoded["token_type_ids"].any():
            raise ModelError(
                f"{type(self.tokenizer).__name__} marks tokens of a single text by types, which rft does not pass on",
                where="model",
                remedy="Build the model with model.factory: its module can make the types from input_ids.",
            )
        return {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}

    def count(self, texts: Sequence[str]) -> np.ndarray:
        """Return (N,) the number of tokens of each text before it is cut."""
        counts = [
            len(ids)
            for start in track_progress(range(0, len(texts), CHUNK), "Tokens")
            for ids in self._encode_texts(texts[start : start + CHUNK], verbose=False)["input_ids"]
        ]
        return np.array(counts, np.int64)

    def _encode_texts(self, texts: Sequence[str], **options: Any) -> Any:
        try:
            return self.tokenizer(list(texts), **options)
        except Exception as error:  # the library behind it raises nothing narrower
            raise ModelError(
                f"the tokenizer fails on a text: {str(error).splitlines()[0]}",
                where="model.backbone",
                remedy="Put the tokenizer's files that the model was trained with into its folder.",
            ) from error


@dataclass(frozen=True)
class TextInputs:
    """Gives the texts of the splits as the backbone wants them.

    Raises:
        DataError: when a text has no tokens at all.
    """

    splits: Mapping[str, Split]
    tokenisation: TextPreprocessing

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of transformers."""
        return self.tokenisation.tokenizer

    @property
    def truncated(self) -> dict[str, int]:
        """Split -> how many of its texts were cut."""
        limit = self.tokenisation.max_length
        return {name: int((self._count_tokens(split.items) > limit).sum()) for name, split in self.splits.items()}

    def lengths(self, items: Sequence[str]) -> np.ndarray:
        """Return (N,) the number of tokens of each text after it was cut, int64."""
        cut: np.ndarray = np.minimum(self._count_tokens(items), self.tokenisation.max_length)
        return cut

    def batch(self, split: str, rows: Rows) -> dict[str, torch.Tensor]:
        """Return ``{"input_ids": (B, T), "attention_mask": (B, T)}`` of the rows of a split, on the CPU."""
        return next(self.batches(self.splits[split].items, [rows]))

    def batches(self, items: Sequence[str], batches: Sequence[Rows]) -> Iterator[dict[str, torch.Tensor]]:
        """Yield a batch for each list of rows of ``items``, padded to its longest text."""
        for rows in batches:
            yield self.tokenisation([items[row] for row in rows])

    def _count_tokens(self, items: Sequence[str]) -> np.ndarray:
        """Return (N,) the number of tokens of each text of the splits before it is cut."""
        return np.array([self._count_tokens_by_hash[_hash_text(text)] for text in items], np.int64)

    @cached_property
    def _count_tokens_by_hash(self) -> dict[bytes, int]:
        """The number of tokens by the hash of a text: the texts themselves may be more than memory holds."""
        counts: dict[bytes, int] = {}
        for split in self.splits.values():
            for start in range(0, len(split), MANY * CHUNK):
                texts = {_hash_text(text): text for text in split.items[start : start + MANY * CHUNK]}
                new = [key for key in texts if key not in counts]
                counts |= zip(new, self.tokenisation.count([texts[key] for key in new]).tolist(), strict=True)
        if empty := sum(count == 0 for count in counts.values()):
            raise DataError(
                f"{empty} texts have no tokens in this backbone's tokenizer",
                where="data.text",
                remedy="Remove rows without words.",
            )
        return counts


def _hash_text(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
