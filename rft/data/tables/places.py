"""Where the rows of a table stand in its files, for messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice

import numpy as np

from rft.data.tables.formats import format_of
from rft.data.tables.table_file import TableFile, name_source

NAMED_ROWS = 5


@dataclass(frozen=True)
class Places:
    """Where the rows of a table stand in its files: the lines of a text, the rows of anything else, from 1 on.

    Attributes:
        files: those of the table, in the order in which they were read.
        ends: (F,) how many rows the files up to each one have, int64.
        rows: (N,) the rows of the table that are meant; None: all of them.
    """

    files: tuple[TableFile, ...]
    ends: np.ndarray
    rows: np.ndarray | None = None

    @property
    def source(self) -> str:
        """What messages call the table."""
        return name_source(self.files)

    def select_rows(self, mask: np.ndarray) -> Places:
        """Return the places of the rows of a (N,) mask."""
        kept = np.flatnonzero(mask)
        return replace(self, rows=kept if self.rows is None else self.rows[kept])

    def name_row(self, row: int) -> str:
        """Return where one row stands: ``line 7``, or ``line 7 of part-2.csv`` where there are several files."""
        return self._name_numbers([row], 1)

    def name_rows(self, mask: np.ndarray) -> str:
        """Return where the rows of a (N,) mask stand: ``line 7``, or ``3 lines (2, 5, 9)`` with the first of them."""
        rows = np.flatnonzero(mask)
        return self._name_numbers(rows[:NAMED_ROWS].tolist(), len(rows))

    def locate_row(self, row: int) -> str:
        """Return file and place of one row: ``part-2.csv, line 7``."""
        file, number = self._find_row(row)
        return f"{self.files[file].name}, {self._number_rows(file, [number])[0]}"

    def file_of(self, row: int) -> TableFile:
        """Return the file that a row stands in."""
        return self.files[self._find_row(row)[0]]

    def split_of_rows(self) -> np.ndarray:
        """Return (N,) the split that the file of each row is of, an object array."""
        lengths = np.diff(self.ends, prepend=0)
        of_all = np.repeat(np.array([file.split for file in self.files], object), lengths)
        return of_all if self.rows is None else of_all[self.rows]

    def _find_row(self, row: int) -> tuple[int, int]:
        """Return the index of the file that a row stands in, and which of its rows it is, from 0 on."""
        whole = row if self.rows is None else int(self.rows[row])
        file = int(np.searchsorted(self.ends, whole, side="right"))
        return file, whole - int(self.ends[file - 1] if file else 0)

    def _number_rows(self, file: int, rows: Sequence[int]) -> list[str]:
        """Return ``line 7`` or ``row 7`` for each of some rows of a file, in order."""
        word, numbers = format_of(self.files[file]).number_rows(self.files[file])
        first = list(islice(numbers, max(rows) + 1))  # looked for when they are asked for, in errors
        return [f"{word} {first[row]}" for row in rows]

    def _name_numbers(self, rows: Sequence[int], count: int) -> str:
        by_file = [
            (file, [number for _, number in found])
            for file, found in groupby(map(self._find_row, rows), key=lambda place: place[0])
        ]
        several = len(self.files) > 1
        if count == 1:
            (file, numbers), *_ = by_file
            return self._number_rows(file, numbers)[0] + f" of {self.files[file].name}" * several
        word = ""
        lists = []
        for file, numbers in by_file:
            named = [place.split(" ") for place in self._number_rows(file, numbers)]
            word = named[0][0]
            lists.append(", ".join(number for _, number in named) + f" of {self.files[file].name}" * several)
        return f"{count:,} {word}s ({'; '.join(lists)}{', ...' * (count > len(rows))})"
