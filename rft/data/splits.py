"""Splits: train, validation and test, what folders and tables usually call them, and which one an example is in."""

from __future__ import annotations

import hmac
import math
import re
import unicodedata
from collections.abc import Iterable

import pandas as pd

from rft.config.tables.data import SPLITTING, DataConfig
from rft.data.remarks import Remark, join_names
from rft.errors import DataError
from rft.number_format import format_count

DEFAULT_SHARE = 0.25  # of a folder without splits
MOST_TEST = 0.5  # of all cases, that is proposed for test: the rest must suffice for training
MAX_DEVIATION = 0.25  # of the share of test from the one asked for, relative, above which it is pointed out
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


def suggest_test_share(needed: float, total: int, drawn_share: float | None) -> str:
    """Return, to stand in brackets, how a test split gets so many cases.

    Args:
        needed: cases in the test split.
        total: cases in all splits together.
        drawn_share: ``data.test``, where rft draws the split; None where the data declares it.
    """
    if needed > MOST_TEST * total:
        return f"the data has {format_count(total)} in all: more data is needed"
    if drawn_share is None:
        return f"the data has {format_count(total)} in all: move some into the test split"
    return (
        f"test = {math.ceil(100 * needed / total) / 100:g} would give about so many of the {format_count(total)} in all"
    )


def required_splits(external: bool) -> set[str]:
    """Return the splits that a run needs; a model that others trained needs no training examples."""
    return {"test"} if external else {"train", "test"}


def assign_splits(table: pd.DataFrame, config: DataConfig, seed: int, source: str, external: bool) -> pd.Series:
    """Return (N,) the split of each example: as declared, or by a keyed hash of its unit.

    Args:
        table: one row an example, with ``id``, perhaps ``unit`` and ``declared_split``.
        config: the ``[data]`` table.
        seed: keys the hash.
        source: what messages call the manifest or folder.
        external: the model was trained by others: all is test unless splits are declared.

    Raises:
        DataError: for a declared split that is none, and where nothing says how to split.
    """
    if "declared_split" in table:
        unknown = [name for name in table["declared_split"].unique() if split_named(name) is None]
        if unknown:
            raise DataError(
                f"{min(unknown)!r} is no split",
                where=f"{source}, column {config.split!r}" if config.split else source,
                remedy=f"Expected {expected_splits()}.",
            )
        return table["declared_split"].map(split_named)
    if external:
        return pd.Series("test", table.index)
    if config.manifest is not None and config.test_share is None:
        raise DataError("holds one data set without splits", where=source, remedy=f"{SPLITTING.capitalize()}.")
    who = table["unit"] if "unit" in table else table["id"]
    fraction = drawn_test_share(table, config, external)
    assert fraction is not None
    return who.map(lambda name: "test" if _hash_position(name, seed) < fraction else "train")


def drawn_test_share(table: pd.DataFrame, config: DataConfig, external: bool) -> float | None:
    """Return the share of test that ``assign_splits`` draws; None where the data declares splits, or all is test."""
    if "declared_split" in table or external:
        return None
    return config.test_share if config.test_share is not None else DEFAULT_SHARE


def describe_splits(table: pd.DataFrame, config: DataConfig, external: bool) -> list[Remark]:
    """Return what is to be said of how examples came into their splits."""
    if "declared_split" in table:
        return split_names_remark(table["declared_split"].unique())
    if config.test_share is None:
        return []
    if not external:
        return _share_remark(table, config.test_share)
    return [
        Remark(
            id="all_test",
            title="All examples are test",
            value=len(table),
            unit="examples",
            n=len(table),
            description=f"data.test = {config.test_share:g} has no say over a model that was trained elsewhere: none "
            f"of these examples is known as training data, so all {len(table)} are test.",
        )
    ]


def _share_remark(table: pd.DataFrame, asked: float) -> list[Remark]:
    """Return the remark that the test split is another share than the one asked for; empty where it is near."""
    n_test = int((table["split"] == "test").sum())
    share = n_test / len(table)
    if abs(share - asked) <= MAX_DEVIATION * asked:
        return []
    return [
        Remark(
            id="test_share",
            title="Examples that became test",
            value=n_test,
            unit="examples",
            n=len(table),
            description=f"data.test = {asked:g} was asked for, and {n_test} of {len(table)} examples became test "
            f"({share:.0%}): each unit goes to a side by a hash of its own name, so that shares of small data are "
            "rough. Another seed gives another share; a split column gives the one that you want.",
        )
    ]


def _hash_position(name: str, seed: int) -> float:
    """Place a unit in [0, 1) by a keyed hash of its id: where it goes depends on nothing but its id and the seed."""
    digest = hmac.new(f"rft split {seed}".encode(), name.encode(), "sha256").digest()
    return int.from_bytes(digest[:7], "big") / 2**56
