"""What each modality does with the items of a data set: where they are, whether they can be read, what is noticed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from rft.config.schema import DataConfig
from rft.data.audio.decoding import import_soundfile, read_recording
from rft.data.audio.known_recordings import MeasuredRecording, remember_recordings
from rft.data.file_source import FileSource, hash_source
from rft.data.images.inputs import digest_image
from rft.data.items import StoredFiles, StoredTexts
from rft.data.remarks import Remark
from rft.data.tables.places import Places
from rft.data.tables.stored_cells import StoredCells
from rft.data.text import text_digest
from rft.errors import DataError
from rft.records import Recordings


@dataclass(frozen=True)
class CheckedItem:
    """An item that can be read: the sha256 of its bytes, as hex, and what was measured of it."""

    digest: str
    recording: MeasuredRecording | None = None


CheckItem = Callable[[Any], CheckedItem]  # raises ``DataError`` where an item cannot be read


class Modality(ABC):
    """What a modality does with its items.

    Attributes:
        items_are_files: whether an item may be a file of its own, which belongs to one unit.
        empty_is_unreadable: whether a row with an empty cell counts as one that cannot be read; otherwise it is an
            error, since a table that names files names one in each row.
    """

    items_are_files = True
    empty_is_unreadable = False

    @contextmanager
    def open_check(self, config: DataConfig) -> Iterator[CheckItem]:
        """Yield what looks at an item; raises ``ConfigError`` where what reads items is not there."""
        yield lambda item: self.check_item(item, config)

    def list_items(self, cells: StoredCells, places: Places, column: str) -> Sequence[Any]:
        """Return the items of a column of a table, which is called ``column``; raises ``DataError``."""
        return StoredFiles(cells, places)

    @abstractmethod
    def check_item(self, item: Any, config: DataConfig) -> CheckedItem:
        """Look at an item; raises ``DataError`` where it cannot be read."""

    def describe_items(self, checked: Sequence[CheckedItem]) -> Iterator[Remark]:
        """Yield what was noticed about the items that can be read."""
        yield from ()


class _Images(Modality):
    """Only with ``on_error = "skip"`` are images decoded when they are checked.

    Otherwise a damaged one stops the run when it is decoded, and images whose features are cached need no decoding.
    """

    def check_item(self, item: Any, config: DataConfig) -> CheckedItem:
        """Return the hash of an image after a look at its header, or at all of it."""
        return CheckedItem(digest_image(item, config.max_pixels, decode=config.on_error == "skip"))


class _Texts(Modality):
    items_are_files = False
    empty_is_unreadable = True

    def list_items(self, cells: StoredCells, places: Places, column: str) -> Sequence[Any]:
        """Return the texts of a column; raises ``DataError`` for one of bytes."""
        if cells.are_bytes and not cells.in_archive:
            raise DataError(f"column {column!r} holds bytes; expected a text in each cell", where=places.source)
        return StoredTexts(cells)

    def check_item(self, item: Any, config: DataConfig) -> CheckedItem:
        """Return the hash of a text."""
        return CheckedItem(text_digest(item))


class _Recordings(Modality):
    """Recordings are decoded when they are first checked: of what can be decoded, headers say little."""

    @contextmanager
    def open_check(self, config: DataConfig) -> Iterator[CheckItem]:
        """Yield what looks at a recording, and decodes it where no run before found the same bytes whole."""
        import_soundfile()
        with remember_recordings(config.max_seconds) as known:

            def check_known(item: FileSource) -> CheckedItem:
                before = _try_hash(item)
                if before in known:
                    return CheckedItem(before, known[before])
                checked = self.check_item(item, config)
                if checked.recording is not None and checked.digest == before:  # nobody wrote to it meanwhile
                    known[before] = checked.recording
                return checked

            yield check_known

    def check_item(self, item: Any, config: DataConfig) -> CheckedItem:
        """Return the hash and the measures of a recording after decoding it."""
        recording = read_recording(item, config.max_seconds)
        measured = MeasuredRecording(len(recording.samples), recording.rate, recording.is_silent)
        return CheckedItem(hash_source(item), measured)

    def describe_items(self, checked: Sequence[CheckedItem]) -> Iterator[Remark]:
        """Yield how many recordings are silent, where any is."""
        silent = sum(item.recording is not None and item.recording.silent for item in checked)
        if silent:
            yield Remark(
                id="silent_recordings",
                title="Recordings of silence",
                value=silent,
                unit="recordings",
                n=len(checked),
                description=f"{silent} of {len(checked)} recordings are silent from end to end: in the mean of their "
                "channels, no sample differs from another by a step of 16 bits. They were kept.",
            )


def _try_hash(source: FileSource) -> str:
    """Return the sha256 of the bytes of a file, as hex; nothing where they cannot be read, which decoding explains."""
    try:
        return hash_source(source)
    except OSError:
        return ""


MODALITIES: Mapping[str, Modality] = {"image": _Images(), "text": _Texts(), "audio": _Recordings()}


def join_measured(checked: Sequence[CheckedItem]) -> Recordings | None:
    """Return what was measured of (N,) recordings; None where they are none."""
    measured = [item.recording for item in checked if item.recording is not None]
    if not measured:
        return None
    return Recordings(
        np.array([recording.frames for recording in measured], np.int64),
        np.array([recording.rate for recording in measured], np.int64),
        np.array([recording.silent for recording in measured], bool),
    )
