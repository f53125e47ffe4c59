"""Tables of text separated by commas, tabs or the like (RFC 4180): no row is lost to a stray quote, no cell shifts.

A cell in quotes may hold separators, line ends and doubled quotes. A quote elsewhere is text. Where a quote begins a
cell that it does not end, and every line by itself has as many cells as the header, the lines are the rows and the
quote is text; otherwise the file is refused with the line.

Files of which every line stands for itself are read by pyarrow. Others, and all errors, take a slower way.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from rft.data.tables.table_file import ColumnRequest, TableFile
from rft.errors import DataError

NEVER = "\x1f"  # separates nothing, so that a line is read as one cell
BLOCK = 1 << 24  # bytes that are looked through at a time
CONTENTS_BLOCK = 1 << 20  # bytes of a file with long texts that are held at a time
SEVERAL = 4  # lines of which few distinct values are no chance
STRAY = 'Double a quote that is part of a text and put the whole cell in quotes ("so ""to"" say"), or remove it.'

_SEPARATOR_WORDS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}

Row = tuple[int, list[str]]  # the line that it begins in, and its cells


def delimited_names(file: TableFile) -> list[str]:
    """Return the names in the first line of a file.

    Raises:
        DataError: when it is empty.
        UnicodeError: when it is in another encoding.
    """
    try:
        first = next(_scan_rows(file), None)
    except DataError:  # a stray quote in the first line: as the whole file is read
        first = next(_read_rows(file), None)
    if first is None:
        raise DataError("is empty", where=file.name)
    if any("\0" in name for name in first[1]):
        raise UnicodeError("UTF-16 without a mark")
    return first[1]


def read_delimited(file: TableFile, request: ColumnRequest) -> Iterator[pa.Table]:
    """Yield the columns that are asked for: texts as dictionaries, all others as strings; null for an empty cell.

    Raises:
        DataError: a row with more or fewer cells than the header, or a quote that no reading makes sense of; each with
            its line.
    """
    if (has_quotes := _contains_byte(file, b'"')) and not _each_line_stands_alone(file):
        yield from _read_slowly(file, request, 0)
        return
    n_read = 0
    try:
        for block in _read_blocks(file, request, has_quotes=has_quotes):
            n_read += block.num_rows
            yield block
    except pa.ArrowInvalid:
        yield from _read_slowly(file, request, n_read)  # which finds the line


def _read_blocks(file: TableFile, request: ColumnRequest, *, has_quotes: bool) -> Iterator[pa.Table]:
    """Yield what pyarrow reads of a file whose lines stand for themselves; raises ``pa.ArrowInvalid``."""
    kinds = dict.fromkeys(request.names, pa.string())
    kinds |= dict.fromkeys(set(request.texts) - set(request.contents), pa.dictionary(pa.int32(), pa.string()))
    options = {
        "read_options": pyarrow.csv.ReadOptions(
            block_size=CONTENTS_BLOCK if request.contents else None,
            use_threads=not request.contents,  # which hold a block each
        ),
        "parse_options": pyarrow.csv.ParseOptions(delimiter=file.separator, quote_char='"' if has_quotes else False),
        "convert_options": pyarrow.csv.ConvertOptions(
            column_types=kinds, include_columns=list(kinds), null_values=[""], strings_can_be_null=True
        ),
    }
    if not request.contents and request.enough_rows is None:  # quicker, and codes take little
        yield pyarrow.csv.read_csv(file.open_bytes(), **options)
        return
    with pyarrow.csv.open_csv(file.open_bytes(), **options) as batches:
        for batch in batches:
            yield pa.Table.from_batches([batch])


def delimited_lines(file: TableFile) -> Iterator[int]:
    """Yield the line that each row begins in, from 1 on and without that of the header."""
    rows = _read_rows(file)
    next(rows, None)
    return (line for line, _ in rows)


def _read_slowly(file: TableFile, request: ColumnRequest, skipped: int) -> Iterator[pa.Table]:
    """Yield the columns that are asked for, without the rows that were read before."""
    rows = _read_rows(file)
    _, names = next(rows)
    wanted = {name: names.index(name) for name in request.names}
    rows = islice(rows, skipped, None)
    empty = True
    while block := list(islice(rows, request.rows_at_once)):
        for line, cells in block:
            _check_length(line, cells, names, file)
        empty = False
        yield pa.table(
            {
                name: pa.array([cells[place] or None for _, cells in block], pa.string())
                for name, place in wanted.items()
            }
        )
    if empty and not skipped:
        yield pa.table({name: pa.array([], pa.string()) for name in wanted})


def _check_length(line: int, cells: Sequence[str], names: Sequence[str], file: TableFile) -> None:
    if len(cells) != len(names):
        separator = _SEPARATOR_WORDS.get(file.separator, repr(file.separator))
        raise DataError(
            f"line {line} has {len(cells)} cells where the first line names {len(names)} columns",
            where=file.name,
            remedy=f"Put a cell that holds a {separator} in quotes, and write nothing between two {separator}s for a "
            "missing one.",
        )


def _contains_byte(file: TableFile, byte: bytes) -> bool:
    with file.open_bytes() as stream:
        return any(byte in block for block in iter(lambda: stream.read(BLOCK), b""))


def _each_line_stands_alone(file: TableFile) -> bool:
    """Tell whether every cell in quotes ends in the line that it begins in, and where it should."""
    if _contains_byte(file, NEVER.encode()):
        return False
    pattern = _whole_line_pattern(file.separator)
    whole_lines = pyarrow.csv.ParseOptions(delimiter=NEVER, quote_char=False)
    kinds = pyarrow.csv.ConvertOptions(column_types={"line": pa.string()})
    try:
        for block in _read_whole_lines(file):
            reading = pyarrow.csv.ReadOptions(column_names=["line"], block_size=len(block), use_threads=False)
            lines = pyarrow.csv.read_csv(pa.BufferReader(block), reading, whole_lines, kinds)
            if not pc.all(pc.match_substring_regex(lines["line"], pattern)).as_py():
                return False
    except pa.ArrowInvalid:
        return False
    return True


def _read_whole_lines(file: TableFile) -> Iterator[bytes]:
    """Yield a text in blocks that end with a line; raises ``pa.ArrowInvalid`` for a line that is longer than a block.

    pyarrow's own streaming reader reads 32 blocks ahead, which a large file then takes of memory.
    """
    with io.BufferedReader(file.open_bytes()) as stream:
        while block := stream.read(BLOCK):
            rest = stream.readline(BLOCK)
            if len(rest) == BLOCK:
                raise pa.ArrowInvalid("a line is longer than a block")
            yield block + rest


def _whole_line_pattern(separator: str) -> str:
    """Return the pattern of a line of which every cell is whole."""
    mark = rf"\x{ord(separator):02x}"  # which means the same everywhere in a pattern, whatever the character is
    cell = rf'(?:"(?:[^"]|"")*"|[^"{mark}][^{mark}]*|)'
    return rf"^{cell}(?:{mark}{cell})*$"


def _numbered_lines(file: TableFile) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file with their line ends, numbered from 1 on."""
    with file.open_text("") as stream:
        yield from enumerate(stream, 1)


