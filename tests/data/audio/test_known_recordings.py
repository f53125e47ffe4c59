"""Recordings that were found whole before are not decoded again; damaged ones are found again in the same words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rft.data import Dataset, modalities, read_dataset
from rft.data.audio import known_recordings
from rft.data.audio.decoding import Recording, read_recording
from rft.data.file_source import FileSource
from rft.errors import DataError
from tests.data.audio.test_datasets import N, make_clip, write_table

Decoded = list[str]


@pytest.fixture
def decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Decoded:
    """Have a cache of its own; return the names of the files that are decoded from now on."""
    monkeypatch.setenv("RFT_CACHE", str(tmp_path / "cache"))
    names: Decoded = []

    def note_and_read(source: FileSource, max_seconds: float) -> Recording:
        assert isinstance(source, Path)
        names.append(source.name)
        return read_recording(source, max_seconds)

    monkeypatch.setattr(modalities, "read_recording", note_and_read)
    return names


def require_same(first: Dataset, second: Dataset) -> None:
    assert list(first.splits) == list(second.splits)
    for name, split in first.splits.items():
        again = second.splits[name]
        assert split.recordings is not None
        assert again.recordings is not None
        np.testing.assert_array_equal(split.digests, again.digests)
        for measure in ("frames", "rates", "silent"):
            np.testing.assert_array_equal(getattr(split.recordings, measure), getattr(again.recordings, measure))
    assert [remark.id for remark in first.remarks] == [remark.id for remark in second.remarks]
    assert [remark.description for remark in first.remarks] == [remark.description for remark in second.remarks]
    assert first.skipped == second.skipped


def test_a_second_run_decodes_what_has_changed_alone(tmp_path: Path, decoded: Decoded) -> None:
    config = write_table(tmp_path)
    first = read_dataset(config, tmp_path, 0)
    assert sorted(decoded) == [f"{number}.wav" for number in range(N)]
    decoded.clear()
    require_same(first, read_dataset(config, tmp_path, 0))
    assert decoded == []
    (tmp_path / "3.wav").write_bytes(make_clip(9))
    changed = read_dataset(config, tmp_path, 0)
    assert decoded == ["3.wav"]
    assert changed.splits["train"].recordings.frames[3] == round(0.19 * 16_000)


def test_damaged_files_are_decoded_each_time_and_counted_the_same(tmp_path: Path, decoded: Decoded) -> None:
    clips = [make_clip(number) for number in range(N)]
    clips[3], clips[6] = clips[3][: len(clips[3]) // 2], b"none"
    config = write_table(tmp_path, clips).model_copy(update={"on_error": "skip"})
    first = read_dataset(config, tmp_path, 0)
    decoded.clear()
    second = read_dataset(config, tmp_path, 0)
    require_same(first, second)
    assert first.skipped == 2
    [first_lost, second_lost] = [
        remark.names for run in (first, second) for remark in run.remarks if remark.id == "unreadable_items"
    ]
    assert first_lost == second_lost
    assert sorted(decoded) == ["3.wav", "6.wav"]
    with pytest.raises(DataError, match="cut short"):
        read_dataset(config.model_copy(update={"on_error": "stop"}), tmp_path, 0)


def test_another_bound_on_length_knows_nothing(tmp_path: Path, decoded: Decoded) -> None:
    config = write_table(tmp_path)
    read_dataset(config, tmp_path, 0)
    with pytest.raises(DataError, match=r"at most 0\.12 s are decoded"):
        read_dataset(config.model_copy(update={"max_seconds": 0.12}), tmp_path, 0)
    (tmp_path / "0.wav").unlink()
    with pytest.raises(DataError, match="no such recording"):
        read_dataset(config, tmp_path, 0)


def flip_digit(path: Path) -> None:
    content = path.read_bytes()
    place = content.rindex(b"0")
    path.write_bytes(content[:place] + b"1" + content[place + 1 :])


@pytest.mark.parametrize("damage", [flip_digit, lambda path: path.write_bytes(b"{"), Path.unlink])
def test_what_is_kept_is_held_against_its_hash(
    tmp_path: Path, decoded: Decoded, damage: Callable[[Path], object]
) -> None:
    config = write_table(tmp_path)
    first = read_dataset(config, tmp_path, 0)
    [kept] = (tmp_path / "cache" / known_recordings.FOLDER).iterdir()
    assert kept.stat().st_mode & 0o077 == 0
    assert b"wav" not in kept.read_bytes()
    damage(kept)
    decoded.clear()
    require_same(first, read_dataset(config, tmp_path, 0))
    assert len(decoded) == N


def test_a_cache_that_cannot_be_written_stops_nothing(
    tmp_path: Path, decoded: Decoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_table(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setenv("RFT_CACHE", str(tmp_path / "file" / "cache"))
    read_dataset(config, tmp_path, 0)
    read_dataset(config, tmp_path, 0)
    assert len(decoded) == 2 * N
