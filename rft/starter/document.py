"""A commented ``audit.toml`` as text: tables of keys, each with its reason, some of them commented out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from rft.report.format.toml import write_key, write_value
from rft.visible import visible

WIDTH = 120  # columns, beyond which a comment stands above its line


@dataclass(frozen=True)
class Entry:
    """A key of a table, or a remark between keys.

    Attributes:
        key: its name; empty for a remark alone.
        value: anything that TOML can say.
        reason: why it says that.
        active: whether it holds; otherwise it is commented out.
        warns: whether it is a remark to be told on the terminal, too.
    """

    key: str
    value: object = None
    reason: str = ""
    active: bool = True
    warns: bool = False


@dataclass(frozen=True)
class Table:
    """A table of the config.

    Attributes:
        name: without brackets; empty for the keys above all tables.
        reason: why it is there, or is not.
        entries: its keys, in order.
        active: whether it holds; otherwise it is commented out with all its keys.
        repeated: whether it is one of a list: ``[[policy]]``.
    """

    name: str
    reason: str = ""
    entries: Sequence[Entry] = ()
    active: bool = True
    repeated: bool = False


def write_document(head: Sequence[str], tables: Sequence[Table]) -> str:
    """Return the text of a config; ``head`` are comments of its first lines."""
    lines = [f"# {visible(line)}" for line in head]
    for number, table in enumerate(tables):
        lines += [""] * bool(number or head)
        lines += _write_table(table)
    return "\n".join(lines) + "\n"


def _write_table(table: Table) -> Iterator[str]:
    if table.name:
        brackets = f"[[{table.name}]]" if table.repeated else f"[{table.name}]"
        yield from _write_line(brackets, table.reason, active=table.active)
    for entry in table.entries:
        text = f"{write_key(entry.key)} = {write_value(entry.value)}" if entry.key else ""
        yield from _write_line(text, entry.reason, active=entry.active and table.active)


def _write_line(text: str, reason: str, *, active: bool) -> Iterator[str]:
    """Yield a line with its comment behind it, or above it where both together are too long."""
    line, comment = text if active else f"# {text}", visible(reason)
    if text and not comment:
        yield line
    elif text and len(line) + len(comment) + 4 <= WIDTH:
        yield f"{line}  # {comment}"
    else:
        yield from (f"# {part}" for part in wrap(comment, WIDTH - 2, break_long_words=False, break_on_hyphens=False))
        if text:
            yield line
