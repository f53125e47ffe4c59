"""What ``rft init`` makes of recordings: tables that name or hold them, and folders of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rft.config.schema import DataConfig
from rft.config.toml_text import read_toml
from rft.data import read_dataset
from rft.errors import ConfigError, DataError
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


SENTENCES = ["the ferry leaves at nine", "my neighbour waits at home", "our teacher answers", "a boat came in"]


def write_common_voice(folder: Path) -> Path:
    """Write a table of sentences, with clips in a folder beside it, as Common Voice lays them out."""
    (folder / "clips").mkdir()
    rows = []
    for number in range(N):
        file = f"common_voice_en_{number:03}.wav"
        (folder / "clips" / file).write_bytes(encode_sound(make_tone(0.01)))
        row = {"client_id": f"{number // 3:032x}", "path": file, "sentence": f"{SENTENCES[number % 4].capitalize()}."}
        rows.append(row | {"up_votes": 2, "age": ("twenties", "fifties")[number // 3 % 2], "locale": "en"})
    pd.DataFrame(rows).to_csv(folder / "validated.tsv", index=False, sep="\t")
    return folder / "validated.tsv"


@pytest.mark.parametrize("column", ["transcript", "Sentence", "text", "raw_transcription"])
def test_what_is_said_stands_in_the_place_of_a_label(clips: Path, column: str) -> None:
    rows = make_rows().drop(columns="label").assign(**{column: [SENTENCES[row % 4] for row in range(N)]})
    rows.to_csv(clips / "table.csv", index=False)
    config = start(clips / "table.csv")
    assert config["data"] == {
        **{"manifest": "table.csv", "audio": "file", "transcript": column, "normalizer": "simple"},
        **{"unit": "speaker", "split": "split"},
    }
    assert config["privacy"] == {}
    assert "attribution" not in config
    assert "performance.word_error_rate" in (clips / "audit.toml").read_text()
    assert DataConfig.model_validate(config["data"]).modality == "audio"


def test_a_table_of_common_voice(tmp_path: Path) -> None:
    config = start(write_common_voice(tmp_path))
    assert config["data"] == {
        **{"folder": "clips", "metadata": "validated.tsv", "audio": "path"},
        **{"transcript": "sentence", "normalizer": "simple", "groups": ["age"], "unit": "client_id", "test": 0.25},
    }
    assert config["fairness"] == {}
    dataset = read_dataset(DataConfig.model_validate(config["data"]), tmp_path, 0)
    said = [text for split in dataset.splits.values() for text in split.transcripts]
    assert len(said) == N
    assert {text.casefold().strip(".") for text in said} == {*SENTENCES}


def test_labels_and_commands_are_no_transcripts(clips: Path) -> None:
    rows = make_rows().assign(text=[SENTENCES[row % 4] for row in range(N)])
    rows.to_csv(clips / "table.csv", index=False)
    assert start(clips / "table.csv")["data"]["label"] == "label"
    rows.rename(columns={"label": "word"}).assign(text=[("go", "stop")[row % 2] for row in range(N)]).to_csv(
        clips / "table.csv", index=False
    )
    assert start(clips / "table.csv", label="text")["data"]["label"] == "text"
    with pytest.raises(DataError, match="2 could"):
        start(clips / "table.csv")


def test_what_a_recogniser_has_no_use_for_is_refused(clips: Path) -> None:
    rows = make_rows().drop(columns="label").assign(transcript=[SENTENCES[row % 4] for row in range(N)])
    rows.to_csv(clips / "table.csv", index=False)
    for wishes, message in [
        (Wishes(positive="yes"), "transcripts have no classes"),
        (Wishes(classes=("yes", "no")), "transcripts have no classes"),
        (Wishes(epsilon=3.0), "needs all characters that it may write"),
    ]:
        with pytest.raises(ConfigError, match=message):
            start_config(clips / "table.csv", wishes, clips / "audit.toml", None, schema=None)
    rows.drop(columns="speaker").to_csv(clips / "table.csv", index=False)
    with pytest.raises(DataError, match="no column says who speaks"):
        start(clips / "table.csv")
