"""The names of splits: train, validation and test, and what folders and tables usually call them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import pandas as pd

from rft.data.remarks import Remark, join_names
from rft.errors import DataError

SPLITS = ("train", "validation", "test")

# The words by which the library datasets of Hugging Face knows splits (`datasets.data_files`), and the field's others.
_WORDS = {
    "train": ("train", "training", "trn"),
    "validation": ("validation", "valid", "val", "dev", "development"),
    "test": ("test", "testing", "tst", "eval", "evaluation", "holdout", "heldout"),
}
_BY_WORD = {word + ending: split for split, words in _WORDS.items() for word in words for ending in ("", "set")}
_FILLERS = {"set", "data", "dataset", "split", "images", "image", "imgs", "img", "pictures", "photos", "seg"}


def split_named(name: str) -> str | None:
    """Return the split that a folder or a cell is called after, or None.

    Case, digits, blanks and words such as ``set`` do not count: ``Train``, ``VAL``, ``test_set``, ``val2017``.

    >>> split_named("Testing"), split_named("hold-out"), split_named("cats")
    ('test', 'test', None)
    """
    words = re.split(r"[\W\d_]+", unicodedata.normalize("NFKC", name).casefold())
    return _BY_WORD.get("".join(word for word in words if word not in _FILLERS))


def expected_splits() -> str:
    """Return what a split may be called, in words."""
    return ", ".join(SPLITS) + ", or one of their usual other names, such as valid, dev or holdout"


def empty_split_error(
    name: str, splits: pd.Series, source: str, *, column: str | None, n_units: int | None
) -> DataError:
    """Return the error for a split without examples, with where they are and what puts some there.

    Args:
        name: of the split.
        splits: (N,) the split of each example.
        source: what was read.
        column: the column that says the split; None where it was drawn.
        n_units: how many units there are to be drawn; None where none are declared.
    """
    held = ", ".join(f"{n:,} in {split}" for split, n in splits.value_counts().items())
    if column is not None:
        source, remedy = f"{source}, column {column!r}", f"Write {name} there for some rows, or give data.test."
    elif n_units is not None:
        there = "is 1" if n_units == 1 else f"are {n_units:,}"
        remedy = (
            f"A unit lies on one side of the split, and there {there}: give another seed, or a column with the split."
        )
    else:
        remedy = "Give another share in data.test, or a column with the split."
    return DataError(f"no example is in the {name} split: {held or 'there are none'}", where=source, remedy=remedy)


def split_names_remark(names: Iterable[str]) -> list[Remark]:
    """Return the remark that says how names of splits were read, where any is not rft's own; empty otherwise."""
    distinct = sorted(set(names))
    spelled = {split: [name for name in distinct if split_named(name) == split] for split in SPLITS}
    renamed = [name for name in distinct if name not in SPLITS]
    if not renamed:
        return []
    doubled = {split: spellings for split, spellings in spelled.items() if len(spellings) > 1}
    read = "; ".join(
        f"{join_names([repr(name) for name in spellings])} as {split}"
        for split, spellings in spelled.items()
        if spellings
    )
    several = f" Several spellings were read as one split: {', '.join(doubled)}." if doubled else ""
    return [
        Remark(
            id="split_names",
            title="Splits with other names",
            value=len(renamed),
            unit="names",
            n=len(distinct),
            description=f"Splits were read by their usual names: {read}.{several}",
            status="warn" if doubled else "info",
        )
    ]
