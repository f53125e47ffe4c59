"""``rft compare-backbones``: which backbone carries furthest, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rft.cli.app import Debug, Device, Offline, Overrides, out, report_errors
from rft.cli.show import show_table
from rft.version import __version__


def compare_backbones(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The audit.toml that describes the data.")],
    candidates: Annotated[
        list[str], typer.Argument(metavar="BACKBONE...", help="library/name, or library/name=weights.")
    ],
    page: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path("backbones.html"),
    overrides: Overrides = None,
    device: Device = None,
    offline: Offline = False,
    debug: Debug = False,
) -> None:
    """Compare backbones on the training examples before anything is trained: rft compare-backbones audit.toml A B C."""
    with report_errors(debug):
        from rft.pipeline import compare_backbones as pipeline
        from rft.report.render.comparison_page import comparison_html

        compared = pipeline.compare_backbones(
            config, candidates, overrides=overrides or [], device=device, offline=offline
        )
        for section in compared.sections:
            show_table(next(iter(section.tables.values())))
        byline = [f"{compared.n:,} training examples", f"{len(candidates)} backbones"]
        content = comparison_html(compared.sections, name=compared.name, byline=byline, rft_version=__version__)
        page.write_text(content, encoding="utf-8")
        out.say(f"Page: {page}")
