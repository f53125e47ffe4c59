"""The sheet of a workbook of Excel, through openpyxl."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa

from rft.data.tables.kinds.json_rows import text_of
from rft.data.tables.table_file import ColumnRequest, TableFile
from rft.errors import DataError

MAX_BYTES = 2 * 10**9  # of a workbook when it is unpacked, which it is in memory
SHEETS = "Keep the table alone, or save its sheet as csv."


def excel_names(file: TableFile) -> list[str]:
    """Return the names in the first row that is not empty; raises ``DataError``."""
    first = next(_read_rows(file), None)
    if first is None:
        raise DataError("is empty", where=file.name)
    names = ["" if cell is None else str(cell) for cell in first[1]]
    while names and not names[-1]:  # columns that were formatted and never filled
        names.pop()
    return names


def excel_rows(file: TableFile) -> Iterator[int]:
    """Yield the number of each row, as Excel shows it, without that of the header."""
    return (number for number, _ in islice(_read_rows(file), 1, None))


def read_excel(file: TableFile, request: ColumnRequest) -> Iterator[pa.Table]:
    """Yield the columns that are asked for as strings; null for an empty cell.

    Raises:
        DataError: several sheets with content, or a cell beyond the names.
    """
    names = excel_names(file)
    places = {name: names.index(name) for name in request.names}
    rows = islice(_read_rows(file), 1, None)
    yield pa.table({name: pa.array([], pa.string()) for name in places})
    while block := list(islice(rows, request.rows_at_once)):
        _check_rows(block, names, file)
        yield pa.table(
            {
                name: pa.array(
                    [text_of(_cell_at(cells, place), name, f"row {number}", file.name) for number, cells in block],
                    pa.string(),
                )
                for name, place in places.items()
            }
        )


def _cell_at(cells: Sequence[Any], place: int) -> Any:
    return cells[place] if place < len(cells) else None


def _check_rows(rows: Sequence[tuple[int, Sequence[Any]]], names: Sequence[str], file: TableFile) -> None:
    for number, cells in rows:
        if any(cell is not None for cell in cells[len(names) :]):
            raise DataError(
                f"row {number} has cells beyond the {len(names)} columns that the first row names",
                where=file.name,
                remedy="Name the columns, or remove the cells.",
            )


def _read_rows(file: TableFile) -> Iterator[tuple[int, Sequence[Any]]]:
    """Yield the number and the cells of each row of the one sheet that has any, as openpyxl reads them."""
    openpyxl = _import_openpyxl(file)
    _check_size(file)
    try:
        book = openpyxl.load_workbook(file.path, read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, openpyxl.utils.exceptions.InvalidFileException) as error:
        raise DataError(f"is no workbook: {error}", where=file.name) from None
    try:
        sheets = [sheet for sheet in book.worksheets if any(True for _ in _filled_rows(sheet))]
        if len(sheets) > 1:
            named = " and ".join(repr(sheet.title) for sheet in sheets[:5])
            raise DataError(f"has {len(sheets)} sheets with content, {named}", where=file.name, remedy=SHEETS)
        for sheet in sheets:
            yield from _filled_rows(sheet)
    finally:
        book.close()


def _filled_rows(sheet: Any) -> Iterator[tuple[int, Sequence[Any]]]:
    sheet.reset_dimensions()  # what some programs write there is wrong
    for number, cells in enumerate(sheet.iter_rows(values_only=True), 1):
        if any(cell is not None for cell in cells):
            yield number, cells


def _import_openpyxl(file: TableFile) -> Any:
    try:
        import openpyxl
        import openpyxl.utils.exceptions
    except ImportError:
        raise DataError(
            "workbooks of Excel need openpyxl",
            where=file.name,
            remedy='pip install "rft[excel]", or save the sheet as csv.',
        ) from None
    return openpyxl


def _check_size(file: TableFile) -> None:
    """Raise ``DataError`` for a file that is no workbook, or that unpacks to more than may be held."""
    if not file.path.exists():
        raise FileNotFoundError(file.path)
    if not zipfile.is_zipfile(file.path):
        raise DataError("is no workbook of Excel, or is protected by a password", where=file.name)
    with zipfile.ZipFile(file.path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > MAX_BYTES:
        raise DataError(
            f"unpacks to {size:,} bytes; at most {MAX_BYTES:,} are read", where=file.name, remedy="Save it as csv."
        )
