"""``rft init``: a first audit.toml from a look at the data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rft.cli.app import Debug, ForceFiles, out, report_errors
from rft.cli.output import CommandResult
from rft.cli.prepare.schema import write_schema
from rft.cli.runs.files import check_absent, write_file

if TYPE_CHECKING:
    from rft.starter.start import StartedConfig


SHOWN = ("data", "predictions", "model")  # tables of which guesses are


def _declare_column_flag(flag: str, what: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(flag, metavar="COLUMN", help=f"The column of {what}.")
    return option


def init(
    path: Annotated[
        Path,
        typer.Argument(metavar="[PATH]", help="A table, or a folder of images or recordings; this folder otherwise."),
    ] = Path(),
    place: Annotated[Path, typer.Option("--out", metavar="FILE", help="The config to write.")] = Path("audit.toml"),
    metadata: Annotated[
        Path | None,
        typer.Option("--metadata", metavar="FILE", help="The table about the files of a folder: who is in them."),
    ] = None,
    label: Annotated[str | None, _declare_column_flag("--label", "labels")] = None,
    positive: Annotated[
        str | None, typer.Option("--positive", metavar="CLASS", help="The favourable class; never guessed.")
    ] = None,
    groups: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="COLUMN", help="A column of groups to compare; repeatable."),
    ] = None,
    unit: Annotated[str | None, _declare_column_flag("--unit", "whose data a row is")] = None,
    split: Annotated[str | None, _declare_column_flag("--split", "train and test")] = None,
    identifier: Annotated[str | None, _declare_column_flag("--id", "what names each row")] = None,
    image: Annotated[str | None, _declare_column_flag("--image", "images")] = None,
    text: Annotated[str | None, _declare_column_flag("--text", "texts")] = None,
    audio: Annotated[str | None, _declare_column_flag("--audio", "recordings")] = None,
    prediction: Annotated[
        str | None, _declare_column_flag("--prediction", "predicted classes: no model is needed then")
    ] = None,
    score: Annotated[
        str | None, _declare_column_flag("--score", "probabilities of the favourable class: no model is needed then")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option("--backbone", metavar="NAME", help="library/name; one with weights here otherwise.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", metavar="WEIGHTS", help="Of the backbone, as in model.weights.")
    ] = None,
    private: Annotated[
        float | None, typer.Option("--private", metavar="EPSILON", help="Train with differential privacy.")
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", metavar="NAME", help="A class of the task, for --private; repeatable."),
    ] = None,
    population: Annotated[
        str | None, typer.Option("--population", metavar="NAME", help="Whose data it is, for the ledger of --private.")
    ] = None,
    with_schema: Annotated[
        bool, typer.Option("--schema", help="Write the JSON Schema beside the config, and point editors to it.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take the guesses, as without a terminal.")] = False,
    force: ForceFiles = False,
    debug: Debug = False,
) -> CommandResult:
    """Write a first audit.toml: guess from the data what is what, ask the rest, and say in it why."""
    with report_errors(debug):
        schema_file = place.with_name(f"{place.name}.schema.json") if with_schema else None
        check_absent(place, schema_file, force=force)
        from rft.cli.prepare.ask import TerminalAsker
        from rft.starter.start import start_config
        from rft.starter.wishes import ColumnWishes, Wishes

        columns = ColumnWishes(
            label=label,
            groups=tuple(groups or ()),
            unit=unit,
            split=split,
            id=identifier,
            image=image,
            text=text,
            audio=audio,
            prediction=prediction,
            score=score,
        )
        wishes = Wishes(
            columns=columns,
            metadata=metadata,
            positive=positive,
            classes=tuple(classes or ()),
            backbone=backbone,
            weights=weights,
            epsilon=private,
            population=population,
        )
        asker = TerminalAsker() if is_watched() and not yes else None
        started = start_config(path, wishes, place, asker, schema=schema_file.name if schema_file else None)
        if schema_file is not None:
            write_file(schema_file, write_schema(), force=force)
        write_file(place, started.text, force=force)
        _show_started(started, place)
        return CommandResult(_describe_started(started, place))


def is_watched() -> bool:
    """Tell whether somebody is there who can be asked."""
    return sys.stdin.isatty() and out.is_terminal and not out.silent


def _describe_started(started: StartedConfig, place: Path) -> dict[str, object]:
    """Return what stands in the config, for programs: each key with its reason, and whether it is commented out."""
    keys = [
        {"table": table.name, "key": entry.key, "value": entry.value, "reason": entry.reason, "active": active}
        for table in started.tables
        for entry in table.entries
        for active in [table.active and entry.active]
        if entry.key
    ]
    left_out = {table.name: table.reason for table in started.tables if table.reason and not table.active}
    return {"config": str(place), "keys": keys, "left_out": left_out}


def _show_started(started: StartedConfig, place: Path) -> None:
    """Print what the config says, what it leaves out, and what to do next."""
    from rft.starter.compose import LEFT_OUT

    for table in started.tables:
        for entry in table.entries:
            if table.name in SHOWN and entry.key and entry.active and table.active:
                value = ", ".join(map(str, entry.value)) if isinstance(entry.value, list) else str(entry.value)
                out.say(f"  {entry.key:10} {value}  ({entry.reason})")
            elif entry.warns:
                out.say(f"  {entry.reason}", style="yellow")
            elif entry.key and not entry.active and table.active and entry.reason.startswith(LEFT_OUT):
                out.say(f"  {entry.key} {entry.reason}", style="yellow")
        if table.name and not table.active and table.reason.startswith(LEFT_OUT):
            out.say(f"  [{table.name}] {table.reason}", style="yellow")
    out.say(f"Written: {place}", f"Next: rft check {place}, then rft audit {place}")
