"""Data sets of recordings: tables that name or hold them, folders, archives; what is refused, skipped and remarked."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from rft.config.schema import Config, DataConfig
from rft.data import Dataset, read_dataset
from rft.errors import DataError
from rft.pipeline.plan import read_settings
from rft.plugins import discover_plugins
from tests.support.audio_cases import encode_sound, make_tone

N = 8


def make_clip(number: int) -> bytes:
    """Return a clip of .1 s and a little more each; the even ones at 8 kHz, which are of class ``no``."""
    rate = 8_000 if number % 2 == 0 else 16_000
    return encode_sound(make_tone(0.1 + number / 100, rate), rate=rate)


def label_of(number: int) -> str:
    return "no" if number % 2 == 0 else "yes"


def split_of(number: int) -> str:
    return "train" if number < 4 else "test"


def write_table(folder: Path, clips: list[bytes] | None = None) -> DataConfig:
    clips = [make_clip(number) for number in range(N)] if clips is None else clips
    for number, clip in enumerate(clips):
        (folder / f"{number}.wav").write_bytes(clip)
    rows = [(f"{number}.wav", label_of(number), split_of(number)) for number in range(len(clips))]
    pd.DataFrame(rows, columns=["file", "label", "split"]).to_csv(folder / "clips.csv", index=False)
    return DataConfig(manifest="clips.csv", audio="file", label="label", split="split")


def check_clips(dataset: Dataset) -> None:
    """Require that all clips were read, with what was measured of them."""
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 4, "test": 4}
    for name, split in dataset.splits.items():
        assert split.recordings is not None
        numbers = np.arange(4) + (0 if name == "train" else 4)
        by_length = np.argsort(split.recordings.seconds)
        np.testing.assert_allclose(split.recordings.seconds[by_length], 0.1 + numbers / 100)
        assert split.recordings.rates[by_length].tolist() == [8_000, 16_000] * 2
        assert split.recordings.frames[by_length].tolist() == [
            round((0.1 + number / 100) * (8_000 if number % 2 == 0 else 16_000)) for number in numbers
        ]
        assert not split.recordings.silent.any()
        assert [dataset.classes[label] for label in split.labels[by_length]] == ["no", "yes"] * 2


def test_a_table_names_files(tmp_path: Path) -> None:
    dataset = read_dataset(write_table(tmp_path), tmp_path, 0)
    check_clips(dataset)
    assert len([file for file in dataset.inputs if file.path.endswith(".wav")]) == N


@pytest.mark.parametrize("shape", ["bytes", "struct"])
def test_a_table_holds_bytes_as_hugging_face_writes_them(tmp_path: Path, shape: str) -> None:
    clips = [make_clip(number) for number in range(N)]
    cells = clips if shape == "bytes" else [{"bytes": clip, "path": f"{n}.wav"} for n, clip in enumerate(clips)]
    columns = {"audio": cells, "label": [label_of(n) for n in range(N)], "split": [split_of(n) for n in range(N)]}
    pq.write_table(pa.table(columns), tmp_path / "clips.parquet")
    config = DataConfig(manifest="clips.parquet", audio="audio", label="label", split="split")
    check_clips(read_dataset(config, tmp_path, 0))


def test_cells_without_bytes_name_files(tmp_path: Path) -> None:
    write_table(tmp_path)
    cells = [{"bytes": None, "path": f"{number}.wav"} for number in range(N)]
    columns = {"audio": cells, "label": [label_of(n) for n in range(N)], "split": [split_of(n) for n in range(N)]}
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({**columns, "audio": pa.array(cells, kind)})
    pq.write_table(table, tmp_path / "clips.parquet")
    config = DataConfig(manifest="clips.parquet", audio="audio", label="label", split="split")
    check_clips(read_dataset(config, tmp_path, 0))


def write_folders(folder: Path) -> None:
    for number in range(N):
        place = folder / "clips" / split_of(number) / label_of(number)
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.wav").write_bytes(make_clip(number))


class TestFolders:
    def test_class_folders_of_recordings(self, tmp_path: Path) -> None:
        write_folders(tmp_path)
        (tmp_path / "clips" / "train" / "no" / "notes.txt").write_text("hello")
        (tmp_path / "clips" / "loose.wav").write_bytes(make_clip(0))
        dataset = read_dataset(DataConfig(folder="clips"), tmp_path, 0)
        check_clips(dataset)
        remarks = {remark.id: remark for remark in dataset.remarks}
        assert remarks["loose_recordings"].value == 1
        assert remarks["left_out_files"].title == "Files in class folders that are no recordings"

    def test_a_zip_file_of_them(self, tmp_path: Path) -> None:
        write_folders(tmp_path)
        with zipfile.ZipFile(tmp_path / "clips.zip", "w") as archive:
            for path in sorted((tmp_path / "clips").rglob("*.wav")):
                archive.write(path, path.relative_to(tmp_path / "clips"))
        check_clips(read_dataset(DataConfig(folder="clips.zip"), tmp_path, 0))

    def test_an_audiofolder_with_metadata(self, tmp_path: Path) -> None:
        for number in range(N):
            place = tmp_path / "clips" / split_of(number)
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number}.wav").write_bytes(make_clip(number))
        (tmp_path / "clips" / "test" / "unnamed.wav").write_bytes(make_clip(1))
        for name in ("train", "test"):
            rows = [(f"{n}.wav", label_of(n), f"s{n}") for n in range(N) if split_of(n) == name]
            table = pd.DataFrame(rows, columns=["file_name", "label", "speaker"])
            table.to_csv(tmp_path / "clips" / name / "metadata.csv", index=False)
        dataset = read_dataset(DataConfig(folder="clips", unit="speaker"), tmp_path, 0)
        check_clips(dataset)
        assert [remark.id for remark in dataset.remarks] == ["unlisted_recordings"]
        assert sorted(dataset.splits["train"].units) == ["s0", "s1", "s2", "s3"]

    def test_a_table_beside_the_folder_by_its_own_column(self, tmp_path: Path) -> None:
        write_folders(tmp_path)
        rows = [(f"{number}.wav", label_of(number), f"s{number}") for number in range(N)]
        pd.DataFrame(rows, columns=["clip", "label", "speaker"]).to_csv(tmp_path / "people.csv", index=False)
        config = DataConfig(folder="clips", metadata="people.csv", audio="clip", unit="speaker")
        check_clips(read_dataset(config, tmp_path, 0))

    @pytest.mark.parametrize("with_table", [False, True])
    def test_images_beside_recordings_are_an_error(self, tmp_path: Path, with_table: bool) -> None:
        write_folders(tmp_path)
        (tmp_path / "clips" / "train" / "no" / "cover.jpg").write_bytes(b"")
        if with_table:
            rows = [(f"{split_of(n)}/{label_of(n)}/{n}.wav", label_of(n)) for n in range(N)]
            table = pd.DataFrame(rows, columns=["file_name", "label"])
            table.to_csv(tmp_path / "clips" / "metadata.csv", index=False)
        with pytest.raises(DataError, match=r"holds (8 recordings and 1 image|1 image and 8 recordings)") as caught:
            read_dataset(DataConfig(folder="clips"), tmp_path, 0)
        assert "data.audio" in str(caught.value.remedy)

    def test_the_column_says_which_of_both_are_meant(self, tmp_path: Path) -> None:
        write_folders(tmp_path)
        (tmp_path / "clips" / "train" / "no" / "cover.jpg").write_bytes(b"")
        rows = [(f"{split_of(n)}/{label_of(n)}/{n}.wav", label_of(n)) for n in range(N)]
        pd.DataFrame(rows, columns=["file_name", "label"]).to_csv(tmp_path / "clips" / "metadata.csv", index=False)
        check_clips(read_dataset(DataConfig(folder="clips", audio="file_name"), tmp_path, 0))

    def test_a_config_knows_what_its_folder_holds(self, tmp_path: Path) -> None:
        write_folders(tmp_path)
        model = '[model]\nbackbone = "transformers/own"\n'
        (tmp_path / "audit.toml").write_text(f'[data]\nfolder = "clips"\nmax_seconds = 5\n{model}')
        settings = read_settings(tmp_path / "audit.toml", [], discover_plugins())
        assert settings.core.data.modality == "audio"
        with pytest.raises(Exception, match=r"data\.max_pixels: has no effect here"):
            read_settings(tmp_path / "audit.toml", ["data.max_pixels=9"], discover_plugins())

    def test_links_in_circles_end(self, tmp_path: Path) -> None:
        (tmp_path / "empty" / "inner").mkdir(parents=True)
        (tmp_path / "empty" / "inner" / "again").symlink_to(tmp_path / "empty")
        assert DataConfig(folder="empty").in_folder(tmp_path).modality == "image"


class TestUnreadable:
    def make_config(self, folder: Path, on_error: str) -> DataConfig:
        clips = [make_clip(number) for number in range(2 * N)]
        clips[3] = clips[3][: len(clips[3]) // 2]
        clips[6] = encode_sound(make_tone(2.5))
        config = write_table(folder, clips)
        return config.model_copy(update={"on_error": on_error, "max_seconds": 2.0})

    def test_the_first_one_stops(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="it was cut short") as caught:
            read_dataset(self.make_config(tmp_path, "stop"), tmp_path, 0)
        assert str(caught.value.where).endswith("/3.wav")

    def test_skipped_ones_are_counted_and_named(self, tmp_path: Path) -> None:
        dataset = read_dataset(self.make_config(tmp_path, "skip"), tmp_path, 0)
        assert dataset.skipped == 2
        (remark,) = (remark for remark in dataset.remarks if remark.id == "unreadable_items")
        assert remark.value == 2
        assert "it was cut short" in remark.names[0]
        assert "lasts 2.5 s or more; at most 2 s are decoded, and nothing is cut" in remark.names[1]
        assert len(dataset.splits["train"]) == 3

    def test_one_that_is_not_there(self, tmp_path: Path) -> None:
        config = write_table(tmp_path)
        (tmp_path / "5.wav").unlink()
        with pytest.raises(DataError, match="no such recording"):
            read_dataset(config, tmp_path, 0)

    def test_silence_is_kept_and_counted(self, tmp_path: Path) -> None:
        clips = [make_clip(number) for number in range(N)]
        clips[2] = encode_sound(np.zeros(1000, np.float32))
        dataset = read_dataset(write_table(tmp_path, clips), tmp_path, 0)
        (remark,) = dataset.remarks
        assert (remark.id, remark.value, remark.n, remark.status) == ("silent_recordings", 1, N, "warn")
        recordings = dataset.splits["train"].recordings
        assert recordings is not None
        assert recordings.silent.tolist() == [False, False, True, False]

    def test_one_file_is_of_one_speaker(self, tmp_path: Path) -> None:
        write_table(tmp_path)
        table = pd.read_csv(tmp_path / "clips.csv")
        table["file"] = "0.wav"
        table["speaker"] = [f"s{number}" for number in range(N)]
        table.to_csv(tmp_path / "clips.csv", index=False)
        config = DataConfig(manifest="clips.csv", audio="file", label="label", split="split", unit="speaker")
        with pytest.raises(DataError, match=r"0\.wav is of two units"):
            read_dataset(config, tmp_path, 0)


class TestConfig:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"manifest": "a.csv", "audio": "a", "image": "b", "label": "c"}, "one of image, text and audio"),
            ({"manifest": "a.csv", "label": "c"}, "one of image, text and audio"),
            ({"folder": "a", "audio": "a", "image": "b"}, "give image or audio, not both"),
            ({"manifest": "a.csv", "audio": "a", "label": "c", "max_seconds": 0}, "max_seconds"),
        ],
    )
    def test_what_contradicts_is_refused(self, given: dict, message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            DataConfig(**given)

    def test_beside_predictions_alone_there_are_none(self) -> None:
        with pytest.raises(ValidationError, match="predictions alone have no examples to read: remove audio"):
            Config(name="a", data={"audio": "a", "label": "b"}, predictions={"file": "p.csv", "prediction": "p"})

    def test_modality_and_column(self) -> None:
        config = DataConfig(manifest="a.csv", audio="clip", label="c")
        assert (config.modality, config.item_column) == ("audio", "clip")
