"""What ``rft init`` makes of recordings: tables that name or hold them, and folders of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rft.config.toml_text import read_toml
from rft.starter.start import start_config
from rft.starter.wishes import ColumnWishes, Wishes
from tests.support.audio_cases import encode_sound, make_tone

N = 24


def start(place: Path, **columns: str) -> dict:
    config = place.parent / "audit.toml"
    wishes = Wishes(columns=ColumnWishes(**columns), backbone="transformers/own")
    config.write_text(start_config(place, wishes, config, None, schema=None).text)
    return read_toml(config)


def make_rows() -> pd.DataFrame:
    rows = [(f"{n}.wav", ("no", "yes")[n % 2], ("train", "test")[n // 2 % 2], f"s{n // 4}") for n in range(N)]
    return pd.DataFrame(rows, columns=["file", "label", "split", "speaker"])


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for number in range(N):
        (folder / f"{number}.wav").write_bytes(encode_sound(make_tone(0.01)))
    make_rows().to_csv(folder / "table.csv", index=False)
    return folder


def test_a_table_that_names_recordings(clips: Path) -> None:
    config = start(clips / "table.csv")
    assert config["data"] == {
        **{"manifest": "table.csv", "audio": "file", "label": "label", "split": "split", "unit": "speaker"}
    }
    assert config["attribution"] == {}


@pytest.mark.parametrize(("column", "key"), [("audio", "audio"), ("speech_wav", "audio"), ("picture", "image")])
def test_bytes_are_what_their_column_is_called_after(tmp_path: Path, column: str, key: str) -> None:
    rows = make_rows().drop(columns="file")
    cells = pa.array([encode_sound(make_tone(0.01))] * N, pa.binary())
    table = pa.Table.from_pandas(rows).append_column(column, cells)
    pq.write_table(table, tmp_path / "clips.parquet")
    assert start(tmp_path / "clips.parquet")["data"][key] == column


def test_a_voice_is_whose_a_row_is_and_a_second_split_is_no_label(clips: Path) -> None:
    rows = make_rows().rename(columns={"speaker": "voice", "label": "word"})
    rows.assign(other_split=rows["split"].to_numpy()[::-1]).to_csv(clips / "table.csv", index=False)
    config = start(clips / "table.csv")
    assert (config["data"]["label"], config["data"]["unit"], config["data"]["split"]) == ("word", "voice", "split")
    assert "other_split" not in (clips / "audit.toml").read_text()


def test_a_column_that_the_user_names(tmp_path: Path) -> None:
    rows = make_rows().drop(columns="file")
    cells = pa.array([encode_sound(make_tone(0.01))] * N, pa.binary())
    pq.write_table(pa.Table.from_pandas(rows).append_column("blob", cells), tmp_path / "clips.parquet")
    assert start(tmp_path / "clips.parquet", audio="blob")["data"]["audio"] == "blob"


def test_class_folders_of_recordings(tmp_path: Path) -> None:
    for number in range(N):
        place = tmp_path / "clips" / ("no", "yes")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.wav").write_bytes(encode_sound(make_tone(0.01)))
    assert start(tmp_path / "clips")["data"] == {"folder": "clips", "test": 0.25}
    assert "class folders of recordings" in (tmp_path / "audit.toml").read_text()


def test_a_folder_with_a_table_that_names_its_recordings(clips: Path) -> None:
    table = make_rows().rename(columns={"file": "file_name"}).drop(columns="split")
    table.to_csv(clips / "metadata.csv", index=False)
    (clips / "table.csv").unlink()
    config = start(clips)
    assert config["data"] == {"folder": "clips", "label": "label", "unit": "speaker", "test": 0.25}


def test_without_a_backbone_the_usual_one_for_speech_is_named(clips: Path) -> None:
    started = start_config(clips / "table.csv", Wishes(), clips / "audit.toml", None, schema=None)
    assert 'backbone = "transformers/' in started.text
