"""How many bytes of samples a file promises, against those that are there: libsndfile reads a file that was cut short.

Of PCM and the like; those that hold compressed frames, FLAC, Ogg and MP3, have modules of their own.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

UNKNOWN = 2**32 - 1  # as size: nobody came back to write it, since the file was a pipe; the samples end with the file
MOST_PADDING = 1 << 16  # bytes of zeros behind the last chunk
TAGS = (b"ID3", b"TAG")  # that other programs put behind a file


class Chunk(NamedTuple):
    """A part of a file: its name, and where its content begins and how many bytes that has by its own header."""

    name: bytes
    start: int
    size: int


class _ChunkLayout(NamedTuple):
    """How the header of a chunk is written."""

    first: int  # byte of the file
    name_bytes: int
    size: str  # of ``struct``
    counts_header: bool
    aligned_to: int


def find_missing_samples(stream: BinaryIO, size: int) -> str | None:
    """Return what is wrong with how much a file holds, in words; None where nothing is, or it is of another kind.

    Args:
        stream: of the file, which is moved.
        size: its bytes.
    """
    stream.seek(0)
    magic = stream.read(4)
    find = FINDERS.get(magic)
    if find is None:
        return None
    try:
        return find(stream, size)
    except struct.error:  # a header that ends before its last number
        return "its header is not complete"


def _explain_missing(promised: int, there: int) -> str:
    return f"its header promises {promised:,} bytes of samples, and {there:,} are there: it was cut short"


def _explain_surplus(surplus: int) -> str:
    return f"{surplus:,} bytes follow the samples that its header knows of: the header is wrong"


def _walk_chunks(stream: BinaryIO, size: int, layout: _ChunkLayout) -> Iterator[Chunk]:
    place, header_bytes = layout.first, layout.name_bytes + struct.calcsize(layout.size)
    while place + header_bytes <= size:
        stream.seek(place)
        name = stream.read(layout.name_bytes)
        (promised,) = struct.unpack(layout.size, stream.read(header_bytes - layout.name_bytes))
        content = promised - header_bytes if layout.counts_header else promised
        yield Chunk(name, place + header_bytes, content)
        if content < 0:
            return
        place += header_bytes + content
        place += -place % layout.aligned_to


def _find_in_chunks(stream: BinaryIO, size: int, layout: _ChunkLayout, name: bytes) -> str | None:
    """Judge the chunk of samples, and that what follows it are chunks."""
    long_size: int | None = None
    samples: Chunk | None = None
    for chunk in _walk_chunks(stream, size, layout):
        if samples is not None:
            return None if _is_chunk(chunk, size) else _judge_rest(stream, samples, size)
        if chunk.name == b"ds64":  # EBU Tech 3306: the sizes of an RF64 file, 8 bytes each
            stream.seek(chunk.start + 8)
            (long_size,) = struct.unpack("<Q", stream.read(8))
        if chunk.name[:4] == name:
            promised = chunk.size
            if promised in (UNKNOWN, -1):
                if long_size is None:
                    return None
                promised = long_size
            there = size - chunk.start
            if promised > there:
                return _explain_missing(promised, there)
            samples = chunk._replace(size=promised)
            if long_size is not None:  # the walk would take the 4 bytes that say nothing for the size
                return None
    if samples is None:
        return "it has no samples"
    return _judge_rest(stream, samples, size)


def _is_chunk(chunk: Chunk, size: int) -> bool:
    is_named = all(32 <= byte < 127 for byte in chunk.name[:4])
    return (is_named and chunk.start + chunk.size <= size) or chunk.name.startswith(TAGS)


def _judge_rest(stream: BinaryIO, samples: Chunk, size: int) -> str | None:
    """Judge what stands behind the samples and is no chunk: padding may."""
    end = samples.start + samples.size
    surplus = size - end
    if surplus <= MOST_PADDING:
        stream.seek(end)
        if not any(stream.read(surplus)):
            return None
    return _explain_surplus(surplus)


def _find_in_riff(order: str) -> Callable[[BinaryIO, int], str | None]:
    layout = _ChunkLayout(12, 4, f"{order}I", counts_header=False, aligned_to=2)
    return lambda stream, size: _find_in_chunks(stream, size, layout, b"data")


def _find_in_form(stream: BinaryIO, size: int) -> str | None:
    """Judge the Interchange File Format; of its forms AIFF and AIFF-C hold samples in ``SSND``."""
    layout = _ChunkLayout(12, 4, ">I", counts_header=False, aligned_to=2)
    return _find_in_chunks(stream, size, layout, b"SSND")


def _find_in_wave64(stream: BinaryIO, size: int) -> str | None:
    """Judge Sony Wave64: names are GUIDs of 16 bytes that begin with those of WAV."""
    layout = _ChunkLayout(40, 16, "<q", counts_header=True, aligned_to=8)
    return _find_in_chunks(stream, size, layout, b"data")


def _find_in_caf(stream: BinaryIO, size: int) -> str | None:
    """Judge the Core Audio Format."""
    layout = _ChunkLayout(8, 4, ">q", counts_header=False, aligned_to=1)
    return _find_in_chunks(stream, size, layout, b"data")


def _find_in_au(order: str) -> Callable[[BinaryIO, int], str | None]:
    def find(stream: BinaryIO, size: int) -> str | None:
        """Judge the format of Sun and NeXT."""
        offset, promised = struct.unpack(f"{order}II", stream.read(8))
        there = size - offset
        if promised == UNKNOWN:
            return None
        if promised > there:
            return _explain_missing(promised, max(there, 0))
        return _judge_rest(stream, Chunk(b"", offset, promised), size)

    return find


def _find_in_sphere(stream: BinaryIO, size: int) -> str | None:
    """Judge SPHERE of NIST, whose header is text."""
    stream.seek(0)
    header = stream.read(1024).decode("latin-1").split("end_head")[0]
    sizes = re.match(r"NIST_1A\s+(\d+)", header)
    numbers = [
        re.search(rf"^{name} -i (\d+)", header, re.MULTILINE)
        for name in ("sample_count", "channel_count", "sample_n_bytes")
    ]
    if sizes is None or not all(numbers):
        return None
    promised = 1
    for number in numbers:
        promised *= int(number[1]) if number else 1
    there = size - int(sizes[1])
    return _explain_missing(promised, max(there, 0)) if promised > there else None


# By the first four bytes.
FINDERS: dict[bytes, Callable[[BinaryIO, int], str | None]] = {
    b"RIFF": _find_in_riff("<"),
    b"RF64": _find_in_riff("<"),
    b"RIFX": _find_in_riff(">"),
    b"FORM": _find_in_form,
    b"riff": _find_in_wave64,
    b"caff": _find_in_caf,
    b".snd": _find_in_au(">"),
    b"dns.": _find_in_au("<"),
    b"NIST": _find_in_sphere,
}
