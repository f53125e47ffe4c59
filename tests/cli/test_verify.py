"""``rft verify report.html``: a page that came alone says what the run that is embedded in it says, or is found out."""

from __future__ import annotations

import base64
import hashlib
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rft.cli.main import app
from rft.report import save
from rft.signing import sign_run
from tests.support.example_run import encode_png
from tests.support.signing_cases import write_keys
from tests.support.small_run import small_artifacts, small_run


def verify_run(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["verify", *map(str, arguments)])
    return done.exit_code, done.stdout, " ".join(done.stderr.split())


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Return a report alone, away from the folder of its run."""
    run = save(small_run(), tmp_path / "run", small_artifacts())
    return (run / "report.html").rename(tmp_path / "mailed.html")


def replace_text(page: Path, before: str, after: str) -> None:
    text = page.read_text(encoding="utf-8")
    assert before in text
    page.write_text(text.replace(before, after, 1), encoding="utf-8")


def test_a_page_as_it_was_written_passes(page: Path) -> None:
    code, stdout, stderr = verify_run(page)
    assert code == 0, stderr
    assert "Run one, smiles, 2025-03-01 12:30 UTC: pass." in stdout
    assert "The page says what the run that is embedded in it says, to the last byte." in stdout
    assert f"sha256 of this page: {hashlib.sha256(page.read_bytes()).hexdigest()}" in stdout
    assert "It stands for all of it: compare it with what whoever made the run tells you" in stdout


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<b>0.69</b>", "<b>0.99</b>"),
        ('"value":0.69', '"value":0.99'),
        (base64.b64encode(encode_png()).decode(), base64.b64encode(encode_png(shade=10)).decode()),
        ("at least 0.6", "at least 0.5"),
        ("</main>", "<script>alert(1)</script></main>"),
    ],
    ids=["a number of the page", "a number of the embedded run", "an image", "a bound", "a script"],
)
def test_a_page_that_was_changed_is_found_out(page: Path, before: str, after: str) -> None:
    replace_text(page, before, after)
    code, stdout, stderr = verify_run(page)
    assert code == 4
    assert "the page is not what the run that is embedded in it renders to" in stderr
    assert "sha256" not in stdout


def test_a_page_of_another_version_is_not_compared_and_it_is_said(tmp_path: Path) -> None:
    run = save(small_run(rft_version="0.0.1"), tmp_path / "run", small_artifacts())
    code, stdout, _ = verify_run(run / "report.html")
    assert code == 3
    assert "was not compared with the run that is embedded in it: it was made by rft 0.0.1, and this is" in stdout
    code, stdout, _ = verify_run(run)
    assert code == 3
    assert "The page was not compared with audit.json: it was made by rft 0.0.1" in stdout


def test_a_page_alone_asks_for_the_signature_of_its_run(page: Path) -> None:
    code, _, stderr = verify_run(page, "--pub", write_keys(page.parent, "audit").public)
    assert code == 2
    assert "mailed.html: is a report alone, and the signature is that of its run" in stderr
    assert "Ask for the file that rft sign wrote (RUN.dsse.json), and name it with --signature FILE." in stderr


def test_a_page_alone_is_checked_with_the_signature_of_its_run(tmp_path: Path) -> None:
    run = save(small_run(), tmp_path / "run", small_artifacts())
    other_run = save(small_run("other"), tmp_path / "other", small_artifacts())
    keys = write_keys(tmp_path, "audit")
    signature, _ = sign_run(run, keys.private)
    mailed = (run / "report.html").rename(tmp_path / "mailed.html")
    code, stdout, stderr = verify_run(mailed, "--pub", keys.public, "--signature", signature)
    assert code == 0, stderr
    assert "The page is the one that was signed by the key" in stdout
    code, stdout, stderr = verify_run(other_run / "report.html", "--pub", keys.public, "--signature", signature)
    assert code == 4
    assert "report.html is not the report of the run that was signed" in stderr
    assert "signed by the key" not in stdout


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a letter", "is no report of rft: no run is embedded in it"),
        (b"<html></html>", "is no report of rft: no run is embedded in it"),
        (b"\xff\xfe\x00", "cannot be read as a report"),
    ],
)
def test_what_is_no_report_is_said_in_plain_words(tmp_path: Path, content: bytes, sentence: str) -> None:
    file = tmp_path / "letter.html"
    file.write_bytes(content)
    code, _, stderr = verify_run(file)
    assert code == 2
    assert f"letter.html: {sentence}" in stderr


def test_what_is_embedded_must_be_a_run(page: Path) -> None:
    replace_text(page, '"format_version":', '"format":')
    code, _, stderr = verify_run(page)
    assert code == 4
    assert "what is embedded in it is no run" in stderr


def test_a_folder_whose_page_embeds_another_run_is_found_out(tmp_path: Path) -> None:
    """Though evidence.json was written anew for both."""
    run = save(small_run(), tmp_path / "run", small_artifacts())
    foreign = save(small_run("other"), tmp_path / "other", small_artifacts())
    lying = tmp_path / "lying"
    from rft.report.run_folder import folder

    texts = folder._write_texts
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            folder,
            "_write_texts",
            lambda *parts: {**texts(*parts), "report.html": (foreign / "report.html").read_text(encoding="utf-8")},
        )
        save(small_run(), lying, small_artifacts())
    assert verify_run(run)[0] == 0
    code, _, stderr = verify_run(lying)
    assert code == 4
    assert "the run that is embedded in report.html is not the one in audit.json" in stderr


def test_predictions_that_came_along_are_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = save(small_run(), tmp_path / "run", small_artifacts())
    assert "came along" not in verify_run(run)[1], "the owner of the key keeps them"
    assert "That is usual" not in verify_run(run)[1]
    monkeypatch.setenv("RFT_STATE", str(tmp_path / "of-somebody-else"))
    code, stdout, _ = verify_run(run)
    assert code == 3
    assert "Warning: predictions.parquet and assets came along: perhaps personal data" in stdout
    assert (
        "That is usual of a run that came without the key of its owner: nothing that was checked was changed" in stdout
    )
    (run / "predictions.parquet").unlink()
    assert "Warning: assets came along" in verify_run(run)[1]


@pytest.mark.parametrize("kind", ["zip", "gztar"])
@pytest.mark.parametrize("command", ["verify", "report", "export"])
def test_a_run_that_came_packed_is_to_be_unpacked(tmp_path: Path, kind: str, command: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "evidence.json").write_text("{}", encoding="utf-8")
    packed = shutil.make_archive(str(tmp_path / "run"), kind, tmp_path, "run")
    more = ("--format", "csv") if command == "export" else ()
    done = CliRunner().invoke(app, [command, packed, *more])
    assert done.exit_code == 2
    said = " ".join(done.stderr.split())
    assert f"{packed}: is an archive, and a run is a folder Unpack it and name the folder in it" in said
