"""``rft predict``: what the saved model of a run says of images or texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

import rft
from rft.cli.app import Debug, RunFolder, out, report_errors
from rft.cli.output import CommandResult
from rft.cli.runs.files import check_absent, write_file
from rft.errors import ModelError


def predict(
    folder: RunFolder,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Images, or folders of them; for a model of texts, files with a text a line, or - for standard input.",
        ),
    ],
    file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="The CSV file to write; standard output otherwise.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file where it exists.")] = False,
    debug: Debug = False,
) -> CommandResult:
    """Predict with the saved model of a run: a CSV table with a row an item: class and probabilities, or transcript."""
    with report_errors(debug):
        made_from = ("predict", str(folder.resolve()), *inputs)
        check_absent(file, force=force, made_from=made_from)
        model = rft.load(folder)
        from rft.models.predict import predict_inputs
        from rft.models.saved import SavedModel
        from rft.runtime.allocator import keep_freed_memory

        if not isinstance(model, SavedModel):
            raise ModelError(
                "is a model of a plugin, which asks for more than its inputs",
                where=str(folder),
                remedy="Give the folder of the run, or predict from Python with rft.load.",
            )
        keep_freed_memory()
        table = predict_inputs(model, inputs)
        text = table.to_csv(index=False)
        if file is not None:
            write_file(file, text, force=force, made_from=made_from)
            out.say(f"Written: {file}")
            return CommandResult({"file": str(file), "n": len(table)})
        return CommandResult({"predictions": json.loads(table.to_json(orient="records"))}, payload=text)
