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

from pydantic import ValidationError

from rft.errors import DataError, EvidenceError
from rft.records import AuditRun, InputFile, JsonObject, Record, first_problem
from rft.report.run_folder.run_key import ALGORITHM, RunKey, find
from rft.runtime.progress import track_progress

FILE = "evidence.json"
# 1: plain hashes of all; 2: keyed digests of the inputs and of the files that are not for others;
# 3: what each plugin recorded.
FORMAT_VERSION = 3
FOR_OTHERS = ("audit.json", "report.html", "model-card.md")  # and the folder model/
MODEL = "model/"


class KeyedDigests(Record):
    """What is digested with the key of the run, names included.

    Attributes:
        algorithm: of the digests.
        key: fingerprint of the key.
        files: digest of a name -> digest of the content, of the files that are not for others.
        inputs: the same of what the run read.
    """

    algorithm: str
    key: str
    files: dict[str, str]
    inputs: dict[str, str]


class Sha256(Record):
    """The hash of something that is no file."""

    sha256: str


class Evidence(Record):
    """The content of ``evidence.json``.

    Attributes:
        run: id of the run.
        config: of the config as it is shown.
        model: of the tensors of the model; None where there is none.
        plugins: name of a plugin -> what it recorded (``Section.evidence``).
        files: name -> sha256 of the files that are for others.
        keyed: of everything else.
    """

    format_version: int = FORMAT_VERSION
    run: str
    config: Sha256
    model: Sha256 | None
    plugins: dict[str, JsonObject]
    files: dict[str, str]
    keyed: KeyedDigests

    def to_json(self) -> str:
        """Return the text of the file."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False, indent=1) + "\n"


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
    private = {name: sha256 for name, sha256 in hashes.items() if not _is_for_others(name)}
    evidence = Evidence(
        run=run.run.id,
        config=Sha256(sha256=run.run.config_sha256),
        model=Sha256(sha256=run.model.model_sha256) if run.model.model_sha256 else None,
        plugins={section.plugin: section.evidence for section in run.sections if section.evidence},
        files={name: sha256 for name, sha256 in hashes.items() if _is_for_others(name)},
        keyed=KeyedDigests(
            algorithm=ALGORITHM,
            key=key.fingerprint,
            files=key.digests("file", private),
            inputs=key.digests("input", {file.path: file.sha256 for file in inputs}),
        ),
    )
    return evidence.to_json()


def renewed(former: Evidence, folder: Path, names: Iterable[str]) -> str:
    """Return the content with new hashes for the named files, which are for others.

    All else stays as it was recorded: a file that was tampered with does not become right by rendering a report.
    """
    files = {**former.files, **{name: _hash_file(folder / name) for name in names}}
    return former.model_copy(update={"files": files}).to_json()


def read(folder: Path) -> Evidence:
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
    if not isinstance(content.get("plugins"), dict):
        raise EvidenceError("does not say what plugins recorded", where=str(file))
    try:
        return Evidence.model_validate(content)
    except ValidationError as error:
        raise EvidenceError(f"is not what a run leaves: {first_problem(error)}", where=str(file)) from error


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
    keyed = evidence.keyed
    owner = find(evidence.run, keyed.key, key)
    hashes = _hash_files(folder)
    private = {name: sha256 for name, sha256 in hashes.items() if not _is_for_others(name)}
    public = {name: sha256 for name, sha256 in hashes.items() if _is_for_others(name)}
    problems = _compare_hashes(evidence.files, public)
    if owner is None:
        return Verification(tuple(problems), _without_key(private, len(keyed.inputs)), len(public))
    missing = len(keyed.files.keys() - owner.digests("file", private).keys())
    left_out = [f"private files that are not here: {missing}"] if missing else []
    read_before, absent, inputs = _check_inputs(owner, keyed.inputs, data)
    return Verification(
        (*problems, *_check_private(owner, keyed.files, private), *read_before),
        (*left_out, *absent),
        len(hashes),
        inputs,
    )


def recorded_by_plugins(folder: Path) -> dict[str, JsonObject]:
    """Return what each plugin had recorded with a run, by its name (``Section.evidence``).

    Raises:
        EvidenceError: the folder has no readable ``evidence.json``.
    """
    return read(folder).plugins


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
