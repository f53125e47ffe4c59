"""Files that libsndfile does not read, known by their first bytes; PyAV reads some of them, where it is installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from rft.data.file_source import FileSource, short_path
from rft.errors import DataError
from rft.runtime.libraries import library_import

SKIP = 'or set data.on_error = "skip" to leave such recordings out and count them.'
CONVERT = "Convert it to WAV or FLAC, for example with `ffmpeg -i FILE FILE.flac`"
MOST_LACKING = 0.25  # s that a whole file may hold less than it promises: encoders pad, and containers round


class ForeignKind(NamedTuple):
    """A kind of file that libsndfile does not read; ``by_av``: PyAV may."""

    name: str
    by_av: bool


_MPEG_4 = ForeignKind("MPEG-4", by_av=True)
_AAC = ForeignKind("AAC", by_av=True)
# (from which byte on, bytes, what it is)
_BEGINNINGS = (
    (4, b"ftyp", _MPEG_4),
    (0, b"\x1a\x45\xdf\xa3", ForeignKind("WebM or Matroska", by_av=True)),
    *((0, start, _AAC) for start in (b"ADIF", b"\xff\xf1", b"\xff\xf9", b"\xff\xf0", b"\xff\xf8")),
    (0, b"#!AMR", ForeignKind("AMR", by_av=True)),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", ForeignKind("Windows Media", by_av=True)),
    (0, b"wvpk", ForeignKind("WavPack", by_av=True)),
    (0, b"MAC ", ForeignKind("Monkey's Audio", by_av=True)),
    (0, b"TTA1", ForeignKind("True Audio", by_av=True)),
    (0, b"\x0b\x77", ForeignKind("AC-3", by_av=True)),
    (0, b".RMF", ForeignKind("RealMedia", by_av=True)),
    (8, b"AVI ", ForeignKind("AVI", by_av=True)),
    (0, b"DSD ", ForeignKind("DSD", by_av=False)),
    (0, b"MThd", ForeignKind("MIDI, which holds notes and no sound", by_av=False)),
    *((0, start, ForeignKind("HTML", by_av=False)) for start in (b"<!DOCTYPE", b"<!doctype", b"<html", b"<HTML")),
    *((0, start, ForeignKind("JPEG", by_av=False)) for start in (b"\xff\xd8\xff",)),
    (0, b"\x89PNG", ForeignKind("PNG", by_av=False)),
    (0, b"%PDF", ForeignKind("PDF", by_av=False)),
    (0, b"PK\x03\x04", ForeignKind("a zip file", by_av=False)),
    (0, b"version https://git-lfs", ForeignKind("a pointer of Git LFS, in the place of the file", by_av=False)),
)


def find_foreign_kind(begin: bytes) -> ForeignKind | None:
    """Return what kind that libsndfile does not read a file is, by its first 64 bytes; None for any other."""
    return next((kind for place, start, kind in _BEGINNINGS if begin[place : place + len(start)] == start), None)


def refuse_kind(source: FileSource, kind: ForeignKind) -> DataError:
    """Return the error for a file of a kind that nothing reads."""
    return DataError(f"is {kind.name}, which is not read", where=short_path(source), remedy=f"{CONVERT}, {SKIP}")


class ForeignStream:
    """The sound of a file that PyAV reads.

    Attributes:
        rate: samples a second.
        channels: of each sample.
        frames: samples that the file promises for each channel; None where it does not say.
    """

    def __init__(self, container: Any, stream: Any) -> None:
        self.rate, self.channels = int(stream.rate or 0), int(stream.channels or 0)
        self.frames = self._promise(container, stream)
        self._container, self._stream = container, stream

    def _promise(self, container: Any, stream: Any) -> int | None:
        if stream.duration is not None and stream.time_base is not None:
            return int(stream.duration * stream.time_base * self.rate)
        # In microseconds, of the longest stream, which may be one of pictures.
        is_alone = len(container.streams) == 1 and container.duration is not None
        return int(container.duration * self.rate / 1_000_000) if is_alone else None

    def read_blocks(self) -> Iterator[np.ndarray]:
        """Yield (M, channels) samples, float32."""
        from av.audio.resampler import AudioResampler

        planes = AudioResampler(format="fltp", layout=self._stream.layout, rate=self.rate)
        for frame in self._container.decode(self._stream):
            for block in planes.resample(frame):
                yield block.to_ndarray().T
        for block in planes.resample(None):
            yield block.to_ndarray().T


@contextmanager
def open_foreign(stream: BinaryIO, source: FileSource, kind: ForeignKind) -> Iterator[ForeignStream]:
    """Yield the sound of a file through PyAV.

    Raises:
        DataError: PyAV is not installed, or the file is damaged or has no sound.
    """
    install = f"pip install av. Or: {CONVERT[0].lower()}{CONVERT[1:]}, {SKIP}"
    with library_import(
        "av", error=DataError, where=short_path(source), install=install, user=f"a file of {kind.name}"
    ):
        import av
    stream.seek(0)
    try:
        with av.open(stream, metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise DataError("has no sound", where=short_path(source), remedy=f"Remove it, {SKIP}")
            yield ForeignStream(container, container.streams.audio[0])
    except (av.error.FFmpegError, ValueError) as error:
        raise DataError(
            f"cannot be read as {kind.name}: {getattr(error, 'strerror', None) or error}",
            where=short_path(source),
            remedy=f"Mend, convert or remove it, {SKIP}",
        ) from None
