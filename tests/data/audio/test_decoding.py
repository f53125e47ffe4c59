"""Every kind of recording as samples, and every damaged or odd one with its right answer."""

from __future__ import annotations

import io
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rft.data.audio import decoding
from rft.data.audio.decoding import read_recording
from rft.data.audio.mp3_frames import MOST_TRIMMED
from rft.data.file_source import EmbeddedFile
from rft.errors import ConfigError, DataError
from tests.support.audio_cases import RATE, encode_by_av, encode_sound, make_tone, patch, promise_flac_samples

TONE = make_tone()
LOSSLESS = [
    *(("WAV", subtype) for subtype in ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")),
    *((kind, "PCM_16") for kind in ("WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "NIST", "FLAC")),
    *(("FLAC", "PCM_24"), ("CAF", "ALAC_16"), ("AIFF", "PCM_24"), ("AU", "FLOAT")),
]
LOSSY = [
    *(("WAV", subtype) for subtype in ("PCM_U8", "ULAW", "ALAW", "GSM610", "IMA_ADPCM", "MS_ADPCM")),
    *(("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("AU", "ULAW")),
]
BLOCKS = {"IMA_ADPCM", "MS_ADPCM", "GSM610"}  # of samples, the last of which is filled up


class Held:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def read_bytes(self, row: int) -> bytes:
        return self.content


def embed(content: bytes) -> EmbeddedFile:
    return EmbeddedFile("clips.parquet, row 1", Held(content), 0)


def refused(content: bytes, max_seconds: float = 60) -> DataError:
    with pytest.raises(DataError) as caught:
        read_recording(embed(content), max_seconds)
    return caught.value


@pytest.mark.parametrize(("kind", "subtype"), LOSSLESS)
def test_lossless_formats_give_the_samples_that_were_written(kind: str, subtype: str, tmp_path: Path) -> None:
    path = tmp_path / "a.sound"
    path.write_bytes(encode_sound(TONE, kind, subtype))
    recording = read_recording(path, 60)
    assert recording.rate == RATE
    assert recording.samples.dtype == np.float32
    np.testing.assert_allclose(recording.samples, TONE, atol=2**-15)
    np.testing.assert_array_equal(read_recording(embed(path.read_bytes()), 60).samples, recording.samples)


@pytest.mark.parametrize(("kind", "subtype"), LOSSY)
def test_lossy_formats_keep_the_length_and_the_sound(kind: str, subtype: str) -> None:
    samples = read_recording(embed(encode_sound(TONE, kind, subtype)), 60).samples
    if subtype in BLOCKS:
        assert len(TONE) <= len(samples) < len(TONE) + 1024
    else:
        assert len(samples) == len(TONE)
    assert np.corrcoef(samples[: len(TONE)], TONE)[0, 1] > 0.97


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_mp3_keeps_its_length_at_every_rate(rate: int, channels: int) -> None:
    tone = make_tone(1.3, rate)
    stereo = tone if channels == 1 else np.stack([tone, tone / 2], axis=1)
    recording = read_recording(embed(encode_sound(stereo, "MP3", "MPEG_LAYER_III", rate)), 60)
    assert (len(recording.samples), recording.rate) == (len(tone), rate)


@pytest.mark.parametrize("n", [1, 100, 4096, 4097, 50_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_flac_of_any_length_is_whole(n: int, channels: int) -> None:
    samples = np.stack([make_tone(4)[:n]] * channels, axis=1)
    assert len(read_recording(embed(encode_sound(samples, "FLAC", "PCM_16")), 60).samples) == n


def test_channels_are_averaged() -> None:
    stereo = np.stack([TONE, np.zeros_like(TONE)], axis=1)
    samples = read_recording(embed(encode_sound(stereo, "WAV", "FLOAT")), 60).samples
    np.testing.assert_allclose(samples, TONE / 2, atol=1e-7)


def test_blocks_give_what_one_reading_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, subtype in (("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("WAV", "PCM_16")):
        content = encode_sound(make_tone(3), kind, subtype)
        whole, _ = soundfile.read(io.BytesIO(content), dtype="float32")
        monkeypatch.setattr(decoding, "BLOCK", 5000)
        np.testing.assert_array_equal(read_recording(embed(content), 60).samples, whole)


WAV, FLAC, MP3 = encode_sound(TONE), encode_sound(TONE, "FLAC"), encode_sound(make_tone(3), "MP3", "MPEG_LAYER_III")
VORBIS, OPUS = encode_sound(make_tone(3), "OGG", "VORBIS"), encode_sound(make_tone(3), "OGG", "OPUS")
AIFF, AU, W64, CAF = (encode_sound(TONE, kind) for kind in ("AIFF", "AU", "W64", "CAF"))
RF64, NIST = encode_sound(TONE, "RF64"), encode_sound(TONE, "NIST")
SURROUND = encode_sound(np.stack([TONE] * 6, axis=1), "WAVEX")


def with_sample(value: float) -> bytes:
    return encode_sound(np.append(TONE, np.float32(value)), "WAV", "FLOAT")


def without_first_frame(content: bytes) -> bytes:
    """Return an MP3 without the frame that says how long it is."""
    return content[content.find(content[:2], 10) :]


def encode_variable(samples: np.ndarray, rate: int, channels: int) -> bytes:
    """Return an MP3 of (N,) samples whose frames have as many bits as they need, with a header that says how many."""
    stream = io.BytesIO()
    sound = np.stack([samples] * channels, axis=1)
    soundfile.write(stream, sound, rate, "MPEG_LAYER_III", format="MP3", bitrate_mode="VARIABLE", compression_level=0.3)
    return stream.getvalue()


DAMAGED = {
    "half an mp3 that does not say its length": (
        without_first_frame(MP3)[: len(MP3) // 2],
        "it is cut short within a frame",
    ),
    "empty": (b"", "it is empty"),
    "text": (b"hello, world " * 20, "it is of no kind that is read"),
    "zeros": (bytes(2000), "it is of no kind that is read"),
    "the first four bytes of wav": (WAV[:4], "it has no samples"),
    "wav without data": (WAV[:36], "it has no samples"),
    "half a wav": (WAV[: len(WAV) // 2], "its header promises 16,000 bytes of samples, and 7,978 are there"),
    "wav without its last sample": (WAV[:-2], "promises 16,000 bytes of samples, and 15,998 are there"),
    "wav that was never closed": (patch(WAV, 40, bytes(4)), "16,000 bytes follow the samples that its header knows"),
    "wav that promises too little": (patch(WAV, 40, struct.pack("<I", 1000)), "15,000 bytes follow the samples"),
    "wav that promises the most": (patch(WAV, 40, struct.pack("<I", 2**32 - 2)), "4,294,967,294 bytes of samples"),
    "half an aiff": (AIFF[: len(AIFF) // 2], "it was cut short"),
    "half an au": (AU[: len(AU) // 2], "it was cut short"),
    "half a w64": (W64[: len(W64) // 2], "it was cut short"),
    "half a caf": (CAF[: len(CAF) - 4000], "it was cut short"),
    "half an rf64": (RF64[: len(RF64) // 2], "it was cut short"),
    "half a sphere": (NIST[: len(NIST) // 2], "it was cut short"),
    "half a flac": (FLAC[: len(FLAC) // 2], "it does not end with a whole frame"),
    "flac without its last byte": (FLAC[:-1], "it does not end with a whole frame"),
    "flac with a byte behind": (FLAC + b"x", "it does not end with a whole frame"),
    "flac with other bits": (patch(FLAC, len(FLAC) // 2, b"\xff\x00\xff\x00"), "is damaged"),
    "flac that promises less": (promise_flac_samples(FLAC, 4000), "its last frame ends with sample 8,000"),
    "flac that promises more": (promise_flac_samples(FLAC, 9000), "its last frame ends with sample 8,000"),
    "flac that promises nothing": (promise_flac_samples(FLAC, 0), "does not say how many samples it holds"),
    "half a vorbis": (VORBIS[: len(VORBIS) // 2], "it is cut short within a page"),
    "vorbis without its last page": (VORBIS[: VORBIS.rfind(b"OggS")], "its last page is missing"),
    "vorbis with other bits": (patch(VORBIS, len(VORBIS) // 2, b"\0\xff\0\xff"), "is damaged"),
    "half an opus": (OPUS[: len(OPUS) // 2], "it is cut short within a page"),
    "opus with other bits": (patch(OPUS, len(OPUS) // 2, b"\0\xff\0\xff"), "is damaged"),
    "half an mp3": (MP3[: len(MP3) // 2], "it is cut short within a frame"),
    "mp3 without its last frames": (MP3[: MP3.rfind(MP3[:2])][: -len(MP3) // 4], "cut short"),
    "mp3 with zeros within": (patch(MP3, len(MP3) // 2, bytes(400)), "frames, and"),
    "NaN": (with_sample(np.nan), "holds samples that are no numbers"),
    "infinite": (with_sample(np.inf), "holds samples that are no numbers"),
    "float64 beyond float32": (encode_sound(np.append(np.zeros(9), 1e300), "WAV", "DOUBLE"), "are no numbers"),
    "2 GHz": (patch(WAV, 24, struct.pack("<I", 2 * 10**9)), "has 2,000,000,000 samples a second"),
    "100 Hz": (patch(WAV, 24, struct.pack("<I", 100)), "has 100 samples a second"),
    "0 Hz": (patch(WAV, 24, bytes(4)), "cannot be read as a recording"),
    "1,024 channels": (patch(WAV, 22, struct.pack("<H", 1024)), "has 1,024 channels; at most 8"),
    "9 channels": (encode_sound(np.zeros((100, 9)), "WAV"), "has 9 channels"),
    "no samples": (encode_sound(np.zeros(0, np.float32)), "holds no samples"),
    "voc": (encode_sound(TONE, "VOC"), "is of the kind VOC, which is not read"),
    "jpeg": (b"\xff\xd8\xff\xe0" + bytes(100), "is JPEG, which is not read"),
    "html": (b"<!DOCTYPE html><html>404", "is HTML, which is not read"),
    "midi": (b"MThd" + bytes(100), "is MIDI, which holds notes and no sound"),
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_each_damaged_file_has_its_answer(name: str) -> None:
    content, message = DAMAGED[name]
    error = refused(content)
    assert message in error.what
    assert error.where == "clips.parquet, row 1"
    assert 'data.on_error = "skip"' in (error.remedy or "")
    assert "\n" not in error.what


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100])
@pytest.mark.parametrize("quiet", ["begin", "end"])
def test_an_mp3_that_does_not_say_its_length_is_read_whole(rate: int, channels: int, quiet: str) -> None:
    """Loud at the begin, libsndfile takes it for a third of what it is; quiet there, for three times as much."""
    tone = make_tone(3, rate, noise=0.3)
    tone[slice(0, len(tone) // 2) if quiet == "begin" else slice(len(tone) // 2, None)] = 0
    content = encode_variable(tone, rate, channels)
    expected = read_recording(embed(content), 60).samples
    bare = without_first_frame(content)
    for whole in (bare, b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + bare + b"TAG" + bytes(125)):
        samples = read_recording(embed(whole), 60).samples
        assert 0 <= len(samples) - len(expected) <= MOST_TRIMMED
        lags = range(len(samples) - len(expected) + 1)
        middle = slice(len(expected) // 2 - 2000, len(expected) // 2 + 2000)  # where it is neither loud nor quiet alone
        lag = min(lags, key=lambda lag: float(np.abs(samples[lag:][middle] - expected[middle]).max()))
        np.testing.assert_allclose(samples[lag : lag + len(expected)], expected, atol=1e-5)
    with pytest.raises(DataError, match=r"lasts .* s or more; at most 2 s are decoded"):
        read_recording(embed(bare), 2)


STREAMED = patch(patch(WAV, 4, b"\xff" * 4), 40, b"\xff" * 4)
WHOLE: dict[str, bytes] = {
    "wav from a pipe": STREAMED,
    "wav with a chunk behind": WAV + b"LIST\x04\0\0\0INFO",
    "wav with a tag of ID3 behind": WAV + b"TAG" + bytes(125),
    "wav that is padded": WAV + bytes(512),
    "mp3 with tags": b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + MP3 + b"TAG" + bytes(125),
    "flac with a tag behind": FLAC + b"TAG" + bytes(125),
    "six channels": SURROUND,
    "extreme rates": encode_sound(TONE, rate=384_000),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_odd_and_whole_is_read(name: str) -> None:
    recording = read_recording(embed(WHOLE[name]), 60)
    assert len(recording.samples) in (len(TONE), 3 * RATE)
    assert not recording.is_silent


@pytest.mark.parametrize(
    ("make", "silent"),
    [
        (lambda: np.zeros(800, np.float32), True),
        (lambda: np.full(800, 0.25, np.float32), True),  # a constant is no sound
        (lambda: np.stack([TONE, -TONE], axis=1), True),  # which the mean of the channels takes away
        (lambda: np.tile(np.float32([0, 2**-14]), 400), False),
    ],
)
def test_silence_is_told(make: Callable[[], np.ndarray], silent: bool) -> None:
    assert read_recording(embed(encode_sound(make(), "WAV", "FLOAT")), 60).is_silent == silent


class TestLimit:
    def test_three_hours_in_a_small_file_are_refused_without_being_decoded(self) -> None:
        hours = encode_sound(np.zeros(3 * 3600 * 4000, np.int16), "FLAC", rate=4000)
        assert len(hours) < 300_000
        tracemalloc.start()
        error = refused(hours)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert "lasts 10,800.0 s or more; at most 60 s are decoded, and nothing is cut" in error.what
        assert "data.max_seconds" in (error.remedy or "")
        assert peak < 3_000_000  # 43 million samples would take 173 MB

    def test_a_header_that_says_less_does_not_get_them_in(self) -> None:
        hours = encode_sound(np.zeros(3 * 3600 * 4000, np.int16), "FLAC", rate=4000)
        error = refused(promise_flac_samples(hours, 4000))
        assert "its header promises 4,000 samples, and its last frame ends with sample 43,200,000" in error.what

    def test_decoding_stops_at_the_limit_whatever_the_header_says(self) -> None:
        """Of what libsndfile decodes beyond the promised length, one block more than the limit is taken."""

        class Endless:
            rate, channels, frames, blocks = 16_000, 1, 10, 0

            def read_blocks(self):
                while True:
                    self.blocks += 1
                    yield np.zeros((16_000, 1), np.float32)

        endless = Endless()
        with pytest.raises(DataError, match="at most 2 s are decoded"):
            decoding._decode_sound(endless, embed(b""), 2)
        assert endless.blocks == 3

    @pytest.mark.parametrize(("kind", "subtype"), [("WAV", "PCM_16"), ("MP3", "MPEG_LAYER_III"), ("OGG", "OPUS")])
    def test_the_limit_itself_is_allowed_and_a_sample_more_is_not(self, kind: str, subtype: str) -> None:
        assert len(read_recording(embed(encode_sound(make_tone(2), kind, subtype)), 2).samples) == 2 * RATE
        assert "at most 2 s" in refused(encode_sound(make_tone(2 + 1 / RATE), kind, subtype), 2).what


class TestForeign:
    @pytest.mark.parametrize(
        ("container", "codec"), [("mp4", "aac"), ("webm", "libopus"), ("matroska", "libopus"), ("adts", "aac")]
    )
    def test_av_reads_what_libsndfile_does_not(self, container: str, codec: str) -> None:
        tone = make_tone(1.0, 48_000)
        recording = read_recording(embed(encode_by_av(tone, container, codec)), 60)
        assert recording.rate == 48_000
        assert len(tone) <= len(recording.samples) <= len(tone) + 2048  # of an encoder that fills its last frame
        loudness = np.sqrt(np.mean(np.square(recording.samples)))
        assert loudness == pytest.approx(np.sqrt(np.mean(np.square(tone))), rel=0.05)

    def test_what_av_reads_is_whole(self) -> None:
        tone = make_tone(2.0, 48_000)
        mp4, webm = encode_by_av(tone, "mp4", "aac"), encode_by_av(tone, "webm", "libopus")
        assert "cannot be read as MPEG-4" in refused(mp4[: len(mp4) // 2]).what
        assert "can be decoded: it is damaged, cut short" in refused(webm[: len(webm) // 2]).what
        assert "at most 1 s are decoded" in refused(webm, 1).what

    def test_without_av_one_line_says_what_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("rft.runtime.libraries.find_unmet_requirement", lambda name, _: f"{name}, which is missing")
        error = refused(b"\0\0\0\x20ftypM4A " + bytes(100))
        assert error.what == "a file of MPEG-4 needs av, which is missing"
        assert error.remedy is not None
        assert error.remedy.startswith("pip install av. Or: convert it to WAV or FLAC, for example with `ffmpeg")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such recording") as caught:
        read_recording(tmp_path / "clips" / "a.wav", 60)
    assert caught.value.where == "clips/a.wav"


def test_without_soundfile_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    decoding.import_soundfile.cache_clear()
    monkeypatch.setattr("rft.runtime.libraries.find_unmet_requirement", lambda name, _: f"{name}, which is missing")
    with pytest.raises(ConfigError, match="soundfile, which is missing") as caught:
        read_recording(embed(WAV), 60)
    assert caught.value.remedy == 'pip install "rft[speech]"'
