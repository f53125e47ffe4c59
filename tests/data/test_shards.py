"""Shards of WebDataset: the same pixels and sounds as those of files, and nothing that is lost or added in silence."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rft.config.tables.data import DataConfig
from rft.data import Dataset, read_dataset
from rft.data.images.inputs import ImageInputs
from rft.data.images.preprocessing import plain_preprocessing
from rft.data.tables import stored_cells
from rft.data.tables.kinds import tar_shards
from rft.errors import DataError
from tests.data.test_hub_tables import samples, write_shard
from tests.support.audio_cases import encode_sound, make_tone

COLUMNS = {"image": "png", "label": "cls", "test": 0.5}
N = 12
END = 2 * tarfile.BLOCKSIZE  # bytes of zeros that end an archive


def read_shards(folder: Path, manifest: str = "s", **keys: object) -> Dataset:
    return read_dataset(DataConfig(**{"manifest": manifest, **COLUMNS, **keys}), folder, 0)


def write_shards(folder: Path, n: int = 3, rows: int = 4) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(n):
        write_shard(folder / f"part-{number:03}.tar", samples(rows, rows * number))


class TestWhichFiles:
    @pytest.mark.parametrize("named", ["s", "s/part-{000..002}.tar", "s/*.tar", "s/part-00[0-2].tar"])
    def test_folders_and_patterns(self, tmp_path: Path, named: str) -> None:
        write_shards(tmp_path / "s")
        dataset = read_shards(tmp_path, named)
        assert [file.path for file in dataset.inputs] == [f"s/part-00{number}.tar" for number in range(3)]
        assert sorted(digest for split in dataset.splits.values() for digest in split.digests) == sorted(
            hashlib.sha256(content).hexdigest() for name, content in samples(N).items() if name.endswith(".png")
        )

    @pytest.mark.parametrize("named", ["s", "s/part-{000..002}.tar", "s/part-000.tar"])
    def test_a_folder_of_examples_is_none_of_shards(self, tmp_path: Path, named: str) -> None:
        write_shards(tmp_path / "s")
        with pytest.raises(DataError, match=r"stands for archives of tar, which are read as .*\nWrite manifest = "):
            read_dataset(DataConfig(folder=named), tmp_path, 0)

    def test_splits_of_folders_and_of_json(self, tmp_path: Path) -> None:
        for split in ("train", "test"):
            (tmp_path / "s" / f"split={split}").mkdir(parents=True)
            write_shard(tmp_path / "s" / f"split={split}" / "part.tar", samples(4))
        dataset = read_shards(tmp_path, split="split", test=None, groups=["sex"])
        assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 4, "test": 4}
        assert dataset.splits["train"].items[1].name == "s/split=train/part.tar, row 2"


class TestItems:
    def test_pixels_are_those_of_files_in_any_order(self, tmp_path: Path) -> None:
        write_shards(tmp_path / "s")
        table = ["image,label"]
        for name, content in samples(N).items():
            if name.endswith(".png"):
                (tmp_path / Path(name).name).write_bytes(content)
                table.append(f"{Path(name).name},{int(Path(name).stem) % 2}")
        (tmp_path / "files.csv").write_text("\n".join(table))
        shards = read_shards(tmp_path)
        files = read_shards(tmp_path, "files.csv", image="image", label="label")
        inputs = ImageInputs({}, plain_preprocessing(16, 16, "bilinear", (0.5,) * 3, (0.5,) * 3), 10**6)
        for name, split in files.splits.items():
            assert shards.splits[name].digests.tolist() == split.digests.tolist()
            rows = np.random.default_rng(0).permutation(len(split))
            in_shards = next(inputs.batches(shards.splits[name].items, [rows]))
            assert (in_shards["pixels"] == next(inputs.batches(split.items, [rows]))["pixels"]).all()

    def test_recordings(self, tmp_path: Path) -> None:
        pytest.importorskip("soundfile")
        sounds = [encode_sound(make_tone(0.2 + row / 100)) for row in range(8)]
        parts: dict[str, bytes] = {}
        for row, sound in enumerate(sounds):
            facts = {"label": "ab"[row % 2], "speaker": row // 2, "split": "train" if row < 4 else "test"}
            parts |= {f"{row}.wav": sound, f"{row}.json": json.dumps(facts).encode()}
        write_shard(tmp_path / "d.tar", parts)
        keys = {"audio": "wav", "image": None, "label": "label", "unit": "speaker", "split": "split", "test": None}
        dataset = read_shards(tmp_path, "d.tar", **keys)
        train, test = dataset.splits["train"], dataset.splits["test"]
        assert train.recordings is not None
        assert train.recordings.frames.tolist() == [round((0.2 + row / 100) * 16_000) for row in range(4)]
        assert [item.read_bytes() for item in test.items] == sounds[4:]
        assert list(test.units) == ["2", "2", "3", "3"]

    def test_limits_are_those_of_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        parts, stream = samples(N), io.BytesIO()
        Image.new("RGB", (200, 200)).save(stream, "png")
        parts["./a/0005.png"] = stream.getvalue()
        write_shard(tmp_path / "d.tar", parts)
        with pytest.raises(DataError, match=r"d\.tar, row 6: has 200 x 200 pixels; at most 10,000 are decoded"):
            read_shards(tmp_path, "d.tar", max_pixels=10_000)
        dataset = read_shards(tmp_path, "d.tar", max_pixels=10_000, on_error="skip")
        assert dataset.skipped == 1
        largest = max(len(content) for name, content in samples(N).items() if name.endswith(".png"))
        monkeypatch.setattr(stored_cells, "MAX_FILE_BYTES", largest)
        with pytest.raises(DataError, match=rf"d\.tar, row 6: has \d+ bytes; at most {largest} are read"):
            read_shards(tmp_path, "d.tar")

    def test_a_shard_that_changes_meanwhile(self, tmp_path: Path) -> None:
        write_shards(tmp_path / "s", 1, N)
        dataset = read_shards(tmp_path)
        place = tmp_path / "s" / "part-000.tar"
        place.write_bytes(place.read_bytes()[:100])
        with pytest.raises(DataError, match=r"part-000\.tar: was written to, or cut short, while it was read"):
            dataset.splits["train"].items[0].read_bytes()

    def test_more_examples_than_are_held_at_a_time(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Blocks of four, the last of them full, and names of columns from the first two examples."""
        monkeypatch.setattr(tar_shards, "ROWS", 4)
        monkeypatch.setattr(tar_shards, "NAMED_ROWS", 2)
        parts = samples(N)
        write_shard(tmp_path / "d.tar", {**parts, "notes": b"the end"})
        dataset = read_shards(tmp_path, "d.tar", id="__key__")
        assert sorted(id for split in dataset.splits.values() for id in split.ids) == [
            f"a/{row:04}" for row in range(N)
        ]
        assert {remark.id: remark.value for remark in dataset.remarks}["left_out_of_shards"] == 1


