"""What passes between the stages, and what a finished run is made of. No torch here.

``Split`` carries the data. Everything else ends up in ``audit.json``: an ``AuditRun`` holds sections, a
section holds findings, tables and figures, and every figure is drawn from a table of its section, so that
each figure has its numbers.
"""

from rft.records.base import FORMAT_VERSION, Cell, JsonObject, Number, Record, Row, Table, first_problem
from rft.records.columns import Column, Columns, Role, describe_columns, find_column, list_columns, select_columns
from rft.records.definitions import FindingDefinition, MeasuredStatus
from rft.records.figures import (
    FIGURE_KINDS,
    Figure,
    asset_name,
    bars_figure,
    dots_figure,
    heatmap_figure,
    images_figure,
    lines_figure,
    tokens_figure,
)
from rft.records.findings import About, Absence, Adjusted, Cases, Finding, Grade, Interval, NotMeasured, Status
from rft.records.overview import Claim, ClaimState, Pillar
from rft.records.preprocessing import ImagePreprocessingFacts, PreprocessingFacts, TextPreprocessingFacts
from rft.records.runs import (
    Artifacts,
    AuditRun,
    Backbone,
    DataFacts,
    Environment,
    LaterVerdict,
    ModelFacts,
    Outcome,
    RuleOutcome,
    Run,
    SmallCells,
    SplitFacts,
    Training,
    Verdict,
)
from rft.records.sections import OWN_FOLDERS, Chapter, Section
from rft.records.split import InputFile, Split, Texts

__all__ = [
    "FIGURE_KINDS",
    "FORMAT_VERSION",
    "OWN_FOLDERS",
    "About",
    "Absence",
    "Adjusted",
    "Artifacts",
    "AuditRun",
    "Backbone",
    "Cases",
    "Cell",
    "Chapter",
    "Claim",
    "ClaimState",
    "Column",
    "Columns",
    "DataFacts",
    "Environment",
    "Figure",
    "Finding",
    "FindingDefinition",
    "Grade",
    "ImagePreprocessingFacts",
    "InputFile",
    "Interval",
    "JsonObject",
    "LaterVerdict",
    "MeasuredStatus",
    "ModelFacts",
    "NotMeasured",
    "Number",
    "Outcome",
    "Pillar",
    "PreprocessingFacts",
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
    "TextPreprocessingFacts",
    "Texts",
    "Training",
    "Verdict",
    "asset_name",
    "bars_figure",
    "describe_columns",
    "dots_figure",
    "find_column",
    "first_problem",
    "heatmap_figure",
    "images_figure",
    "lines_figure",
    "list_columns",
    "select_columns",
    "tokens_figure",
]
