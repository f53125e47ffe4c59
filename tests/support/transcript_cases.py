"""Tables of made-up transcripts, of which it is known how many words are wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd

WORDS = [
    "the",
    "boat",
    "left",
    "before",
    "nine",
    "and",
    "came",
    "back",
    "with",
    "fish",
    "for",
    "all",
    "of",
    "us",
    "here",
    "tonight",
]
RATES = {"coast": 0.08, "hills": 0.3}


def make_transcripts(
    speakers: int = 24, *, rates: dict[str, float] | None = None, small: int = 0, seed: int = 0
) -> pd.DataFrame:
    """Return speakers of two accents with different rates of wrong words, on two microphones without a difference.

    Args:
        speakers: how many, of unequal length.
        rates: accent -> share of wrong words.
        small: speakers of a third accent, ``island``.
        seed: of all that is drawn.
    """
    rng = np.random.default_rng(seed)
    rates = RATES if rates is None else rates
    rows = []
    for number in range(speakers + small):
        accent = "island" if number >= speakers else list(rates)[number % len(rates)]
        rate = rates.get(accent, 0.1) * rng.uniform(0.6, 1.4)
        for _ in range(rng.integers(3, 9)):
            said = rng.choice(WORDS, size=rng.integers(3, 9)).tolist()
            kinds = rng.choice(["right", "other", "nothing", "more"], size=len(said), p=[1 - rate, *3 * [rate / 3]])
            written = [
                word
                for spoken, kind in zip(said, kinds, strict=True)
                for word in {"right": [spoken], "other": ["wrong"], "nothing": [], "more": [spoken, "wrong"]}[kind]
            ]
            text = " ".join(said)
            rows.append(
                {
                    "speaker": f"s{number:02}",
                    "accent": accent,
                    "microphone": ["headset", "phone"][number // 2 % 2],
                    "said": f"{text[:1].upper()}{text[1:]}.",
                    "written": " ".join(written),
                }
            )
    return pd.DataFrame(rows)
