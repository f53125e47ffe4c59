"""``rft report``: a finished run shown again, or judged by other rules, in a folder of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rft.cli.app import EXIT, Debug, Force, RunFolder, RunKey, Share, out, report_errors
from rft.cli.output import CommandResult
from rft.cli.show import show_run, summarize_run, write_decisive
from rft.runtime.collection import collect_seldom

if TYPE_CHECKING:
    from rft.records import AuditRun


def report(
    folder: RunFolder,
    policy_file: Annotated[
        Path | None, typer.Option("--policy", metavar="FILE", help="Judge the findings by the rules of this TOML file.")
    ] = None,
    target: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The folder to write; beside the run otherwise.")
    ] = None,
    key: RunKey = None,
    brief: Annotated[
        bool,
        typer.Option(
            "--brief",
            help="Write brief.html too: four pages at most for a committee, with the verdicts of this call.",
        ),
    ] = False,
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Print the report, or the brief, as report.pdf or brief.pdf.")
    ] = False,
    public: Annotated[
        bool, typer.Option("--public", help="Leave out what strangers may not see, and say what that is.")
    ] = False,
    share: Share = False,
    force: Force = False,
    debug: Debug = False,
) -> CommandResult:
    """Show a finished run again, or judge it by other rules. The run stays as it is; needs neither model nor data."""
    with report_errors(debug), collect_seldom():
        from rft.report import open_run, write_made_from
        from rft.report.render.public import make_public

        run = open_run(folder, key=key)
        if policy_file is not None:
            run = _judge_later(run, policy_file)
        if public:
            run = make_public(run)
        suffix = "-public" if public else f"-{policy_file.stem}" if policy_file else "-report"
        pages = _list_pages(run, folder, brief=brief, pdf=pdf)
        beside = target or folder.resolve().with_name(folder.resolve().name + suffix)
        written = write_made_from(run, folder, beside, pages=pages, force=force, share=share)
        show_run(run)
        for name in ("report.html", *pages):
            out.say(f"{name.partition('.')[0].capitalize()}: {written / name}")
        files = [str(written / name) for name in ("report.html", *pages)]
        content = summarize_run(run) | {"folder": str(written), "files": files}
        return CommandResult(content, EXIT[run.latest_verdict.status], write_decisive(run.latest_verdict))


def _judge_later(run: AuditRun, policy_file: Path) -> AuditRun:
    """Return the run with the verdict of these rules behind those that it has."""
    from rft.config.loader import load_policy
    from rft.config.rule_places import name_rule_places
    from rft.number_format import format_date
    from rft.plugins.possible_findings import check_rule, list_possible_of_run
    from rft.records import LaterVerdict
    from rft.runtime.clock import read_clock
    from rft.verdict import policy

    rules = load_policy(policy_file)
    possible = list_possible_of_run(run)
    for rule, place in zip(rules, name_rule_places(policy_file, len(rules)), strict=True):
        check_rule(rule, possible, where=place)
    sha256, applied = hashlib.sha256(policy_file.read_bytes()).hexdigest(), read_clock().isoformat()
    source = f"{policy_file.name} (sha256 {sha256}), applied on {format_date(applied)}"
    verdict = policy.judge_rules(rules, run.sections, source=source)
    later = LaterVerdict(file=policy_file.name, sha256=sha256, applied=applied, verdict=verdict)
    return run.model_copy(update={"later_verdicts": (*run.later_verdicts, later)})


def _list_pages(run: AuditRun, folder: Path, *, brief: bool, pdf: bool) -> dict[str, Callable[[Path], None]]:
    """Return what is asked for beside the report: name of a file -> writes it, given its path."""
    from rft.report import read_images, render
    from rft.report.render.brief import render_brief
    from rft.report.render.pdf import print_pdf
    from rft.report.run_folder.atomic_io import replace_file

    pages: dict[str, Callable[[Path], None]] = {}
    if brief:
        pages["brief.html"] = lambda file: replace_file(file, render_brief(run))
    if pdf:
        html = (
            render_brief(run)
            if brief
            else render(run, read_images((folder / "report.html").read_text(encoding="utf-8")))
        )
        pages["brief.pdf" if brief else "report.pdf"] = partial(print_pdf, html)
    return pages
