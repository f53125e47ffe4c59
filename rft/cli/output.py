"""What every command says, in one of three ways: to read, as JSON (``--json``), or what decided alone (``--quiet``).

A command prints what is to be read through ``out`` and returns a ``CommandResult``. The options that choose between
the ways are added to each command here, when it is registered. What decided the exit code, such as a verdict with the
rules that do not hold, is never silent: it stands on stderr unless it was just to be read in the same place.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Annotated

import typer

from rft.cli.app import err, out, take_errors
from rft.errors import RftError
from rft.runtime.progress import hide_progress
from rft.runtime.ranks.place import leads_here

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object, and nothing to read.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print errors, and what decided the exit code, such as the verdict.")
]


@dataclass(frozen=True)
class CommandResult:
    """What a command came to.

    Attributes:
        content: the result for programs; ``docs/exports.md`` says what each command gives.
        exit_code: of the command.
        decisive: what decided the exit code, in lines: a verdict and each rule that does not hold. Empty where there is
            nothing to decide, or stderr says it already.
        payload: what was asked for on standard output, such as a table: written with ``--quiet`` too.
    """

    content: dict[str, object]
    exit_code: int = 0
    decisive: tuple[str, ...] = ()
    payload: str | None = None


Command = Callable[..., CommandResult]


def add_output_options(command: Command) -> Callable[..., None]:
    """Return a command with the options ``--json`` and ``--quiet``, which ends with the exit code of its result."""

    def run_command(*, as_json: bool, quiet: bool, **arguments: object) -> None:
        result = None
        take_errors()  # of a command that ran before in this process
        with _silence_terminals(reading=as_json or quiet, notes=quiet):
            try:
                result = command(**arguments)
                exit_code = result.exit_code
            except typer.Exit as end:  # an error, which was said on stderr
                exit_code = end.exit_code
        if result is not None and (as_json or quiet or not err.shows_the_same_as(out)):
            err.say(*(f"rft: {line}" for line in result.decisive))
        if as_json and leads_here(os.environ):
            outer = {"exit_code": exit_code, "errors": [describe_error(error) for error in take_errors()]}
            _write_payload(_write_json(outer if result is None else outer | result.content))
        elif result is not None and result.payload is not None:
            _write_payload(result.payload)
        raise typer.Exit(exit_code)

    signature = inspect.signature(command, eval_str=True)
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
        for name, annotation in (("as_json", AsJson), ("quiet", Quiet))
    ]
    parameters = [*signature.parameters.values(), *options]
    run_command.__name__, run_command.__doc__ = command.__name__, command.__doc__
    run_command.__signature__ = signature.replace(parameters=parameters, return_annotation=None)  # type: ignore[attr-defined]
    run_command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run_command


@contextmanager
def _silence_terminals(*, reading: bool, notes: bool) -> Iterator[None]:
    """Print nothing to read on stdout, or neither stages nor warnings nor bars on stderr, within this context."""
    out.silent, err.without_notes = reading, notes
    try:
        with hide_progress() if notes else nullcontext():
            yield
    finally:
        out.silent, err.without_notes = False, False


def describe_error(error: RftError) -> dict[str, object]:
    """Return an error for programs: where, what, and what to do."""
    return {"where": error.where, "what": error.what, "remedy": error.remedy}


def _write_json(content: dict[str, object]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _write_payload(text: str) -> None:
    typer.echo(text.encode(), nl=False)  # outside of report_errors: a reader that stops early is no bug
