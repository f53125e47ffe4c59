"""``rft compare``: what changed from one finished run to another, and whether anything is worse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rft.cli.app import EXIT, Debug, ForceFiles, out, report_errors
from rft.cli.output import CommandResult
from rft.cli.runs.files import check_absent, write_file
from rft.cli.show import show_findings, show_verdict, write_decisive
from rft.errors import ConfigError
from rft.version import __version__

if TYPE_CHECKING:
    from rft.pipeline.compare_runs import RunComparison


def compare(
    before: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of the run to compare with.")],
    after: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of the other run.")],
    page: Annotated[Path, typer.Option("--out", metavar="FILE", help="The page to write.")] = Path("compare.html"),
    tolerance: Annotated[
        list[str] | None,
        typer.Option("--tolerance", metavar="NAME=VALUE", help="How much worse a finding may be; repeatable."),
    ] = None,
    policy_file: Annotated[
        Path | None, typer.Option("--policy", metavar="FILE", help="Judge the changes by the rules of this TOML file.")
    ] = None,
    key: Annotated[
        list[Path] | None,
        typer.Option("--key", metavar="FILE", help="The key of the first run, then that of the second."),
    ] = None,
    unpaired: Annotated[
        bool,
        typer.Option(
            "--unpaired", help="Compare by the intervals of both runs alone: runs that came without their key."
        ),
    ] = False,
    force: ForceFiles = False,
    debug: Debug = False,
) -> CommandResult:
    """Compare two runs, such as before and after a change: ends with 1 where a finding became worse."""
    with report_errors(debug):
        from rft.pipeline.compare_runs import compare_runs

        made_from = ("compare", before, after)
        check_absent(page, force=force, made_from=made_from)
        tolerances = _read_tolerances(tolerance or [])
        if tolerances and policy_file is not None:
            raise ConfigError("takes the place of --tolerance: leave one of them out", where="--policy")
        keys = _pair_keys(key or [])
        compared = compare_runs(
            before, after, tolerances=tolerances, rules_file=policy_file, keys=keys, unpaired=unpaired
        )
        _show_comparison(compared)
        write_file(page, _write_page(compared), force=force, made_from=made_from)
        out.say(f"Page: {page}")
        verdict = compared.verdict
        return CommandResult(json.loads(compared.to_json()), EXIT[verdict.status], write_decisive(verdict))


def _pair_keys(files: list[Path]) -> tuple[Path | None, Path | None]:
    """Return the key of either run, None for one that is not named."""
    if len(files) > 2:
        raise ConfigError(f"names {len(files)} keys for two runs", where="--key")
    first, second = [*files, None, None][:2]
    return first, second


def _read_tolerances(written: list[str]) -> dict[str, float]:
    """Return name -> tolerance; raises ``ConfigError`` for what is no ``NAME=VALUE`` with a value of at least 0."""
    tolerances = {}
    for text in written:
        name, _, value = text.rpartition("=")
        try:
            tolerances[name] = float(value)
        except ValueError:
            tolerances[name] = -1.0
        if not name or not 0 <= tolerances[name] < float("inf"):
            remedy = "Write it as performance.accuracy=0.01; 0 allows no difference at all."
            raise ConfigError(f"{text!r} is no name with a number of at least 0", where="--tolerance", remedy=remedy)
    return tolerances


def _show_comparison(compared: RunComparison) -> None:
    from rft.pipeline.compare_runs import describe_pairing
    from rft.pipeline.comparison.judge import SOURCE, list_unjudged

    out.say(compared.title, *describe_pairing(compared))
    for section in compared.sections[1:]:
        show_findings(section)
    show_verdict("Verdict", compared.verdict)
    unjudged = list_unjudged(compared.sections, compared.verdict) if compared.verdict.source == SOURCE else []
    if unjudged:
        why = "no interval tells such a change from chance, so that only --tolerance NAME=VALUE judges it"
        out.say(f"  not judged {', '.join(unjudged)}: {why}")


def _write_page(compared: RunComparison) -> str:
    from rft.pipeline.compare_runs import describe_pairing
    from rft.pipeline.comparison.changes import SHARED
    from rft.report.render.comparison_page import comparison_html

    return comparison_html(
        compared.sections,
        name=compared.title,
        byline=describe_pairing(compared),
        verdict=compared.verdict,
        open_tables=(SHARED, "data", "config", "software", "weights"),
        rft_version=__version__,
    )
