"""``evidence.json``: hashes of every file of a run, of its config, model and inputs; and the check against them.

What may go to others is hashed plainly, so that they can check it: the pages, ``audit.json`` and the model. Everything
else, and what the run read, is digested with the key of the run, names included (see ``run_key``). The evidence also
keeps what plugins recorded, such as where the ledger of the population stood: a ledger that is put back is found out.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from rft.errors import DataError, EvidenceError, RftError
from rft.records import IN_MEMORY, AuditRun, InputFile, JsonObject, Record, first_problem
from rft.report.run_folder.archives import refuse_archive
from rft.report.run_folder.run_key import ALGORITHM, RunKey, find_key
from rft.runtime.progress import track_progress
from rft.runtime.remote.urls import parse_url

FILE = "evidence.json"
# 1: plain hashes of all; 2: keyed digests of the inputs and of the files that are not for others;
# 3: what each plugin recorded; 4: a digest of itself, and what a folder that was made from a run was made from.
FORMAT_VERSION = 4
FOR_OTHERS = ("audit.json", "report.html", "model-card.md")  # and the folder model/
MODEL = "model/"
OWN_DIGEST = "content_sha256"


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


class Origin(Record):
    """The run that a folder was made from by ``rft report``: ``evidence_sha256`` is of its ``evidence.json``."""

    run: str
    evidence_sha256: str


class Evidence(Record):
    """The content of ``evidence.json``.

    Attributes:
        run: id of the run.
        config: of the config as it is shown.
        model: of the tensors of the model; None where there is none.
        plugins: name of a plugin -> what it recorded (``Section.evidence``).
        files: name -> sha256 of the files that are for others.
        keyed: of everything else.
        made_from: the run that this folder was made from; None for a run itself.
    """

    format_version: int = FORMAT_VERSION
    run: str
    config: Sha256
    model: Sha256 | None
    plugins: dict[str, JsonObject]
    files: dict[str, str]
    keyed: KeyedDigests
    made_from: Origin | None = None

    def to_json(self) -> str:
        """Return the text of the file: the record and a digest of it, so that no byte can change unseen by accident."""
        content = self.model_dump(mode="json")
        return _write_json({**content, OWN_DIGEST: hashlib.sha256(_write_json(content).encode()).hexdigest()})


@dataclass(frozen=True)
class Verification:
    """What came of checking a run.

    Attributes:
        problems: what is not what was written, one sentence each.
        unchecked: what could not be checked.
        checked: files of the run that were checked.
        inputs: inputs that were checked.
        in_memory: of ``unchecked``, the inputs that were objects in memory: nobody can read them again.
        has_key: whether the key of the run was there, which its owner has.
        evidence: what the folder was held against.
        evidence_sha256: of the file, to be written down where only the owner of the run can write.
    """

    problems: tuple[str, ...]
    unchecked: tuple[str, ...]
    checked: int
    evidence: Evidence
    evidence_sha256: str
    inputs: int = 0
    in_memory: tuple[str, ...] = ()
    has_key: bool = True


def describe_folder(run: AuditRun, inputs: Sequence[InputFile], folder: Path, key: RunKey) -> str:
    """Return the content of ``evidence.json`` for a folder in which everything else is written."""
    hashes = _hash_files(folder)
    private = {name: sha256 for name, sha256 in hashes.items() if not _is_for_others(name)}
    evidence = Evidence(
        run=run.run.volatile.id,
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


def describe_made_from(run: AuditRun, folder: Path, source: Path) -> str:
    """Return the content of ``evidence.json`` for a folder that was made from a run, with all else in it written.

    Of a version for strangers it holds no hash of the config and nothing that plugins recorded. The hash of the run's
    own evidence stays: that file is full of digests with a secret key, so that no guess of it can be confirmed.
    """
    former = read(source)
    if run.left_out:
        former = former.model_copy(update={"config": Sha256(sha256=""), "plugins": {}})
    evidence = former.model_copy(
        update={
            "files": _hash_files(folder),
            "keyed": KeyedDigests(algorithm=ALGORITHM, key="", files={}, inputs={}),
            "made_from": former.made_from or Origin(run=run.run.volatile.id, evidence_sha256=_hash_file(source / FILE)),
        }
    )
    return evidence.to_json()


def is_made_from(folder: Path, run: str) -> bool:
    """Return whether a folder was made from the run with this id, by ``rft report``, and nobody changed it since."""
    try:
        verification = verify_files(folder)
    except RftError:  # no folder that was written whole
        return False
    origin = verification.evidence.made_from
    return origin is not None and origin.run == run and not verification.problems


def read(folder: Path) -> Evidence:
    """Return the content of a folder's ``evidence.json``.

    Raises:
        EvidenceError: it cannot be read, is of another format, or is not as it was written.
    """
    file = Path(folder) / FILE
    try:
        text = file.read_bytes().decode("utf-8")
        content = json.loads(text)
    except OSError as error:
        raise EvidenceError(f"cannot be read ({error.strerror})", where=str(file)) from error
    except ValueError as error:
        raise EvidenceError("is not JSON", where=str(file)) from error
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        raise EvidenceError(f"has format version {version}; this rft reads {FORMAT_VERSION}", where=str(file))
    content.pop(OWN_DIGEST, None)
    try:
        evidence = Evidence.model_validate(content)
    except ValidationError as error:
        raise EvidenceError(f"is not what a run leaves: {first_problem(error)}", where=str(file)) from error
    if evidence.to_json() != text:
        raise EvidenceError("was changed after it was written", where=str(file))
    return evidence


def verify(folder: Path, *, key: Path | None = None, data: Path | None = None) -> Verification:
    """Check the files of a run, and with its key what it read.

    A file that changed, one that is missing, and one that is not listed are problems. Someone who can rewrite
    ``evidence.json`` too is not found out by this: keep its own sha256 elsewhere.

    Args:
        folder: of the run.
        key: the file with the key of the run; by default the one in the user's state folder, where there is one.
        data: the folder that paths of inputs are relative to; by default that of the config, when it ran.

    Raises:
        DataError: there is no such folder, or it holds nothing of a run; ``key`` is none, or that of another run.
        EvidenceError: the folder has no readable ``evidence.json``, or one that was not made with this key.
    """
    verification = verify_files(folder, key=key)
    evidence = verification.evidence
    inputs = evidence.keyed.inputs
    owner = _find_key(evidence, key)
    if owner is None:
        unchecked = [f"{len(inputs)} input{'s' * (len(inputs) > 1)}"] if inputs else []
        return replace(verification, unchecked=(*verification.unchecked, *unchecked), has_key=False)
    problems, absent, checked = _check_inputs(owner, inputs, data)
    in_memory = tuple(
        f"the input {path.removeprefix(IN_MEMORY)}, which was an object in memory and no file"
        for path in owner.inputs
        if path.startswith(IN_MEMORY)
    )
    return replace(
        verification,
        problems=(*verification.problems, *problems),
        unchecked=(*verification.unchecked, *absent, *in_memory),
        inputs=checked,
        in_memory=in_memory,
    )


def verify_files(folder: Path, *, key: Path | None = None) -> Verification:
    """Check the files of a run alone, as ``verify`` does; what it read is not looked at.

    What this user may not read, as in a run that was shared, is not checked.
    """
    folder = Path(folder)
    refuse_archive(folder)
    if not any((folder / name).is_file() for name in (FILE, *FOR_OTHERS)):
        raise DataError("holds no run", where=str(folder), remedy="Give the folder that rft audit wrote.")
    evidence = read(folder)
    owner = _find_key(evidence, key)
    closed = _list_closed(folder)
    hashes = _hash_files(folder, wanted=lambda name: not _lies_in(name, closed))
    expected = {name: sha256 for name, sha256 in evidence.files.items() if not _lies_in(name, closed)}
    listed = {name for name in hashes if _is_for_others(name) or name in evidence.files}
    public = {name: hashes[name] for name in listed}
    private = {name: sha256 for name, sha256 in hashes.items() if name not in listed}
    problems = [*_compare_hashes(expected, public), *_find_empty_folders(folder)]
    sha256 = _hash_file(folder / FILE)
    if owner is None:
        unchecked = tuple(sorted(private)) if evidence.keyed.files else ()
        unchecked = (*unchecked, *(f"{name} (closed to this user)" for name in sorted(closed)))
        added = [] if evidence.keyed.files else [f"{name} was added" for name in sorted(private)]
        return Verification((*problems, *added), unchecked, len(public), evidence, sha256)
    missing = len(evidence.keyed.files.keys() - owner.digests("file", private).keys())
    left_out = (f"private files that are not here: {missing}",) if missing else ()
    problems += _check_private(owner, evidence.keyed.files, private)
    return Verification(tuple(problems), left_out, len(hashes), evidence, sha256)


def _list_closed(folder: Path) -> set[str]:
    """Return the files and folders of a run that this user may not read, by their paths in it."""
    closed: set[str] = set()
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(place, name)
            wanted = os.R_OK | os.X_OK if path.is_dir() else os.R_OK
            if not path.is_symlink() and not os.access(path, wanted):
                closed.add(path.relative_to(folder).as_posix())
        folders[:] = [name for name in folders if Path(place, name).relative_to(folder).as_posix() not in closed]
    return closed


def _lies_in(name: str, places: Collection[str]) -> bool:
    return any(name == place or name.startswith(f"{place}/") for place in places)


def _find_key(evidence: Evidence, file: Path | None) -> RunKey | None:
    """Return the key of the run; None where it is not there, or the folder holds nothing that is keyed."""
    keyed = evidence.keyed
    return find_key(evidence.run, keyed.key, file) if keyed.files or keyed.inputs else None


def _find_empty_folders(folder: Path) -> list[str]:
    """Return what is wrong with folders that hold nothing: a run has none."""
    empty = [Path(place) for place, folders, names in os.walk(folder) if not folders and not names]
    return [f"the empty folder {place.relative_to(folder).as_posix()} was added" for place in sorted(empty)]


def hash_files_for_others(folder: Path) -> dict[str, str]:
    """Return the sha256 of ``evidence.json`` and of the present files that may go to others, by path in the folder.

    Raises:
        EvidenceError: the folder has no readable ``evidence.json``.
    """
    read(folder)
    return {FILE: _hash_file(Path(folder) / FILE), **_hash_files(folder, wanted=_is_for_others)}


def _is_for_others(name: str) -> bool:
    return name in FOR_OTHERS or name.startswith(MODEL)


def _compare_hashes(listed: Mapping[str, str], present: Mapping[str, str]) -> list[str]:
    both = sorted(listed.keys() & present.keys())
    changed = [f"{name} is not the file that was written" for name in both if listed[name] != present[name]]
    missing = [f"{name} is missing" for name in sorted(listed.keys() - present.keys())]
    added = [f"{name} was added" for name in sorted(present.keys() - listed.keys())]
    return changed + missing + added


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
        if path.startswith(IN_MEMORY):
            continue
        if parse_url(path) is not None:
            absent.append(f"the input {path}, which is not on this machine")
            continue
        try:
            sha256 = _hash_file((data or key.folder) / path)
        except OSError as error:
            absent.append(f"the input {path} in {data or key.folder} ({error.strerror})")
            continue
        checked += 1
        if listed.get(digest) != key.content("input", path, sha256):
            problems.append(f"the input {path} is not the file that was read")
    return problems, absent, checked


def _hash_files(folder: Path, *, wanted: Callable[[str], bool] = lambda name: True) -> dict[str, str]:
    """Return the sha256 of each wanted file but ``evidence.json``, by its path in the folder; a link has none."""
    hashes = {}
    for place, folders, names in os.walk(folder):
        linked = [name for name in folders if Path(place, name).is_symlink()]
        for name in [*names, *linked]:
            file = Path(place, name)
            relative = file.relative_to(folder).as_posix()
            if relative != FILE and wanted(relative):
                hashes[relative] = "" if file.is_symlink() else _hash_file(file)
    return hashes


def _hash_file(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write_json(content: Mapping[str, object]) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, indent=1) + "\n"
