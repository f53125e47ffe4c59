"""``evidence.json``: the sha256 of every file of a run, of its config, model and inputs; and the check against them.

It also holds where the ledger of the population stood, so that one which is put back to an older state is found out.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rft.errors import DataError, EvidenceError
from rft.records import AuditRun

FILE = "evidence.json"
FORMAT_VERSION = 1  # 1: the first published format


def of(run: AuditRun, folder: Path) -> str:
    """Return the content of ``evidence.json`` for a folder in which everything else is written."""
    return _text(
        {
            "format_version": FORMAT_VERSION,
            "run": run.run.id,
            "config": {"sha256": run.run.config_sha256},
            "model": {"sha256": run.subject.model_sha256} if run.subject.model_sha256 else None,
            "ledger": _ledger(run),
            "inputs": [dict(each) for each in run.artifacts.inputs] if run.artifacts else [],
            "files": _hashes(folder),
        }
    )


def renewed(former: dict[str, Any], folder: Path, names: Iterable[str]) -> str:
    """Return the content with new hashes for the named files.

    All else stays as it was recorded: a file that was tampered with does not become right by rendering a report.
    """
    return _text({**former, "files": {**former["files"], **{name: _sha256(folder / name) for name in names}}})


def read(folder: Path) -> dict[str, Any]:
    """Return the content of a folder's ``evidence.json``; raises ``EvidenceError`` when it has none to read."""
    file = Path(folder) / FILE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise EvidenceError(f"cannot be read ({error.strerror})", where=str(file)) from error
    except ValueError as error:
        raise EvidenceError("is not JSON", where=str(file)) from error
    if not isinstance(content, dict) or not isinstance(content.get("files"), dict):
        raise EvidenceError("lists no files", where=str(file))
    return content


def verify(folder: Path) -> list[str]:
    """Return what is wrong with the files of a run; an empty list when all are the ones that were written.

    A file that changed, one that is missing, and one that is not listed are problems. Someone who can rewrite
    ``evidence.json`` too is not found out by this: keep its own sha256 elsewhere.

    Raises:
        DataError: there is no such folder, or it is empty.
        EvidenceError: the folder has no readable ``evidence.json``.
    """
    folder = Path(folder)
    if not folder.is_dir() or not any(folder.iterdir()):
        raise DataError("holds no run", where=str(folder), remedy="Give the folder that rft audit wrote.")
    listed: dict[str, str] = read(folder)["files"]
    present = _hashes(folder)
    both = sorted(listed.keys() & present.keys())
    changed = [f"{name} is not the file that was written" for name in both if listed[name] != present[name]]
    missing = [f"{name} is missing" for name in sorted(listed.keys() - present.keys())]
    added = [f"{name} was added" for name in sorted(present.keys() - listed.keys())]
    return changed + missing + added


def ledger(folder: Path) -> Any:
    """Return where the ledger of its population stood after a run: population, entries, head; None without a ledger.

    Raises:
        EvidenceError: the folder has no readable ``evidence.json``.
    """
    return read(folder).get("ledger")


def _ledger(run: AuditRun) -> dict[str, Any] | None:
    tables = next((section.tables for section in run.sections if section.plugin == "privacy"), {})
    stand = {str(row["quantity"]): row["value"] for row in tables.get("ledger", [])}
    return {name: stand[name] for name in ("population", "entries", "head")} if stand else None


def _hashes(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file but ``evidence.json``, by its path in the folder; a link has none."""
    found = {}
    for place, folders, names in os.walk(folder):
        linked = [name for name in folders if Path(place, name).is_symlink()]
        for name in [*names, *linked]:
            file = Path(place, name)
            relative = file.relative_to(folder).as_posix()
            if relative != FILE:
                found[relative] = "" if file.is_symlink() else _sha256(file)
    return found


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, indent=1) + "\n"
