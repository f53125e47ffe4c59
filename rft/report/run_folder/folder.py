"""The run folder: written at once or not at all, read back, and rendered again after a new verdict.

``predictions.parquet`` holds every value as it stands: parquet is read by programs, and neutralising formulas (cells
that begin with ``=``) is for formats that spreadsheets open.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from rft.errors import DataError, OutputError
from rft.records import FORMAT_VERSION, Artifacts, AuditRun, asset_name, first_problem
from rft.report.render.embedded import read_images
from rft.report.render.html import render
from rft.report.render.model_card import model_card
from rft.report.run_folder import evidence
from rft.report.run_folder.atomic_io import clear_errors, make_parents, sync_folder, sync_tree
from rft.report.run_folder.run_key import RunKey, key_for

RUN_FILE = "audit.json"
PAGE_FILE = "report.html"


def check_writable(folder: Path, *, force: bool = False) -> None:
    """Raise ``OutputError`` when ``save`` would refuse this folder; to be asked before the work begins."""
    where = str(folder)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError("is a file, not a folder", where=where, remedy="Choose another folder with --out.")
    with clear_errors(folder):
        empty = not any(folder.iterdir())
    if empty:
        return
    if not (folder / RUN_FILE).is_file():
        remedy = "Choose another folder with --out; --force only replaces a run."
        raise OutputError("is not empty, and what it holds is no run", where=where, remedy=remedy)
    if not force:
        remedy = "Replace it with --force, or choose another folder with --out."
        raise OutputError("already holds a run", where=where, remedy=remedy)


def save(
    run: AuditRun, folder: Path, artifacts: Artifacts | None = None, *, force: bool = False, share: bool = False
) -> Path:
    """Write the run folder and return it.

    Everything is written beside the folder and renamed at the end: an error or an interruption leaves nothing behind,
    and with ``force`` the old run stands until the new one does. Parts that ``artifacts`` lacks are left out. The
    key of the run is written into the user's state folder.

    Args:
        run: what to write.
        folder: where to write, whole or not at all.
        artifacts: what belongs to the run beside its record.
        force: replace a run that stands there.
        share: let the group of the folder read what may go to others: the pages, ``audit.json`` and the evidence.
            Predictions, the model and the images of examples stay the owner's alone.

    Raises:
        OutputError: the folder is in use (see ``check_writable``), the disk is full, or it cannot be written.
    """
    folder = Path(folder).resolve()
    check_writable(folder, force=force)
    key = _run_key(run, artifacts)
    with clear_errors(folder), _staging_folder(folder, share=share) as staging:
        _write_everything(run, artifacts, staging, key)
        sync_tree(staging, (*evidence.FOR_OTHERS, evidence.FILE) if share else ())
        key.write()  # before the run stands: without its key nobody could tell whether the inputs are the same
        _put_in_place(staging, folder, force=force)
    if artifacts is not None and artifacts.finalize is not None:
        artifacts.finalize()
    return folder


def load(folder: Path) -> AuditRun:
    """Return the run of a folder.

    Raises:
        DataError: the folder holds no ``audit.json``, or not one that this version of rft can read.
    """
    file = Path(folder) / RUN_FILE
    try:
        text = file.read_text(encoding="utf-8")
        version = json.loads(text).get("format_version")
    except OSError as error:
        remedy = "Give the folder that rft audit wrote."
        raise DataError(f"cannot be read ({error.strerror})", where=str(file), remedy=remedy) from error
    except (ValueError, AttributeError) as error:
        raise DataError("is not the JSON of a run", where=str(file)) from error
    if isinstance(version, int) and version > FORMAT_VERSION:
        problem = f"has format version {version}; this rft reads versions up to {FORMAT_VERSION}"
        raise DataError(problem, where=str(file), remedy="pip install --upgrade rft")
    try:
        return AuditRun.from_json(text)
    except ValidationError as error:
        raise DataError(f"is not a run: {first_problem(error)}", where=str(file)) from error


def write_made_from(
    run: AuditRun,
    source: Path,
    folder: Path,
    *,
    pages: Mapping[str, Callable[[Path], None]] = MappingProxyType({}),
    force: bool = False,
    share: bool = False,
) -> Path:
    """Write what is made from a run alone into a folder of its own, and return it; the run stays as it is.

    Args:
        run: what to write: the run with later verdicts, or a part of it.
        source: the folder that the run was read from.
        folder: where to write, whole or not at all.
        pages: name of a further file -> writes it, given its path.
        force: replace whatever run stands there; what a former call made of the same run, and nobody changed since, is
            replaced without it.
        share: let the group of the folder read it.

    Raises:
        OutputError: the folder is in use (see ``check_writable``) or would be within the run, or the run within it; the
            disk is full, or it cannot be written.
    """
    source, folder = Path(source).resolve(), Path(folder).resolve()
    _check_apart(folder, source)
    force = force or evidence.is_made_from(folder, run.run.volatile.id)
    check_writable(folder, force=force)
    images = read_images((source / PAGE_FILE).read_text(encoding="utf-8"))
    with clear_errors(folder), _staging_folder(folder, share=share) as staging:
        for name, text in _write_texts(run, images).items():
            (staging / name).write_text(text, encoding="utf-8", newline="\n")
        for name, write in pages.items():
            write(staging / name)
        described = evidence.describe_made_from(run, staging, source)
        (staging / evidence.FILE).write_text(described, encoding="utf-8", newline="\n")
        sync_tree(staging, [file.name for file in staging.iterdir()] if share else ())
        _put_in_place(staging, folder, force=force)
    return folder


def _run_key(run: AuditRun, artifacts: Artifacts | None) -> RunKey:
    if artifacts is None:
        return key_for(run.run.volatile.id, Path(), ())
    return key_for(run.run.volatile.id, artifacts.folder, [file.path for file in artifacts.inputs])


def _write_everything(run: AuditRun, artifacts: Artifacts | None, folder: Path, key: RunKey) -> None:
    images = {asset_name(png): png for section in run.sections for png in section.assets.values()}
    if images:
        (folder / "assets").mkdir()
    for name, png in images.items():
        (folder / "assets" / name).write_bytes(png)
    for name, text in _write_texts(run, images).items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    if artifacts is not None:
        _write_artifacts(artifacts, folder)
    for section in run.sections:
        for name, write in section.folders.items():
            write(folder / name)
    (folder / evidence.FILE).write_text(
        evidence.describe_folder(run, artifacts.inputs if artifacts else (), folder, key),
        encoding="utf-8",
        newline="\n",
    )


def _write_artifacts(artifacts: Artifacts, folder: Path) -> None:
    artifacts.predictions.to_parquet(folder / "predictions.parquet", index=False)
    if artifacts.write_model is not None:
        artifacts.write_model(folder / "model")


def _check_apart(folder: Path, source: Path) -> None:
    """Raise ``OutputError`` where writing or replacing ``folder`` would change the run in ``source``."""
    if folder == source or folder in source.parents or source in folder.parents:
        remedy = "Choose a folder beside it with --out."
        raise OutputError("is, holds or lies in the run, which stays as it is", where=str(folder), remedy=remedy)


def _write_texts(run: AuditRun, images: Mapping[str, bytes]) -> dict[str, str]:
    """Return the files that are made from the run alone, by name, with images by their names in ``audit.json``."""
    return {
        RUN_FILE: run.to_json(),
        PAGE_FILE: render(run, images),
        "model-card.md": model_card(run),
    }


@contextmanager
def _staging_folder(folder: Path, *, share: bool) -> Iterator[Path]:
    """Give an empty folder beside ``folder``, which is gone afterwards unless it was renamed."""
    make_parents(folder, shared=share)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))  # mode 0700
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _put_in_place(staging: Path, folder: Path, *, force: bool) -> None:
    """Rename the new folder to its place; a run that stands there steps aside first and comes back on failure."""
    if not (force and (folder / RUN_FILE).exists()):
        staging.replace(folder)  # onto nothing or an empty folder; the system refuses anything else
        sync_folder(folder.parent)
        return
    retired = staging.with_name(f"{staging.name}.old")
    try:
        folder.rename(retired)
        staging.rename(folder)
    except BaseException:
        if retired.exists() and not folder.exists():
            retired.rename(folder)
        raise
    sync_folder(folder.parent)
    shutil.rmtree(retired)
