"""Small tokenizers whose tokens are more than characters, made on the spot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
PIECES = [*SPECIAL, "|", *"ABCDEFGH", "AB", "BAD", "HE"]


def pair_tokenizer(texts: Sequence[str], size: int) -> Any:
    """Return a tokenizer of pairs of pairs of letters (BPE), with marks of words, trained on some texts."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=["<pad>", "<unk>"], show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>")


def piece_tokenizer(pieces: Sequence[str], *, joins: bool = True) -> Any:
    """Return a tokenizer of pieces of words (WordPiece), which puts words together again where ``joins``."""
    numbered = {piece: number for number, piece in enumerate(["[PAD]", "[UNK]", *pieces])}
    tokenizer = Tokenizer(models.WordPiece(numbered, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if joins:
        tokenizer.decoder = decoders.WordPiece()
    return hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")


def delimited_tokenizer(folder: Path, tokens: Sequence[str] = PIECES) -> Any:
    """Return wav2vec2's own kind of tokenizer, with a word delimiter, of letters and longer tokens."""
    file = folder / "tokens.json"
    file.write_text(json.dumps({token: number for number, token in enumerate(tokens)}), encoding="utf-8")
    return hf.Wav2Vec2CTCTokenizer(str(file))
