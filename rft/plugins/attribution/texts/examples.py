"""The tokens of explained texts with their attributions. Made only when the report may show examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rft.plugins.attribution.texts.methods import Scores
from rft.plugins.attribution.texts.tokenized_texts import TokenizedTextReader, TokenizedTexts
from rft.records import Figure, Row, Table, tokens_figure

MAX_TEXTS = 6  # texts


def tokens_table(reader: TokenizedTextReader, texts: TokenizedTexts, scores: Scores, captions: Sequence[str]) -> Table:
    """Return one row a token of the first ``MAX_TEXTS`` texts, as far as their attributions are sound.

    Special tokens have no attribution: they are the same in the baseline, so integrated gradients cannot tell.
    """
    return [
        _token_row(index, captions[index], position, piece, float(value) if ordinary else None)
        for index in np.flatnonzero(scores.sound[:MAX_TEXTS]).tolist()
        for position, (piece, value, ordinary) in enumerate(
            zip(reader.token_pieces(texts, index), scores.values[index], texts.ordinary[index], strict=False), start=1
        )
    ]


def _token_row(index: int, caption: str, position: int, piece: str, attribution: float | None) -> Row:
    return {
        "text": index + 1,
        "caption": caption,
        "position": position,
        "token": piece,
        "attribution": attribution,
        "special": attribution is None,
    }


def examples_figure() -> Figure:
    """Return the figure of the table ``tokens``."""
    return tokens_figure(
        id="tokens",
        lead=True,
        table="tokens",
        text="text",
        token="token",
        value="attribution",
        special="special",
        caption="caption",
        title="Examples from the test split",
        alt="Test texts whose tokens are marked by how much they speak for the predicted class or against it.",
    )
