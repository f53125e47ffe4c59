"""What plugins declare of the columns of their tables is what a section takes, for tables that few runs have too."""

from __future__ import annotations

import pytest

from rft.plugins.attribution import columns as attribution
from rft.plugins.influence import tables as influence
from rft.plugins.label_errors import tables as label_errors
from rft.records import Columns, Section


@pytest.mark.parametrize(
    ("plugin", "columns"),
    [
        ("attribution", attribution.COLUMNS),
        ("influence", influence.COLUMNS),
        ("label_errors", label_errors.COLUMNS),
    ],
)
def test_a_section_takes_all_declared_columns(plugin: str, columns: dict[str, Columns]) -> None:
    tables = {name: [{column.name: None for column in declared}] for name, declared in columns.items()}
    section = Section(plugin=plugin, title=plugin, findings=(), tables=tables, columns=columns)
    assert section.tables.keys() == columns.keys()
