"""What readers see of tables: words and the abbreviations of the metrics' records, no names made by a program."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest

import rft.plugins
from rft.plugins.fairness.present.columns import COLUMNS as FAIRNESS_COLUMNS
from rft.plugins.performance.audit import METRICS as MEASURES
from rft.plugins.performance.tables import declare_columns as declare_performance_columns
from rft.plugins.privacy.columns import declare_columns as declare_privacy_columns
from rft.records import Columns
from rft.report.views.tables import cell_text
from rft.stats.scores.classification import METRICS

PROGRAM_NAME = re.compile(r"\w+_\w+")


def test_captions_are_in_words() -> None:
    modules = [name for _, name, _ in pkgutil.walk_packages(rft.plugins.__path__, "rft.plugins.")]
    captions = {
        f"{name}.{table}": caption
        for name in modules
        for table, caption in getattr(importlib.import_module(name), "CAPTIONS", {}).items()
    }
    assert len(captions) > 15
    assert {place: PROGRAM_NAME.findall(text) for place, text in captions.items() if PROGRAM_NAME.search(text)} == {}


@pytest.mark.parametrize("declared", [FAIRNESS_COLUMNS, declare_privacy_columns("units")], ids=["fairness", "privacy"])
def test_tables_write_metrics_as_their_records_do(declared: dict[str, Columns]) -> None:
    columns = [column for of_table in declared.values() for column in of_table if column.role == "metric"]
    assert columns
    for column in columns:
        for metric in METRICS.values():
            assert cell_text(metric.name, column) == (metric.abbreviation or metric.name.replace("_", " "))


def test_measures_of_all_examples_are_written_by_their_titles() -> None:
    (column,) = [
        column
        for column in declare_performance_columns(
            {name: measure.title for name, measure in MEASURES.items()}, "examples"
        )["metrics"]
        if column.role == "metric"
    ]
    assert cell_text("ece", column) == "Expected calibration error"
    assert all(cell_text(name, column) == measure.title for name, measure in MEASURES.items())
