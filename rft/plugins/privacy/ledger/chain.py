"""An append-only file in which each entry holds the hash of the one before it. Knows nothing of what entries mean.

``head.json`` beside it says how far it was written. It is renewed after each entry, so that a chain which is shorter
was cut, and a last line behind it that is not whole was being written when the process ended. Someone who rewrites
both files leaves no trace in them; ``Chain.contains`` finds it with an ``Anchor`` that was kept elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rft.errors import EvidenceError
from rft.plugins.privacy.ledger.atomic_io import clear_errors, overwrite_in_place, replace_file, sync_folder, write_from
from rft.records import JsonObject

ENTRIES_FILE, HEAD_FILE = "ledger.jsonl", "head.json"
REMEDY = "Restore its folder from a copy that holds everything. Without one, what was spent is not known any more."
HEAD_BYTES = 128  # always, so that one head can be written over another


@dataclass(frozen=True)
class Anchor:
    """A place in a chain: the number of entries up to it, and the sha256 of the last one."""

    entries: int = 0
    head: str = "0" * 64

    @classmethod
    def from_mapping(cls, content: object) -> Anchor:
        """Return the anchor that a mapping holds; raises ``ValueError`` when it holds none."""
        match content:
            case {"entries": int(entries), "head": str(head)} if entries >= 0:
                return cls(entries, head)
        raise ValueError(f"Expected entries >= 0 and a head, not {content!r}.")


@dataclass
class Chain:
    """The entries of a folder.

    Attributes:
        folder: where the files are.
        records: what was written, in order.
        hashes: the sha256 of each entry, over its record, its number and the hash of the one before.
        size: bytes of the file that these entries take; what stands behind them is torn.
    """

    folder: Path
    records: list[JsonObject] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    size: int = 0

    @property
    def anchor(self) -> Anchor:
        """The end of the chain."""
        return Anchor(len(self.hashes), self.hashes[-1]) if self.hashes else Anchor()

    def contains(self, anchor: Anchor) -> bool:
        """Tell whether the chain went through this place."""
        return anchor == Anchor() or anchor.head in self.hashes[anchor.entries - 1 : anchor.entries]

    def append(self, record: JsonObject) -> None:
        """Add an entry, which stands on the disk when this returns; raises ``OutputError`` when it cannot."""
        line, digest = _encode_record(record, self.anchor)
        write_from(self.folder / ENTRIES_FILE, self.size, line + b"\n")
        head = _canonical_json(asdict(Anchor(len(self.hashes) + 1, digest))).ljust(HEAD_BYTES)
        if self.hashes:
            overwrite_in_place(self.folder / HEAD_FILE, head)
        else:
            replace_file(self.folder / HEAD_FILE, head)
            sync_folder(self.folder)
        self._add_entry(record, line, digest)

    def _add_entry(self, record: JsonObject, line: bytes, digest: str) -> None:
        self.records.append(record)
        self.hashes.append(digest)
        self.size += len(line) + 1


def read(folder: Path) -> Chain:
    """Return the chain of a folder, an empty one where there is none.

    Raises:
        EvidenceError: it is not the one that was written.
        OutputError: it cannot be read.
    """
    head = _read_head(folder / HEAD_FILE)  # before the entries, which another process may be adding to
    *lines, _torn = _read_bytes(folder / ENTRIES_FILE).split(b"\n")
    chain = Chain(folder)
    for line in lines:
        decoded = _decode_line(line, chain.anchor)
        if decoded is None:
            break
        record, digest = decoded
        chain._add_entry(record, line, digest)
    _check_chain(chain, head, len(lines) - len(chain.records))
    return chain


def _check_chain(chain: Chain, head: Anchor | None, unreadable: int) -> None:
    """Compare a chain with what was known to be written; ``unreadable`` lines follow it."""
    where, written = str(chain.folder / ENTRIES_FILE), len(chain.records)
    expected = head.entries if head else 0
    if unreadable > 1 or (unreadable and written < expected):
        raise EvidenceError(f"line {written + 1} is not the one that was written", where=where, remedy=REMEDY)
    if written < expected:
        problem = f"ends after {written} entries where {expected} were written: it was cut, or is an older copy"
        raise EvidenceError(problem, where=where, remedy=REMEDY)
    if head and not chain.contains(head):
        raise EvidenceError(f"entry {expected} is not the one that was written", where=where, remedy=REMEDY)
    if head is None and written > 1:  # after the first entry a kill can come before the head is there
        raise EvidenceError("is missing beside its ledger", where=str(chain.folder / HEAD_FILE), remedy=REMEDY)


def _read_head(path: Path) -> Anchor | None:
    content = _read_bytes(path)
    if not content:
        return None
    try:
        return Anchor.from_mapping(json.loads(content))
    except ValueError as error:
        raise EvidenceError("is not the one that was written", where=str(path), remedy=REMEDY) from error


def _read_bytes(path: Path) -> bytes:
    with clear_errors(path):
        return path.read_bytes() if path.exists() else b""


def _encode_record(record: JsonObject, after: Anchor) -> tuple[bytes, str]:
    """Return the line of a record and its hash."""
    body = {**record, "number": after.entries + 1, "previous": after.head}
    digest = hashlib.sha256(_canonical_json(body)).hexdigest()
    return _canonical_json({**body, "sha256": digest}), digest


def _decode_line(line: bytes, after: Anchor) -> tuple[JsonObject, str] | None:
    """Return the record of a line and its hash, or None where the line is not, to the byte, what follows ``after``."""
    try:
        body = json.loads(line)
        record = {key: value for key, value in body.items() if key not in ("number", "previous", "sha256")}
        expected, digest = _encode_record(record, after)
    except (ValueError, AttributeError):
        return None
    return (record, digest) if line == expected else None


def _canonical_json(content: JsonObject) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
