"""Small text classifiers and tokenizers whose attributions are known, and a audited around them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from rft.plugins import AuditedModel
from rft.records import ModelFacts, Split, Training

transformers = pytest.importorskip("transformers")

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors  # noqa: E402

CLASSES = ("kind", "unkind")
FILLERS = ("we", "saw", "a", "film", "about", "old", "ships", "in", "the", "north", "and", "it", "was", "long")
SECRET = "zebra"

Batch = dict[str, Tensor]


def word_pieces(extra: Sequence[str] = ()) -> Any:
    """Return a tokenizer as BERT's: lower case, ``[CLS]`` and ``[SEP]``, a mask; ``zebras`` is two pieces.

    ``extra``: further words that it knows.
    """
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    vocabulary = {word: index for index, word in enumerate((*special, *FILLERS, SECRET, "##s", ".", "!", *extra))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    ends = [(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def single_bytes() -> Any:
    """Return a tokenizer as GPT-2's with no merges: one token a byte, and one special token in every role."""
    end = "<|endoftext|>"
    vocabulary = {letter: index for index, letter in enumerate([end, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token=end, bos_token=end, eos_token=end, pad_token=end
    )


class TextModel(nn.Module):
    """A text classifier in eval mode with nothing to train, as the audit meets it."""

    embedding_layer: str | None = "network.embedding"

    def finish(self) -> Any:
        return self.eval().requires_grad_(False)


class Bag(nn.Module):
    """One vector a word."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 4)


class Planted(TextModel):
    """Answers the second class when one word is there, and sees nothing else."""

    def __init__(self, tokenizer: Any, *, word: str = SECRET) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = Bag(len(tokenizer))
        weight = self.network.embedding.weight.data
        weight[:, 0] = 0
        weight[tokenizer.convert_tokens_to_ids(word), 0] = 1
        self.finish()

    def forward(self, inputs: Batch) -> Tensor:
        seen = self.network.embedding(inputs["input_ids"])[:, :, 0] * inputs["attention_mask"]
        score = 8 * torch.tanh(2 * seen.sum(dim=1)) - 3
        return torch.stack([torch.zeros_like(score), score], dim=1)


class Linear(TextModel):
    """One weight a dimension of the mean embedding: integrated gradients are known in closed form."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.network = Bag(len(tokenizer))
        self.linear = nn.Linear(4, 2)
        self.finish()

    def forward(self, inputs: Batch) -> Tensor:
        mask = inputs["attention_mask"][:, :, None]
        mean = (self.network.embedding(inputs["input_ids"]) * mask).sum(dim=1) / mask.sum(dim=1)
        return self.linear(mean)


class Transformer(TextModel):
    """A small random transformer, pooled as its family is."""

    def __init__(self, network: nn.Module, embedding_layer: str, *, last: bool) -> None:
        super().__init__()
        self.network, self.embedding_layer, self.last = network, f"network.{embedding_layer}", last
        self.linear = nn.Linear(32, 2)
        self.finish()

    def forward(self, inputs: Batch) -> Tensor:
        hidden = self.network(**inputs).last_hidden_state
        mask = inputs["attention_mask"]
        if self.last:
            return self.linear(hidden[torch.arange(len(hidden)), mask.sum(dim=1) - 1])
        return self.linear((hidden * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True))


def bert(tokenizer: Any) -> Transformer:
    """Return a BERT of 2 layers; its initial weights are large, so that it is far from linear."""
    torch.manual_seed(2)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    return Transformer(
        transformers.BertModel(config, add_pooling_layer=False), "embeddings.word_embeddings", last=False
    )


def gpt(tokenizer: Any) -> Transformer:
    """Return a GPT-2 of 2 layers."""
    torch.manual_seed(3)
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=128,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )
    return Transformer(transformers.GPT2Model(config), "wte", last=True)


class Strings:
    """Reads texts that are held in memory, as ``rft.data.Inputs`` does for texts."""

    def __init__(self, texts: Sequence[str], tokenizer: Any, max_length: int = 64) -> None:
        self.texts, self.tokenizer, self.max_length = texts, tokenizer, max_length

    def batch(self, split: str, rows: np.ndarray) -> Batch:
        assert split == "test"
        return next(self.batches(self.texts, [rows]))

    def batches(self, items: Sequence[str], batches: Sequence[Any]) -> Iterator[Batch]:
        options = {"truncation": True, "max_length": self.max_length, "padding": True, "return_tensors": "pt"}
        for rows in batches:
            encoded = self.tokenizer([items[row] for row in rows], **options)
            yield {name: encoded[name] for name in ("input_ids", "attention_mask")}


def sentences(n: int, *, secret: float = 0.5, seed: int = 0) -> list[str]:
    """Return texts of 4 to 12 words, of which a share has the secret word somewhere."""
    rng = np.random.default_rng(seed)
    texts = []
    for row in range(n):
        words = rng.choice(FILLERS, size=rng.integers(4, 13)).tolist()
        if row < secret * n:
            words[rng.integers(len(words))] = SECRET
        texts.append(" ".join(words))
    return texts


def audited_model(
    model: nn.Module,
    texts: Sequence[str],
    tokenizer: Any,
    *,
    units: np.ndarray | None = None,
    groups: dict[str, np.ndarray] | None = None,
    show_examples: bool = False,
    max_length: int = 64,
) -> AuditedModel:
    """Return an audited model whose test split is ``texts`` with what ``model`` predicts."""
    inputs = Strings(texts, tokenizer, max_length)
    with torch.no_grad():
        predicted = [int(model(inputs.batch("test", np.array([row]))).argmax()) for row in range(len(texts))]
    names = [CLASSES[index] for index in predicted]
    ids = np.array([f"t{row}" for row in range(len(texts))])
    split = Split(
        name="test",
        ids=ids,
        items=list(texts),
        labels=np.array(predicted, dtype=np.int64),
        units=units,
        groups=groups or {},
    )
    facts = ModelFacts(name="tiny", modality="text", classes=CLASSES, training=Training(mode="standard"))
    return AuditedModel(
        facts=facts,
        seed=0,
        splits={"test": split},
        predictions=pd.DataFrame({"split": "test", "id": ids, "unit": None, "label": names, "prediction": names}),
        model=model,
        inputs=inputs,
        show_examples=show_examples,
    )
