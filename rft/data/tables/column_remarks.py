"""What is noticed when columns are read: names almost alike, and what a file holds beside its rows."""

from __future__ import annotations

from collections.abc import Sequence

from rft.data.remarks import Remark
from rft.data.tables.spelling import normal_form, quote_name
from rft.data.tables.table_file import TableFile


def alike_columns(wanted: Sequence[str], known: Sequence[str]) -> list[Remark]:
    """Return the remark that names columns called almost like one that is read; empty where there are none."""
    others = [name for name in known if name not in wanted]
    pairs = [
        (name, other_name) for name in wanted for other_name in others if normal_form(name) == normal_form(other_name)
    ]
    if not pairs:
        return []
    named = "; ".join(f"{quote_name(name)}, and not {quote_name(other_name)}" for name, other_name in pairs)
    return [
        Remark(
            id="alike_columns",
            title="Columns that differ only in spelling",
            value=len(pairs),
            unit="columns",
            n=len(known),
            description=f"Columns have almost the same name. These were read: {named}.",
        )
    ]


def describe_left_out_parts(files: Sequence[TableFile], left_out: Sequence[Sequence[str]]) -> list[Remark]:
    """Return the remark that counts what lies in shards and is no part of an example; empty where there is nothing.

    Args:
        files: those of the table.
        left_out: of each of them, names of what it holds beside its rows.
    """
    names = [f"{file.name}/{name}" for file, inside in zip(files, left_out, strict=True) for name in inside]
    if not names:
        return []
    return [
        Remark(
            id="left_out_of_shards",
            title="Files in shards that are no part of an example",
            value=len(names),
            unit="files",
            description="Shards hold files that are hidden or have no suffix. They are no part of an example, and were "
            f"not read: {len(names):,}.",
            names=names,
        )
    ]
