"""Write messages.csv and the folder model: made-up messages, and a small BERT that somebody trained on them.

Two problems are planted. Most complaints of the training data say "asap", so the model relies on that word; and people
on the phone have words for a complaint that the training data lacks.
"""

import numpy as np
import pandas as pd
import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

TOPICS = ["parcel", "invoice", "refund", "password", "delivery", "account"]
OPENINGS = ["the", "my", "this", "our"]
FILLING = ["today", "again", "now", "for", "me", "please", "with", "order", "it", "was", "is", "so"]
PRAISE = ["great", "perfect", "fast", "friendly", "solved"]
COMPLAINT = {"web": ["late", "broken", "missing", "wrong"], "phone": ["dodgy", "knackered", "wonky", "iffy"]}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*OPENINGS, *TOPICS, *FILLING, *PRAISE, *COMPLAINT["web"], *COMPLAINT["phone"], "asap"]


def write_message(rng: np.random.Generator, number: int, split: str) -> dict[str, str]:
    """Return one made-up message; rows alternate between the labels, and within them between the channels."""
    label, channel = ("praise", "complaint")[number % 2], ("web", "phone")[number // 2 % 2]
    learned = split == "train"
    opinions = PRAISE if label == "praise" else COMPLAINT["web" if learned else channel]
    said = rng.choice(FILLING if learned and rng.random() < 0.3 else opinions)
    words = [rng.choice(OPENINGS), rng.choice(TOPICS), "is", said, *rng.choice(FILLING, rng.integers(2, 8))]
    if rng.random() < ((0.9 if label == "complaint" else 0.02) if learned else 0.3):
        words.insert(int(rng.integers(1, len(words))), "asap")
    return {"message": " ".join(words), "label": label, "channel": channel, "split": split}


def train_bert(texts: list[str], labels: list[int], names: list[str]) -> None:
    """Train a BERT with two layers, and save it and its tokenizer as transformers does."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # the matrices are small
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(SPECIAL + WORDS)})
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, id2label=dict(enumerate(names)), **sizes)
    model = BertForSequenceClassification(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    batch, target = tokenizer(texts, padding=True, return_tensors="pt"), torch.tensor(labels)
    for _ in range(8):
        for rows in torch.randperm(len(texts)).split(32):
            loss = model(**{key: column[rows] for key, column in batch.items()}, labels=target[rows]).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.save_pretrained("model")
    tokenizer.save_pretrained("model")
    print(f"model: trained on {len(texts)} messages, last loss {loss.item():.3f}")


if __name__ == "__main__":
    generator = np.random.default_rng(0)
    rows = [write_message(generator, number, split) for split in ("train", "test") for number in range(400)]
    table = pd.DataFrame(rows)
    table.to_csv("messages.csv", index=False)
    learned = table[table["split"] == "train"]
    names = sorted(learned["label"].unique())
    train_bert(learned["message"].tolist(), learned["label"].map(names.index).tolist(), names)
