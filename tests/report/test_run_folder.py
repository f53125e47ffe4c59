"""The run folder: whole or not at all, read back, rendered again, and checked against its evidence."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from rft.errors import DataError, EvidenceError, OutputError
from rft.records import Verdict
from rft.report import check_writable, open_run, place_of, save, verify, write_made_from
from rft.report.run_folder import folder
from tests.support.example_run import example_artifacts, example_run

FILES = {"audit.json", "report.html", "model-card.md", "predictions.parquet", "evidence.json"}


def contents(place: Path) -> dict[str, bytes]:
    return {file.relative_to(place).as_posix(): file.read_bytes() for file in place.rglob("*") if file.is_file()}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save(example_run(), tmp_path / "runs" / "one", example_artifacts())


def test_a_saved_run_holds_everything_and_nothing_else(saved: Path) -> None:
    names = {name.split("/")[0] for name in contents(saved)}
    assert names == FILES | {"assets", "model"}
    assert len(list((saved / "assets").iterdir())) == 4
    assert [entry.name for entry in saved.parent.iterdir()] == ["one"]
    predictions = pd.read_parquet(saved / "predictions.parquet")
    assert predictions["id"].tolist() == ["001", "=1+1"]
    assert predictions["group_gender"].isna().tolist() == [False, True]


def test_only_the_owner_may_read(saved: Path) -> None:
    for place in [saved, *saved.rglob("*")]:
        assert place.stat().st_mode & 0o777 == (0o700 if place.is_dir() else 0o600), place


@pytest.fixture(params=[0o077, 0o022], ids=["umask 077", "umask 022"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def list_modes(folder: Path) -> dict[str, int]:
    return {place.relative_to(folder).as_posix(): stat.S_IMODE(place.stat().st_mode) for place in folder.rglob("*")}


def test_unless_it_is_shared_no_umask_opens_a_run(tmp_path: Path, umask: int) -> None:
    saved = save(example_run(), tmp_path / "runs" / "one", example_artifacts())
    assert stat.S_IMODE(saved.stat().st_mode) == 0o700
    assert set(list_modes(saved).values()) == {0o700, 0o600}
    assert stat.S_IMODE(saved.parent.stat().st_mode) == 0o777 & ~umask


def test_a_shared_run_opens_what_may_go_to_others_and_nothing_else(tmp_path: Path, umask: int) -> None:
    saved = save(example_run(), tmp_path / "new" / "runs" / "one", example_artifacts(), share=True)
    modes = list_modes(saved)
    readable = {name for name, mode in modes.items() if mode & 0o077}
    assert readable == {"audit.json", "report.html", "model-card.md", "evidence.json"}
    assert {modes[name] for name in readable} == {0o640}, "the group reads and nobody else"
    assert {modes["predictions.parquet"], modes["model"], modes["assets"]} == {0o600, 0o700}
    for place in (saved, saved.parent, saved.parent.parent):  # which the group must pass to get there
        assert stat.S_IMODE(place.stat().st_mode) == 0o750
    assert not place_of(example_run().run.volatile.id).stat().st_mode & 0o077, "the key stays with its owner"
    made = write_made_from(open_run(saved), saved, tmp_path / "made", share=True)
    assert set(list_modes(made).values()) == {0o640}
    assert stat.S_IMODE(made.stat().st_mode) == 0o750


def test_without_artifacts_the_rest_is_written(tmp_path: Path) -> None:
    assert set(contents(save(example_run(), tmp_path / "r"))) >= FILES - {"predictions.parquet"}
    assert not (tmp_path / "r" / "model").exists()


def test_a_run_that_is_opened_is_the_one_that_was_saved_and_renders_the_same(saved: Path) -> None:
    run = open_run(saved)
    assert run.to_json() == example_run().to_json()
    again = write_made_from(run, saved, saved.with_name("again"))
    for name in ("audit.json", "report.html", "model-card.md"):
        assert (again / name).read_bytes() == (saved / name).read_bytes(), "images come from the run"


def test_no_absolute_path_is_written(saved: Path) -> None:
    for name in ("audit.json", "report.html", "model-card.md", "evidence.json"):
        assert str(saved.parent) not in (saved / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        ("{", "is not the JSON of a run"),
        ("[]", "is not the JSON of a run"),
        ('{"format_version": 99}', "has format version 99; this rft reads versions up to 1"),
        ('{"format_version": 1}', "is not a run: rft_version"),
    ],
)
def test_load_says_what_is_wrong(tmp_path: Path, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / "audit.json").write_text(content)
    with pytest.raises(DataError, match=words):
        folder.load(tmp_path)


def test_a_folder_in_use_is_refused(saved: Path, tmp_path: Path) -> None:
    before = contents(saved)
    with pytest.raises(OutputError, match="already holds a run") as error:
        save(example_run(), saved, example_artifacts())
    assert "--force" in str(error.value)
    assert contents(saved) == before
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "cat.jpg").write_text("a cat")
    for force in (False, True):
        with pytest.raises(OutputError, match="is not empty"):
            save(example_run(), photos, example_artifacts(), force=force)
        with pytest.raises(OutputError, match="is not empty"):
            check_writable(photos, force=force)
    assert contents(photos) == {"cat.jpg": b"a cat"}
    with pytest.raises(OutputError, match="is a file"):
        check_writable(photos / "cat.jpg")


def test_an_empty_folder_is_taken_and_force_replaces_a_run(tmp_path: Path) -> None:
    place = tmp_path / "r"
    place.mkdir()
    save(example_run(), place, example_artifacts())
    (place / "extra.txt").write_text("of the old run")
    check_writable(place, force=True)
    save(example_run(), place, force=True)
    assert not (place / "extra.txt").exists()
    assert not (place / "model").exists(), "runs are never mixed"
    assert [entry.name for entry in tmp_path.iterdir()] == ["r"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("at", ["_write_artifacts", "sync_tree", "_put_in_place"])
def test_failure_leaves_nothing_behind_and_the_old_run_intact(
    saved: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, at: str
) -> None:
    before = contents(saved)

    def raise_error(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(folder, at, raise_error)
    for place, force in ((saved, True), (saved.parent / "new", False)):
        with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else OutputError) as raised:
            save(example_run(), place, example_artifacts(), force=force)
        if isinstance(error, OSError):
            assert "the disk is full" in str(raised.value)
            assert str(place) in str(raised.value)
    assert contents(saved) == before
    assert [entry.name for entry in saved.parent.iterdir()] == ["one"]


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "Permission denied"), KeyboardInterrupt()])
@pytest.mark.parametrize("which", [1, 2])
def test_the_old_run_comes_back_when_the_new_one_cannot_take_its_place(
    saved: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, which: int
) -> None:
    before, calls, rename = contents(saved), [], Path.rename

    def rename_or_fail(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == which:
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_or_fail)
    with pytest.raises((OutputError, KeyboardInterrupt)):
        save(example_run(), saved, force=True)
    assert contents(saved) == before
    assert [entry.name for entry in saved.parent.iterdir()] == ["one"]


def test_a_folder_that_fills_meanwhile_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, write = tmp_path / "r", folder._write_everything

    def write_beside(*arguments) -> None:
        write(*arguments)
        place.mkdir()
        (place / "audit.json").write_text("somebody else's")

    monkeypatch.setattr(folder, "_write_everything", write_beside)
    with pytest.raises(OutputError, match="cannot be written"):
        save(example_run(), place, example_artifacts())
    assert contents(place) == {"audit.json": b"somebody else's"}


def test_what_is_made_from_a_run_leaves_the_run_as_it_was(saved: Path) -> None:
    before, evidence = contents(saved), json.loads((saved / "evidence.json").read_text())
    sha256 = hashlib.sha256(before["evidence.json"]).hexdigest()
    run = open_run(saved).model_copy(update={"verdict": Verdict(status="no_rules")})
    written = write_made_from(run, saved, saved.parent / "two", pages={"brief.html": lambda file: file.write_text("B")})
    assert contents(saved) == before
    assert set(contents(written)) == {"audit.json", "report.html", "model-card.md", "brief.html", "evidence.json"}
    described = json.loads((written / "evidence.json").read_text())
    assert described["made_from"] == {"run": "2b1f0c", "evidence_sha256": sha256}
    assert evidence["made_from"] is None
    assert [described[key] for key in ("run", "config", "model")] == [
        evidence[key] for key in ("run", "config", "model")
    ]
    assert set(described["files"]) == set(contents(written)) - {"evidence.json"}
    assert (verify(written).problems, verify(written).unchecked) == ((), ())
    assert open_run(written).verdict.status == "no_rules"
    (written / "brief.html").write_text("C")
    assert verify(written).problems == ("brief.html is not the file that was written",)


def test_what_is_made_from_a_folder_that_was_made_from_a_run_names_the_run_and_keeps_the_images(saved: Path) -> None:
    first = write_made_from(open_run(saved), saved, saved.parent / "two")
    second = write_made_from(open_run(first), first, saved.parent / "three")
    origins = [json.loads((place / "evidence.json").read_text())["made_from"] for place in (first, second)]
    assert origins[0] == origins[1]
    assert (second / "report.html").read_bytes() == (saved / "report.html").read_bytes()
    assert "image not kept" not in (second / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("place", [".", "assets", "new", ".."])
def test_nothing_is_made_within_a_run_or_in_its_place(saved: Path, place: str, force: bool) -> None:
    before = contents(saved)
    with pytest.raises(OutputError, match="is, holds or lies in the run"):
        write_made_from(open_run(saved), saved, saved / place, force=force)
    assert contents(saved) == before


def test_what_is_made_from_a_run_is_written_whole_or_not_at_all(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(saved)

    def raise_error(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", raise_error)
    with pytest.raises(OutputError, match="the disk is full"):
        write_made_from(open_run(saved), saved, saved.parent / "two")
    assert contents(saved) == before
    assert [entry.name for entry in saved.parent.iterdir()] == ["one"]


def test_evidence_covers_every_file_and_the_inputs(saved: Path) -> None:
    evidence = json.loads((saved / "evidence.json").read_text())
    private = {name for name in contents(saved) if name.startswith(("assets/", "predictions"))}
    assert set(evidence["files"]) == set(contents(saved)) - {"evidence.json"} - private
    assert len(evidence["keyed"]["files"]) == len(private) == 5
    assert len(evidence["keyed"]["inputs"]) == 2
    assert evidence["config"] == {"sha256": "c0" * 32}
    assert evidence["model"] == {"sha256": "5e" * 32}
    assert verify(saved).problems == ()


def test_verify_finds_what_changed_what_is_missing_and_what_was_added(saved: Path) -> None:
    (saved / "audit.json").write_text((saved / "audit.json").read_text() + " ")
    (saved / "model" / "model.json").unlink()
    (saved / "assets" / "new.png").write_bytes(b"")
    (saved / "model" / "link").symlink_to("/etc")
    (saved / "model" / "empty").mkdir()
    assert verify(saved).problems == (
        "audit.json is not the file that was written",
        "model/model.json is missing",
        "model/link was added",
        "the empty folder model/empty was added",
        "assets/new.png was added",
    )


@pytest.mark.parametrize("content", [None, "{", '{"files": []}', "[]"])
def test_verify_needs_evidence(tmp_path: Path, content: str | None) -> None:
    (tmp_path / "audit.json").write_text("{}")
    if content is not None:
        (tmp_path / "evidence.json").write_text(content)
    with pytest.raises(EvidenceError):
        verify(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 3}, "has format version 3; this rft reads 4"),
        ({"keyed": {"files": {}}}, r"is not what a run leaves: keyed\.algorithm"),
        ({"plugins": None}, "is not what a run leaves: plugins"),
        ({"plugins": {"privacy": []}}, r"is not what a run leaves: plugins\.privacy"),
        ({"files": {"audit.json": 1}}, r"is not what a run leaves: files\.audit\.json"),
        ({"more": 1}, "is not what a run leaves: more: is not expected here"),
        ({"run": "another"}, "was changed after it was written"),
        ({"content_sha256": "00" * 32}, "was changed after it was written"),
    ],
)
def test_evidence_that_is_none_says_why(saved: Path, changes: dict, message: str) -> None:
    content = json.loads((saved / "evidence.json").read_text())
    (saved / "evidence.json").write_text(json.dumps(content | changes))
    with pytest.raises(EvidenceError, match=message):
        verify(saved)


def test_a_flip_at_any_position_of_the_evidence_is_seen(saved: Path) -> None:
    """Among them those of digests, names of keys, blanks and the format version."""
    file = saved / "evidence.json"
    written = file.read_bytes()
    positions = range(0, len(written), max(len(written) // 400, 1))
    assert len(positions) >= 300
    unseen = []
    for position in positions:
        changed = bytearray(written)
        changed[position] ^= 1 << position % 8
        file.write_bytes(changed)
        try:
            problems = verify(saved).problems
        except EvidenceError:
            continue
        unseen += [] if problems else [position]
    assert unseen == []


def test_verify_needs_a_run(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "absent"):
        with pytest.raises(DataError, match="holds no run"):
            verify(place)
