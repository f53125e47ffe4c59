"""A manifest (one row an example) or a folder of class sub-folders -> splits.

Labels, groups, units and ids are strings, read as they stand: ``001``, ``NA`` and ``None`` are values. Only an empty
cell is missing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.extensions import ExtensionArray

from rft.config.schema import DataConfig
from rft.data.folders import read_folder
from rft.data.image_decoding import ImageSource
from rft.data.images import DECODERS, digest_image
from rft.data.metadata import metadata_tables, read_metadata
from rft.data.remarks import Remark, join_names, log_warnings
from rft.data.splits import SPLITS, empty_split_error, expected_splits, split_named, split_names_remark
from rft.data.tables.columnar import Places
from rft.data.tables.embedded_images import embedded_images
from rft.data.tables.example_columns import FEWEST_ROWS, GROUP, read_examples
from rft.data.tables.spelling import spelling_remarks
from rft.data.text import text_digest
from rft.errors import DataError, near
from rft.records import DataFacts, InputFile, Split, SplitFacts
from rft.runtime.progress import track_progress

MAX_DEVIATION = 0.25  # of the share of test from the one asked for, relative, above which it is pointed out


@dataclass(frozen=True)
class Dataset:
    """The splits of a run.

    Attributes:
        splits: ``train``, ``validation`` and ``test``, in this order; the second may be absent, and so may the first
            where the model was trained by others.
        classes: the class names, sorted; labels index them.
        skipped: rows left out because their item could not be read.
        inputs: the manifest, and every item that is a file.
        remarks: what was noticed when it was read.
    """

    splits: dict[str, Split]
    classes: tuple[str, ...]
    skipped: int
    inputs: list[InputFile]
    remarks: Sequence[Remark] = ()

    def facts(self) -> DataFacts:
        """Return the counts that the report states."""
        return DataFacts(
            splits={name: _split_facts(split, self.classes) for name, split in self.splits.items()},
            skipped=self.skipped,
        )


def read_dataset(config: DataConfig, folder: Path, seed: int, *, external: bool = False) -> Dataset:
    """Read the examples that ``[data]`` describes.

    Args:
        config: the ``[data]`` table.
        folder: what its paths are relative to.
        seed: keys the hash that assigns units to splits when ``test`` is a fraction.
        external: the model was trained by others. Test examples are enough then, and those of ``train`` are the ones
            that the user says it was trained on.

    Raises:
        DataError: for a missing file or column, an empty table, a label or unit that is absent, a class that only
            the test split has, one class only, or an item that cannot be read.
    """
    if config.folder is not None:
        source, places = config.folder, None
        table, remarks = _from_folder(config, folder, external)
    else:
        table, places, remarks = _from_manifest(config, folder)
        source = places.source
    table["split"] = _assign_splits(table, config, seed, source, external)
    remarks += [*_split_remarks(table, config, external), *_spelling_remarks(table, config)]
    # Checked, counted and told before anything is decoded: a cheap error should not wait for an expensive one.
    classes = check_labels(table, config, source, external)
    log_warnings(remarks)
    table, unreadable = _add_digests(table, config, places)
    if unreadable:
        classes = check_labels(table, config, source, external)
        log_warnings(unreadable)
    skipped = unreadable[0].value if unreadable else 0
    splits = {
        name: _build_split(name, part, classes, config) for name in SPLITS if len(part := table[table["split"] == name])
    }
    return Dataset(splits, classes, skipped, _input_files(table, config, folder), [*remarks, *unreadable])


def _input_files(table: pd.DataFrame, config: DataConfig, folder: Path) -> list[InputFile]:
    """Return the files behind one row an example: tables, which are hashed whole, and items that are files."""
    tables = [folder / config.manifest] if config.manifest else metadata_tables(folder / (config.folder or ""))
    hashes = [(path, hashlib.sha256(path.read_bytes()).hexdigest()) for path in tables]
    items = zip(table["item"], table["digest"], strict=True)
    hashes += [(item, sha256) for item, sha256 in items if isinstance(item, Path)]
    return [InputFile(relative_name(path, folder), sha256) for path, sha256 in hashes]


def relative_name(path: Path, folder: Path) -> str:
    """Return a path as it was named relative to a folder; absolute where it was not."""
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def _from_manifest(config: DataConfig, folder: Path) -> tuple[pd.DataFrame, Places, list[Remark]]:
    assert config.manifest is not None  # the config model guarantees it
    path = folder / config.manifest
    columns = {"item": config.image or config.text, "label": config.label, "id": config.id, "unit": config.unit}
    columns |= {"declared_split": config.split}
    columns |= {f"{GROUP}{name}": name for name in config.groups}
    wanted = {name: column for name, column in columns.items() if column is not None}
    images = embedded_images(path, config.image) if config.image is not None else None
    if images is not None:
        del wanted["item"]
    needs_items = config.modality == "image" or config.on_error == "stop"
    required = [*(["item"] if needs_items else []), "label", "unit", "id", "declared_split"]
    examples = read_examples(path, wanted, required, skipped=config.modality == "text")
    table, places = examples.table, examples.places
    if "id" not in table:
        table["id"] = pd.Series([str(row) for row in range(len(table))], dtype="object")
    twice = table["id"].duplicated(keep=False)
    if twice.any():
        first = table.loc[twice, "id"].iloc[0]
        raise DataError(f"the id {first!r} stands in {places.name_rows(table['id'] == first)}", where=path.name)
    if config.modality == "image":
        table["item"] = (
            _embedded_items(images, places, config.image) if images else _item_paths(table["item"], path.parent)
        )
        _check_one_owner(table, path.name)
    else:
        table["item"] = table["item"].fillna("")
    return table, places, [*examples.remarks]


def _item_paths(names: pd.Series, folder: Path) -> pd.Series:
    return pd.Series([folder / name for name in names], dtype="object")


def _embedded_items(images: Sequence[ImageSource | None], places: Places, column: str | None) -> pd.Series:
    """Return (N,) the images in the cells of a column; raises ``DataError`` for an empty one."""
    empty = np.array([image is None for image in images])
    if empty.any():
        raise DataError(f"column {column!r} is empty in {places.name_rows(empty)}", where=places.source)
    return pd.Series(list(images), dtype="object")


def _from_folder(config: DataConfig, folder: Path, external: bool) -> tuple[pd.DataFrame, list[Remark]]:
    """Return one row an example of a folder: those that metadata tables name, or those in folders of classes."""
    assert config.folder is not None
    top = folder / config.folder
    tables = metadata_tables(top)
    if tables:
        return read_metadata(config, top, tables)
    columns = {"label": config.label, "id": config.id, "unit": config.unit, "groups": config.groups}
    if named := [f"data.{key}" for key, column in columns.items() if column]:
        raise DataError(
            f"holds no metadata table with a column file_name, so {join_names(named)} names no column",
            where=config.folder,
            remedy=f"Remove {join_names(named)}, or add metadata.csv, or use a manifest.",
        )
    return read_folder(config, folder, _required_splits(external))


def _spelling_remarks(table: pd.DataFrame, config: DataConfig) -> Iterator[Remark]:
    groups = {name: pd.Categorical(table[f"{GROUP}{name}"]) for name in config.groups}
    units = pd.Categorical(table["unit"]) if "unit" in table else None
    return spelling_remarks(pd.Categorical(table["label"]), groups, units)


def _check_one_owner(table: pd.DataFrame, source: str) -> None:
    """Raise ``DataError`` when one image is given to two units: what bounds the one would not bound the other."""
    if "unit" not in table:
        return
    units_of_item = table.dropna(subset=["item"]).groupby("item", sort=False)["unit"].unique()
    shared = units_of_item[units_of_item.str.len() > 1]
    if len(shared):
        first, second = shared.iloc[0][:2]
        raise DataError(
            f"{shared.index[0].name} is of two units, {first!r} and {second!r}",
            where=source,
            remedy="Give each image to one unit; name those who belong together as one, or leave the image out.",
        )


def _required_splits(external: bool) -> set[str]:
    return {"test"} if external else {"train", "test"}


def _assign_splits(table: pd.DataFrame, config: DataConfig, seed: int, source: str, external: bool) -> pd.Series:
    if "declared_split" in table:
        unknown = [name for name in table["declared_split"].unique() if split_named(name) is None]
        if unknown:
            raise DataError(
                f"{min(unknown)!r} is no split",
                where=f"{source}, column {config.split!r}",
                remedy=f"Expected {expected_splits()}.",
            )
        return table["declared_split"].map(split_named)
    if external:
        return pd.Series("test", table.index)
    who = table["unit"] if "unit" in table else table["id"]
    fraction = config.test if config.test is not None else 0.25
    return who.map(lambda name: "test" if _hash_position(name, seed) < fraction else "train")


def _split_remarks(table: pd.DataFrame, config: DataConfig, external: bool) -> list[Remark]:
    """Return what is to be said of how examples came into their splits."""
    if "declared_split" in table:
        return split_names_remark(table["declared_split"].unique())
    if config.test is None:
        return []
    if not external:
        return _share_remark(table, config.test)
    return [
        Remark(
            id="all_test",
            title="All examples are test",
            value=len(table),
            unit="examples",
            n=len(table),
            description=f"data.test = {config.test:g} has no say over a model that was trained elsewhere: none of "
            "these "
            f"examples is known as training data, so all {len(table)} are test.",
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


def check_labels(table: pd.DataFrame, config: DataConfig, source: str, external: bool) -> tuple[str, ...]:
    """Return the classes; raise when the labels cannot be learned or judged. Training must know all of them."""
    for name in ("train", "test"):
        if name in _required_splits(external) and not (table["split"] == name).any():
            n_units = table["unit"].nunique() if "unit" in table else None
            raise empty_split_error(name, table["split"], source, column=config.split, n_units=n_units)
    if config.classes is not None:
        return _check_declared(table, config, source)
    known = table["label"] if external else table.loc[table["split"] == "train", "label"]
    classes = tuple(sorted(known.unique()))
    n_labels = table["label"].nunique()
    if n_labels > max(100, len(table) // 2) or n_labels == len(table) >= FEWEST_ROWS:
        raise DataError(
            f"{n_labels:,} different labels in {len(table):,} rows look like numbers to regress on, or names",
            where=_label_place(config, source),
            remedy="Regression and multi-label data are not supported: one class name a row is expected.",
        )
    unseen = sorted(set(table["label"].unique()) - set(classes))
    if unseen:
        n_unseen = int((table["label"] == unseen[0]).sum())
        others = "1 other example has" if n_unseen == 1 else f"{n_unseen:,} other examples have"
        more = f", as are {len(unseen) - 1} of the other labels" * (len(unseen) > 1)
        raise DataError(
            f"the label {unseen[0]!r} is in no training example{more}: {others} it, and the {len(known):,} for "
            f"training have {join_names([repr(name) for name in classes[:5]])}",
            where=_label_place(config, source),
            remedy=near(unseen[0], list(classes))
            or "Each class needs training examples: mend the split, or remove these rows.",
        )
    if len(classes) < 2:
        who = "the data" if external else "training"
        raise DataError(
            f"{who} has one class only, {classes[0]!r}, in {len(known):,} examples; at least two are needed",
            where=_label_place(config, source),
            remedy="Where another class has no example here, name all of them in data.classes."
            if external
            else "Name the column of the labels in data.label, or mend the split: each class needs training examples.",
        )
    _check_positive(config, classes, source)
    return classes


def _label_place(config: DataConfig, source: str) -> str:
    return source if config.label is None else f"{source}, column {config.label!r}"


def _check_declared(table: pd.DataFrame, config: DataConfig, source: str) -> tuple[str, ...]:
    """Return the classes that the config declares, whether or not each has an example; raise for any other label."""
    assert config.classes is not None
    classes = tuple(config.classes)
    for label in sorted(set(table["label"].unique()) - set(classes)):
        rows = int((table["label"] == label).sum())
        raise DataError(
            f"the label {label!r} is none of data.classes ({rows:,} row{'s' * (rows != 1)})",
            where=_label_place(config, source),
            remedy=near(label, list(classes))
            or "Correct or remove these rows; add it to data.classes only if it belongs to the task whoever is in the "
            "data, since the classes are published with the model.",
        )
    _check_positive(config, classes, source)
    return classes


def _check_positive(config: DataConfig, classes: tuple[str, ...], source: str) -> None:
    if config.positive is not None and config.positive not in classes:
        raise DataError(
            f"data.positive is {config.positive!r}, which is no label",
            where=source,
            remedy=near(config.positive, list(classes)) or f"The labels are {', '.join(classes[:10])}.",
        )


def _add_digests(table: pd.DataFrame, config: DataConfig, places: Places | None) -> tuple[pd.DataFrame, list[Remark]]:
    """Add the hash of each item; leave out items that cannot be read if the config says so, with remarks.

    Only with ``on_error = "skip"`` are images decoded here: otherwise a damaged image stops the run when it is
    decoded, and images whose features are cached need no decoding at all.
    """
    skip = config.on_error == "skip"

    def check_item(item: ImageSource | str) -> str | DataError:
        try:
            return text_digest(item) if isinstance(item, str) else digest_image(item, config.max_pixels, decode=skip)
        except DataError as error:
            return error

    digests: list[str | DataError] = []
    with ThreadPoolExecutor(DECODERS) as pool:
        for row, checked_item in enumerate(
            track_progress(pool.map(check_item, table["item"]), "Reading", total=len(table))
        ):
            digests.append(
                _add_place(checked_item, row, places) if isinstance(checked_item, DataError) else checked_item
            )
            if isinstance(digests[-1], DataError) and not skip:
                raise digests[-1]
    checked = table.assign(digest=pd.Series(digests, index=table.index, dtype=object))
    errors = [outcome for outcome in digests if isinstance(outcome, DataError)]
    if not errors:
        return checked, []
    lost = checked["digest"].map(lambda outcome: isinstance(outcome, DataError))
    kept = checked[~lost].reset_index(drop=True)
    return kept, list(_unreadable_remarks(checked[lost], kept, errors))


def _add_place(error: DataError, row: int, places: Places | None) -> DataError:
    """Return the error of an item with the place of its row, unless the item has a name."""
    if error.where or places is None:
        return error
    return DataError(error.what, where=f"{places.source}, {places.name_row(row)}", remedy=error.remedy)


def _unreadable_remarks(lost: pd.DataFrame, kept: pd.DataFrame, errors: Sequence[DataError]) -> Iterator[Remark]:
    """Yield how many examples were left out, and which classes were left out with them."""
    by_class = [f"{n} of {label}" for label, n in lost["label"].value_counts().items()]
    total = len(lost) + len(kept)
    yield Remark(
        id="unreadable_items",
        title="Examples left out because they cannot be read",
        value=len(lost),
        unit="examples",
        n=total,
        description=f"{len(lost)} of {total} examples were left out because their item cannot be read: "
        f"{join_names(by_class)}.",
        names=[f"{error.where}: {error.what}" for error in errors],
    )
    gone = sorted(set(lost["label"]) - set(kept["label"]))
    if gone:
        yield Remark(
            id="lost_classes",
            title="Classes of which no example can be read",
            value=len(gone),
            unit="classes",
            n=len(gone) + kept["label"].nunique(),
            description=f"No example of {join_names(gone)} can be read: all were left out.",
        )


def _build_split(name: str, part: pd.DataFrame, classes: tuple[str, ...], config: DataConfig) -> Split:
    index = {label: number for number, label in enumerate(classes)}
    split = Split(
        name=name,
        ids=part["id"].to_numpy(object),
        items=list(part["item"]),
        labels=part["label"].map(index).to_numpy(np.int64, copy=True),
        groups={attribute: part[f"group_{attribute}"].to_numpy(object) for attribute in config.groups},
        digests=part["digest"].to_numpy(object),
    )
    return replace(split, units=part["unit"].to_numpy(object)) if "unit" in part else split


def _split_facts(split: Split, classes: tuple[str, ...]) -> SplitFacts:
    counts = np.bincount(split.labels, minlength=len(classes)).tolist()
    labels: dict[str, int | None] = dict(zip(classes, counts, strict=True))
    groups: dict[str, dict[str, int | None]] = {
        attribute: dict(sorted(_count_values(values).items())) for attribute, values in split.groups.items()
    }
    n_units = None if split.units is None else len(pd.unique(split.units))
    return SplitFacts(n=len(split), n_units=n_units, labels=labels, groups=groups)


def _count_values(values: np.ndarray | ExtensionArray) -> dict[str, int]:
    """Return how often each of (N,) values occurs; a missing one is ``""``."""
    named = values if isinstance(values, pd.Categorical) else pd.Categorical(values)
    counts = np.bincount(named.codes + 1, minlength=len(named.categories) + 1).tolist()
    return {str(name): n for name, n in zip(["", *named.categories], counts, strict=True) if n}
