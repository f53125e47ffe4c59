"""Texts of the test split as the model reads them: their tokens, which of them are special, what each stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rft.backbones.batch import Batch
from rft.errors import Unavailable
from rft.plugins import AuditedModel

_WORDS = (" the", "the", ".", ",", "a")  # one of them is one token in nearly every vocabulary
_RARE = "\U00013000"  # a hieroglyph


@dataclass(frozen=True)
class TokenizedTexts:
    """N texts of the test split, cut and padded to T tokens.

    Attributes:
        rows: (N,) rows of the test split.
        strings: the texts themselves.
        inputs: ``input_ids`` and ``attention_mask``, (N, T) int64, padded on the right, on the CPU.
        spans: (N, T, 2) where in the text the characters of each token begin and end; equal where it has none.
        ordinary: (N, T) whether a token is part of the text: neither special nor padding.
    """

    rows: np.ndarray
    strings: Sequence[str]
    inputs: Batch
    spans: np.ndarray
    ordinary: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def batch_of(self, index: int) -> Batch:
        """Return the (1, T) inputs of one text without its padding."""
        length = int(self.inputs["attention_mask"][index].sum())
        return {name: tensor[index : index + 1, :length] for name, tensor in self.inputs.items()}

    def select_texts(self, which: np.ndarray) -> TokenizedTexts:
        """Return the texts ``which`` (M,)."""
        inputs = {name: tensor[torch.from_numpy(which)] for name, tensor in self.inputs.items()}
        strings = [self.strings[index] for index in which.tolist()]
        return TokenizedTexts(self.rows[which], strings, inputs, self.spans[which], self.ordinary[which])

    def cover_spans(self, index: int, spans: np.ndarray) -> np.ndarray:
        """Return (W, T) which ordinary tokens belong to each of (W, 2) spans of a text, as far as it is read."""
        starts, ends = self.spans[index].T
        values: np.ndarray = (starts < spans[:, 1:]) & (ends > spans[:, :1]) & self.ordinary[index]
        return values

    def replace_tokens(self, where: np.ndarray, token: int) -> Batch:
        """Return the inputs with ``token`` at the (N, T) places ``where``."""
        return self.inputs | {"input_ids": self.inputs["input_ids"].masked_fill(torch.from_numpy(where), token)}

    def remove_tokens(self, where: np.ndarray, padding: int) -> Batch:
        """Return the inputs without the tokens at the (N, T) places ``where``: what follows moves up."""
        removed = torch.from_numpy(where)
        order = removed.long().argsort(dim=1, stable=True)
        ids = self.inputs["input_ids"].masked_fill(removed, padding).gather(1, order)
        mask = self.inputs["attention_mask"].masked_fill(removed, 0).gather(1, order)
        return {"input_ids": ids, "attention_mask": mask}


class TokenizedTextReader:
    """Reads test texts, and knows their tokenizer.

    Attributes:
        strings: all texts of the test split.
        padding: the token that stands behind the end of a text.

    Raises:
        Unavailable: when the audited model has no inputs, or they have no tokenizer.
    """

    def __init__(self, audited: AuditedModel) -> None:
        self._inputs = audited.require_inputs()
        self._tokenizer: Any = getattr(self._inputs, "tokenizer", None)
        if self._tokenizer is None:
            raise Unavailable("the texts of this audit come without a tokenizer")
        self.strings: Sequence[str] = audited.splits["test"].items
        self.padding = int(self._tokenizer.pad_token_id or 0)

    def list_baselines(self) -> dict[str, int]:
        """Return the tokens that may stand for the absence of a word, by their names in words."""
        return {self._name_token(token): token for token in baseline_tokens(self._tokenizer)}

    def word_tokens(self, word: str) -> list[int]:
        """Return the tokens of a word as it stands within a text."""
        tokens: list[int] = self._tokenizer.encode(f" {word}", add_special_tokens=False)
        return tokens

    def encode(self, texts: Sequence[str]) -> Batch:
        """Return the inputs of texts that are not those of the split."""
        return next(self._inputs.batches(texts, [range(len(texts))]))

    def _name_token(self, token: int) -> str:
        written = self._tokenizer.decode([token]).strip()
        return f"“{written or self._tokenizer.convert_ids_to_tokens(token)}”"

    def read(self, rows: np.ndarray) -> TokenizedTexts:
        """Return the texts of (N,) rows of the test split.

        Raises:
            Unavailable: when the tokenizer does not give the tokens that the model reads, so that nothing can be said
                about the words that they stand for.
        """
        inputs: dict[str, Tensor] = self._inputs.batch("test", rows)
        ids, mask = inputs["input_ids"], inputs["attention_mask"].bool()
        strings = [self.strings[row] for row in rows.tolist()]
        spans = np.zeros((*ids.shape, 2), dtype=np.int64)
        for index, length in enumerate(mask.sum(dim=1).tolist()):
            spans[index, :length] = self._token_spans(strings[index], ids[index, :length].tolist())
        special = torch.isin(ids, torch.tensor(sorted(special_tokens(self._tokenizer)), dtype=torch.int64))
        return TokenizedTexts(rows, strings, inputs, spans, (mask & ~special).numpy())

    def token_pieces(self, texts: TokenizedTexts, index: int) -> list[str]:
        """Return the part of a text that each of its tokens stands for, with the blanks before it.

        A token without characters of its own, such as ``[CLS]``, is given by its name.
        """
        names = self._tokenizer.convert_ids_to_tokens(texts.batch_of(index)["input_ids"][0].tolist())
        pieces, done = [], 0
        for name, (start, end) in zip(names, texts.spans[index].tolist(), strict=False):  # spans are padded
            pieces.append(name if start == end else texts.strings[index][done:end])
            done = max(done, end)
        return pieces

    def _token_spans(self, text: str, ids: list[int]) -> list[tuple[int, int]]:
        encoded = self._tokenizer(text, truncation=True, max_length=len(ids), return_offsets_mapping=True)
        if encoded["input_ids"] != ids:
            raise Unavailable("the tokenizer gives other tokens than the model reads")
        spans: list[tuple[int, int]] = encoded["offset_mapping"]
        return spans


def baseline_tokens(tokenizer: Any) -> list[int]:
    """Return the tokens that may stand for the absence of a word.

    These are the mask token and the token of unknown words, where there are any, and ordinary words that say little.
    Which of them a model takes best is measured. Padding is none of them: models look for padding to find the end of a
    text, and with it as the baseline of GPT-2 integrated gradients were 34 to 369 % off completeness.
    """
    special, marks = set(tokenizer.all_special_ids), _mark_tokens(tokenizer)
    named = [tokenizer.mask_token_id, _unknown_token(tokenizer)]
    encoded = [tokenizer.encode(word, add_special_tokens=False) for word in _WORDS]
    words = [ids[0] for ids in encoded if len(ids) == 1 and ids[0] not in special]
    tokens = [token for token in named if token is not None and token not in marks] + words
    return list(dict.fromkeys(tokens)) or [next(token for token in range(len(tokenizer)) if token not in special)]


def special_tokens(tokenizer: Any) -> set[int]:
    """Return the tokens that stand for no part of a text; the token of unknown words does, unless it is a mark too."""
    special = set(tokenizer.all_special_ids)
    return special - {_unknown_token(tokenizer)} | (special & _mark_tokens(tokenizer))


def _mark_tokens(tokenizer: Any) -> set[int | None]:
    """Return the tokens that mark places in a text."""
    named = ("bos_token_id", "eos_token_id", "sep_token_id", "cls_token_id", "pad_token_id")
    return {getattr(tokenizer, name) for name in named} - {None}


def _unknown_token(tokenizer: Any) -> int | None:
    """Return the token that unknown words become; None where words are spelled in bytes and it stands unused."""
    unknown = tokenizer.unk_token_id
    return unknown if unknown in tokenizer.encode(_RARE, add_special_tokens=False) else None
