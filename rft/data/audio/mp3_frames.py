"""How many samples the frames of an MP3 hold: its header may say nothing of that, or something else.

libsndfile takes the length from the header of Xing or LAME, or estimates it from the size of the file, stops there, and
says nothing of frames that are missing (ISO/IEC 11172-3 and 13818-3). Where bits go up and down, and no header says how
long it is, that estimate may be a fraction: then a header is put before the frames that were counted.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import BinaryIO

RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by the version's bits
KBITS = {
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
LAYER_3 = 1  # the bits of the layer
MONO = 3  # the bits of the channels
MOST_BITS = 14  # the number of the largest of these
SAYS_FRAMES = b"\0\0\0\1"  # of what a header of Xing may say
TRAILERS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3", b"3DI")
# Samples of the frames that a decoder may leave out: LAME notes up to 4,095 at either end, and a decoder delays by 529.
MOST_TRIMMED = 2 * 4095 + 529


@dataclass(frozen=True)
class _Frame:
    version: int
    rate: int
    size: int  # bytes
    samples: int
    side_bytes: int  # between the header and where a header of Xing stands


@dataclass(frozen=True)
class Mp3Frames:
    """What the frames of a file hold.

    Attributes:
        samples: of each channel.
        problem: what is wrong with them, in words.
        says_length: whether a header of Xing or LAME says how many there are.
    """

    samples: int
    problem: str | None
    says_length: bool = False


def walk_frames(stream: BinaryIO, size: int, most_samples: int) -> Mp3Frames:
    """Go through the frames of a file until there are more than ``most_samples`` samples.

    Args:
        stream: of the file, which is moved.
        size: its bytes.
        most_samples: of a channel.
    """
    place = _skip_tags(stream)
    samples, frames, promised = 0, 0, None
    while place < size and samples <= most_samples:
        stream.seek(place)
        head = stream.read(64)
        frame = _read_header(head)
        if frame is None:
            if head.startswith(TRAILERS) or not any(head):
                break
            return Mp3Frames(samples, f"no frame begins at byte {place:,}")
        if place + frame.size > size:
            return Mp3Frames(samples, "it is cut short within a frame")
        is_header, count = _read_xing(head, frame) if not frames and promised is None else (False, None)
        if is_header:
            promised = count
        else:
            samples, frames = samples + frame.samples, frames + 1
        place += frame.size
    # Whether the frame of the header counts is not the same in all encoders.
    if promised is not None and samples <= most_samples and abs(promised - frames) > 1:
        return Mp3Frames(samples, f"its header promises {promised:,} frames, and {frames:,} are there")
    return Mp3Frames(samples, None, says_length=promised is not None)


def state_length(stream: BinaryIO, samples: int) -> BinaryIO:
    """Return a file with its frames and, before them, a header of Xing that says how many they are.

    Args:
        stream: of a file that begins with a whole frame, behind tags; it is moved.
        samples: of a channel, in all its frames.
    """
    stream.seek(_skip_tags(stream))
    content = stream.read()
    first = _read_header(content[:64])
    assert first is not None, "its frames were counted"
    # The most bits a second, so that there is room; no padding and no checksum. All else is as in the other frames.
    head = bytes((content[0], content[1] | 1, content[2] & 0x0D | MOST_BITS << 4, content[3]))
    frame = _read_header(head)
    assert frame is not None, "the bits were all that was changed"
    header = (head + bytes(frame.side_bytes) + b"Xing" + SAYS_FRAMES + (samples // first.samples).to_bytes(4)).ljust(
        frame.size, b"\0"
    )
    return io.BytesIO(header + content)


def _skip_tags(stream: BinaryIO) -> int:
    """Return where the first frame begins, behind tags of ID3v2."""
    place = 0
    while True:
        stream.seek(place)
        tag = stream.read(10)
        if len(tag) < 10 or not tag.startswith(b"ID3"):
            return place
        length = 0
        for byte in tag[6:]:
            length = length << 7 | byte & 0x7F
        place += 10 + length + 10 * bool(tag[5] & 0x10)


def _read_header(head: bytes) -> _Frame | None:
    """Return the frame that some bytes begin, None where they begin none of layer III."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bits, rate = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer != LAYER_3 or bits in (0, 15) or rate == 3:
        return None
    is_first = version == 3
    samples = 1152 if is_first else 576
    hertz = RATES[version][rate]
    size = samples // 8 * KBITS[3 if is_first else 2][bits] * 1000 // hertz + (head[2] >> 1 & 1)
    side = {(True, True): 17, (True, False): 32, (False, True): 9, (False, False): 17}[is_first, head[3] >> 6 == MONO]
    return _Frame(version, hertz, size, samples, side + 2 * (not head[1] & 1))


def _read_xing(head: bytes, frame: _Frame) -> tuple[bool, int | None]:
    """Return whether a frame is a header of Xing or LAME instead of sound, and the number of frames that it says."""
    place = 4 + frame.side_bytes
    if head[place : place + 4] not in (b"Xing", b"Info"):
        return False, None
    says_frames = len(head) >= place + 12 and head[place + 7] & 1
    return True, int.from_bytes(head[place + 8 : place + 12]) if says_frames else None
