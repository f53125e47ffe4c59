"""Tiny models of transformers with random weights, saved as a user would, and generated texts to audit them with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

WORDS = ["good", "fine", "nice", "bad", "poor", "sad", "film", "book", "the", "a", "is", "was", "very", "and", "it"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def word_tokenizer(words: list[str] | None = None) -> Any:
    """Return a BERT tokenizer of whole words."""
    from transformers import BertTokenizerFast  # type: ignore[attr-defined]  # an alias

    return BertTokenizerFast(vocab={word: number for number, word in enumerate(SPECIAL + (words or WORDS))})


def bert(labels: list[str], **changes: object) -> Any:
    """Return a BERT classifier with random weights and these labels."""
    from transformers import BertConfig, BertForSequenceClassification

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    sizes |= {"max_position_embeddings": 64}
    named = {"id2label": dict(enumerate(labels)), "label2id": {name: number for number, name in enumerate(labels)}}
    config = BertConfig(vocab_size=len(SPECIAL + WORDS), **{**sizes, **named, **changes})
    torch.manual_seed(0)
    return BertForSequenceClassification(config)


def save_bert(folder: Path, labels: list[str] | None = None, **changes: object) -> Any:
    """Write a BERT classifier and its tokenizer; return the model."""
    model = bert(labels or ["negative", "positive"], **changes)
    model.save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return model.eval()


def save_vit(folder: Path, labels: list[str] | None = None) -> Any:
    """Write a ViT classifier and its image processor, which squashes images into squares; return the model."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = ViTConfig(image_size=32, patch_size=8, id2label=dict(enumerate(labels or ["blue", "red"])), **sizes)
    torch.manual_seed(0)
    model = ViTForImageClassification(config)
    model.save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=[0.4, 0.5, 0.6]).save_pretrained(folder)
    return model.eval()


def write_texts(path: Path, n: int = 60, seed: int = 0, splits: tuple[str, ...] = ("train", "test")) -> pd.DataFrame:
    """Write a table of texts about films or books, whose first word gives the label; return it."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n):
        label = ("negative", "positive")[number % 2]
        start = WORDS[rng.integers(0, 3) + (0 if label == "positive" else 3)]
        rest = rng.choice(WORDS[6:], rng.integers(2, 9)).tolist()
        rows.append(
            {
                "text": " ".join([start, *rest, str(number)]),
                "label": label,
                "about": ("film", "book")[number // 2 % 2],
                "split": splits[number * len(splits) // n],
            }
        )
    table = pd.DataFrame(rows)
    table.to_csv(path, index=False)
    return table


TEXT_AUDIT = """\
name = "texts"

[data]
manifest = "texts.csv"
text = "text"
label = "label"
positive = "positive"
groups = ["about"]
split = "split"

[model]
checkpoint = "model"
"""