def _is_blank(line: str) -> bool:
    return not line.strip(" \r\n")


def _strip_line_end(line: str) -> str:
    return line.rstrip("\r\n")


def _read_rows(file: TableFile) -> Iterator[Row]:
    """Yield the rows, the header first, by the one reading that makes sense of every quote; raises ``DataError``."""
    pattern = re.compile(_whole_line_pattern(file.separator))
    if all(pattern.match(_strip_line_end(line)) for _, line in _numbered_lines(file)):
        return _scan_rows(file)
    try:
        _check_rows(file)
    except DataError:
        if not _is_regular(file):
            raise
        return _by_line(file, pattern)
    return _scan_rows(file)


def _by_line(file: TableFile, pattern: re.Pattern[str]) -> Iterator[Row]:
    """Yield each line as a row; in a line that is not whole by itself, quotes are text."""
    separator = file.separator
    for number, line in _numbered_lines(file):
        bare = _strip_line_end(line)
        if _is_blank(line):
            continue
        if pattern.match(bare):
            scanner = _Scanner(separator, file.name)
            scanner.feed_line(number, bare, "")
            yield number, scanner.cells
        else:
            yield number, [_unquote_cell(cell) for cell in bare.split(separator)]


def _unquote_cell(cell: str) -> str:
    return cell[1:-1].replace('""', '"') if re.fullmatch(r'"(?:[^"]|"")*"', cell) else cell


def _is_regular(file: TableFile) -> bool:
    """Tell whether every line has as many separators as the first, one at least, whatever quotes there are."""
    separator = file.separator
    counts = {line.count(separator) for _, line in _numbered_lines(file) if not _is_blank(line)}
    return len(counts) == 1 and counts.pop() > 0


