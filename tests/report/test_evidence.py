"""What leaves the machine tells nobody which files were read, and the key tells its owner that they are the same."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from rft.cli.main import app
from rft.errors import DataError, EvidenceError, OutputError
from rft.records import Artifacts, InputFile
from rft.report import check_storable, save, verify
from rft.report.run_folder import run_key
from rft.report.run_folder.run_key import place_of, read
from tests.support.example_run import change_volatile, example_artifacts, example_run

SECOND = "another run"


def write_inputs(root: Path, n: int = 142) -> list[InputFile]:
    """Write files with contents that are easily guessed and names that say whose they are; return them as read."""
    names = ["labels.csv", *(f"photos/person-{number}.jpg" for number in range(n - 1))]
    (root / "photos").mkdir(parents=True)
    for number, name in enumerate(names):
        (root / name).write_text(f"smiling {number % 2}", encoding="utf-8")
    return [InputFile(name, hashlib.sha256((root / name).read_bytes()).hexdigest()) for name in names]


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """Return the folder of a run on 142 inputs in ``data``; its key lies in the state folder."""
    predictions = pd.DataFrame({"id": ["person-0"], "label": ["smiling"]})
    parts = Artifacts(predictions=predictions, inputs=write_inputs(tmp_path / "data"), folder=tmp_path / "data")
    return save(example_run(), tmp_path / "run", parts)


def of_another_run(tmp_path: Path) -> Path:
    save(change_volatile(example_run(), id=SECOND), tmp_path / "second")
    return place_of(SECOND)


def verify_run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["verify", *map(str, arguments)])
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


def keyed_hashes(released: Path) -> dict:
    return json.loads((released / "evidence.json").read_text(encoding="utf-8"))["keyed"]


def test_no_input_is_recognised_without_the_key(released: Path) -> None:
    """Try every usual hash of each input's name and content, with and without the run's id as a key."""
    content = json.loads((released / "evidence.json").read_text(encoding="utf-8"))
    text = "".join((released / name).read_text(encoding="utf-8") for name in ("evidence.json", "audit.json"))
    recognised = 0
    for file in (released.parent / "data").rglob("*"):
        if not file.is_file():
            continue
        known = (file.read_bytes(), file.name.encode(), file.relative_to(released.parent / "data").as_posix().encode())
        plain = [
            hashlib.new(kind, secret).hexdigest() for kind in ("md5", "sha1", "sha256", "sha512") for secret in known
        ]
        plain += [hmac.digest(b, secret, "sha256").hex() for secret in known for b in (b"", content["run"].encode())]
        recognised += any(trace in text for trace in [*plain, file.name])
    assert recognised == 0
    assert len(content["keyed"]["inputs"]) == 142


def test_every_input_is_recognised_with_the_key(released: Path) -> None:
    key, listed = read(place_of("2b1f0c")), keyed_hashes(released)["inputs"]
    recognised = 0
    for name in key.inputs:
        sha256 = hashlib.sha256((released.parent / "data" / name).read_bytes()).hexdigest()
        recognised += listed.get(key.name("input", name)) == key.content("input", name, sha256)
    assert recognised == 142
    assert len(set(listed.values())) == 142, "half of the files have the same bytes, and no two digests are equal"
    code, stdout, _ = verify_run(released)
    assert code == 0
    assert "Each of 8 files is the one that was written.\n142 inputs are the files that were read." in stdout


def test_the_key_is_the_owners_alone(released: Path) -> None:
    place = place_of("2b1f0c")
    assert place.stat().st_mode & 0o777 == 0o600
    assert place.parent.stat().st_mode & 0o777 == 0o700
    secret = json.loads(place.read_text(encoding="utf-8"))["key"]
    assert len(bytes.fromhex(secret)) == 32
    assert secret not in repr(read(place))
    assert not any(secret.encode() in file.read_bytes() for file in released.rglob("*") if file.is_file())


def test_without_the_key_it_is_said_what_was_not_checked(
    released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = place_of("2b1f0c").rename(tmp_path / "handed-over.json")
    (released.parent / "data" / "labels.csv").write_text("other labels", encoding="utf-8")
    monkeypatch.setenv("RFT_STATE", str(tmp_path / "another machine"))
    code, stdout, _ = verify_run(released)
    assert code == 3
    assert "3 files of the run are the ones that were written." in stdout
    assert "Not checked: assets/" in stdout
    assert "and 1 more" in stdout
    assert verify(released).unchecked[-2:] == ("predictions.parquet", "142 inputs")
    assert "Each of" not in stdout
    code, _, stderr = verify_run(released, "--key", key)
    assert code == 4
    assert "the input labels.csv is not the file that was read" in stderr


def test_a_file_for_others_is_checked_without_the_key(released: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RFT_STATE", str(released.parent / "another machine"))
    (released / "report.html").write_text("better", encoding="utf-8")
    (released / "model").mkdir()
    (released / "model" / "new").write_text("", encoding="utf-8")
    code, _, stderr = verify_run(released)
    assert code == 4
    assert "report.html is not the file that was written; model/new was added" in stderr


def test_a_wrong_key_is_told(released: Path, tmp_path: Path) -> None:
    code, _, stderr = verify_run(released, "--key", of_another_run(tmp_path))
    assert code == 2
    assert "is the key of run another run, and this is run 2b1f0c Give the key of this run: 2b1f0c.json." in stderr
    content = json.loads(place_of("2b1f0c").read_text(encoding="utf-8"))
    forged = tmp_path / "forged.json"
    forged.write_text(json.dumps(content | {"key": "00" * 32}), encoding="utf-8")
    code, _, stderr = verify_run(released, "--key", forged)
    assert code == 4
    assert "was not made with the key of this run" in stderr


@pytest.mark.parametrize(
    "content", [None, "", "{}", "[]", '{"key": "zz"}', '{"run": "a", "key": "00", "folder": "", "inputs": []}']
)
def test_what_is_no_key_is_refused(released: Path, tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "key.json"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"key\.json: (cannot be read|is no key of a run)"):
        verify(released, key=file)


def test_inputs_that_changed_moved_or_went(released: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    moved = data.rename(tmp_path / "archive")
    gone = verify(released)
    assert (gone.problems, gone.inputs, len(gone.unchecked)) == ((), 0, 142)
    code, stdout, _ = verify_run(released)
    assert code == 3
    assert "Not checked: the input labels.csv in" in stdout
    assert verify(released, data=moved).inputs == 142
    first, second = moved / "photos" / "person-1.jpg", moved / "photos" / "person-2.jpg"
    contents = first.read_bytes(), second.read_bytes()
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])
    swapped = verify(released, data=moved).problems
    assert swapped == tuple(f"the input photos/person-{n}.jpg is not the file that was read" for n in (1, 2))


def test_a_list_of_inputs_that_was_cut_is_found(released: Path) -> None:
    place = place_of("2b1f0c")
    content = json.loads(place.read_text(encoding="utf-8"))
    place.write_text(json.dumps(content | {"inputs": content["inputs"][:-1]}), encoding="utf-8")
    assert verify(released).problems == ("the inputs that the key names are not those that evidence.json lists",)


def test_a_private_file_that_was_left_out_is_no_broken_run(released: Path) -> None:
    (released / "predictions.parquet").unlink()
    checks = verify(released)
    assert (checks.problems, checks.unchecked) == ((), ("private files that are not here: 1",))


def test_each_run_has_a_key_of_its_own_and_keeps_it(released: Path, tmp_path: Path) -> None:
    assert read(of_another_run(tmp_path)).secret != read(place_of("2b1f0c")).secret
    before = keyed_hashes(released)
    parts = Artifacts(pd.read_parquet(released / "predictions.parquet"), [InputFile("labels.csv", "0" * 64)], tmp_path)
    again = save(example_run(), tmp_path / "again", parts)
    assert keyed_hashes(again)["key"] == before["key"]
    assert keyed_hashes(again)["files"] == before["files"]


def test_an_id_of_others_is_no_way_out_of_the_folder() -> None:
    for run in ("../../etc/passwd", "a/b", "", "\0", "x" * 100):
        assert place_of(run).parent == place_of("plain").parent
        assert len(place_of(run).stem) == 64


def test_a_state_folder_that_cannot_be_written_is_told_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("RFT_STATE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="RFT_STATE"):
        check_storable()
    with pytest.raises(OutputError, match="RFT_STATE"):
        save(example_run(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("change", [{"format_version": 1}, {"keyed": None}, {"keyed": {"files": {}}}])
def test_evidence_of_another_format_is_refused(released: Path, change: dict) -> None:
    file = released / "evidence.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change), encoding="utf-8")
    with pytest.raises(EvidenceError):
        verify(released)


def test_digests_are_those_of_rfc_2104() -> None:
    key = run_key.RunKey("run", bytes(range(32)), Path(), ())
    message = b'["content", "input", "a.jpg", "00"]'
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in key.secret.ljust(64, b"\0")) + message).digest()
    outer = hashlib.sha256(bytes(b ^ 0x5C for b in key.secret.ljust(64, b"\0")) + inner).hexdigest()
    assert key.content("input", "a.jpg", "00") == outer


def test_a_reviewer_checks_what_is_open_to_the_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save(example_run(), tmp_path / "run", example_artifacts(), share=True)
    monkeypatch.setenv("RFT_STATE", str(tmp_path / "of-the-reviewer"))

    def access(place: Path, wanted: int) -> bool:  # as the system answers to somebody of the group, whoever runs this
        return Path(place).stat().st_mode >> 3 & wanted == wanted

    monkeypatch.setattr("rft.report.run_folder.evidence.os.access", access)
    verification = verify(folder)
    assert verification.problems == ()
    closed = [f"{name} (closed to this user)" for name in ("assets", "model", "predictions.parquet")]
    assert list(verification.unchecked) == [*closed, "2 inputs"]
    (folder / "report.html").write_text("another", encoding="utf-8")
    assert [problem.split()[0] for problem in verify(folder).problems] == ["report.html"]
