"""With which sample the last frame of a FLAC file ends: libsndfile believes the header, and stops there (RFC 9639)."""

from __future__ import annotations

from typing import BinaryIO

MAGIC = b"fLaC"
TAIL = 1 << 17  # bytes in which the last frame is looked for, beside the largest that the header knows of
TAG = 128  # bytes of a tag of ID3v1, which other programs put behind a file


def _checksum_table(polynomial: int, bits: int) -> list[int]:
    table = []
    for byte in range(256):
        value = byte << bits - 8
        for _ in range(8):
            value = value << 1 ^ (polynomial if value >> bits - 1 else 0)
            value &= (1 << bits) - 1
        table.append(value)
    return table


_CRC_8, _CRC_16 = _checksum_table(0x07, 8), _checksum_table(0x8005, 16)


def find_wrong_length(stream: BinaryIO, size: int) -> str | None:
    """Return what is wrong with the number of samples that a file promises, in words; None where it is right.

    Args:
        stream: of the file, which is moved.
        size: its bytes.
    """
    stream.seek(0)
    header = stream.read(26)
    if len(header) < 26 or header[4] & 0x7F:  # the first block of metadata is STREAMINFO, or libsndfile refuses it
        return "its header is not complete"
    promised = int.from_bytes(header[18:26]) & (1 << 36) - 1
    if not promised:
        return "its header does not say how many samples it holds"
    block, largest = int.from_bytes(header[10:12]), int.from_bytes(header[15:18])
    start = max(size - max(TAIL, 2 * largest), 42)
    stream.seek(start)
    tail = stream.read()
    if tail[-TAG:].startswith(b"TAG"):
        tail = tail[:-TAG]
    end = _find_last_end(tail, block)
    if end is None:
        return "it does not end with a whole frame: it was cut short, or something follows it"
    if end != promised:
        return f"its header promises {promised:,} samples, and its last frame ends with sample {end:,}"
    return None


def _find_last_end(tail: bytes, block: int) -> int | None:
    """Return the number of samples up to the end of the frame that ends with the bytes; None where none does."""
    place = tail.rfind(b"\xff")
    while place >= 0:
        if tail[place + 1 : place + 2] in (b"\xf8", b"\xf9"):
            end = _read_end(tail[place:], block)
            if end is not None and _checksum(tail[place:], _CRC_16, 16) == 0:
                return end
        place = tail.rfind(b"\xff", 0, place)
    return None


def _read_end(frame: bytes, block: int) -> int | None:
    """Return the number of samples up to the end of the frame that some bytes begin; None where they begin none."""
    if len(frame) < 8 or frame[3] & 1:
        return None
    size_code, rate_code = frame[2] >> 4, frame[2] & 15
    leading = f"{frame[4]:08b}".find("0")  # as in UTF-8: how many bytes the number has
    if size_code == 0 or rate_code == 15 or leading in (-1, 1):
        return None
    place = 4 + max(leading, 1)
    number = frame[4] & 0xFF >> leading + 1
    for byte in frame[5:place]:
        number = number << 6 | byte & 0x3F
    size_bytes, rate_bytes = {6: 1, 7: 2}.get(size_code, 0), {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    samples = _read_block(size_code, frame[place : place + size_bytes])
    place += size_bytes + rate_bytes
    if _checksum(frame[: place + 1], _CRC_8, 8):
        return None
    varies = frame[1] & 1
    return (number if varies else number * block) + samples


def _read_block(code: int, after: bytes) -> int:
    """Return the samples of a frame by the code of its size, and the bytes that say it where the code does not."""
    if after:
        return int.from_bytes(after) + 1
    if code == 1:
        return 192
    return 576 << code - 2 if code < 6 else 256 << code - 8


def _checksum(content: bytes, table: list[int], bits: int) -> int:
    value, mask = 0, (1 << bits) - 1
    for byte in content:
        value = (value << 8 & mask) ^ table[value >> bits - 8 ^ byte]
    return value
