"""What parts the cells of a file where its suffix says something else, and what is said of such assumptions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from rft.data.remarks import Remark, join_names
from rft.data.tables.formats import FORMATS
from rft.data.tables.table_file import TableFile
from rft.errors import DataError

CANDIDATES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def settle_separator(file: TableFile, wanted: Sequence[str], list_names: Callable[[TableFile], list[str]]) -> TableFile:
    """Return a file with the separator that it is read with.

    Another than that of its suffix is taken where the first line names all wanted columns with it alone; that all
    lines have as many cells, reading them shows.

    Args:
        file: of any kind.
        wanted: names of columns.
        list_names: gives the names of the columns of a file.
    """
    kind = FORMATS.get(file.suffix)
    if kind is None or not kind.is_delimited or file.layout.separator or not wanted:
        return file
    if set(wanted) <= set(list_names(file)):
        return file
    fitting = []
    for separator in CANDIDATES:
        other = replace(file, layout=replace(file.layout, separator=separator, assumed=True))
        try:
            fits = set(wanted) <= set(list_names(other))
        except DataError:  # a quote that makes no sense with this separator
            continue
        fitting += [other] if fits else []
    return fitting[0] if len(fitting) == 1 else file


def find_separator(file: TableFile, list_names: Callable[[TableFile], list[str]]) -> TableFile:
    """Return a file with the separator that parts its first line into most columns, where its suffix's parts none.

    For a first look, where no column is known by its name; arguments as for ``settle_separator``.
    """
    kind = FORMATS.get(file.suffix)
    if kind is None or not kind.is_delimited or file.layout.separator or len(list_names(file)) > 1:
        return file
    layouts = [replace(file.layout, separator=separator, assumed=True) for separator in CANDIDATES]
    return max([file, *(replace(file, layout=layout) for layout in layouts)], key=lambda other: len(list_names(other)))


def suggest_separator(file: TableFile, names: Sequence[str]) -> str | None:
    """Return what to say of a file in which a single column was seen, where its name holds other separators."""
    kind = FORMATS.get(file.suffix)
    if len(names) != 1 or kind is None or not kind.is_delimited:
        return None
    for separator, word in CANDIDATES.items():
        if separator in names[0] and separator != file.separator:
            said = CANDIDATES.get(file.separator, repr(file.separator))
            return (
                f"It was read as separated by {said} and seems to be separated by {word}: "
                f"set data.separator = {_quote_separator(separator)}, and see that the column has this name."
            )
    return None


def layout_remarks(files: Sequence[TableFile]) -> Iterator[Remark]:
    """Yield what was assumed of how files of text are written, where the config does not say it."""
    texts = [file for file in files if FORMATS[file.suffix].is_text]
    marked = [file for file in texts if file.marked_encoding]
    if marked:
        yield Remark(
            id="encoding",
            title="Tables in another encoding than UTF-8",
            value=len(marked),
            unit="files",
            n=len(files),
            description=f"A mark at the beginning says that {_name_files(marked)} "
            f"{'is' if len(marked) == 1 else 'are'} {marked[0].encoding.upper()}, and so it was read.",
            status="info",
        )
    found = [file for file in texts if file.layout.assumed]
    if found:
        word = CANDIDATES[found[0].separator]
        yield Remark(
            id="separator",
            title="Tables with another separator than their suffix says",
            value=len(found),
            unit="files",
            n=len(files),
            description=f"{_name_files(found)} was read as separated by {word}, since the first line names all "
            f"columns that way alone. To say it: data.separator = {_quote_separator(found[0].separator)}.",
        )


def _name_files(files: Sequence[TableFile]) -> str:
    return join_names([file.name for file in files], 3)


def _quote_separator(separator: str) -> str:
    return '"\\t"' if separator == "\t" else f'"{separator}"'
