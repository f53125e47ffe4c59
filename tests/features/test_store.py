import hashlib
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch

from rft.errors import ConfigError, OutputError
from rft.features import Store, shards
from rft.features.store import Writer
from rft.runtime import memory


def digest_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def keep_rows(
    store: Store, rows: dict[int, np.ndarray], *, ragged: bool = False, dtype: str = "float32", limit: int = 10**9
) -> None:
    with Writer(store, store.find_rows([digest_of(number) for number in rows]), np.dtype(dtype), limit) as writer:
        for number, row in rows.items():
            writer.add_row(digest_of(number), row, ragged=ragged)


def test_rows_come_back_and_others_are_not_found(tmp_path: Path) -> None:
    store = Store(tmp_path, "k")
    rows = {number: np.full((2, 3), number, np.float32) for number in range(5)}
    keep_rows(store, rows)
    stored_rows = store.find_rows([digest_of(3), digest_of(77)])
    assert list(stored_rows.places) == [digest_of(3)]
    (shard,) = store.open_shards(stored_rows, mapped=True)
    assert np.array_equal(shard.values[stored_rows.places[digest_of(3)][1]].numpy(), rows[3])
    assert not Store(tmp_path, "another prefix").find_rows([digest_of(3)]).places


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_ragged_rows_come_back(tmp_path: Path, mapped: bool, dtype: str) -> None:
    rng = np.random.default_rng(0)
    rows = {number: rng.normal(size=(number + 1, 3)).astype(np.float32) for number in range(9)}
    store = Store(tmp_path, "k")
    keep_rows(store, rows, ragged=True, dtype=dtype)
    stored_rows = store.find_rows([digest_of(number) for number in rows])
    (shard,) = store.open_shards(stored_rows, mapped=mapped)
    assert shard.values.dtype == getattr(torch, dtype)
    for number, row in rows.items():
        assert np.array_equal(shard.row(stored_rows.places[digest_of(number)][1]).numpy(), row.astype(dtype))


def test_a_shard_is_bounded_in_bytes_and_rows(tmp_path: Path) -> None:
    keep_rows(Store(tmp_path / "bytes", "k"), {number: np.zeros(250, np.float32) for number in range(10)}, limit=3000)
    assert len(list((tmp_path / "bytes").rglob("*.safetensors"))) == 4  # three rows of 1000 bytes each, and one
    keep_rows(Store(tmp_path / "rows", "k"), {number: np.zeros(2, np.float32) for number in range(300)})
    assert len(list((tmp_path / "rows").rglob("*.safetensors"))) == 2


def test_mapped_rows_take_no_memory_before_they_are_touched(tmp_path: Path) -> None:
    store = Store(tmp_path, "k")
    keep_rows(store, {number: np.ones(1_000_000, np.float32) for number in range(30)})
    stored_rows = store.find_rows([digest_of(number) for number in range(30)])
    memory.release_freed_memory()  # or what was written is still there to be used again
    before = resident_bytes()
    (shard,) = store.open_shards(stored_rows, mapped=True)
    assert resident_bytes() - before < 10e6
    assert shard.values[[3, 7]].sum() == 2_000_000
    assert resident_bytes() - before < 30e6
    (copied,) = store.open_shards(stored_rows, mapped=False)  # so that the measurement can tell
    assert copied.values.sum() == 30_000_000
    assert resident_bytes() - before > 110e6


