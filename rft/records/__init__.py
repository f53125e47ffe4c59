"""What passes between the stages, and what a finished run is made of. No torch here.

``Split`` carries the data. Everything else ends up in ``audit.json``: an ``AuditRun`` holds sections, a
section holds findings, tables and figures, and every figure is drawn from a table of its section, so that
each figure has its numbers.
"""

from rft.records.base import FORMAT_VERSION, Cell, Number, Record, Row, Table
from rft.records.columns import Column, Columns, Role, describe_columns, find_column, list_columns, select_columns
from rft.records.findings import About, Adjusted, Cases, Finding, Grade, Interval, NotMeasured, Status, not_measured
from rft.records.runs import (
    Artifacts,
    AuditRun,
    Backbone,
    DataFacts,
    Environment,
    ModelFacts,
    Outcome,
    RuleOutcome,
    Run,
    SmallCells,
    SplitFacts,
    Training,
    Verdict,
)
from rft.records.sections import OWN_FOLDERS, Chapter, Figure, Section, asset_name
from rft.records.split import InputFile, Split, Texts

__all__ = [
    "FORMAT_VERSION",
    "OWN_FOLDERS",
    "About",
    "Adjusted",
    "Artifacts",
    "AuditRun",
    "Backbone",
    "Cases",
    "Cell",
    "Chapter",
    "Column",
    "Columns",
    "DataFacts",
    "Environment",
    "Figure",
    "Finding",
    "Grade",
    "InputFile",
    "Interval",
    "ModelFacts",
    "NotMeasured",
    "Number",
    "Outcome",
    "Record",
    "Role",
    "Row",
    "RuleOutcome",
    "Run",
    "Section",
    "SmallCells",
    "Split",
    "SplitFacts",
    "Status",
    "Table",
    "Texts",
    "Training",
    "Verdict",
    "asset_name",
    "describe_columns",
    "find_column",
    "list_columns",
    "not_measured",
    "select_columns",
]
