"""Utterances of made-up speakers in which each letter is a tone, and a small encoder that hears them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tests.support.audio_cases import encode_sound, make_tone
from tests.support.speech_families import SPEECH

HERTZ = {"a": 300.0, "b": 700.0, "c": 1400.0, "d": 2600.0}
SECONDS = 0.12  # of a letter
CONFIG = """\
name = "tones"
[data]
manifest = "tones.csv"
audio = "file"
transcript = "said"
normalizer = "simple"
groups = ["accent"]
unit = "speaker"
split = "split"
{data}
[model]
backbone = "transformers/own"
{model}
[train]
epochs = {epochs}
learning_rate = 0.03
batch_size = 8
{more}
"""


def say_letters(text: str, voice: float = 1.0) -> np.ndarray:
    """Return (T,) samples of a text, a tone a letter and silence for a blank, float32."""
    rate = 16_000
    parts = [np.zeros(round(0.02 * rate), np.float32)]
    for letter in text:
        silence = np.zeros(round(SECONDS / 2 * rate), np.float32)
        tone = silence if letter == " " else make_tone(SECONDS, hertz=HERTZ[letter] * voice)
        parts += [tone, np.zeros(round(0.02 * rate), np.float32)]
    return np.concatenate(parts)


def write_tones(folder: Path, speakers: int = 24, per_speaker: int = 3) -> pd.DataFrame:
    """Write clips of two-word utterances, half of the speakers in train, and ``tones.csv``; return the table."""
    rng = np.random.default_rng(0)
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(speakers * per_speaker):
        speaker = number // per_speaker
        words = ["".join(rng.choice(list(HERTZ), rng.integers(2, 4))) for _ in range(2)]
        text = " ".join(words)
        sound = say_letters(text, voice=rng.uniform(0.97, 1.03))
        (folder / "clips" / f"{number:03}.wav").write_bytes(encode_sound(sound))
        split = "train" if speaker % 4 < 2 else "test"
        row = {"file": f"clips/{number:03}.wav", "said": f"{text.capitalize()}.", "speaker": f"s{speaker:02}"}
        rows.append(row | {"accent": ("coast", "hills")[speaker % 2], "split": split})
    table = pd.DataFrame(rows)
    table.to_csv(folder / "tones.csv", index=False)
    return table


def write_recognition(
    folder: Path,
    more: str = "",
    data: str = "",
    *,
    model: str = "layer = 0",
    epochs: int = 60,
    family: str = "wav2vec2-bert",
) -> Path:
    """Write the clips, the encoder as the hub lays it out, and the config of an audit; return the config's path."""
    SPEECH[family].load(folder)
    write_tones(folder)
    path = folder / "audit.toml"
    path.write_text(CONFIG.format(data=data, model=model, more=more, epochs=epochs), encoding="utf-8")
    return path
