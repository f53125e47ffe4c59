"""A folder of class sub-folders, perhaps within folders of splits: what is an example there, and what is not.

Hidden and system folders are no data. Whatever else is not read is counted and named, never left out in silence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rft.config.item_files import FILE_KINDS, FileKind, find_zip
from rft.config.schema import DataConfig
from rft.data.file_source import EmbeddedFile
from rft.data.folders.metadata import SUFFIXES_OF_TABLES
from rft.data.folders.tree import Folder, ZippedFiles, list_folder, list_zip, open_zip
from rft.data.remarks import Remark, join_names
from rft.data.splits import expected_splits, split_named
from rft.errors import DataError

TABLES = {f"metadata{suffix}" for suffix in SUFFIXES_OF_TABLES}
FLAT = (
    "Put each {kind.one} into a folder named after its class, or name the labels in a table: metadata.csv beside the "
    "{kind.many}, with the columns file_name and label, or data.manifest with data.{kind.modality} and data.label."
)


@dataclass(frozen=True)
class _Class:
    """A class folder; ``split`` is the folder around it, None where there are no splits."""

    folder: Folder
    split: Folder | None

    @property
    def place(self) -> str:
        return self.folder.name if self.split is None else f"{self.split.name}/{self.folder.name}"


def read_folder(config: DataConfig, folder: Path, needed: Collection[str]) -> tuple[pd.DataFrame, list[Remark]]:
    """Return one row an example (``item``, ``label``, ``id``, perhaps ``declared_split``), and what was noticed.

    Args:
        config: the ``[data]`` table, with ``folder``.
        folder: what that is relative to.
        needed: the splits that must be there where folders are splits.

    Raises:
        DataError: no such folder, no examples in class sub-folders, images beside recordings, splits that are
            incomplete, folders that are neither classes nor splits, a name that is no text, or a zip file that is not
            to be trusted.
    """
    assert config.folder is not None
    top = folder / config.folder
    kind = FILE_KINDS[config.in_folder(folder).modality]
    whole, archive = _open_folder(top, config.folder, kind)
    whole.require_one_kind(config.folder)
    root, remarks = _enter_doubled(whole, config.folder)
    splits = _split_folders(root, needed, config.folder)
    if splits and config.test is not None:
        named = " and ".join(f"{split.name}/" for split in splits)
        raise DataError(f"has {named} folders, so data.test has nothing to say", where=config.folder)
    if not splits:
        _check_classes(root, config.folder)
    around: Sequence[Folder | None] = splits or [None]
    classes = [
        _Class(class_folder, split) for split in around for class_folder in (root if split is None else split).folders
    ]
    rows = [
        _table_row(path, class_folder, top)
        for class_folder in classes
        for inner in class_folder.folder.walk_folders()
        for path in inner.items
    ]
    if not rows:
        raise DataError(
            f"holds no {root.kind.many} in class sub-folders; it holds {_describe_contents(root)}",
            where=config.folder,
            remedy=FLAT.format(kind=root.kind)
            if root.items
            else f"Expected <class>/<{root.kind.one}>, or train/<class>/<{root.kind.one}>.",
        )
    table = pd.DataFrame(rows, columns=["item", "label", "id", "declared_split"], dtype=object)
    _check_names(table, config.folder)
    if archive is not None:
        table["item"] = _zipped_items(table["item"], archive, top)
    return (table if splits else table.drop(columns="declared_split")), [
        *remarks,
        *_unread_remarks(root, splits, classes),
    ]


def _open_folder(top: Path, source: str, kind: FileKind) -> tuple[Folder, ZippedFiles | None]:
    """Return what lies in a folder; of a zip file, its files as well."""
    if (place := find_zip(top)) is not None:
        path, inside = place
        archive = open_zip(path)
        root = list_zip(path, [member.filename for member in archive.members], kind)
        for name in inside.parts:
            root = next((inner for inner in root.folders if inner.name == name), Folder(kind, top, (), (), (), {}))
        others = [file.name for inner in root.walk_folders() for file in inner.others]
        if tables := [name for name in others if name in TABLES]:
            raise DataError(f"holds {tables[0]}, which is not read of a zip file", where=source, remedy="Unpack it.")
        return root, archive
    if not top.is_dir():
        remedy = "Its path is relative to the config."
        if top.is_file():
            remedy = "Of archives, zip is read: unpack it, or pack it so. A table is named with data.manifest."
        raise DataError("no such folder", where=source, remedy=remedy)
    return list_folder(top, kind), None


def _zipped_items(paths: pd.Series, archive: ZippedFiles, top: Path) -> pd.Series:
    """Return (N,) the files of a zip file that stand behind paths into it."""
    path = Path(archive.archive.filename or "")
    rows = {path / member.filename: row for row, member in enumerate(archive.members)}
    items = [EmbeddedFile(f"{path.name}/{place.relative_to(path).as_posix()}", archive, rows[place]) for place in paths]
    return pd.Series(items, dtype=object)


def _enter_doubled(root: Folder, source: str) -> tuple[Folder, list[Remark]]:
    """Return the folder that holds classes or splits, within folders of its name, and what is to be said of that.

    Packing a folder and unpacking the archive into a folder of its name leaves two.
    """
    entered = root
    while len(entered.folders) == 1 and not entered.items:
        (inner,) = entered.folders
        if not inner.holds_folders_of_items or inner.name.casefold() != Path(root.name).stem.casefold():
            break
        entered = inner
    if entered is root:
        return root, []
    place = entered.path.relative_to(root.path).as_posix()
    return entered, [
        Remark(
            id="inner_folder",
            title="A folder in a folder of its name",
            value=1,
            unit="folders",
            description=f"{source} holds nothing but the folder {place}/, whose folders were read.",
            status="info",
        )
    ]


def _table_row(path: Path, class_folder: _Class, top: Path) -> tuple[Path, str, str, str]:
    return (
        path,
        class_folder.folder.name,
        path.relative_to(top).as_posix(),
        class_folder.split.name if class_folder.split else "",
    )


def _split_folders(root: Folder, needed: Collection[str], source: str) -> list[Folder]:
    """Return the folders that are splits; none where they are classes, by whatever name."""
    full = [folder for folder in root.folders if folder.holds_items]
    named = [folder for folder in full if split_named(folder.name)]
    nested = [folder for folder in named if folder.holds_folders_of_items]
    missing = sorted(set(needed) - {split_named(folder.name) for folder in nested})
    if not missing:
        _refuse_strays([folder for folder in full if folder not in nested], nested, source)
        _refuse_wrapped(nested, source)
        return nested
    if full and len(named) == len(full):
        _refuse_incomplete(named, nested, missing, source)
    return []


def _refuse_strays(strays: Sequence[Folder], splits: Sequence[Folder], source: str) -> None:
    if strays:
        raise DataError(
            f"holds {join_names([f'{folder.name}/' for folder in strays])} beside the splits "
            f"{join_names([f'{folder.name}/' for folder in splits])}",
            where=source,
            remedy=f"Expected {expected_splits()}, each with class sub-folders: rename the folder, or move it away.",
        )


def _refuse_wrapped(splits: Sequence[Folder], source: str) -> None:
    """Raise ``DataError`` where the classes of each split lie one folder deeper."""
    inner = [[folder for folder in split.folders if folder.holds_items] for split in splits]
    if all(len(folder) == 1 and not folder[0].items and len(folder[0].folders) > 1 for folder in inner):
        raise DataError(
            f"{splits[0].name}/ holds nothing but the folder {inner[0][0].name}/",
            where=source,
            remedy=f"Move the folders in it up: expected train/<class>/<{splits[0].kind.one}>.",
        )


def _refuse_incomplete(named: Sequence[Folder], nested: Sequence[Folder], missing: Sequence[str], source: str) -> None:
    """Raise ``DataError`` for folders that are all called after splits and still are no complete splits."""
    names = join_names([f"{folder.name}/" for folder in named])
    flat = [folder for folder in named if folder not in nested]
    if flat and len({split_named(folder.name) for folder in named}) > 1:
        raise DataError(
            f"{names} are called after splits, but {join_names([f'{folder.name}/' for folder in flat])} holds "
            f"{flat[0].kind.many} without class sub-folders",
            where=source,
            remedy=f"Expected train/<class>/<{flat[0].kind.one}>. Where the labels stand in a table, or these are the "
            f"classes themselves, name table, {flat[0].kind.one} and label with data.manifest, "
            f"data.{flat[0].kind.modality} and data.label.",
        )
    if nested:
        raise DataError(
            f"has {names} but no folder for {join_names(missing)}: results must come from a test folder that no choice "
            "was made on",
            where=source,
            remedy="Add it, or rename a folder on which nothing was tuned to test/.",
        )


def _check_classes(root: Folder, source: str) -> None:
    """Raise ``DataError`` where folders hold only the same sub-folders: those are the classes, or the splits."""
    full = [folder for folder in root.folders if folder.holds_items]
    if any(folder.items for folder in full):
        return
    inner = [{sub_folder.name.casefold() for sub_folder in folder.folders if sub_folder.holds_items} for folder in full]
    names = join_names([f"{folder.name}/" for folder in full])
    largest: set[str] = max(inner, key=len, default=set())
    if len(largest) < 2 or not all(folder <= largest for folder in inner):
        return
    if len(full) == 1:
        raise DataError(
            f"holds nothing but the folder {names}",
            where=source,
            remedy=f'If the classes are in it, set data.folder = "{Path(source).as_posix()}/{full[0].name}".',
        )
    shared = join_names([f"{name}/" for name in sorted(largest)])
    if all(split_named(name) for name in largest):
        remedy = f"Expected the splits outside and the classes within: train/<class>/<{root.kind.one}>."
    else:
        remedy = f"If {names} are splits, call them train, validation and test; a class holds {root.kind.many} itself."
    raise DataError(f"{names} hold only the same folders, {shared}: these are no classes", where=source, remedy=remedy)


def _check_names(table: pd.DataFrame, source: str) -> None:
    for name in table["id"]:
        try:
            name.encode()
        except UnicodeEncodeError:
            shown = name.encode(errors="backslashreplace").decode()
            raise DataError(
                f"the name of {shown} is no UTF-8", where=source, remedy="Rename the file or its folder."
            ) from None


def _describe_contents(root: Folder) -> str:
    kinds = Counter(_suffix_words(path) for inner in root.walk_folders() for path in (*inner.items, *inner.others))
    return join_names([f"{n} {kind}" for kind, n in kinds.most_common()]) if kinds else "no files"


def _suffix_words(path: Path) -> str:
    return path.suffix.lower() or "without a suffix"


def _unread_remarks(root: Folder, splits: Sequence[Folder], classes: Sequence[_Class]) -> Iterator[Remark]:
    """Yield what lies in the folder and was not read."""
    kind = root.kind
    others = [
        (class_folder, path)
        for class_folder in classes
        for inner in class_folder.folder.walk_folders()
        for path in inner.others
    ]
    if others:
        kinds = Counter(f"{_suffix_words(path)} in {class_folder.place}" for class_folder, path in others)
        yield Remark(
            id="left_out_files",
            title=f"Files in class folders that are no {kind.many}",
            value=len(others),
            unit="files",
            n=len(others)
            + sum(len(inner.items) for class_folder in classes for inner in class_folder.folder.walk_folders()),
            description=f"Files in class folders that are no {kind.many} by their suffix were left out: "
            f"{join_names([f'{n} {kind}' for kind, n in kinds.most_common()])}.",
            names=[f"{path.parent.name}/{path.name}" for _, path in others],
        )
    beside = [class_folder.name for class_folder in root.folders if splits and class_folder not in splits]
    empty = [class_folder.place for class_folder in classes if not class_folder.folder.holds_items] + beside
    if empty:
        yield Remark(
            id="empty_folders",
            title=f"Folders without {kind.indefinite}",
            value=len(empty),
            unit="folders",
            n=len(classes) + len(beside),
            description=f"Nothing was read from {join_names(empty)}: there is no {kind.one}.",
        )
    loose = [path for outer in (root, *splits) for path in outer.items]
    if loose:
        yield Remark(
            id=f"loose_{kind.many}",
            title=f"{kind.many.capitalize()} outside the class folders",
            value=len(loose),
            unit=kind.many,
            description=f"{kind.many.capitalize()} that lie in no class folder have no label and were left out: "
            f"{len(loose)}.",
            names=[f"{path.parent.name}/{path.name}" for path in loose],
        )
    hidden = sum((Counter(inner.hidden) for inner in root.walk_folders()), Counter[str]())
    if hidden:
        yield Remark(
            id=f"hidden_{kind.many}",
            title=f"{kind.many.capitalize()} in hidden and system folders",
            value=hidden.total(),
            unit=kind.many,
            description=f"{kind.many.capitalize()} in {join_names(sorted(hidden))}, as systems and editors make them, "
            f"are no examples: {hidden.total()}.",
            status="info",
        )