def _check_rows(file: TableFile) -> None:
    """Raise ``DataError`` where rows in quotes over several lines cannot be what was meant."""
    rows = _scan_whole_rows(file)
    _, names, _ = next(rows, (0, [], []))
    known: list[set[int]] = [set() for _ in names]  # hashes, since the values may be all there is in the file
    for line, cells, within in rows:
        _check_length(line, cells, names, file)
        if len(within) == 1:
            for values, cell in zip(known, within[0].split(file.separator), strict=False):
                values.add(hash(cell))
    for line, _, within in islice(_scan_whole_rows(file), 1, None):
        if len(within) > 1 and _looks_like_rows([text.split(file.separator) for text in within], known):
            raise DataError(
                f"the quote in line {line} makes one row of {len(within)} lines that look like rows themselves",
                where=file.name,
                remedy=STRAY,
            )


def _looks_like_rows(lines: Sequence[Sequence[str]], known: Sequence[set[int]]) -> bool:
    """Tell whether lines within one row all have the cells of a row, and in one column values as a column has them.

    These are values that single lines have there too (``known``, their hashes by column), or that repeat among the
    lines.
    """
    if any(len(cells) != len(known) for cells in lines):
        return False
    columns = [{hash(cells[place]) for cells in lines} for place in range(len(known))]
    repeat = len(lines) >= SEVERAL and any(len(values) <= len(lines) / 2 for values in columns)
    return repeat or any(values <= elsewhere for values, elsewhere in zip(columns, known, strict=True))


def _scan_rows(file: TableFile) -> Iterator[Row]:
    """Yield the rows as RFC 4180 defines them; raises ``DataError`` for a quote that ends in the middle of a cell."""
    return ((line, cells) for line, cells, _ in _scan_whole_rows(file))


def _scan_whole_rows(file: TableFile) -> Iterator[tuple[int, list[str], list[str]]]:
    """Yield the rows as ``_scan_rows`` does, and the lines that each one takes, without blank ones."""
    scanner, begin = _Scanner(file.separator, file.name), 0
    within: list[str] = []
    for number, line in _numbered_lines(file):
        if scanner.opened is None:
            if _is_blank(line):
                continue
            scanner, begin, within = _Scanner(file.separator, file.name), number, []
        bare = _strip_line_end(line)
        within += [] if _is_blank(line) else [bare]
        scanner.feed_line(number, bare, line[len(bare) :])
        if scanner.opened is None:
            yield begin, scanner.cells, within
    if scanner.opened is not None:
        raise DataError(
            f"the quote that begins a cell in line {scanner.opened} is never closed", where=file.name, remedy=STRAY
        )


@dataclass
class _Scanner:
    """Takes one row apart, line by line.

    Attributes:
        cells: those that are whole.
        opened: the line in which a cell in quotes began that is not closed yet; None between rows.
    """

    separator: str
    source: str
    cells: list[str] = field(default_factory=list)
    opened: int | None = None
    parts: list[str] = field(default_factory=list)

    def feed_line(self, number: int, line: str, end: str) -> None:
        """Take in a line, and its end where that is within quotes; raises ``DataError``."""
        place: int | None = 0
        while place is not None:
            if self.opened is None and line.startswith('"', place):
                self.opened, place = number, place + 1
            place = (
                self._read_plain_cell(line, place)
                if self.opened is None
                else self._read_quoted_cell(number, line, place, end)
            )

    def _read_plain_cell(self, line: str, place: int) -> int | None:
        """Add the cell that begins at a place; return where the next one begins."""
        end_of_cell = line.find(self.separator, place)
        self.cells.append(line[place:] if end_of_cell < 0 else line[place:end_of_cell])
        return None if end_of_cell < 0 else end_of_cell + 1

    def _read_quoted_cell(self, number: int, line: str, place: int, end: str) -> int | None:
        """Add what is within quotes from a place on; return where the next cell begins."""
        while (closing := line.find('"', place)) >= 0 and line.startswith('"', closing + 1):
            self.parts.append(line[place : closing + 1])
            place = closing + 2
        if closing < 0:
            self.parts.append(line[place:] + end)
            return None
        after = closing + 1
        if after < len(line) and line[after] != self.separator:
            raise DataError(
                f"the quote that begins a cell in line {self.opened} is closed in line {number} before the cell ends",
                where=self.source,
                remedy=STRAY,
            )
        self.cells.append("".join([*self.parts, line[place:closing]]))
        self.opened, self.parts = None, []
        return None if after == len(line) else after + 1
