"""A zip file of a folder of images: read where it lies, bounded, never unpacked; folders in folders; flat folders."""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rft.config.tables.data import DataConfig
from rft.data import Dataset, read_dataset
from rft.data.folders import tree as folder_tree
from rft.data.images.inputs import ImageInputs
from rft.data.images.preprocessing import plain_preprocessing
from rft.errors import DataError

PLAIN = plain_preprocessing(resize=8, crop=8, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3)


def encode_png(shade: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 255 - shade, shade)).save(content, "PNG")
    return content.getvalue()


def photos(prefix: str = "", splits: tuple[str, ...] = ("train", "test")) -> dict[str, bytes]:
    """Return name -> content of four images for each class in each split."""
    places = [f"{prefix}{split}/{label}" for split in splits for label in ("cat", "dog")]
    return {
        f"{place}/{number}.png": encode_png(40 * number + 10 * row)
        for row, place in enumerate(places)
        for number in range(4)
    }


def pack(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def opened(root: Path, folder: str = "photos.zip", **changes: object) -> Dataset:
    return read_dataset(DataConfig(folder=folder, **changes), root, 0)


class TestZip:
    @pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
    def test_it_is_read_as_the_folder_that_it_was(self, tmp_path: Path, compression: int) -> None:
        path = pack(tmp_path / "photos.zip", photos(), compression)
        zipfile.ZipFile(path).extractall(tmp_path / "photos")
        packed, plain = opened(tmp_path), opened(tmp_path, "photos")
        assert packed.classes == plain.classes == ("cat", "dog")
        for name, split in plain.splits.items():
            assert list(packed.splits[name].ids) == list(split.ids)
            assert list(packed.splits[name].digests) == list(split.digests)
            pixels = [
                ImageInputs(data.splits, PLAIN, 10**6).batch(name, range(8))["pixels"] for data in (packed, plain)
            ]
            assert np.array_equal(*pixels)
        assert [(file.path, file.sha256) for file in packed.inputs] == [
            ("photos.zip", hashlib.sha256(path.read_bytes()).hexdigest())
        ]
        assert sorted(place.name for place in tmp_path.iterdir()) == ["photos", "photos.zip"]  # nothing was unpacked

    def test_what_systems_leave_in_it_is_no_data(self, tmp_path: Path) -> None:
        more = {
            "__MACOSX/train/cat/._0.png": b"",
            ".DS_Store": b"",
            "train/cat/notes.txt": b"",
            "train/loose.png": b"x",
        }
        pack(tmp_path / "photos.zip", photos() | more)
        remarks = {remark.id: remark.value for remark in opened(tmp_path).remarks}
        assert remarks == {"left_out_files": 1, "loose_images": 1, "hidden_images": 1}

    def test_a_folder_within_it_may_be_named(self, tmp_path: Path) -> None:
        pack(tmp_path / "download.zip", photos("data/set/"))
        with pytest.raises(
            DataError, match=r'nothing but the folder set/\n.*set data\.folder = "download\.zip/data/set'
        ):
            opened(tmp_path, "download.zip/data")
        assert len(opened(tmp_path, "download.zip/data/set").splits["test"]) == 8
        with pytest.raises(DataError, match="holds no images in class sub-folders; it holds no files"):
            opened(tmp_path, "download.zip/gone")

    @pytest.mark.parametrize(
        "name",
        ["../evil.png", "/etc/evil.png", "cat\\evil.png", "C:/evil.png", "train/../../evil.png", "a/" * 101 + "b"],
    )
    def test_a_name_that_leads_out_of_it_is_refused(self, tmp_path: Path, name: str) -> None:
        pack(tmp_path / "photos.zip", photos() | {name: encode_png(0)})
        with pytest.raises(DataError, match=r"photos\.zip: .*(leads out of it|lies too deep)"):
            opened(tmp_path)
        assert [place.name for place in tmp_path.iterdir()] == ["photos.zip"]

    def test_links_doubles_and_encrypted_files_are_refused(self, tmp_path: Path) -> None:
        link = zipfile.ZipInfo("train/cat/link.png")
        link.external_attr = 0o120777 << 16
        with zipfile.ZipFile(pack(tmp_path / "photos.zip", photos()), "a") as archive:
            archive.writestr(link, "/etc/passwd")
        with pytest.raises(DataError, match=r"link\.png' is a link"):
            opened(tmp_path)
        with (
            zipfile.ZipFile(pack(tmp_path / "photos.zip", photos()), "a") as archive,
            pytest.warns(UserWarning, match="Duplicate"),
        ):
            archive.writestr("train/cat/0.png", b"")
        with pytest.raises(DataError, match=r"0\.png' stands twice"):
            opened(tmp_path)
        content = bytearray(pack(tmp_path / "photos.zip", photos()).read_bytes())
        content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag of the first file in the directory
        (tmp_path / "photos.zip").write_bytes(content)
        with pytest.raises(DataError, match="is encrypted\nUnpack it"):
            opened(tmp_path)

    def test_its_size_is_bounded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pack(tmp_path / "photos.zip", photos() | {"train/cat/bomb.png": bytes(10**6)})
        assert (tmp_path / "photos.zip").stat().st_size < 10**4
        monkeypatch.setattr(folder_tree, "MAX_FILE_BYTES", 10**5)
        with pytest.raises(DataError, match=r"bomb\.png' has 1,000,000 bytes; at most 100,000 are read"):
            opened(tmp_path)
        monkeypatch.setattr(folder_tree, "MAX_NAMES", 10)
        with pytest.raises(DataError, match="holds 17 files; at most 10 are read"):
            opened(tmp_path)

    def test_damage_is_named(self, tmp_path: Path) -> None:
        content = bytearray(pack(tmp_path / "photos.zip", photos(), zipfile.ZIP_STORED).read_bytes())
        content[content.index(b"IDAT") + 6] ^= 255
        (tmp_path / "photos.zip").write_bytes(content)
        with pytest.raises(DataError, match=r"photos\.zip/train/cat/0\.png: cannot be unpacked: Bad CRC"):
            opened(tmp_path)
        assert opened(tmp_path, on_error="skip").skipped == 1
        (tmp_path / "photos.zip").write_bytes(b"PK")
        with pytest.raises(DataError, match=r"photos\.zip: is no zip file"):
            opened(tmp_path)

    def test_metadata_tables_are_read_of_folders_alone(self, tmp_path: Path) -> None:
        pack(tmp_path / "photos.zip", photos() | {"train/metadata.csv": b"file_name,label\n"})
        with pytest.raises(DataError, match=r"holds metadata\.csv, which is not read of a zip file\nUnpack it"):
            opened(tmp_path)

    def test_other_archives_say_what_to_do(self, tmp_path: Path) -> None:
        (tmp_path / "photos.tar").write_bytes(b"")
        with pytest.raises(DataError, match=r"stands for archives of tar.*\n.* are to be unpacked, or packed as \.zip"):
            opened(tmp_path, "photos.tar")
        (tmp_path / "photos.7z").write_bytes(b"")
        with pytest.raises(DataError, match=r"no such folder\nOf archives, zip is read"):
            opened(tmp_path, "photos.7z")


class TestFoldersInFolders:
    @pytest.mark.parametrize("splits", [("train", "test"), ("",)])
    def test_a_folder_in_a_folder_of_its_name_is_entered(self, tmp_path: Path, splits: tuple[str, ...]) -> None:
        files = photos("photos/photos/", splits)
        changes = {} if len(splits) > 1 else {"test": 0.4, "classes": ["cat", "dog"]}
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content)
        pack(tmp_path / "photos.zip", files)
        for folder, place in (("photos", "photos"), ("photos.zip", "photos/photos")):
            dataset = opened(tmp_path, folder, **changes)
            assert dataset.classes == ("cat", "dog")
            assert sum(map(len, dataset.splits.values())) == len(files)
            described = [remark.description for remark in dataset.remarks if remark.id == "inner_folder"]
            assert described == [f"{folder} holds nothing but the folder {place}/, whose folders were read."]

    def test_one_of_another_name_is_pointed_out(self, tmp_path: Path) -> None:
        pack(tmp_path / "photos.zip", photos("dataset/"))
        zipfile.ZipFile(tmp_path / "photos.zip").extractall(tmp_path / "photos")
        for folder in ("photos", "photos.zip"):
            with pytest.raises(DataError, match=rf'holds nothing but the folder dataset/\n.* "{folder}/dataset"'):
                opened(tmp_path, folder)

    def test_a_flat_folder_says_what_to_do(self, tmp_path: Path) -> None:
        (tmp_path / "photos").mkdir()
        for number in range(3):
            (tmp_path / "photos" / f"{number}.png").write_bytes(encode_png(number))
        shutil.make_archive(str(tmp_path / "photos"), "zip", tmp_path / "photos")
        for folder in ("photos", "photos.zip"):
            with pytest.raises(DataError, match=r"holds no images in class sub-folders; it holds 3 \.png") as caught:
                opened(tmp_path, folder)
            assert "folder named after its class" in str(caught.value)
            assert "metadata.csv" in str(caught.value)
            assert "data.manifest" in str(caught.value)
