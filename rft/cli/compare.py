"""``rft compare``: two finished runs on the same people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rft.cli.app import Debug, out, report_errors
from rft.cli.show import show_findings
from rft.version import __version__


def compare(
    before: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of the run to compare with.")],
    after: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of the other run, on the same data.")],
    page: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path("compare.html"),
    debug: Debug = False,
) -> None:
    """Compare two models on the same people: plain and private, or before and after a change."""
    with report_errors(debug):
        from rft.pipeline.compare_runs import compare_runs
        from rft.report.render.comparison_page import comparison_html

        compared = compare_runs(before, after)
        out.say(f"Gaps of {compared.names[1]} minus those of {compared.names[0]}, with 95 % intervals")
        for section in compared.sections:
            show_findings(section)
        byline = [f"{compared.n:,} test examples that both predicted"]
        name = f"{compared.names[0]} and {compared.names[1]}"
        content = comparison_html(compared.sections, name=name, byline=byline, rft_version=__version__)
        page.write_text(content, encoding="utf-8")
        out.say(f"Page: {page}")
