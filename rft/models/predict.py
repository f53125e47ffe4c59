"""What a saved model says of files, folders of files, or lines of text: one row an item."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from rft.config.item_files import FILE_KINDS, FileKind
from rft.errors import DataError
from rft.models.saved import SavedModel

STANDARD_INPUT = "-"


def predict_inputs(model: SavedModel, inputs: Sequence[str]) -> pd.DataFrame:
    """Return one row an item: ``item``, and what ``SavedModel.predict`` says of it.

    Args:
        model: of a finished run.
        inputs: for a model of images or recordings, their files, or folders, of which every one is taken, in the order
            of their names, hidden ones left out; for a model of texts, files with a text a line, empty lines left out,
            or ``-`` for standard input.

    Raises:
        DataError: an input is not there, holds nothing to predict, or cannot be read.
    """
    kind = FILE_KINDS.get(model.classifier.modality)
    items = [item for given in inputs for item in (_read_lines(given) if kind is None else _list_files(given, kind))]
    if not items:
        raise DataError("nothing to predict was found", where=", ".join(inputs))
    table = model.predict(items)
    table.insert(0, "item", items)
    return table


def _list_files(given: str, kind: FileKind) -> Iterator[str]:
    path = Path(given)
    if not path.is_dir():
        if not path.exists():
            raise DataError("no such file or folder", where=given)
        yield given
        return
    found = sorted(place for place in path.rglob("*") if place.suffix.lower() in kind.read and place.is_file())
    for place in found:
        if not any(part.startswith(".") for part in place.relative_to(path).parts):
            yield str(place)


def _read_lines(given: str) -> Iterator[str]:
    try:
        text = sys.stdin.read() if given == STANDARD_INPUT else Path(given).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(
            "no such file", where=given, remedy="Give a file with a text a line, or - to type texts."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read as text in UTF-8 ({error})", where=given) from None
    return (line for line in text.splitlines() if line.strip())
