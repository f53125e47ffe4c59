"""The commands that look at backbones before anything is trained: ``rft cut-points``, ``rft compare-backbones``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rft.cli.app import Debug, Device, Offline, Overrides, out, report_errors
from rft.cli.output import CommandResult
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
) -> CommandResult:
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
        sections = [section.model_dump(mode="json") for section in compared.sections]
        return CommandResult({"page": str(page), "name": compared.name, "n": compared.n, "sections": sections})


def cut_points(
    backbone: Annotated[str, typer.Argument(metavar="BACKBONE", help="library/name, as in model.backbone.")],
    image_size: Annotated[int | None, typer.Option("--image-size", help="Side of the images in pixels.")] = None,
    offline: Offline = False,
    debug: Debug = False,
) -> CommandResult:
    """List where a backbone can be cut (model.freeze), and what each cut costs in time and storage."""
    with report_errors(debug):
        from rft.backbones.load import load_untrained
        from rft.backbones.partition.cut_points import count_example_tokens, measure_cut_points

        loaded = load_untrained(backbone, Path.cwd(), image_size=image_size, offline=offline)
        rows = []
        places: list[dict[str, object]] = []
        for place in measure_cut_points(loaded):
            places.append(asdict(place))
            cached = "nothing cached" if place.cached is None else f"{place.cached / 1000:,.1f}"
            rows.append([place.freeze, f"{place.trained:,}", f"{place.epoch:.1%}", cached])
        headings = ["freeze", "trained parameters", "time of an epoch", "cache, MB for 1,000 examples"]
        out.table(headings, rows, numeric=[False, True, True, True])
        tokens = f"; texts of {count_example_tokens(loaded)} tokens" if loaded.modality == "text" else ""
        out.say(
            "freeze = the first layer that is trained. Time: of a training step, measured here, as a share of one",
            f"through the whole model. Parameters: with a head for two classes. Cache: float32{tokens}.",
        )
        return CommandResult({"backbone": backbone, "cut_points": places})