def test_what_is_passed_over_is_counted(tmp_path: Path) -> None:
    write_shards(tmp_path / "s")
    more = {"./a/._0012.png": b"", "./README": b"", "__MACOSX/0.png": b"", **samples(4, N)}
    write_shard(tmp_path / "s" / "part-003.tar", more)
    (tmp_path / "s" / "README.md").touch()
    remarks = {remark.id: remark for remark in read_shards(tmp_path).remarks}
    assert remarks["left_out_of_shards"].value == 3
    assert remarks["left_out_of_shards"].names[1] == "part-003.tar/./README"
    assert (remarks["files_beside_tables"].value, remarks["files_beside_tables"].n) == (1, 5)


class TestDamage:
    def write(self, folder: Path) -> Path:
        write_shards(folder / "s", 2, N)
        return folder / "s" / "part-001.tar"

    def refuse(self, folder: Path, said: str) -> None:
        with pytest.raises(DataError, match=rf"^part-001\.tar: {said}"):
            read_shards(folder)

    def test_wherever_it_was_cut_short(self, tmp_path: Path) -> None:
        place = self.write(tmp_path)
        whole = place.read_bytes()
        n_bytes = len(whole.rstrip(b"\0"))
        content = n_bytes + -n_bytes % tarfile.BLOCKSIZE
        for cut in sorted({1, 511, *range(512, content + 1, 512), *range(700, content, 1111), content + 511}):
            place.write_bytes(whole[:cut])
            self.refuse(tmp_path, "(is damaged or was cut short|was cut short|is no archive of tar): ")
        place.write_bytes(whole[: content + END])
        assert sum(map(len, read_shards(tmp_path).splits.values())) == 2 * N

    def test_a_header_that_is_damaged_does_not_end_it(self, tmp_path: Path) -> None:
        place = self.write(tmp_path)
        content = bytearray(place.read_bytes())
        content[2 * 512 + 10] ^= 1
        place.write_bytes(content)
        self.refuse(tmp_path, r"is damaged after byte 1,024, or another archive follows there\nFetch or pack it anew")

    def test_archives_behind_each_other(self, tmp_path: Path) -> None:
        place = self.write(tmp_path)
        place.write_bytes(place.read_bytes() * 2)
        self.refuse(tmp_path, "is damaged after byte .*, or another archive follows there")

    @pytest.mark.parametrize("name", ["/a/1.png", "../1.png", "a/../../1.png"])
    def test_names_that_lead_out_of_it(self, tmp_path: Path, name: str) -> None:
        write_shard(self.write(tmp_path), {**samples(4), name: b""})
        self.refuse(tmp_path, f"'{name}' leads out of it\nPack it anew")

    @pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
    def test_links_and_devices_even_without_a_suffix(self, tmp_path: Path, kind: bytes) -> None:
        place = self.write(tmp_path)
        with tarfile.open(place, "w") as archive:
            member = tarfile.TarInfo("plain")
            member.type = kind
            archive.addfile(member)
        self.refuse(tmp_path, "'plain' is no plain file\nPack it anew")
