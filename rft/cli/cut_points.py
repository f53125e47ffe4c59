"""``rft cut-points``: where a backbone can be cut."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rft.cli.app import Debug, Offline, out, report_errors


def cut_points(
    backbone: Annotated[str, typer.Argument(metavar="BACKBONE", help="library/name, as in model.backbone.")],
    image_size: Annotated[int | None, typer.Option("--image-size", help="Side of the images in pixels.")] = None,
    offline: Offline = False,
    debug: Debug = False,
) -> None:
    """List where a backbone can be cut (model.freeze), and what each cut costs in time and storage."""
    with report_errors(debug):
        from rft.backbones.load import load_untrained
        from rft.backbones.partition.cut_points import count_example_tokens, measure_cut_points

        loaded = load_untrained(backbone, Path.cwd(), image_size=image_size, offline=offline)
        rows = []
        for place in measure_cut_points(loaded):
            cached = "nothing cached" if place.cached is None else f"{place.cached / 1000:,.1f}"
            rows.append([place.freeze, f"{place.trained:,}", f"{place.epoch:.1%}", cached])
        headings = ["freeze", "trained parameters", "time of an epoch", "cache, MB for 1,000 examples"]
        out.table(headings, rows, numeric=[False, True, True, True])
        tokens = f"; texts of {count_example_tokens(loaded)} tokens" if loaded.modality == "text" else ""
        out.say(
            "freeze = the first layer that is trained. Time: of a training step, measured here, as a share of one",
            f"through the whole model. Parameters: with a head for two classes. Cache: float32{tokens}.",
        )
