"""A store that several machines share: what one computed, another one has, to the last bit."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rft.errors import OutputError, RemoteError
from rft.features import Store, mirror, shards
from rft.features.extract import Extraction, Storage, extract_features, missing_rows, row_digests, store_rows
from rft.runtime.remote.files import list_names
from rft.runtime.remote.urls import Url, parse_url
from tests.support.features_cases import Colours, Embedding, Images, Texts, as_dense, split_of
from tests.support.object_store import BUCKET, CLOSED_PORT, forget_connections, serve_bucket

COLOURS = [float(number) for number in range(600)]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    with serve_bucket() as url:
        yield url


@pytest.fixture
def shared(tmp_path: Path) -> Url:
    return Url("file", f"{tmp_path}/shared")


def extract(folder: Path, shared: Url | None, items: list = COLOURS, prefix: object = None) -> np.ndarray:
    """Return the features of items; ``prefix`` counts what it has to compute."""
    features = extract_features(
        prefix or Colours(), Images(), split_of(items), Store(folder, "k", shared), device="cpu", precision="float32"
    )
    return as_dense(features).batch(np.arange(len(items)))["features"].numpy()


def place_of(shared: Url) -> Path:
    return Path(shared.path) / "features" / "k"


def shards_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.safetensors")}


def test_another_machine_computes_nothing(tmp_path: Path, shared: Url) -> None:
    alone = extract(tmp_path / "alone", None)
    first, second = Colours(), Colours()
    assert np.array_equal(extract(tmp_path / "one", shared, prefix=first), alone)
    assert np.array_equal(extract(tmp_path / "two", shared, prefix=second), alone)
    assert (first.seen, second.seen) == (600, 0)
    assert shards_in(place_of(shared)) == shards_in(tmp_path / "one") == shards_in(tmp_path / "two")
    assert shards_in(tmp_path / "alone") == shards_in(tmp_path / "one")
    assert not list(place_of(shared).glob(".*"))


def test_only_what_is_wanted_moves(tmp_path: Path, shared: Url) -> None:
    """Of one prefix, a store may hold the features of others' data, and a cache those of data that is not for it."""
    extract(tmp_path / "one", shared, COLOURS[:300])
    extract(tmp_path / "one", None, [float(number) for number in range(5000, 5020)])
    assert len(shards_in(tmp_path / "one")) == 3
    extract(tmp_path / "one", shared, COLOURS[:300])
    assert len(shards_in(place_of(shared))) == 2  # the other data stays here
    wanted = Colours()
    extract(tmp_path / "two", shared, COLOURS[256:300], prefix=wanted)
    assert wanted.seen == 0
    assert len(shards_in(tmp_path / "two")) == 1


def test_what_could_not_be_put_is_put_by_the_next_run(
    tmp_path: Path, shared: Url, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, url: Url) -> None:
        raise RemoteError("the store cannot be reached", where=str(url))

    with monkeypatch.context() as patch:
        patch.setattr(mirror, "put_file", refuse)
        with pytest.raises(RemoteError, match="cannot be reached"):
            extract(tmp_path / "one", shared)
    assert len(shards_in(tmp_path / "one")) == 1  # what was computed is here
    again = Colours()
    extract(tmp_path / "one", shared, prefix=again)
    assert again.seen == 600 - 256
    assert shards_in(place_of(shared)) == shards_in(tmp_path / "one")


