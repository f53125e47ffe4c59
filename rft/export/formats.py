"""The table of formats: a format more is an entry more, and its writer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from rft.export.source import ExportSource


@dataclass(frozen=True)
class ExportFormat:
    """A format that runs are exported to.

    Attributes:
        name: what ``--format`` calls it.
        file_name: of the file, unless another is asked for.
        writer: ``module:function`` in this room, imported when it is needed; it returns the content of the file.
        purpose: what it is for, in a few words.
    """

    name: str
    file_name: str
    writer: str
    purpose: str

    def write(self, source: ExportSource) -> str:
        """Return the content of the file."""
        module, _, function = self.writer.partition(":")
        writer = cast("Callable[[ExportSource], str]", getattr(import_module(f"rft.export.{module}"), function))
        return writer(source)


_ALL = (
    ExportFormat("junit", "rft-junit.xml", "junit:write_junit", "rules as tests, for CI servers"),
    ExportFormat(
        "sarif", "rft.sarif", "sarif:write_sarif", "rules that do not hold, at their lines, for hosts of code"
    ),
    ExportFormat("cyclonedx", "rft.cdx.json", "cyclonedx:write_cyclonedx", "a bill of materials with a model card"),
    ExportFormat("csv", "findings.csv", "findings_csv:write_csv", "a row a finding, for spreadsheets"),
    ExportFormat("json", "findings.json", "findings_json:write_findings_json", "rules and findings, for scripts"),
)
FORMATS = {format.name: format for format in _ALL}
