"""What the columns of a table mean to those who show, draw and withhold it: each has a role.

A plugin declares the columns of its tables in ``Section.columns``, in the order in which a reader wants them. What it
does not declare gets a role by a few common names and by its cells (``infer_column``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import Field

from rft.records.base import Cell, Record, Table

Role = Literal[
    "key",
    "name",
    "attribute",
    "group",
    "class",
    "metric",
    "estimate",
    "low",
    "high",
    "band_low",
    "band_high",
    "p",
    "number",
    "count",
    "status",
    "note",
    "text",
]

KEY_ROLES: tuple[Role, ...] = ("key", "name", "attribute", "group", "class", "metric")
SINGLE_ROLES: tuple[Role, ...] = (
    *("attribute", "group", "class", "metric"),
    *("estimate", "low", "high", "band_low", "band_high", "status"),
)
READING_ORDER: tuple[Role, ...] = (
    *KEY_ROLES,
    *("estimate", "low", "high", "band_low", "band_high", "p", "number", "count", "status", "note", "text"),
)


class Column(Record):
    """A column of a table.

    Attributes:
        name: its key in the rows.
        role: what it means:

            - ``key``  what a row is about, in the user's or the reader's words; ``name`` the same as a name made by a
              program, which is shown in words
            - ``attribute``, ``group``, ``class``, ``metric``  what a row is about, where that is an attribute that
              divides into groups, one of its groups (no value: all of them together), a class, or a metric
            - ``estimate``  the number that a row is there for; where it has none, the status says why
            - ``low``, ``high``  its interval; ``band_low``, ``band_high``  a range to compare it with
            - ``p``  a p-value; ``number``  any other number
            - ``count``  how many cases (examples, people): withheld where they are few
            - ``status``  whether a row was measured, or why not
            - ``note``  a word or two about the number; ``text``  a sentence that explains the row
        label: its heading; its name in words when empty. Of ``low`` and ``band_low``: of both ends together.
        spellings: name made by a program -> how it is written, where that is not the name in words.
    """

    name: str
    role: Role
    label: str = ""
    spellings: dict[str, str] = Field(default_factory=dict)


Columns = tuple[Column, ...]


def list_columns(
    roles: Mapping[str, Role],
    *,
    labels: Mapping[str, str] | None = None,
    spellings: Mapping[str, Mapping[str, str]] | None = None,
) -> Columns:
    """Return columns by name and role, in their order.

    Args:
        roles: name of a column -> its role.
        labels: name of a column -> its heading, where that is not the name in words.
        spellings: name of a column -> how its names are written, where that is not the name in words.
    """
    labels, spellings = labels or {}, spellings or {}
    return tuple(
        Column(name=name, role=role, label=labels.get(name, ""), spellings=dict(spellings.get(name, {})))
        for name, role in roles.items()
    )


def label_counts(declared: Mapping[str, Columns], counted: str) -> dict[str, Columns]:
    """Return columns in which the heading of ``n`` says what it counts; a heading that is declared stays.

    Args:
        declared: name of a table -> its columns.
        counted: ``examples``, or ``units (face_id)`` where several examples can be of one unit.
    """
    heading = {"label": counted}
    return {
        table: tuple(
            column.model_copy(update=heading) if (column.name, column.label) == ("n", "") else column
            for column in columns
        )
        for table, columns in declared.items()
    }


def select_columns(declared: Mapping[str, Columns], tables: Iterable[str]) -> dict[str, Columns]:
    """Return the columns of those tables that are declared, by table."""
    return {name: declared[name] for name in tables if name in declared}


def describe_columns(table: Table, declared: Iterable[Column] = ()) -> dict[str, Column]:
    """Return the columns of a table by name, in reading order: those that are declared first, as they were declared.

    Args:
        table: rows with the same columns; without rows there are no columns.
        declared: what the plugin says; columns that the table lacks are passed over.
    """
    names = list(table[0]) if table else []
    known = {column.name: column for column in declared if column.name in names}
    inferred = [infer_column(name, [row[name] for row in table]) for name in names if name not in known]
    taken = {column.role for column in known.values()}
    inferred = [_without_taken_role(column, taken) for column in inferred]
    inferred.sort(key=lambda column: (READING_ORDER.index(column.role), column.name))
    return known | {column.name: column for column in inferred}


def infer_column(name: str, cells: Sequence[Cell]) -> Column:
    """Return the column that a plugin says nothing of.

    A name that is a role has that role; ``value`` is the estimate, ``n`` and ``n_...`` are counts, other numbers are
    numbers, yes and no are notes, and other texts say what a row is about.
    """
    return Column(name=name, role=_role_of_name(name) or _role_of_cells(cells))


def find_column(columns: Mapping[str, Column], role: Role) -> str | None:
    """Return the name of the first column with this role; None where there is none."""
    return next((name for name, column in columns.items() if column.role == role), None)


_ROLES_OF_NAMES: dict[str, Role] = {
    "attribute": "attribute",
    "group": "group",
    "class": "class",
    "label": "class",
    "metric": "metric",
    "value": "estimate",
    "estimate": "estimate",
    "low": "low",
    "high": "high",
    "band_low": "band_low",
    "band_high": "band_high",
    "p": "p",
    "p_value": "p",
    "n": "count",
    "count": "count",
    "status": "status",
    "unit": "note",
    "description": "text",
}


def _role_of_name(name: str) -> Role | None:
    return "count" if name.startswith("n_") else _ROLES_OF_NAMES.get(name)


def _without_taken_role(column: Column, taken: set[Role]) -> Column:
    """Return a column whose role is not one that a declared column has and that only one column can have."""
    if column.role not in taken or column.role not in SINGLE_ROLES:
        return column
    return column.model_copy(update={"role": "key" if column.role in KEY_ROLES else "number"})


def _role_of_cells(cells: Sequence[Cell]) -> Role:
    held = [cell for cell in cells if cell is not None]
    if held and all(isinstance(cell, bool) for cell in held):
        return "note"
    return "number" if all(isinstance(cell, int | float) for cell in held) else "key"
