"""Recordings made for tests, as the bytes of their files."""

from __future__ import annotations

import io
import struct

import numpy as np
import soundfile

RATE = 16_000


def make_tone(seconds: float = 0.5, rate: int = RATE, hertz: float = 440.0, noise: float = 0.02) -> np.ndarray:
    """Return (N,) samples of a sine of amplitude .5 with noise, float32."""
    times = np.arange(round(seconds * rate)) / rate
    tone = 0.5 * np.sin(2 * np.pi * hertz * times) + noise * np.random.default_rng(0).standard_normal(len(times))
    return tone.astype(np.float32)


def encode_sound(samples: np.ndarray, kind: str = "WAV", subtype: str = "PCM_16", rate: int = RATE) -> bytes:
    """Return a file of (N,) or (N, channels) samples."""
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=kind, subtype=subtype)
    return stream.getvalue()


def encode_by_av(samples: np.ndarray, container: str, codec: str, rate: int = 48_000) -> bytes:
    """Return a file of (N,) samples as FFmpeg writes it."""
    import av

    stream = io.BytesIO()
    with av.open(stream, "w", format=container) as output:
        sound = output.add_stream(codec, rate=rate, layout="mono")
        for start in range(0, len(samples), 960):
            frame = av.AudioFrame.from_ndarray(samples[None, start : start + 960].copy(), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate, start
            output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    return stream.getvalue()


def patch(content: bytes, place: int, new: bytes) -> bytes:
    """Return a file with other bytes from a place on."""
    return content[:place] + new + content[place + len(new) :]


def promise_flac_samples(content: bytes, samples: int) -> bytes:
    """Return a FLAC whose header says another number of samples."""
    field = int.from_bytes(content[18:26]) >> 36 << 36 | samples
    return patch(content, 18, struct.pack(">Q", field))
