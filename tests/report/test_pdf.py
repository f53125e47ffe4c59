"""Pages as PDF: short, with the run on each page, without the network, and whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import sys
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rft.cli.main import app
from rft.errors import OutputError
from rft.report import save
from rft.report.render import pdf
from rft.report.render.brief import render_brief
from rft.report.render.html import render
from rft.report.render.print_sheet import make_static
from tests.report.test_brief import long_run
from tests.support.example_run import example_run
from tests.support.hostile_text import HOSTILE, run_with

BROWSER = next((path for name in pdf.CHROMIUM_NAMES if (path := shutil.which(name))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
PRINTED = "target.write_text('%PDF-1.4\\n' + sys.argv[-1] + '\\n%%EOF\\n')"
PAGE = "<!DOCTYPE html><title>a</title><p>b</p>"


def page_texts(file: Path) -> list[str]:
    pypdf = pytest.importorskip("pypdf")
    return [page.extract_text() for page in pypdf.PdfReader(file).pages]


def fake_browser(folder: Path, body: str) -> str:
    """Return the path of a program in the place of a browser; ``target`` is the PDF that it is asked for."""
    program = folder / "browser"
    head = f"#!{sys.executable}\nimport sys, time\nfrom pathlib import Path\n"
    target = "target = Path(next(a for a in sys.argv if a.startswith('--print-to-pdf=')).split('=', 1)[1])\n"
    program.write_text(head + target + body)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


@needs_browser
@pytest.mark.parametrize("run", [example_run(with_hostile=True), long_run()], ids=["example", "84 groups"])
def test_a_brief_has_four_pages_at_most_and_each_names_the_run(run, tmp_path: Path) -> None:
    pdf.print_pdf(render_brief(run), tmp_path / "brief.pdf")
    texts = page_texts(tmp_path / "brief.pdf")
    assert 2 <= len(texts) <= 4
    for number, text in enumerate(texts, start=1):
        assert f"run {run.run.volatile.id}" in text
        assert f"{number} / {len(texts)}" in text
    assert "Not released" in texts[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["brief.pdf"]


@needs_browser
def test_the_report_is_printed_with_the_titles_of_its_findings(tmp_path: Path) -> None:
    run = example_run()
    pdf.print_pdf(render(run), tmp_path / "report.pdf")
    texts = page_texts(tmp_path / "report.pdf")
    printed = " ".join(" ".join(texts).split())
    assert all(f"run {run.run.volatile.id}" in text for text in texts)
    missing = [
        finding.title
        for section in run.sections
        for finding in section.findings
        if " ".join(finding.title.split()) not in printed
    ]
    assert not missing


@needs_browser
def test_hostile_names_are_printed(tmp_path: Path) -> None:
    run = run_with(lambda text: text + HOSTILE)
    pdf.print_pdf(render_brief(run), tmp_path / "brief.pdf")
    assert all(
        "<U+202E>" in text and f"run {run.run.volatile.id}" in text for text in page_texts(tmp_path / "brief.pdf")
    )


@needs_browser
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_printing_asks_the_network_for_nothing(host: str, tmp_path: Path) -> None:
    """Even of a page without a policy that asks for a picture on this machine."""
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        done = threading.Event()

        def note_requests() -> None:
            while not done.is_set():
                try:
                    server.accept()[0].close()
                    asked.append(host)
                except TimeoutError:
                    continue

        thread = threading.Thread(target=note_requests)
        thread.start()
        picture = f'<img src="http://{host}:{server.getsockname()[1]}/x.png">'
        try:
            pdf.print_pdf(PAGE + picture, tmp_path / "page.pdf")
        finally:
            done.set()
            thread.join()
    assert asked == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("sys.exit(3)", "exit code 3"),
        ("", "no PDF came out"),
        ("target.write_text('%PDF-1.4 and then nothing')", "no PDF came out"),
        ("time.sleep(60)", "took more than 1 s"),
    ],
)
def test_a_browser_that_fails_leaves_the_former_file(
    body: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    file = tmp_path / "out" / "page.pdf"
    file.write_text("former")
    monkeypatch.setenv(pdf.CHROMIUM_VARIABLE, fake_browser(tmp_path, body))
    with pytest.raises(OutputError, match=problem) as caught:
        pdf.print_pdf(PAGE, file, seconds=1)
    assert "pip install 'weasyprint>=68'" in str(caught.value)
    assert file.read_text() == "former"
    assert [path.name for path in file.parent.iterdir()] == ["page.pdf"]


def test_a_file_is_written_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pdf.CHROMIUM_VARIABLE, fake_browser(tmp_path, PRINTED))
    pdf.print_pdf(PAGE, tmp_path / "page.pdf")
    assert b"file:///" in (tmp_path / "page.pdf").read_bytes()
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "page.pdf").stat().st_mode) == 0o600


def test_without_any_printer_both_remedies_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(pdf.CHROMIUM_VARIABLE, raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr(pdf, "find_spec", lambda name: None)
    with pytest.raises(OutputError, match=r"(?s)no Chromium was found.*RFT_CHROMIUM.*pip install 'weasyprint>=68'"):
        pdf.print_pdf(PAGE, tmp_path / "page.pdf")
    assert not [*tmp_path.iterdir()]


def test_a_browser_that_is_named_and_not_there_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pdf.CHROMIUM_VARIABLE, "no-such-browser")
    with pytest.raises(OutputError, match="RFT_CHROMIUM: no-such-browser is no program"):
        pdf.find_chromium()


def test_a_static_page_has_plain_colours_and_no_grid() -> None:
    static = make_static(render(example_run(with_hostile=True)))
    drawings = "".join(part.partition("</svg>")[0] for part in static.split("<svg")[1:])
    assert "<script" not in static
    assert "var(" not in drawings
    assert "#0b66a8" in drawings, "the first colour of the light page"
    assert "display: grid" not in static
    assert "flex;" not in static


@pytest.mark.parametrize("write", [render_brief, render], ids=["brief", "report"])
def test_weasyprint_prints_too(write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("weasyprint")
    monkeypatch.delenv(pdf.CHROMIUM_VARIABLE, raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    run = example_run()
    pdf.print_pdf(write(run), tmp_path / "page.pdf")
    texts = page_texts(tmp_path / "page.pdf")
    assert all(run.run.volatile.id in text for text in texts)
    assert write is not render_brief or len(texts) <= 4


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--brief"], ["brief.html"]),
        (["--pdf"], ["report.pdf"]),
        (["--brief", "--pdf"], ["brief.html", "brief.pdf"]),
    ],
)
def test_the_command_writes_pages_beside_the_report(
    options: list[str], names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(pdf.CHROMIUM_VARIABLE, fake_browser(tmp_path, PRINTED))
    run, target = save(example_run(), tmp_path / "run"), tmp_path / "out"
    result = CliRunner().invoke(app, ["report", str(run), "--out", str(target), *options])
    assert result.exit_code == 1, "that of the verdict"
    assert {"report.html", "audit.json", *names} <= {path.name for path in target.iterdir()}
    hashed = json.loads((target / "evidence.json").read_text(encoding="utf-8"))["files"]
    assert {*names} <= {*hashed}


def test_a_browser_that_fails_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pdf.CHROMIUM_VARIABLE, fake_browser(tmp_path, "sys.exit(3)"))
    run = save(example_run(), tmp_path / "run")
    result = CliRunner().invoke(app, ["report", str(run), "--out", str(tmp_path / "out"), "--pdf"])
    assert result.exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["browser", "run"]
