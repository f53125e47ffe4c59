"""A run that came packed: it is unpacked by whoever received it, and verified as the folder that it then is."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

from rft.errors import DataError


def refuse_archive(path: Path) -> None:
    """Raise ``DataError`` for a zip or tar file in the place of a run folder, with what to do."""
    if path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path)):
        raise DataError(
            "is an archive, and a run is a folder",
            where=str(path),
            remedy="Unpack it and name the folder in it that holds evidence.json: packing changes no file of a run.",
        )
