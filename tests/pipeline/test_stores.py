"""URLs in a config: where they may stand, what is told before anything is read, and what the record shows of them."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from rft.errors import ConfigError, RemoteError, RftError
from rft.pipeline.plan import read_plan
from rft.pipeline.preflight import plan_audit
from rft.runtime.remote import files

STORE = "features.store=s3://bucket/rft"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data.manifest=https://host/x.csv", r"data\.manifest: expected a path, or a URL that begins with s3://"),
        ("data.manifest=simplecache::s3://bucket/x.csv", "not a chain of protocols"),
        ("data.manifest=s3://user:hunter2@bucket/x.csv", "without a name or password"),
        ("features.store=s3://bucket/x?X-Amz-Signature=hunter2", r"features\.store: expected a URL without \?"),
        ("features.store=shared", r"features\.store: expected the URL of a folder"),
        ("data.metadata=s3://bucket/x.csv", r"data\.metadata: expected a path on this machine: no URL is read here"),
        ("model.weights=s3://bucket/x.pth", r"model\.weights: expected a path on this machine: no URL is read here"),
    ],
)
def test_a_url_that_is_not_taken_is_refused(tiny: Path, override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        read_plan(tiny, [override])
    assert "hunter2" not in str(refused.value)


def test_a_table_of_a_plugin_takes_no_url(tiny: Path) -> None:
    tiny.write_text(tiny.read_text(encoding="utf-8") + "[privacy]\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"privacy\.ledger: expected a path on this machine"):
        read_plan(tiny, ["privacy.ledger=s3://bucket/ledger"])


@pytest.mark.parametrize(("library", "protocol"), [("s3fs", "s3"), ("gcsfs", "gs"), ("fsspec", "file")])
def test_a_library_that_is_missing_is_told_first(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, library: str, protocol: str
) -> None:
    monkeypatch.setattr(files, "find_spec", lambda name: None if name == library else find_spec(name))
    with pytest.raises(ConfigError, match=f"features.store: {protocol}:// needs {library}, which is not") as refused:
        plan_audit(tiny, [f"features.store={protocol}:///x".replace(":///", ":///" if protocol == "file" else "://b/")])
    assert "pip install" in str(refused.value)


def test_offline_reaches_for_no_store(tiny: Path) -> None:
    pytest.importorskip("s3fs")
    with pytest.raises(ConfigError, match=r"features\.store: s3://bucket/rft is not on this machine, and --offline"):
        plan_audit(tiny, [STORE], offline=True)
    plan_audit(tiny, [f"features.store=file://{tiny.parent}/shared"], offline=True)


def test_a_store_that_cannot_be_reached_is_told_before_the_audit(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: object) -> list[str]:
        raise RemoteError("the store cannot be reached", where=str(folder))

    monkeypatch.setattr("rft.pipeline.preflight.list_names", refuse)
    monkeypatch.setattr("rft.pipeline.preflight.require_library", lambda url, where: None)
    with pytest.raises(RftError, match="s3://bucket/rft: the store cannot be reached"):
        plan_audit(tiny, [STORE])


def test_the_record_shows_stores_and_no_paths_of_this_machine(tiny: Path) -> None:
    overrides = [STORE, "data.manifest=s3://bucket/faces/images.csv", f"data.root=file://{tiny.parent.parent}/photos"]
    shown: Any = read_plan(tiny, overrides).settings.public()
    assert shown["features"] == {"store": "s3://bucket/rft"}
    assert shown["data"]["manifest"] == "s3://bucket/faces/images.csv"
    assert shown["data"]["root"] == "photos"


def test_features_stay_with_a_frozen_part(tiny: Path) -> None:
    with pytest.raises(ConfigError, match=r"features\.store: has no effect here: nothing is frozen"):
        read_plan(tiny, [STORE, "model.freeze=none"])
    with pytest.raises(
        ConfigError, match=r"features\.actors: has no effect here: actors are those of features\.engine"
    ):
        read_plan(tiny, ["features.actors=2"])
