"""A recording as the samples that its file holds, in mono, or the reason why not.

libsndfile is lenient: it reads what is left of a file that was cut short, NaN as a sample, and any rate. What it passes
over is looked for here, and a file is decoded in blocks up to a limit, whatever its header promises.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np

from rft.data.audio import containers, flac_frames, foreign, mp3_frames, ogg_pages
from rft.data.audio.foreign import SKIP
from rft.data.file_source import FileSource, absent_file, open_source, short_path
from rft.errors import ConfigError, DataError
from rft.runtime.libraries import library_import

RATES = (4_000, 384_000)  # Hz: below there is no speech, above no recorder
MOST_CHANNELS = 8
BLOCK = 1 << 16  # samples of all channels that are decoded at once
SILENCE = 2**-15  # a step of 16 bits: what stays within it is no sound that a recorder noted
UNKNOWN_LENGTH = 2**62  # samples: libsndfile's word for a length that a file does not say
INSTALL = 'pip install "rft[speech]"'
# Of libsndfile, those whose length can be checked; of others it takes what is there.
FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "NIST", "FLAC", "OGG", "MP3")


@dataclass(frozen=True)
class Recording:
    """What a file holds.

    Attributes:
        samples: (N,) the mean of its channels, float32; full scale is from -1 to 1.
        rate: samples a second, as recorded.
    """

    samples: np.ndarray
    rate: int

    @property
    def is_silent(self) -> bool:
        """Whether its samples nowhere differ by as much as a recorder would note."""
        return bool(np.ptp(self.samples) < SILENCE)


class _DecodesSound(Protocol):
    """An open file."""

    rate: int
    channels: int
    frames: int | None

    def read_blocks(self) -> Iterator[np.ndarray]:
        """Yield (M, channels) samples."""


@cache
def import_soundfile() -> ModuleType:
    """Return the library soundfile; raises ``ConfigError`` where it is absent, too old or broken."""
    with library_import("soundfile", error=ConfigError, where="data.audio", install=INSTALL):
        import soundfile
    return soundfile  # type: ignore[no-any-return]


def read_recording(source: FileSource, max_seconds: float) -> Recording:
    """Decode a file.

    Raises:
        DataError: it is absent, of a kind that is not read, damaged or cut short; longer than ``max_seconds``; without
            samples, or with some that are no numbers; or of a rate or a number of channels that no recording has.
        ConfigError: a library is not there.
    """
    import_soundfile()
    try:
        with closing(open_source(source)) as stream:
            return _decode_stream(stream, source, max_seconds)
    except FileNotFoundError:
        raise absent_file(source, "recording") from None
    except OSError as error:
        raise _refuse(source, f"cannot be read: {error.strerror or error}") from None


def _decode_stream(stream: BinaryIO, source: FileSource, max_seconds: float) -> Recording:
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    begin = stream.read(64)
    if not begin:
        raise _refuse(source, "cannot be read as a recording: it is empty")
    if kind := foreign.find_foreign_kind(begin):
        if not kind.by_av:
            raise foreign.refuse_kind(source, kind)
        with foreign.open_foreign(stream, source, kind) as sound:
            _check_header(sound, source)
            _check_length(sound.frames or 0, sound.rate, source, max_seconds)
            recording = _decode_sound(sound, source, max_seconds)
        least = (sound.frames or 0) - round(foreign.MOST_LACKING * sound.rate)
    else:
        recording, least = _decode_by_soundfile(stream, size, source, max_seconds)
    if len(recording.samples) < least:
        there = f"should hold {least:,} samples or more, and {len(recording.samples):,} can be decoded"
        raise _refuse(source, f"{there}: it is damaged, cut short, or its header is wrong")
    if not len(recording.samples):
        raise _refuse(source, "holds no samples")
    return recording


def _decode_by_soundfile(stream: BinaryIO, size: int, source: FileSource, max_seconds: float) -> tuple[Recording, int]:
    """Return what libsndfile reads, and how many samples there must be at least."""
    with _open_soundfile(stream, source, size) as opened:
        _check_header(opened, source)
        promised = _count_promised(stream, size, opened, source, max_seconds)
        if promised.counted is None:
            return _decode_sound(opened, source, max_seconds), promised.least
    lengthened = mp3_frames.state_length(stream, promised.counted)
    with _open_soundfile(lengthened, source, size) as opened:
        return _decode_sound(opened, source, max_seconds), promised.least


class _Promised(NamedTuple):
    """What the structure of a file promises.

    Attributes:
        least: samples of a channel that there must be.
        counted: samples in the frames of an MP3 that libsndfile takes for shorter than that; None otherwise.
    """

    least: int
    counted: int | None = None


class _SoundFile:
    """A file that libsndfile has opened.

    Attributes:
        rate, channels, frames: as its header says.
        format: as libsndfile calls it.
    """

    def __init__(self, opened: Any) -> None:
        self.rate, self.channels, self.frames = opened.samplerate, opened.channels, opened.frames
        self.format: str = opened.format
        self._opened = opened

    def read_blocks(self) -> Iterator[np.ndarray]:
        """Yield (M, channels) samples, float32."""
        while len(block := self._opened.read(BLOCK // self.channels, dtype="float32", always_2d=True)):
            yield block


@contextmanager
def _open_soundfile(stream: BinaryIO, source: FileSource, size: int) -> Iterator[_SoundFile]:
    library = import_soundfile()
    stream.seek(0)
    try:
        opened = library.SoundFile(stream)
    except library.LibsndfileError as error:
        why = _find_damage(stream, size) or error.error_string.removeprefix("Error : ").rstrip(".")
        if "not recognised" in why:
            why = "it is of no kind that is read"
        raise _refuse(source, f"cannot be read as a recording: {why}") from None
    with opened:
        if opened.format not in FORMATS:
            kind = foreign.ForeignKind(f"of the kind {opened.format}", by_av=False)
            raise foreign.refuse_kind(source, kind)
        try:
            yield _SoundFile(opened)
        except library.LibsndfileError as error:
            why = _find_damage(stream, size) or error.error_string.removeprefix("Error : ").rstrip(".")
            raise _refuse(source, f"is damaged: {why}") from None


def _find_damage(stream: BinaryIO, size: int) -> str | None:
    """Return what is wrong with the structure of a file, in words, where the kind that it begins as shows it."""
    stream.seek(0)
    magic = stream.read(4)
    if magic == ogg_pages.MAGIC:
        return ogg_pages.find_damaged_page(stream, size)
    if magic == flac_frames.MAGIC:
        return flac_frames.find_wrong_length(stream, size)
    return containers.find_missing_samples(stream, size)


def _check_header(sound: _DecodesSound, source: FileSource) -> None:
    """Refuse what no recorder writes, before memory is taken for it."""
    low, high = RATES
    if not low <= sound.rate <= high:
        raise _refuse(source, f"has {sound.rate:,} samples a second; {low:,} to {high:,} are read")
    if not 1 <= sound.channels <= MOST_CHANNELS:
        raise _refuse(source, f"has {sound.channels:,} channels; at most {MOST_CHANNELS} are read")


def _count_promised(
    stream: BinaryIO, size: int, sound: _SoundFile, source: FileSource, max_seconds: float
) -> _Promised:
    """Return what a file promises; raises ``DataError`` where it is not whole, or too long."""
    place = stream.tell()  # where libsndfile goes on
    if sound.format == "MP3":
        frames = mp3_frames.walk_frames(stream, size, int(max_seconds * sound.rate) + mp3_frames.MOST_TRIMMED)
        is_shortened = not frames.says_length and sound.frames < frames.samples
        promised = _Promised(frames.samples - mp3_frames.MOST_TRIMMED, frames.samples if is_shortened else None)
        _check_length(promised.least, sound.rate, source, max_seconds)
        problem = frames.problem
    else:
        promised = _Promised(sound.frames)
        if sound.frames < UNKNOWN_LENGTH:
            _check_length(sound.frames, sound.rate, source, max_seconds)
        problem = _find_damage(stream, size)
    if problem:
        raise _refuse(source, f"is damaged: {problem}")
    stream.seek(place)
    return promised


def _check_length(frames: int, rate: int, source: FileSource, max_seconds: float) -> None:
    if frames > int(max_seconds * rate):
        raise DataError(
            f"lasts {frames / rate:,.1f} s or more; at most {max_seconds:g} s are decoded, and nothing is cut",
            where=short_path(source),
            remedy=f"Cut it into utterances, raise data.max_seconds, {SKIP}",
        )


def _decode_sound(sound: _DecodesSound, source: FileSource, max_seconds: float) -> Recording:
    """Return all samples; what the header promises is not believed."""
    blocks, frames = [np.empty(0, np.float32)], 0
    for block in sound.read_blocks():
        frames += len(block)
        _check_length(frames, sound.rate, source, max_seconds)
        mono = block.mean(axis=1, dtype=np.float32)
        if not np.isfinite(mono).all():
            raise _refuse(source, "holds samples that are no numbers: NaN or infinite")
        blocks.append(mono)
    return Recording(np.concatenate(blocks), sound.rate)


def _refuse(source: FileSource, problem: str) -> DataError:
    return DataError(problem, where=short_path(source), remedy=f"Mend, convert or remove it, {SKIP}")
