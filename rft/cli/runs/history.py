"""``rft history``: the finished runs of a folder over time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rft.cli.app import Debug, ForceFiles, err, out, report_errors
from rft.cli.output import CommandResult
from rft.cli.runs.files import check_absent, write_file
from rft.errors import EvidenceError
from rft.version import __version__

if TYPE_CHECKING:
    from rft.pipeline.history import RunHistory


def history(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that run folders stand in, such as runs.")],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Show the runs of this name alone; all otherwise.")
    ] = None,
    page: Annotated[Path, typer.Option("--out", metavar="FILE", help="The page to write.")] = Path("history.html"),
    force: ForceFiles = False,
    debug: Debug = False,
) -> CommandResult:
    """Show how findings moved from run to run: ends with 4 where a run is not the one that was written."""
    with report_errors(debug):
        from rft.pipeline.history import read_history

        made_from = ("history", folder, name or "")
        check_absent(page, force=force, made_from=made_from)
        runs = read_history(folder, name=name)
        _show_history(runs)
        write_file(page, _write_page(runs, folder), force=force, made_from=made_from)
        out.say(f"Page: {page}")
        for excluded in runs.excluded:
            err.say(f"rft: {folder / excluded.folder}: left out: {excluded.reason}", style="red")
        return CommandResult(json.loads(runs.to_json()), EvidenceError.exit_code if runs.excluded else 0)


def _show_history(runs: RunHistory) -> None:
    from rft.number_format import format_date

    for named in runs.histories:
        out.say(f"{named.name}: {len(named.runs)} run{'s' * (len(named.runs) > 1)}", style="bold")
        for run in named.runs:
            out.say(f"  {run.number:3}  {format_date(run.created)}  {run.verdict.replace('_', ' '):9}  {run.folder}")


def _write_page(runs: RunHistory, folder: Path) -> str:
    from rft.pipeline.comparison.trends import RUNS, present_history
    from rft.report.render.comparison_page import comparison_html

    excluded = [f"left out: {item.folder} ({item.reason})" for item in runs.excluded]
    return comparison_html(
        [present_history(named) for named in runs.histories],
        name=f"History of {folder.resolve().name}",
        byline=[f"{sum(len(named.runs) for named in runs.histories)} runs", *excluded],
        open_tables=(RUNS,),
        rft_version=__version__,
    )
