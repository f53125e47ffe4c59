"""Tables, images and recordings at URLs: as those on disk, and nothing is read that the config does not name."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rft.config.schema import Config, DataConfig, PredictionsConfig
from rft.data import read_dataset, read_predictions
from rft.data.manifest import Dataset
from rft.errors import ConfigError, DataError, OutputError, RemoteError
from rft.runtime.remote import copies
from tests.conftest import write_images
from tests.support.audio_cases import encode_sound, make_tone
from tests.support.object_store import BUCKET, CLOSED_PORT, forget_connections, put_folder, serve_bucket

FEW = 12  # images
COLUMNS = {"image": "file", "label": "colour", "unit": "person", "groups": ["camera"], "split": "split"}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    with serve_bucket() as url:
        yield url


def read_images(folder: Path, manifest: str, **keys: object) -> Dataset:
    return read_dataset(DataConfig(manifest=manifest, **COLUMNS, **keys), folder, 0)


def assert_alike(one: Dataset, two: Dataset) -> None:
    assert one.classes == two.classes
    assert one.splits.keys() == two.splits.keys()
    for name, split in one.splits.items():
        assert split.digests.tolist() == two.splits[name].digests.tolist()
        assert split.labels.tolist() == two.splits[name].labels.tolist()
        assert [item.read_bytes() for item in split.items] == [item.read_bytes() for item in two.splits[name].items]
    assert [file.sha256 for file in one.inputs] == [file.sha256 for file in two.inputs]


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_a_table_at_a_url_of_a_file_is_that_of_its_path(tmp_path: Path, kind: str) -> None:
    table = write_images(tmp_path / "data", FEW)
    if kind == "parquet":
        table.to_parquet(tmp_path / "data" / "images.parquet")
    elif kind == "jsonl":
        table.to_json(tmp_path / "data" / "images.jsonl", orient="records", lines=True)
    local = read_images(tmp_path, f"data/images.{kind}")
    by_url = read_images(tmp_path / "elsewhere", f"file://{tmp_path}/data/images.{kind}")
    assert_alike(local, by_url)
    # A path of this machine stays one, so that what was read can be checked later.
    assert [file.path for file in by_url.inputs][:2] == [f"{tmp_path}/data/images.{kind}", f"{tmp_path}/data/000.png"]


def test_tables_and_images_on_a_store_are_those_on_disk(tmp_path: Path, server: str) -> None:
    table = write_images(tmp_path / "data", FEW)
    (tmp_path / "data" / "parts").mkdir()
    for number, part in enumerate(np.array_split(np.arange(len(table)), 2)):
        table.assign(file="../" + table["file"]).iloc[part].to_parquet(tmp_path / f"data/parts/part-{number}.parquet")
    put_folder(tmp_path / "data", f"s3://{BUCKET}/photos")
    local = read_images(tmp_path, "data/images.csv")
    remote = read_images(tmp_path, f"s3://{BUCKET}/photos/images.csv")
    assert_alike(local, remote)
    assert remote.inputs[0].path == f"s3://{BUCKET}/photos/images.csv"
    assert remote.inputs[1].path == f"s3://{BUCKET}/photos/000.png"
    parts = read_images(tmp_path, f"s3://{BUCKET}/photos/parts/part-*.parquet")
    assert [split.digests.tolist() for split in parts.splits.values()] == [
        split.digests.tolist() for split in local.splits.values()
    ]
    assert parts.inputs[2].path == f"s3://{BUCKET}/photos/000.png"


def test_a_table_on_disk_names_images_of_the_store_that_the_config_names(tmp_path: Path, server: str) -> None:
    table = write_images(tmp_path / "data", FEW)
    put_folder(tmp_path / "data", f"s3://{BUCKET}/photos")
    table.to_csv(tmp_path / "relative.csv", index=False)
    table.assign(file=f"s3://{BUCKET}/photos/" + table["file"]).to_csv(tmp_path / "urls.csv", index=False)
    local = read_images(tmp_path, "data/images.csv")
    for manifest in ("relative.csv", "urls.csv"):
        remote = read_images(tmp_path, manifest, root=f"s3://{BUCKET}/photos")
        assert [file.path for file in remote.inputs][1] == f"s3://{BUCKET}/photos/000.png"
        assert remote.splits["test"].digests.tolist() == local.splits["test"].digests.tolist()
    assert_alike(local, read_images(tmp_path, "data/images.csv", root="data"))


@pytest.mark.parametrize("on_error", ["stop", "skip"])
@pytest.mark.parametrize("name", ["s3://bucket/000.png", "https://host/000.png", "file:///etc/hostname"])
def test_a_table_on_disk_does_not_reach_for_the_network(tmp_path: Path, name: str, on_error: str) -> None:
    table = write_images(tmp_path / "data", FEW)
    table.loc[3, "file"] = name
    table.to_csv(tmp_path / "data" / "images.csv", index=False)
    with pytest.raises(ConfigError, match=r"images\.csv: a cell that names a file") as refused:
        read_images(tmp_path, "data/images.csv", on_error=on_error)
    assert "data.root" in str(refused.value)


@pytest.mark.parametrize("name", ["/etc/hostname", "../../x.png", "s3://other/x.png", "file:///etc/hostname"])
def test_a_table_on_a_store_does_not_reach_for_this_machine(tmp_path: Path, server: str, name: str) -> None:
    table = write_images(tmp_path / "data", FEW)
    table.loc[3, "file"] = name
    table.to_csv(tmp_path / "data" / "images.csv", index=False)
    put_folder(tmp_path / "data", f"s3://{BUCKET}/hostile")
    with pytest.raises(ConfigError, match="a cell that names a file"):
        read_images(tmp_path, f"s3://{BUCKET}/hostile/images.csv", on_error="skip")


def test_an_image_of_two_people_is_refused_on_a_store_too(tmp_path: Path, server: str) -> None:
    table = write_images(tmp_path / "data", FEW)
    table.loc[2, "file"] = table.loc[0, "file"]
    table.to_csv(tmp_path / "data" / "images.csv", index=False)
    put_folder(tmp_path / "data", f"s3://{BUCKET}/twice")
    with pytest.raises(DataError, match="is of two units"):
        read_images(tmp_path, f"s3://{BUCKET}/twice/images.csv")


def test_absent_and_damaged_images_are_named_or_skipped(tmp_path: Path, server: str) -> None:
    write_images(tmp_path / "data", FEW)
    (tmp_path / "data" / "001.png").unlink()
    (tmp_path / "data" / "002.png").write_bytes(b"no image")
    put_folder(tmp_path / "data", f"s3://{BUCKET}/damaged")
    manifest = f"s3://{BUCKET}/damaged/images.csv"
    with pytest.raises(DataError, match=r"damaged/001\.png: no such image"):
        read_images(tmp_path, manifest)
    assert read_images(tmp_path, manifest, on_error="skip").skipped == 2


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_a_store_that_goes_away_stops_the_run(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch, on_error: str
) -> None:
    """An image that cannot be reached is none that cannot be read: skipping would audit whatever was left."""
    write_images(tmp_path / "data", FEW)
    monkeypatch.setenv("AWS_ENDPOINT_URL", CLOSED_PORT)
    forget_connections()
    try:
        with pytest.raises(RemoteError, match="the store cannot be reached") as refused:
            read_images(tmp_path, "data/images.csv", root=f"s3://{BUCKET}/photos", on_error=on_error)
    finally:
        forget_connections()
    assert "AWS_ENDPOINT_URL" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"s3://{BUCKET}/none.csv", "no such file"),
        ("s3://no-bucket/none.csv", "no such file"),
        (f"s3://{BUCKET}/none-*.csv", "no file has such a name"),
    ],
)
def test_a_table_that_is_not_there_is_one_line(tmp_path: Path, server: str, url: str, said: str) -> None:
    with pytest.raises(DataError, match=said) as refused:
        read_images(tmp_path, url)
    assert str(refused.value).startswith(url)


def test_a_full_disk_is_told_before_anything_is_read(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise OSError(28, "No space left on device")

    write_images(tmp_path / "data", FEW)
    put_folder(tmp_path / "data", f"s3://{BUCKET}/full")
    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(OutputError, match="No space left on device"):
        read_images(tmp_path, f"s3://{BUCKET}/full/images.csv")


def test_a_table_is_fetched_anew_each_time(tmp_path: Path) -> None:
    table = write_images(tmp_path / "data", FEW)
    url = f"file://{tmp_path}/data/images.csv"
    assert len(read_images(tmp_path, url).splits["test"]) == 6
    table.iloc[:10].to_csv(tmp_path / "data" / "images.csv", index=False)
    assert len(read_images(tmp_path, url).splits["test"]) == 4


def test_copies_are_for_this_user_alone() -> None:
    assert Path(copies._open_folder().name).stat().st_mode & 0o077 == 0


def test_recordings_on_a_store_are_those_on_disk(tmp_path: Path, server: str) -> None:
    pytest.importorskip("soundfile")
    (tmp_path / "sounds").mkdir()
    for number in range(8):
        (tmp_path / "sounds" / f"{number}.wav").write_bytes(encode_sound(make_tone(hertz=300 + 10 * number)))
    rows = {
        "file": [f"{number}.wav" for number in range(8)],
        "word": ["yes", "no"] * 4,
        "split": ["train"] * 4 + ["test"] * 4,
    }
    pd.DataFrame(rows).to_csv(tmp_path / "sounds" / "sounds.csv", index=False)
    put_folder(tmp_path / "sounds", f"s3://{BUCKET}/sounds")
    columns = {"audio": "file", "label": "word", "split": "split"}
    local = read_dataset(DataConfig(manifest="sounds/sounds.csv", **columns), tmp_path, 0)
    remote = read_dataset(DataConfig(manifest=f"s3://{BUCKET}/sounds/sounds.csv", **columns), tmp_path, 0)
    assert_alike(local, remote)
    assert remote.splits["train"].recordings.frames.tolist() == [len(make_tone())] * 4


def test_predictions_on_a_store_are_those_on_disk(tmp_path: Path, server: str) -> None:
    table = pd.DataFrame({"label": ["a", "b"] * 10, "said": ["a", "a", "b", "b"] * 5})
    table.to_csv(tmp_path / "predictions.csv", index=False)
    put_folder(tmp_path, f"s3://{BUCKET}/predictions")
    read = [
        read_predictions(
            Config(
                name="x", data=DataConfig(label="label"), predictions=PredictionsConfig(file=file, prediction="said")
            ),
            tmp_path,
        )
        for file in ("predictions.csv", f"s3://{BUCKET}/predictions/predictions.csv")
    ]
    assert read[0][1].equals(read[1][1])
    assert read[0][0].inputs[0].sha256 == read[1][0].inputs[0].sha256
    assert read[1][0].inputs[0].path == f"s3://{BUCKET}/predictions/predictions.csv"
