"""``evidence.json``: hashes of every file of a run, of its config, model and inputs; and the check against them.

What may go to others is hashed plainly, so that they can check it: the pages, ``audit.json`` and the model. Everything
else, and what the run read, is digested with the key of the run, names included (see ``run_key``). The evidence also
keeps what plugins recorded, such as where the ledger of the population stood: a ledger that is put back is found out.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rft.errors import DataError, EvidenceError
from rft.records import AuditRun, InputFile
from rft.report.run_folder.run_key import ALGORITHM, RunKey, find
from rft.runtime.progress import track_progress

FILE = "evidence.json"
# 1: plain hashes of all; 2: keyed digests of the inputs and of the files that are not for others;
# 3: what each plugin recorded.
FORMAT_VERSION = 3
FOR_OTHERS = ("audit.json", "report.html", "model-card.md")  # and the folder model/
MODEL = "model/"


@dataclass(frozen=True)
class Verification:
    """What came of checking a run.

    Attributes:
        problems: what is not what was written, one sentence each.
        unchecked: what could not be checked.
        checked: files of the run that were checked.
        inputs: inputs that were checked.
    """

    problems: tuple[str, ...]
    unchecked: tuple[str, ...]
    checked: int
    inputs: int = 0


def describe_folder(run: AuditRun, inputs: Sequence[InputFile], folder: Path, key: RunKey) -> str:
    """Return the content of ``evidence.json`` for a folder in which everything else is written."""
    hashes = _hash_files(folder)
    return _write_json(
        {
            "format_version": FORMAT_VERSION,
            "run": run.run.id,
            "config": {"sha256": run.run.config_sha256},
            "model": {"sha256": run.model.model_sha256} if run.model.model_sha256 else None,
            "plugins": {section.plugin: section.evidence for section in run.sections if section.evidence},
            "files": {name: sha256 for name, sha256 in hashes.items() if _is_for_others(name)},
            "keyed": {
                "algorithm": ALGORITHM,
                "key": key.fingerprint,
                "files": key.digests("file", {name: of for name, of in hashes.items() if not _is_for_others(name)}),
                "inputs": key.digests("input", {file.path: file.sha256 for file in inputs}),
            },
        }
    )


def renewed(former: dict[str, Any], folder: Path, names: Iterable[str]) -> str:
    """Return the content with new hashes for the named files, which are for others.

    All else stays as it was recorded: a file that was tampered with does not become right by rendering a report.
    """
    return _write_json({**former, "files": {**former["files"], **{name: _hash_file(folder / name) for name in names}}})


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
    keyed = content.get("keyed")
    if content.get("format_version") != FORMAT_VERSION or not isinstance(keyed, dict):
        problem = f"has format version {content.get('format_version')}; this rft reads {FORMAT_VERSION}"
        raise EvidenceError(problem, where=str(file))
    if not all(isinstance(keyed.get(name), dict) for name in ("files", "inputs")):
        raise EvidenceError("lists no keyed digests", where=str(file))
    return content


def verify(folder: Path, *, key: Path | None = None, data: Path | None = None) -> Verification:
    """Check the files of a run, and with its key what it read.

    A file that changed, one that is missing, and one that is not listed are problems. Someone who can rewrite
    ``evidence.json`` too is not found out by this: keep its own sha256 elsewhere.

    Args:
        folder: of the run.
        key: the file with the key of the run; by default the one in the user's state folder, where there is one.
        data: the folder that paths of inputs are relative to; by default that of the config, when it ran.

    Raises:
        DataError: there is no such folder, or it is empty; ``key`` is none, or that of another run.
        EvidenceError: the folder has no readable ``evidence.json``, or one that was not made with this key.
    """
    folder = Path(folder)
    if not folder.is_dir() or not any(folder.iterdir()):
        raise DataError("holds no run", where=str(folder), remedy="Give the folder that rft audit wrote.")
    evidence = read(folder)
    keyed = evidence["keyed"]
    owner = find(str(evidence.get("run")), str(keyed.get("key")), key)
    hashes = _hash_files(folder)
    private = {name: sha256 for name, sha256 in hashes.items() if not _is_for_others(name)}
    public = {name: sha256 for name, sha256 in hashes.items() if _is_for_others(name)}
    problems = _compare_hashes(evidence["files"], public)
    if owner is None:
        return Verification(tuple(problems), _without_key(private, len(keyed["inputs"])), len(public))
    missing = len(keyed["files"].keys() - owner.digests("file", private).keys())
    left_out = [f"private files that are not here: {missing}"] if missing else []
    read_before, absent, inputs = _check_inputs(owner, keyed["inputs"], data)
    return Verification(
        (*problems, *_check_private(owner, keyed["files"], private), *read_before),
        (*left_out, *absent),
        len(hashes),
        inputs,
    )


def recorded_by_plugins(folder: Path) -> dict[str, Any]:
    """Return what each plugin had recorded with a run, by its name (``Section.evidence``).

    Raises:
        EvidenceError: the folder has no readable ``evidence.json``, or one without this.
    """
    recorded = read(folder).get("plugins")
    if not isinstance(recorded, dict):
        raise EvidenceError("does not say what plugins recorded", where=FILE)
    return recorded


def _is_for_others(name: str) -> bool:
    return name in FOR_OTHERS or name.startswith(MODEL)


def _compare_hashes(listed: Mapping[str, str], present: Mapping[str, str]) -> list[str]:
    both = sorted(listed.keys() & present.keys())
    changed = [f"{name} is not the file that was written" for name in both if listed[name] != present[name]]
    missing = [f"{name} is missing" for name in sorted(listed.keys() - present.keys())]
    added = [f"{name} was added" for name in sorted(present.keys() - listed.keys())]
    return changed + missing + added


def _without_key(private: Iterable[str], inputs: int) -> tuple[str, ...]:
    return (*sorted(private), *([f"{inputs} input{'s' * (inputs > 1)}"] if inputs else []))


def _check_private(key: RunKey, listed: Mapping[str, str], present: Mapping[str, str]) -> list[str]:
    """Return what is wrong with the files that are not for others; one that was left out is no problem."""
    problems = []
    for name, sha256 in sorted(present.items()):
        expected = listed.get(key.name("file", name))
        if expected is None:
            problems.append(f"{name} was added")
        elif expected != key.content("file", name, sha256):
            problems.append(f"{name} is not the file that was written")
    return problems


def _check_inputs(key: RunKey, listed: Mapping[str, str], data: Path | None) -> tuple[list[str], list[str], int]:
    """Return what is wrong with the inputs, which are not available, and how many were checked."""
    problems, absent, checked = [], [], 0
    named = {key.name("input", path): path for path in key.inputs}
    if named.keys() != listed.keys():
        problems.append("the inputs that the key names are not those that evidence.json lists")
    for digest, path in track_progress(named.items(), "Checking inputs", total=len(named)):
        try:
            sha256 = _hash_file((data or key.folder) / path)
        except OSError as error:
            absent.append(f"the input {path} in {data or key.folder} ({error.strerror})")
            continue
        checked += 1
        if listed.get(digest) != key.content("input", path, sha256):
            problems.append(f"the input {path} is not the file that was read")
    return problems, absent, checked


def _hash_files(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file but ``evidence.json``, by its path in the folder; a link has none."""
    hashes = {}
    for place, folders, names in os.walk(folder):
        linked = [name for name in folders if Path(place, name).is_symlink()]
        for name in [*names, *linked]:
            file = Path(place, name)
            relative = file.relative_to(folder).as_posix()
            if relative != FILE:
                hashes[relative] = "" if file.is_symlink() else _hash_file(file)
    return hashes


def _hash_file(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write_json(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, indent=1) + "\n"