def resident_bytes() -> int:
    """Return the bytes of this process that are in memory, its mapped files included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("damage", ["flipped", "cut short", "emptied"])
def test_a_damaged_shard_is_noticed_and_removed(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path, "k")
    keep_rows(store, {number: np.full(3, number, np.float32) for number in range(4)})
    (path,) = tmp_path.rglob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-3] ^= 0xFF  # a flipped payload byte, which safetensors accepts
    path.write_bytes({"flipped": bytes(content), "cut short": bytes(content[:100]), "emptied": b""}[damage])
    assert not store.find_rows([digest_of(1)]).places
    assert "are damaged and are made again" in caplog.text
    assert not path.exists()


def test_what_was_left_half_written_is_never_read(tmp_path: Path) -> None:
    store = Store(tmp_path, "k")
    keep_rows(store, {1: np.zeros(3, np.float32)})
    (path,) = tmp_path.rglob("*.safetensors")
    path.rename(path.with_name(".0123.partial"))
    assert not store.find_rows([digest_of(1)]).places


def test_rows_of_another_shape_are_an_error_and_nothing_is_mixed(tmp_path: Path) -> None:
    store = Store(tmp_path, "k")
    keep_rows(store, {1: np.zeros(3, np.float32)})
    stored_rows = store.find_rows([digest_of(1), digest_of(2)])
    with pytest.raises(
        ConfigError, match=r"rows of shape \(3,\) where this backbone gives rows of shape \(4,\)"
    ) as error:
        store.write(stored_rows, [digest_of(2)], [np.zeros(4, np.float32)], ragged=False)
    assert str(tmp_path) in str(error.value)
    with pytest.raises(ConfigError, match=r"gives rows of shape \(T, 3\)"):
        store.write(stored_rows, [digest_of(2)], [np.zeros((4, 3), np.float32)], ragged=True)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1
    keep_rows(Store(tmp_path, "k"), {2: np.zeros(4, np.float32)})  # by a run that does not know the first
    with pytest.raises(ConfigError, match="shape"):
        store.find_rows([digest_of(1), digest_of(2)])


def test_float16_that_overflows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="1e\\+05 is more than float16 holds, 65,504"):
        keep_rows(Store(tmp_path, "k"), {1: np.array([-1e5], np.float32)}, dtype="float16")


def test_features_are_for_their_owner_only(tmp_path: Path) -> None:
    keep_rows(Store(tmp_path / "cache", "k"), {1: np.zeros(3, np.float32)})
    for folder in (tmp_path / "cache").rglob("*/"):
        assert folder.stat().st_mode & 0o077 == 0


def test_a_full_disk_is_an_error_for_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rft.features.store.os.fsync", fail_full)
    with pytest.raises(OutputError, match="cannot keep features: No space left on device"):
        keep_rows(Store(tmp_path, "k"), {1: np.zeros(3, np.float32)})
    assert not list((tmp_path / "features").rglob("*.*"))


def _keep_many(folder: Path, start: int) -> None:
    for number in range(start, start + 30):
        keep_rows(Store(folder, "k"), {number: np.full(3, number, np.float32)})


def test_two_processes_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    forked = multiprocessing.get_context("fork")
    workers = [forked.Process(target=_keep_many, args=(tmp_path, start)) for start in (0, 15)]  # half of it the same
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    store = Store(tmp_path, "k")
    stored_rows = store.find_rows([digest_of(number) for number in range(45)])
    shards = store.open_shards(stored_rows, mapped=True)
    for number in range(45):
        shard, row = stored_rows.places[digest_of(number)]
        assert shards[shard].values[row].tolist() == [number] * 3


def test_a_shard_that_another_run_removes_meanwhile_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path, "k")
    keep_rows(store, {1: np.zeros(3, np.float32)})
    real = Path.open

    def open_removed(path: Path, *args: object, **kwargs: object) -> object:
        path.unlink(missing_ok=True)
        return real(path, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", open_removed)
    assert not store.find_rows([digest_of(1)]).places


def test_maps_that_lie_channels_last_are_read_as_they_were(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [np.moveaxis(rng.normal(size=(4, 5, 3)).astype(np.float32), -1, 0) for _ in range(3)]  # (3, 4, 5)
    digests = [hashlib.sha256(bytes([number])).hexdigest() for number in range(3)]
    path = tmp_path / "shard.safetensors"
    path.write_bytes(shards.encode_shard(digests, rows, ragged=False))
    for mapped in (False, True):
        shard = shards.open_shard(path, mapped=mapped)
        assert np.array_equal(shard.values.numpy(), np.stack(rows))
