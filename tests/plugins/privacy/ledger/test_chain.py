"""The chain of a ledger: a change, a cut and an older copy are found; what a kill left half-written is mended."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rft.errors import EvidenceError
from rft.plugins.privacy.ledger import chain
from rft.plugins.privacy.ledger.chain import Anchor, Chain

RECORDS = [{"kind": "population", "name": "Zoë"}, {"kind": "block", "first": 0}, {"kind": "end", "epsilon": 0.1}]


@pytest.fixture(autouse=True)
def without_a_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what makes these tests slow and changes nothing that they look at."""
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.fixture
def written(tmp_path: Path) -> Chain:
    records = chain.read(tmp_path)
    for record in RECORDS:
        records.append(record)
    return records


def entries_file(written: Chain) -> Path:
    return written.folder / chain.ENTRIES_FILE


def test_what_is_read_is_what_was_written(written: Chain) -> None:
    records = chain.read(written.folder)
    assert records == written
    assert records.records == RECORDS
    assert records.anchor.entries == 3
    assert records.size == entries_file(written).stat().st_size
    assert chain.read(written.folder / "nothing") == Chain(written.folder / "nothing")


def test_a_hash_covers_record_number_and_predecessor(tmp_path: Path, written: Chain) -> None:
    repeated = Chain(tmp_path / "other")
    repeated.folder.mkdir()
    for record in (RECORDS[0], RECORDS[0], RECORDS[0]):
        repeated.append(record)
    assert repeated.hashes[0] == written.hashes[0]
    assert len({*repeated.hashes, *written.hashes}) == 5


def test_a_change_of_any_byte_is_found(written: Chain) -> None:
    content = entries_file(written).read_bytes()
    for place in range(len(content)):
        entries_file(written).write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(EvidenceError, match=r"is not the one that was written|ends after"):
            chain.read(written.folder)


def test_a_cut_at_any_byte_is_found(written: Chain) -> None:
    content = entries_file(written).read_bytes()
    for length in range(len(content)):
        entries_file(written).write_bytes(content[:length])
        with pytest.raises(EvidenceError, match=r"ends after \d entries where 3 were written"):
            chain.read(written.folder)
    entries_file(written).unlink()
    with pytest.raises(EvidenceError, match="ends after 0 entries where 3 were written"):
        chain.read(written.folder)


def test_lines_that_changed_places_are_found(written: Chain) -> None:
    first, second, third = entries_file(written).read_bytes().splitlines(keepends=True)
    for lines in ([first, third, second], [second, first, third], [first, first, third], [second, third]):
        entries_file(written).write_bytes(b"".join(lines))
        with pytest.raises(EvidenceError, match=r"line [12] is not the one"):
            chain.read(written.folder)


def test_a_last_line_that_a_kill_left_half_written_is_mended(tmp_path: Path, written: Chain) -> None:
    before, head = entries_file(written).read_bytes(), (written.folder / chain.HEAD_FILE).read_bytes()
    written.append({"kind": "block", "first": 5})
    torn = entries_file(written).read_bytes()[len(before) :]
    for length in range(0, len(torn), 3):
        for rest in (torn[:length], b"\0" * length):
            entries_file(written).write_bytes(before + rest)
            (written.folder / chain.HEAD_FILE).write_bytes(head)
            records = chain.read(written.folder)
            assert records.records == RECORDS
            records.append({"kind": "block", "first": 7})
            assert chain.read(written.folder).records == [*RECORDS, {"kind": "block", "first": 7}]


def test_a_whole_line_behind_the_head_counts(written: Chain) -> None:
    head = (written.folder / chain.HEAD_FILE).read_bytes()
    written.append({"kind": "block", "first": 5})
    (written.folder / chain.HEAD_FILE).write_bytes(head)
    assert chain.read(written.folder).records == written.records, "the kill came before the head was renewed"


def test_a_kill_after_the_very_first_entry_needs_no_head(tmp_path: Path) -> None:
    records = chain.read(tmp_path)
    records.append(RECORDS[0])
    (tmp_path / chain.HEAD_FILE).unlink()
    assert chain.read(tmp_path).records == RECORDS[:1]


@pytest.mark.parametrize("content", [None, "", "[]", "{", '{"entries": -1, "head": ""}', '{"entries": 3}'])
def test_a_missing_or_damaged_head_is_found(written: Chain, content: str | None) -> None:
    (written.folder / chain.HEAD_FILE).unlink()
    if content is not None:
        (written.folder / chain.HEAD_FILE).write_text(content)
    with pytest.raises(EvidenceError, match=r"is missing beside its ledger|is not the one that was written") as refusal:
        chain.read(written.folder)
    assert refusal.value.where == str(written.folder / chain.HEAD_FILE)
    assert "Restore" in str(refusal.value)
    assert refusal.value.exit_code == 4


def test_an_older_copy_of_the_entries_is_found(written: Chain) -> None:
    older = entries_file(written).read_bytes()
    written.append({"kind": "block", "first": 5})
    entries_file(written).write_bytes(older)
    with pytest.raises(EvidenceError, match="ends after 3 entries where 4 were written: it was cut, or is an older"):
        chain.read(written.folder)


def test_an_older_copy_of_everything_is_found_by_an_anchor(tmp_path: Path, written: Chain) -> None:
    older = tmp_path / "copy"
    shutil.copytree(written.folder, older, ignore=shutil.ignore_patterns("copy"))
    anchors = [Anchor(), written.anchor]
    written.append({"kind": "block", "first": 5})
    anchors.append(written.anchor)
    restored = chain.read(older)
    assert [restored.contains(anchor) for anchor in anchors] == [True, True, False]
    restored.append({"kind": "block", "first": 6})
    assert [restored.contains(anchor) for anchor in anchors] == [True, True, False], "as long, and another"
    assert all(chain.read(written.folder).contains(anchor) for anchor in anchors)


def test_a_ledger_that_was_written_anew_by_its_rules_is_found_by_an_anchor(tmp_path: Path, written: Chain) -> None:
    forged = Chain(tmp_path / "forged")
    forged.folder.mkdir()
    for record in ({**RECORDS[0], "name": "Zoe"}, *RECORDS[1:]):
        forged.append(record)
    assert chain.read(forged.folder).anchor.entries == written.anchor.entries
    assert not chain.read(forged.folder).contains(written.anchor)


@pytest.mark.parametrize("anchor", [Anchor(2, "0" * 64), Anchor(0, "ab"), Anchor(99, "0" * 64)])
def test_anchors_that_no_chain_went_through(written: Chain, anchor: Anchor) -> None:
    assert not written.contains(anchor)


def test_the_files_are_lines_of_json_for_their_owner(written: Chain) -> None:
    lines = [json.loads(line) for line in entries_file(written).read_text(encoding="utf-8").splitlines()]
    assert [line["number"] for line in lines] == [1, 2, 3]
    assert [line["previous"] for line in lines[1:]] == [line["sha256"] for line in lines[:-1]]
    for path in written.folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path
