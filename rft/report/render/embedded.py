"""A report that came alone, by mail: the run that is embedded in it, and whether the page says what that run says."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from rft.errors import DataError, EvidenceError
from rft.records import AuditRun, asset_name
from rft.report.render.html import EMBEDDED_CLOSING, EMBEDDED_OPENING, render
from rft.report.run_folder.archives import refuse_archive
from rft.version import __version__

_ASSET = re.compile(r'src="data:(?:image/png|audio/wav);base64,([A-Za-z0-9+/=]+)"')


@dataclass(frozen=True)
class PageCheck:
    """What came of rendering a page again.

    Attributes:
        run: what is embedded in it.
        problem: how the page differs from what this run renders to; empty where it does not.
        unchecked: why it could not be compared; empty where it could.
    """

    run: AuditRun
    problem: str = ""
    unchecked: str = ""


def check_page(file: Path) -> PageCheck:
    """Read the run that is embedded in a report and render it again.

    Raises:
        DataError: the file cannot be read, or is no report of rft.
        EvidenceError: what is embedded in it is no run.
    """
    refuse_archive(file)
    try:
        page = file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            "cannot be read as a report", where=str(file), remedy="Give the report.html of a run."
        ) from error
    run = _read_embedded_run(page, file)
    if run.rft_version != __version__:
        return PageCheck(run, unchecked=f"it was made by rft {run.rft_version}, and this is {__version__}")
    if render(run, read_images(page)) != page:
        return PageCheck(run, problem="the page is not what the run that is embedded in it renders to")
    return PageCheck(run)


def check_folder_page(folder: Path) -> PageCheck:
    """Check the report of a run folder as ``check_page`` does, and that it embeds what ``audit.json`` says."""
    check = check_page(folder / "report.html")
    if check.run.to_json() != (folder / "audit.json").read_text(encoding="utf-8"):
        return replace(check, problem="the run that is embedded in report.html is not the one in audit.json")
    return check


def _read_embedded_run(page: str, file: Path) -> AuditRun:
    before, opening, rest = page.rpartition(EMBEDDED_OPENING)
    text, closing, _ = rest.partition(EMBEDDED_CLOSING)
    if not (opening and closing and before):
        raise DataError("is no report of rft: no run is embedded in it", where=str(file))
    try:
        return AuditRun.from_json(text)
    except ValidationError as error:
        raise EvidenceError("what is embedded in it is no run", where=str(file)) from error


def read_images(page: str) -> dict[str, bytes]:
    """Return the images and clips of a page by the names that ``audit.json`` knows them by, which are their hashes."""
    images = {}
    for match in _ASSET.finditer(page):
        try:
            png = base64.b64decode(match[1], validate=True)
        except binascii.Error:
            continue  # the page is then not what the run renders to
        images[asset_name(png)] = png
    return images
