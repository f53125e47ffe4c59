"""The cache of features over many runs: what is read again, what damage is noticed, and what is removed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from rft.cli.main import app
from rft.features import Store, shards, verified
from rft.features.cached_prefixes import list_cached_prefixes, prune_cache, verify_cache
from rft.features.extract import extract_features
from tests.features.test_store import digest_of, keep_rows
from tests.support import ROOT
from tests.support.features_cases import Colours, Images, split_of

ITEMS = [3.0, 7.0, 5.0, 90.0]
ROWS = {number: np.full(1000, number, np.float32) for number in range(4)}


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of shards that are read to the last byte from here on."""
    names: list[str] = []
    is_whole = shards.is_whole

    def note(path: Path) -> bool:
        names.append(path.name)
        return is_whole(path)

    monkeypatch.setattr(shards, "is_whole", note)
    return names


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take files for settled that were written a moment ago."""
    monkeypatch.setattr(verified, "SETTLED_AFTER", -(10**10))


def flip_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[8 + int.from_bytes(content[:8], "little")] ^= 0xFF  # the first of the features: the index comes last
    path.write_bytes(content)


def rot_byte(path: Path) -> None:
    """Flip a byte as a failing disk does: the system shows no change."""
    flip_byte(path)
    noted = path.parent / verified.FILE_NAME
    content = json.loads(noted.read_text())
    content["shards"][path.name] = verified.stamp_file(path)
    noted.write_text(json.dumps(content))


@pytest.mark.usefixtures("settled")
def test_a_whole_shard_is_read_once(tmp_path: Path, hashed: list[str]) -> None:
    store = Store(tmp_path, "k")
    keep_rows(store, ROWS)
    for _ in range(3):
        assert len(store.find_rows([digest_of(1)]).places) == 1
    (path,) = tmp_path.rglob("*.safetensors")
    assert hashed == [path.name]


def test_a_shard_that_was_just_written_is_read_again(tmp_path: Path, hashed: list[str]) -> None:
    store = Store(tmp_path, "k")
    keep_rows(store, ROWS)
    for _ in range(2):
        store.find_rows([digest_of(1)])
    assert len(hashed) == 2
    assert not list(tmp_path.rglob(verified.FILE_NAME))


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("content", ["{", "[]", '{"version": 0, "shards": {}}', '{"version": 1, "shards": 3}'])
def test_notes_of_another_version_are_ignored(tmp_path: Path, hashed: list[str], content: str) -> None:
    store = Store(tmp_path, "k")
    keep_rows(store, ROWS)
    store.find_rows([digest_of(1)])
    (noted,) = tmp_path.rglob(verified.FILE_NAME)
    noted.write_text(content)
    assert len(store.find_rows([digest_of(1)]).places) == 1
    assert len(hashed) == 2
    assert json.loads(noted.read_text())["version"] == verified.VERSION


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("touched", ["now", "as before"])
def test_wrong_bytes_of_the_right_size_are_noticed(tmp_path: Path, touched: str) -> None:
    store = Store(tmp_path, "k")
    keep_rows(store, ROWS)
    store.find_rows([digest_of(1)])
    (path,) = tmp_path.rglob("*.safetensors")
    before = path.stat()
    flip_byte(path)
    if touched == "as before":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert not store.find_rows([digest_of(1)]).places
    assert not path.exists()


@pytest.mark.usefixtures("settled")
def test_a_byte_that_the_disk_lost_is_noticed_by_verify_and_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RFT_CACHE", str(tmp_path))
    split, store = split_of(ITEMS), Store(tmp_path, "k")

    def extract() -> tuple[torch.Tensor, int]:
        prefix = Colours()
        features = extract_features(prefix, Images(), split, store, device="cpu", precision="float32")
        return features.batch(range(len(ITEMS)))["features"], prefix.seen

    first, computed = extract()
    extract()
    (path,) = tmp_path.rglob("*.safetensors")
    rot_byte(path)
    wrong, none = extract()
    assert (computed, none) == (4, 0)
    assert not torch.equal(wrong, first)  # or what follows would show nothing
    done = CliRunner().invoke(app, ["cache", "verify", "--json"])
    content = json.loads(done.stdout)
    assert (done.exit_code, content["checked"], content["damaged"]) == (4, 1, [f"k/{path.name}"])
    assert "rft: 1 of 1 files of features were damaged and are removed" in done.stderr
    again, computed = extract()
    assert computed == 4
    assert torch.equal(again, first)
    assert CliRunner().invoke(app, ["cache", "verify"]).exit_code == 0


def test_what_was_used_longest_ago_is_removed_first(tmp_path: Path) -> None:
    for number, key in enumerate(("oldest", "middle", "newest")):
        keep_rows(Store(tmp_path, key), ROWS)
        os.utime(tmp_path / "locks" / f"{key}.lock", (number, number))
    prefixes = list_cached_prefixes(tmp_path)
    assert [prefix.key for prefix in prefixes] == ["newest", "middle", "oldest"]
    size = prefixes[0].size
    assert size > 16_000
    assert prune_cache(tmp_path, 3 * size).removed == []
    pruned = prune_cache(tmp_path, 2 * size)
    assert ([prefix.key for prefix in pruned.removed], pruned.in_use, pruned.size) == (["oldest"], [], 2 * size)
    Store(tmp_path, "middle").find_rows([digest_of(1)])  # and so used last
    assert [prefix.key for prefix in prune_cache(tmp_path, size).removed] == ["newest"]
    assert [prefix.key for prefix in list_cached_prefixes(tmp_path)] == ["middle"]


def test_mapped_features_are_in_use_while_anything_refers_to_them(tmp_path: Path) -> None:
    store = Store(tmp_path, "k")
    keep_rows(store, ROWS)
    mapped = store.open_shards(store.find_rows([digest_of(1)]), mapped=True)
    pruned = prune_cache(tmp_path, 0)
    assert (pruned.removed, [prefix.key for prefix in pruned.in_use]) == ([], ["k"])
    assert mapped[0].values.shape == (4, 1000)
    del mapped
    assert [prefix.key for prefix in prune_cache(tmp_path, 0).removed] == ["k"]
    assert not store.find_rows([digest_of(1)]).places


def test_what_another_process_uses_stays_until_it_ends_even_by_a_kill(tmp_path: Path) -> None:
    keep_rows(Store(tmp_path, "k"), ROWS)
    code = (
        "import sys, time; from pathlib import Path; from rft.features import Store\n"
        f"stored = Store(Path({str(tmp_path)!r}), 'k').find_rows([{digest_of(1)!r}])\n"
        "print(len(stored.places), flush=True); time.sleep(600)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment) as user:
        try:
            assert user.stdout is not None
            assert user.stdout.readline() == b"1\n"
            assert [prefix.key for prefix in prune_cache(tmp_path, 0).in_use] == ["k"]
            assert list(tmp_path.rglob("*.safetensors"))
        finally:
            user.send_signal(signal.SIGKILL)
    assert [prefix.key for prefix in prune_cache(tmp_path, 0).removed] == ["k"]


def _keep_and_read(folder: Path, start: int) -> None:
    """Keep rows and read them while another process removes what is not in use."""
    store = Store(folder, "k")
    for number in range(start, start + 40):
        stored = store.find_rows([digest_of(number)])
        store.write(stored, [digest_of(number)], [np.full(3, number, np.float32)], ragged=False)
        shard, row = stored.places[digest_of(number)]
        assert store.open_shards(stored, mapped=True)[shard].values[row].tolist() == [number] * 3


def _prune_often(folder: Path) -> None:
    for _ in range(300):
        prune_cache(folder, 0)


def test_two_runs_and_one_that_prunes_do_not_disturb_each_other(tmp_path: Path) -> None:
    forked = multiprocessing.get_context("fork")
    workers = [forked.Process(target=_keep_and_read, args=(tmp_path, start)) for start in (0, 20)]
    workers.append(forked.Process(target=_prune_often, args=(tmp_path,)))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert [damaged for _, damaged in verify_cache(tmp_path) if damaged] == []


def test_a_cache_that_can_only_be_read_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_rows(Store(tmp_path, "k"), ROWS)

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("rft.features.cache_lock._open_lock", refuse)
    assert len(Store(tmp_path, "k").find_rows([digest_of(1)]).places) == 1


def test_the_command_lists_and_prunes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RFT_CACHE", str(tmp_path))
    assert "0 B in" in CliRunner().invoke(app, ["cache", "list"]).stdout
    keep_rows(Store(tmp_path, "k"), ROWS)
    (prefix,) = json.loads(CliRunner().invoke(app, ["cache", "list", "--json"]).stdout)["prefixes"]
    assert (prefix["key"], prefix["files"]) == ("k", 1)
    done = CliRunner().invoke(app, ["cache", "prune", "--to", "1MB", "--json"])
    assert json.loads(done.stdout)["removed"] == []
    held = Store(tmp_path, "k").find_rows([digest_of(1)])
    done = CliRunner().invoke(app, ["cache", "prune", "--to", "0MB"])
    assert "1 of what was next are in use by running audits" in " ".join(done.stdout.split())
    del held
    done = CliRunner().invoke(app, ["cache", "prune", "--to", "0MB"])
    assert "Removed: 16." in done.stdout
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prune"], "--to: is missing"),
        (["list", "--to", "1GB"], "--to: is for prune alone"),
        (["prune", "--to", "lots"], "--to: expected a size such as 2GB"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["cache", *arguments])
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
