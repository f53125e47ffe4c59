"""The commands that look at backbones before anything is trained: ``rft cut-points``, ``rft compare-backbones``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rft.cli.app import Debug, Device, ForceFiles, Offline, Overrides, out, report_errors
from rft.cli.output import CommandResult
from rft.cli.runs.files import Origin, check_absent, write_file
from rft.cli.show import show_table
from rft.number_format import format_bytes
from rft.version import __version__

if TYPE_CHECKING:
    from rft.backbones.partition.cut_points import CutPoint


def compare_backbones(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The audit.toml that describes the data.")],
    candidates: Annotated[
        list[str], typer.Argument(metavar="BACKBONE...", help="library/name, or library/name=weights.")
    ],
    page: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path("backbones.html"),
    overrides: Overrides = None,
    device: Device = None,
    offline: Offline = False,
    force: ForceFiles = False,
    debug: Debug = False,
) -> CommandResult:
    """Compare backbones on the training examples before anything is trained: rft compare-backbones audit.toml A B C."""
    with report_errors(debug):
        from rft.pipeline import compare_backbones as pipeline
        from rft.report.render.comparison_page import comparison_html

        made_from: Origin = ("compare-backbones", config, *candidates)
        check_absent(page, force=force, made_from=made_from)
        compared = pipeline.compare_backbones(
            config, candidates, overrides=overrides or [], device=device, offline=offline
        )
        for section in compared.sections:
            show_table(next(iter(section.tables.values())))
        byline = [f"{compared.n:,} training examples", f"{len(candidates)} backbones"]
        content = comparison_html(compared.sections, name=compared.name, byline=byline, rft_version=__version__)
        write_file(page, content, force=force, made_from=made_from)
        out.say(f"Page: {page}")
        sections = [section.model_dump(mode="json") for section in compared.sections]
        return CommandResult({"page": str(page), "name": compared.name, "n": compared.n, "sections": sections})


def cut_points(
    backbone: Annotated[str, typer.Argument(metavar="BACKBONE", help="library/name, as in model.backbone.")],
    image_size: Annotated[int | None, typer.Option("--image-size", help="Side of the images in pixels.")] = None,
    timed: Annotated[bool, typer.Option("--time", help="Run and time training steps too; takes minutes.")] = False,
    offline: Offline = False,
    debug: Debug = False,
) -> CommandResult:
    """List where a backbone can be cut (model.freeze), and what each cut costs in training and storage."""
    with report_errors(debug):
        from rft.backbones.load import load_untrained
        from rft.backbones.partition.cut_points import CutPoints, count_example_tokens

        loaded = load_untrained(backbone, Path.cwd(), image_size=image_size, offline=offline)
        cut_points = CutPoints(loaded, timed=timed)
        widths = [max(map(len, ["freeze", "none", *cut_points.layers])), 11, 6, *([6] if timed else []), 10, 10, 3]
        headings = ["freeze", "trained", "FLOPs", *(["time"] if timed else []), "cache of 1", "of 10,000", "cut"]
        out.row(headings, widths)
        places: list[dict[str, object]] = []
        for place in cut_points:
            places.append(asdict(place))
            out.row(_describe_cut_point(place, timed), widths)
        tokens = f" of {count_example_tokens(loaded)} tokens" if loaded.modality == "text" else ""
        out.say(
            "",
            "freeze: the first layer that is trained. trained: parameters, with a head for two classes.",
            "FLOPs: of an epoch, forward and backward, as a share of one that trains the whole model.",
            *(["time: of a training step, measured on this machine, as a share of one of the whole model."] * timed),
            f"cache: features in float32 of one example{tokens} and of 10,000.",
        )
        return CommandResult({"model": backbone, "cut_points": places})


def _describe_cut_point(place: CutPoint, timed: bool) -> list[str]:
    """Return the cells of a place to cut: a layer that is none says why."""
    if place.trained is None or place.flops is None:
        return [place.freeze, *[""] * (5 if timed else 4), f"no: {place.obstacle}"]
    cached = ["none"] * 2 if place.cached is None else [format_bytes(place.cached), format_bytes(place.cached * 10_000)]
    seconds = [] if place.seconds is None else [f"{place.seconds:.1%}"]
    return [place.freeze, f"{place.trained:,}", f"{place.flops:.1%}", *seconds, *cached, "yes"]
