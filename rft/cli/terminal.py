"""The terminal as texts of users reach it: as they stand, one line each, with what cannot be seen shown by its code.

Nothing in them is read as markup of rich, as the name of an emoji or as an escape sequence of the terminal.
"""

from __future__ import annotations

import logging
import os
import sys
import textwrap
import traceback
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rft.visible import visible

PIPED = 160  # columns where the output is no terminal: files have no edge
LABEL = 12  # columns of the labels in front of facts, at least: short ones of several lists stand alike
NAME = 18  # columns that a name gets before it is broken; numbers never are


class Terminal:
    """Standard output, or standard error."""

    def __init__(self, *, stderr: bool = False) -> None:
        width = PIPED if not stderr and not sys.stdout.isatty() else None
        self._console = Console(stderr=stderr, highlight=False, soft_wrap=True, width=width, emoji=False, markup=False)

        self.without_notes = False  # errors alone are written

    @property
    def silent(self) -> bool:
        """Whether nothing is written."""
        return self._console.quiet

    @silent.setter
    def silent(self, silent: bool) -> None:
        self._console.quiet = silent

    @property
    def is_terminal(self) -> bool:
        """Whether somebody watches, and not a file or another program."""
        return self._console.is_terminal

    def shows_the_same_as(self, other: Terminal) -> bool:
        """Whether what is written to the other stands beside what is written here: in one terminal, file or pipe."""
        try:
            here, there = (os.fstat(terminal._console.file.fileno()) for terminal in (self, other))
        except OSError:  # a stream in memory: io.UnsupportedOperation
            return False
        return os.path.samestat(here, there) or (self.is_terminal and other.is_terminal)

    def say(self, *lines: str, style: str = "") -> None:
        """Write lines; a line break within one of them is none of ours, and is shown."""
        for line in lines:
            self._console.print(Text(visible(line), style))

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: Sequence[bool]) -> None:
        """Write a table with columns that are as wide as their cells, but for long names.

        Args:
            headings: (K,) of the columns.
            rows: (N, K) cells.
            numeric: (K,) which columns are written from the right, and not broken.
        """
        table = Table(box=None, pad_edge=False)
        shown = [[visible(cell) for cell in row] for row in rows]
        for number, heading in enumerate(headings):
            widest = max([len(heading), *(len(row[number]) for row in shown)])
            table.add_column(
                Text(visible(heading)),
                justify="right" if numeric[number] else "left",
                overflow="fold",
                min_width=widest if numeric[number] else min(widest, NAME),
            )
        for row in shown:
            table.add_row(*map(Text, row))
        self._console.print(table)

    def facts(self, facts: Sequence[tuple[str, str]]) -> None:
        """Write (label, text) pairs in two columns; a terminal breaks texts beneath themselves, a file keeps lines."""
        width = max(LABEL, *(len(label) for label, _ in facts)) + 2
        for label, text in facts:
            line = visible(label).ljust(width) + visible(text)
            if self.is_terminal:
                line = textwrap.fill(line, self._console.width, subsequent_indent=" " * width, break_on_hyphens=False)
            self._console.print(Text(line))

    def row(self, cells: Sequence[str], widths: Sequence[int]) -> None:
        """Write one row of a table whose rows come one by one, at once.

        Args:
            cells: (K,) the first and the last are written from the left, those between from the right.
            widths: (K,) least columns of each.
        """
        first, *between, last = (visible(cell) for cell in cells)
        padded = [cell.rjust(width) for cell, width in zip(between, widths[1:-1], strict=True)]
        self._console.print(Text("  ".join([first.ljust(widths[0]), *padded, last]).rstrip()))

    def say_traceback(self) -> None:
        """Write the traceback of the exception that is handled."""
        self._console.print(Text(visible(traceback.format_exc().rstrip(), breaks=True)))


class LogFormatter(logging.Formatter):
    """Writes a record on one line, and its traceback, if it has one, on others."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        return visible(super().formatMessage(record))

    def formatException(self, ei: object) -> str:
        """Return the lines of a traceback."""
        return visible(super().formatException(ei), breaks=True)  # type: ignore[arg-type]
