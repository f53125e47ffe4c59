"""The terminal shows texts as they are: no markup, no emoji names, no escape sequences, one line each."""

from __future__ import annotations

import logging
import sys

import pytest

from rft.cli.terminal import LogFormatter, Terminal

HOSTILE = ["[bold]x[/bold]", "\\[red]y", ":warning:", "a\x1b[2Jb", "c\u202ed", "e\nf", "\\", "[/]"]
SHOWN = ["[bold]x[/bold]", "\\[red]y", ":warning:", "a<U+001B>[2Jb", "c<U+202E>d", "e<U+000A>f", "\\", "[/]"]


def test_lines_stand_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().say(*HOSTILE, style="bold red")
    assert capsys.readouterr().out.splitlines() == SHOWN


def test_so_do_cells_and_headings(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().table([*HOSTILE, "n"], [[*HOSTILE, "632"]], numeric=[*[False] * 8, True])
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == [*SHOWN, "n"]
    assert row.split() == [*SHOWN, "632"]


def test_a_traceback_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("a\x1b[2Jb\u202e")
    except ValueError:
        Terminal(stderr=True).say_traceback()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: a<U+001B>[2Jb<U+202E>"


def test_a_record_of_the_log_is_one_line() -> None:
    record = logging.LogRecord("rft", logging.WARNING, "", 1, "left out: %s", ("a\nb\x07",), None)
    assert LogFormatter("%(name)s: %(message)s").format(record) == "rft: left out: a<U+000A>b<U+0007>"
    try:
        raise ValueError("x\u202e")
    except ValueError:
        record.exc_info = sys.exc_info()
    lines = LogFormatter("%(message)s").format(record).splitlines()
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: x<U+202E>"
