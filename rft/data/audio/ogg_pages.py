"""Whether an Ogg file is whole: its pages follow each other, none is damaged, and its streams end.

libsndfile takes the last page that is there for the end, and passes over damaged ones (RFC 3533).
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

MAGIC = b"OggS"
HEADER = struct.Struct("<4sBBqIIIB")  # magic, version, flags, position, stream, page, checksum, segments
ENDS = 4  # the flag of the last page of a stream
CHECKSUM = slice(22, 26)  # in a page
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def find_damaged_page(stream: BinaryIO, size: int) -> str | None:
    """Return what is wrong with the pages of a file, in words; None where nothing is.

    Args:
        stream: of the file, which is moved.
        size: its bytes.
    """
    stream.seek(0)
    pages: dict[int, int] = {}  # stream -> its last page
    open_streams: set[int] = set()
    place = 0
    while place < size:
        header = stream.read(HEADER.size)
        if len(header) < HEADER.size or not header.startswith(MAGIC):
            return "it is cut short" if header.startswith(MAGIC) else f"no page begins at byte {place:,}"
        *_, flags, _, serial, number, checksum, segments = HEADER.unpack(header)
        table = stream.read(segments)
        content = stream.read(sum(table))
        if len(table) < segments or len(content) < sum(table):
            return "it is cut short within a page"
        page = header + table + content
        if _checksum(page) != checksum:
            return f"the page at byte {place:,} is damaged"
        if serial in pages and number != pages[serial] + 1:
            return f"pages are missing before byte {place:,}"
        pages[serial] = number
        if flags & ENDS:
            open_streams.discard(serial)
        else:
            open_streams.add(serial)
        place += len(page)
    return "its last page is missing: it was cut short" if open_streams else None


def _checksum(page: bytes) -> int:
    """Return the checksum of a page, of the polynomial 0x04C11DB7 with the first bit foremost, its own field as zeros.

    zlib's has the same polynomial with the last bit foremost, and inverts at both ends.
    """
    blank = page[: CHECKSUM.start] + bytes(4) + page[CHECKSUM.stop :]
    mirrored = zlib.crc32(blank.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