@pytest.mark.parametrize("damage", ["flipped", "cut short", "emptied", "header"])
def test_a_damaged_shard_is_made_again_on_the_store_too(
    tmp_path: Path, shared: Url, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    alone = extract(tmp_path / "one", shared)
    whole = shards_in(place_of(shared))
    path = sorted(place_of(shared).glob("*"))[0]
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[-5000] ^= 1
    elif damage == "header":
        content[2] ^= 1
    path.write_bytes({"cut short": content[:-40], "emptied": b""}.get(damage, content))
    again = Colours()
    assert np.array_equal(extract(tmp_path / "two", shared, prefix=again), alone)
    assert 0 < again.seen <= 256
    assert f"{path.name} are damaged and are made again" in caplog.text
    for name, stored in shards_in(place_of(shared)).items():
        assert hashlib.sha256(stored).hexdigest() == name.removesuffix(".safetensors")
    assert len(shards_in(place_of(shared))) == len(whole)


def test_features_of_another_version_or_kind_are_let_be(tmp_path: Path, shared: Url) -> None:
    stranger = Path(shared.path) / "features" / "key of another version" / f"{'0' * 64}.safetensors"
    stranger.parent.mkdir(parents=True)
    stranger.write_bytes(b"of another version")
    place_of(shared).mkdir()
    (place_of(shared) / "README.txt").write_text("not a shard")
    extract(tmp_path / "one", shared)
    assert stranger.read_bytes() == b"of another version"
    assert (place_of(shared) / "README.txt").exists()
    assert not (tmp_path / "one" / "features" / "key of another version").exists()


def test_a_full_disk_is_one_line_and_leaves_the_store_whole(
    tmp_path: Path, shared: Url, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(tmp_path / "one", shared)
    before = shards_in(place_of(shared))

    def refuse(path: Path, **_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "touch", refuse)
        with pytest.raises(OutputError, match="No space left on device") as refused:
            extract(tmp_path / "two", shared)
    assert len(str(refused.value).splitlines()) == 2
    assert shards_in(place_of(shared)) == before
    assert not shards_in(tmp_path / "two")


def test_processes_with_caches_of_their_own_share_an_extraction(tmp_path: Path, shared: Url) -> None:
    alone = extract(tmp_path / "alone", None)
    split = split_of(COLOURS)
    digests = row_digests(Images(), split, 1)
    for folder, share in (("one", range(256)), ("two", range(256, 600))):
        store = Store(tmp_path / folder, "k", shared)
        work = Extraction(Colours(), Images(), split.items, 1, "cpu", "float32")
        storage = Storage(store, store.find_rows([]), "float32", None)
        store_rows(work, storage, "Features", digests, work.order_by_cost(missing_rows(digests, {})), share)
    first = Colours()
    assert np.array_equal(extract(tmp_path / "one", shared, prefix=first), alone)
    assert first.seen == 0
    assert shards_in(tmp_path / "one") == shards_in(tmp_path / "alone")


def test_texts_of_any_length_are_shared(tmp_path: Path, shared: Url) -> None:
    lengths = [int(length) for length in np.random.default_rng(0).permutation(300) + 1]
    for folder, computed in (("one", True), ("two", False)):
        prefix = Embedding()
        extract_features(
            prefix, Texts(), split_of(lengths), Store(tmp_path / folder, "k", shared), device="cpu", precision="float32"
        )
        assert bool(prefix.shapes) is computed
    assert shards_in(tmp_path / "one") == shards_in(tmp_path / "two")


def test_the_first_bytes_of_a_shard_say_where_its_digests_are() -> None:
    digests = [hashlib.sha256(bytes([number])).hexdigest() for number in range(5)]
    for ragged in (False, True):
        content = shards.encode_shard(digests, [np.ones((2, 3), np.float32)] * 5, ragged=ragged)
        place = shards.locate_items(content[: shards.HEADER_BYTES])
        assert place is not None
        assert shards.split_digests(content[slice(*place)]) == digests
    assert shards.locate_items(b"") is None
    assert shards.locate_items(b"\xff" * 100) is None


def test_an_object_store_is_shared_as_a_folder_is(tmp_path: Path, server: str) -> None:
    url = parse_url(f"s3://{BUCKET}/rft")
    alone, second = extract(tmp_path / "alone", None), Colours()
    extract(tmp_path / "one", url)
    assert list_names(url.join("features", "k")) == sorted(shards_in(tmp_path / "one"))
    assert np.array_equal(extract(tmp_path / "two", url, prefix=second), alone)
    assert second.seen == 0
    assert shards_in(tmp_path / "alone") == shards_in(tmp_path / "two")


def test_a_store_that_is_not_there_is_one_line(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RemoteError, match=r"there is no bucket 'no-bucket'"):
        extract(tmp_path / "one", parse_url("s3://no-bucket/rft"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", CLOSED_PORT)
    forget_connections()
    try:
        with pytest.raises(RemoteError, match="the store cannot be reached"):
            extract(tmp_path / "one", parse_url(f"s3://{BUCKET}/rft"))
    finally:
        forget_connections()
    assert not shards_in(tmp_path / "one")
