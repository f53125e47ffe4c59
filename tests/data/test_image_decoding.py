"""Every kind of image as upright RGB of 8 bits, against the same content in 8 bits or against Pillow itself."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from rft.data.images.decoding import open_image, upright_rgb
from rft.data.images.inputs import digest_image, read_pixels
from rft.data.images.preprocessing import plain_preprocessing
from rft.errors import DataError

MANY = 10_000_000
GREY = np.random.default_rng(0).integers(0, 256, (40, 60)).astype(np.uint8)
PLAIN = plain_preprocessing(resize=40, crop=32, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3)


def read(path: Path) -> np.ndarray:
    return np.asarray(upright_rgb(open_image(path, MANY)))


def in_three(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def write_tiff(path: Path, samples: bytes, bits: int, *, photometric: int = 1, order: str = "<") -> None:
    """Write a greyscale TIFF of 60 x 40 by hand: Pillow cannot write all that it reads."""
    tags = [(256, 4, 60), (257, 4, 40), (258, 3, bits), (259, 3, 1), (262, 3, photometric), (273, 4, 0)]
    tags += [(277, 3, 1), (278, 4, 40), (279, 4, len(samples))]
    start = 8 + 2 + 12 * len(tags) + 4
    entries = b""
    for tag, kind, value in tags:
        packed = struct.pack(order + "HH", value, 0) if kind == 3 else struct.pack(order + "I", value or start)
        entries += struct.pack(order + "HHI", tag, kind, 1) + packed
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(tags))
    path.write_bytes(head + entries + bytes(4) + samples)


def write_deep_png(path: Path, values: np.ndarray, colour_type: int) -> None:
    """Write a PNG with 16 bits a channel by hand."""

    def encode_chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    body = encode_chunk(b"IHDR", header) + encode_chunk(b"IDAT", zlib.compress(rows)) + encode_chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


class TestDepth:
    def test_grey_of_16_bits_is_scaled_by_its_depth(self, tmp_path: Path) -> None:
        Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "a.png")
        assert open_image(tmp_path / "a.png", MANY).mode == "I;16"
        assert (read(tmp_path / "a.png") == in_three(GREY)).all()

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_a_tiff_of_16_bits_in_either_byte_order(self, tmp_path: Path, order: str) -> None:
        samples = (GREY.astype(np.uint16) * 257).astype(order + "u2").tobytes()
        write_tiff(tmp_path / "a.tif", samples, 16, order=order)
        assert (read(tmp_path / "a.tif") == in_three(GREY)).all()

    def test_a_tiff_of_12_bits_has_its_own_white(self, tmp_path: Path) -> None:
        values = np.rint(GREY / 255 * 4095).astype(np.uint16).reshape(-1, 2)
        packed = np.stack([values[:, 0] >> 4, (values[:, 0] & 15) << 4 | values[:, 1] >> 8, values[:, 1] & 255], axis=1)
        write_tiff(tmp_path / "a.tif", packed.astype(np.uint8).tobytes(), 12)
        assert (read(tmp_path / "a.tif") == in_three(GREY)).all()

    def test_white_may_be_zero(self, tmp_path: Path) -> None:
        samples = (65535 - GREY.astype(np.uint16) * 257).astype("<u2").tobytes()
        write_tiff(tmp_path / "a.tif", samples, 16, photometric=0)
        assert (read(tmp_path / "a.tif") == in_three(GREY)).all()

    @pytest.mark.parametrize("white", [1000, 4095, 65535])
    def test_a_pgm_says_what_is_white(self, tmp_path: Path, white: int) -> None:
        values = np.rint(GREY / 255 * white).astype(">u2")
        (tmp_path / "a.pgm").write_bytes(b"P5 60 40 %d\n" % white + values.tobytes())
        assert np.abs(read(tmp_path / "a.pgm").astype(int) - in_three(GREY)).max() <= 1

    @pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (6, 4), (4, 2)])
    def test_colours_of_16_bits(self, tmp_path: Path, colour_type: int, channels: int) -> None:
        values = np.random.default_rng(1).integers(0, 256, (40, 60, channels))
        if channels in (2, 4):
            values[..., -1] = 255
        write_deep_png(tmp_path / "a.png", values * 257, colour_type)
        wanted = values[..., :3] if channels > 2 else np.repeat(values[..., :1], 3, axis=2)
        assert (read(tmp_path / "a.png") == wanted).all()

    @pytest.mark.parametrize(
        ("values", "kind"),
        [(GREY / 255.0, "decimal"), (GREY.astype(np.int32), "signed or 32-bit whole")],
        ids=["float", "whole"],
    )
    def test_numbers_without_a_white_are_refused(self, tmp_path: Path, values: np.ndarray, kind: str) -> None:
        Image.fromarray(values.astype(np.float32) if kind == "decimal" else values).save(tmp_path / "a.tif")
        for decode in (False, True):
            with pytest.raises(DataError, match=f"a.tif: holds {kind} numbers") as refused:
                digest_image(tmp_path / "a.tif", MANY, decode=decode)
        assert "8 or 16 bits" in str(refused.value)

    def test_an_image_of_one_bit_is_black_and_white(self, tmp_path: Path) -> None:
        Image.fromarray(GREY > 127).save(tmp_path / "a.png")
        assert (read(tmp_path / "a.png") == in_three(np.where(GREY > 127, 255, 0))).all()


class TestOtherKinds:
    def test_of_several_frames_the_first(self, tmp_path: Path) -> None:
        frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "green")]
        for name in ("a.gif", "a.webp", "a.png", "a.tif"):
            options = {"lossless": True} if name == "a.webp" else {}
            frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
            assert (read(tmp_path / name) == [255, 0, 0]).all(), name

    def test_transparency_is_left_out(self, tmp_path: Path) -> None:
        colours = np.random.default_rng(0).integers(0, 256, (20, 20, 4)).astype(np.uint8)
        Image.fromarray(colours, "RGBA").save(tmp_path / "a.png")
        assert (read(tmp_path / "a.png") == colours[..., :3]).all()
        palette = Image.fromarray(colours[..., :3]).quantize(16)
        palette.save(tmp_path / "p.png", transparency=3)
        assert (read(tmp_path / "p.png") == np.asarray(palette.convert("RGB"))).all()

    @pytest.mark.parametrize("suffix", ["jfif", "avif", "JPG"])
    def test_rarer_suffixes_are_read(self, tmp_path: Path, suffix: str) -> None:
        kind = {"jfif": "JPEG", "avif": "AVIF", "JPG": "JPEG"}[suffix]
        Image.new("RGB", (40, 40), (200, 30, 30)).save(tmp_path / f"a.{suffix}", kind)
        assert np.abs(read(tmp_path / f"a.{suffix}").astype(int) - [200, 30, 30]).max() < 8


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "gif", "webp", "bmp", "avif"])
def test_whatever_a_damaged_file_makes_a_decoder_raise_is_an_error_for_the_user(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(in_three(GREY)).save(tmp_path / f"whole.{suffix}")
    whole = (tmp_path / f"whole.{suffix}").read_bytes()
    rng, path, said = np.random.default_rng(0), tmp_path / f"a.{suffix}", []
    for _ in range(150):
        content = bytearray(whole)
        for place in rng.integers(0, min(len(content), 400), rng.integers(1, 8)):
            content[place] = rng.integers(256)
        path.write_bytes(content)
        try:
            digest_image(path, 10**6, decode=True)
        except DataError as error:
            said.append(str(error))
    assert len(said) > 3
    assert all(f"a.{suffix}: " in line and str(tmp_path) not in line for line in said)


HALVES = np.zeros((40, 60, 3), np.uint8)
HALVES[:16, :20] = 255  # one corner, so that each turn differs


def with_orientation(value: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif.tobytes()


def broken_exif(orientation: int) -> bytes:
    """Return EXIF with a readable orientation, a resolution that divides by zero, and a pointer to nowhere."""
    entries = [
        struct.pack("<HHI4s", 0x0112, 3, 1, struct.pack("<HH", orientation, 0)),
        struct.pack("<HHI4s", 0x011A, 5, 1, struct.pack("<I", 8 + 2 + 3 * 12 + 4)),
        struct.pack("<HHI4s", 0x8769, 4, 1, struct.pack("<I", 60_000)),
    ]
    head = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries))
    return head + b"".join(entries) + bytes(4) + struct.pack("<II", 72, 0)


class TestOrientation:
    @pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
    @pytest.mark.parametrize("value", range(1, 9))
    def test_each_turn_is_pillows(self, tmp_path: Path, suffix: str, value: int) -> None:
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(HALVES).save(path, exif=with_orientation(value))
        wanted = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        assert (read(path) == np.asarray(wanted)).all()

    @pytest.mark.filterwarnings("ignore::UserWarning")
    @pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
    @pytest.mark.parametrize("value", range(1, 9))
    def test_the_rest_of_exif_may_be_broken(self, tmp_path: Path, suffix: str, value: int) -> None:
        whole, broken = tmp_path / f"whole.{suffix}", tmp_path / f"broken.{suffix}"
        Image.fromarray(HALVES).save(whole, exif=with_orientation(value))
        Image.fromarray(HALVES).save(broken, exif=broken_exif(value))
        assert (read(broken) == read(whole)).all()
        assert digest_image(broken, MANY, decode=True)

    @pytest.mark.filterwarnings("ignore::UserWarning")
    def test_exif_that_ends_anywhere_never_stops_an_image(self, tmp_path: Path) -> None:
        exif = broken_exif(3)
        for end in range(6, len(exif)):
            Image.fromarray(HALVES).save(tmp_path / "a.jpg", exif=exif[:end])
            turned = read_pixels(tmp_path / "a.jpg", PLAIN, MANY)[:8, :8].mean() < 50
            assert turned == (end >= 6 + 8 + 2 + 12), end  # the tag is whole from there on

    @pytest.mark.parametrize("value", [0, 9, 255])
    def test_a_value_that_is_no_turn_turns_nothing(self, tmp_path: Path, value: int) -> None:
        Image.fromarray(HALVES).save(tmp_path / "a.png", exif=with_orientation(value))
        assert (read(tmp_path / "a.png") == HALVES).all()

    def test_exif_that_is_none(self, tmp_path: Path) -> None:
        Image.fromarray(HALVES).save(tmp_path / "a.png", exif=b"Exif\0\0no tiff at all")
        assert (read(tmp_path / "a.png") == HALVES).all()

    def test_a_second_call_turns_nothing(self, tmp_path: Path) -> None:
        content = io.BytesIO()
        Image.fromarray(HALVES).save(content, "PNG", exif=with_orientation(6))
        once = upright_rgb(Image.open(content))
        assert once.size == (40, 60)
        assert (np.asarray(upright_rgb(once)) == np.asarray(once)).all()
