"""The tokens of explained texts with their attributions. Made only when the report may show examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rft.plugins.attribution.modality_words import METHOD_NAMES
from rft.plugins.attribution.texts.methods import Scores
from rft.plugins.attribution.texts.tokenized_texts import TokenizedTextReader, TokenizedTexts
from rft.records import Figure, Row, Table, tokens_figure

MAX_TEXTS = 6  # texts
NAMED_TOKENS = 3  # of each text, in the words that stand for the figure


def tokens_table(reader: TokenizedTextReader, texts: TokenizedTexts, scores: Scores, captions: Sequence[str]) -> Table:
    """Return one row a token of the first ``MAX_TEXTS`` texts, as far as their attributions are sound.

    Special tokens have no attribution: they are the same in the baseline, so integrated gradients cannot tell.
    """
    return [
        _token_row(scores.method, index, captions[index], position, piece, float(value) if ordinary else None)
        for index in np.flatnonzero(scores.sound[:MAX_TEXTS]).tolist()
        for position, (piece, value, ordinary) in enumerate(
            zip(reader.token_pieces(texts, index), scores.values[index], texts.ordinary[index], strict=False), start=1
        )
    ]


def _token_row(method: str, index: int, caption: str, position: int, piece: str, attribution: float | None) -> Row:
    return {
        "method": method,
        "text": index + 1,
        "caption": caption,
        "position": position,
        "token": piece,
        "attribution": attribution,
        "special": attribution is None,
    }


def examples_figures(table: Table) -> Iterator[Figure]:
    """Yield a figure of each method in the table ``tokens``."""
    for number, method in enumerate(dict.fromkeys(str(row["method"]) for row in table)):
        rows = [row for row in table if row["method"] == method]
        yield tokens_figure(
            id=f"tokens_{method}",
            lead=number == 0,
            table="tokens",
            where={"method": method},
            text="text",
            token="token",
            value="attribution",
            special="special",
            caption="caption",
            title=f"Examples from the test split: {METHOD_NAMES[method]}",
            alt=f"Test texts whose tokens are marked by how much they speak for the predicted class or against it. "
            f"{_say_strongest(rows)}",
        )


def _say_strongest(rows: Table) -> str:
    """Return which tokens speak most for the predicted class of each text."""
    sentences = []
    for number in dict.fromkeys(row["text"] for row in rows):
        marked = [row for row in rows if row["text"] == number and float(row["attribution"] or 0) > 0]
        strongest = sorted(marked, key=lambda row: -float(row["attribution"] or 0))[:NAMED_TOKENS]
        named = ", ".join(f"“{str(row['token']).strip()}”" for row in strongest)
        sentences.append(f"Text {number}, {strongest[0]['caption']}: most for it speak {named}.")
    return " ".join(sentences)
