"""Which files of a folder are examples, and so whether ``data.folder`` holds images or recordings: by names alone."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

ZIP = ".zip"

# Folders and files that systems leave everywhere, beside those whose name begins with a dot.
SYSTEM_NAMES = {
    *("__macosx", "@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "recycler", "lost+found"),
    *("system volume information", "network trash folder", "temporary items", "__pycache__", "cvs"),
    *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"),
}


@dataclass(frozen=True)
class FileKind:
    """What the files of a modality are called.

    Attributes:
        modality: ``image`` or ``audio``; also the key of ``[data]`` that names their column.
        one, many: the words for them.
        indefinite: for any of them, with its article.
        read: suffixes of files that are read.
        unread: of files that are of the modality all the same, and are missed where they cannot be read.
    """

    modality: Literal["image", "audio"]
    one: str
    many: str
    indefinite: str
    read: frozenset[str]
    unread: frozenset[str]

    @property
    def suffixes(self) -> frozenset[str]:
        """Suffixes of all files that may be examples."""
        return self.read | self.unread

    def count_words(self, n: int) -> str:
        """Return a number of them in words: ``1 image``, ``2 images``."""
        return f"{n} {self.one if n == 1 else self.many}"

    def is_example(self, name: str) -> bool:
        """Tell whether a file may be an example by its name."""
        return Path(name).suffix.lower() in self.suffixes


IMAGE_FILES = FileKind(
    "image",
    "image",
    "images",
    "an image",
    frozenset(
        (
            *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp", ".png", ".apng", ".webp", ".avif", ".gif"),
            *(".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
        )
    ),
    frozenset(
        (
            *(".heic", ".heif", ".hif", ".jxl", ".jp2", ".j2k", ".jpx", ".psd", ".svg", ".tga", ".ico", ".exr"),
            *(".hdr", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".srw", ".pef", ".dcm"),
        )
    ),
)
AUDIO_FILES = FileKind(
    "audio",
    "recording",
    "recordings",
    "a recording",
    frozenset(
        (
            *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd"),
            *(".w64", ".rf64", ".caf", ".sph"),
        )
    ),
    # Some of them are read where PyAV is installed.
    frozenset(
        (
            *(".m4a", ".m4b", ".mp4", ".aac", ".webm", ".weba", ".mka", ".mkv", ".mov", ".3gp", ".amr", ".wma"),
            *(".ac3", ".ape", ".wv", ".tta", ".dsf", ".dff", ".gsm", ".vox", ".mp2", ".ra", ".spx"),
        )
    ),
)
FILE_KINDS: dict[str, FileKind] = {kind.modality: kind for kind in (IMAGE_FILES, AUDIO_FILES)}


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder is none of the data by its name: hidden, or made by a system."""
    return name.startswith(".") or name.casefold() in SYSTEM_NAMES


def find_zip(path: Path) -> tuple[Path, PurePosixPath] | None:
    """Return the zip file that a path leads to or into, and the folder within it; None where there is none."""
    for place in (path, *path.parents):
        if place.suffix.lower() == ZIP and place.is_file():
            return place, PurePosixPath(path.relative_to(place).as_posix())
    return None


def find_folder_kind(place: Path) -> FileKind:
    """Return what the examples of a folder, or of a zip file of one, are: by the first that is met.

    Images where there is none, or the folder cannot be looked into: reading it says so.
    """
    return next(
        (kind for name in _list_names(place) for kind in FILE_KINDS.values() if kind.is_example(name)), IMAGE_FILES
    )


def _list_names(place: Path) -> Iterable[str]:
    archive = find_zip(place)
    return _list_zipped(*archive) if archive is not None else (path.name for path in walk_files(place))


def walk_files(place: Path) -> Iterator[Path]:
    """Yield the files in a folder, at any depth, without hidden ones; links are followed, but not in circles."""
    seen: set[str] = set()
    for path, folders, files in os.walk(place, followlinks=True):
        if (real := os.path.realpath(path)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        yield from (Path(path, name) for name in sorted(files) if not is_hidden(name))


def _list_zipped(path: Path, inside: PurePosixPath) -> Iterator[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return
    for name in map(PurePosixPath, names):
        if name.is_relative_to(inside) and not any(map(is_hidden, name.parts)):
            yield name.name
