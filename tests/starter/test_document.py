"""A commented config is TOML whatever names and reasons hold, and what is commented out can be commented in."""

from __future__ import annotations

import tomllib

from rft.starter.document import Entry, Table, write_document
from tests.support.hostile_text import HOSTILE


def test_values_and_reasons_of_any_text_are_toml() -> None:
    nasty = f'a"b\\c\n[data]\nx = 1 # {HOSTILE}'
    text = write_document([nasty], [Table("data", nasty, [Entry("label", nasty, nasty), Entry("", reason=nasty)])])
    assert tomllib.loads(text) == {"data": {"label": nasty}}


def test_what_is_commented_out_holds_without_its_mark() -> None:
    entries = [Entry("epochs", 20, active=False), Entry("rate", 0.5), Entry("", reason="said")]
    inactive = Table("policy", "", entries, active=False, repeated=True)
    text = write_document([], [Table("", entries=[Entry("seed", 0)]), Table("train", "why", entries), inactive])
    assert text == (
        "seed = 0\n\n[train]  # why\n# epochs = 20\nrate = 0.5\n# said\n\n"
        "# [[policy]]\n# epochs = 20\n# rate = 0.5\n# said\n"
    )


def test_a_long_reason_stands_above_its_line() -> None:
    lines = write_document([], [Table("data", entries=[Entry("label", "x", "a reason " * 20)])]).splitlines()
    assert lines[-1] == 'label = "x"'
    assert all(line.startswith("# ") and len(line) <= 120 for line in lines[1:-1])
    assert " ".join(line[2:] for line in lines[1:-1]) == ("a reason " * 20).strip()
