"""What every command shares: the application, its terminals, its options, and errors turned into exit codes.

0 pass (or no rules and integrity holds), 1 fail, 3 uncertain, 2 the input or config is wrong, 4 a file of a run is not
the one that was written, 75 another process uses what this one needs, or one of several that share an audit has ended:
try again, 70 a bug in rft; 130, 143 and 129 interrupted by Ctrl-C, SIGTERM and SIGHUP.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from rft.cli.terminal import LogFormatter, Terminal
from rft.errors import RftError
from rft.runtime.interruption import MESSAGE, exit_code, unwind_when_interrupted
from rft.runtime.out_of_memory import raise_if_out_of_memory
from rft.runtime.quiet import quiet_libraries

EXIT = {"pass": 0, "no_rules": 0, "fail": 1, "uncertain": 3}
BUG = 70

app = typer.Typer(
    help="Responsible fine-tuning: fine-tune a pretrained model and audit it in the same run.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Terminal()
err = Terminal(stderr=True)

Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda, cuda:1 or mps; chosen by itself otherwise.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what a former run left in the folder.")]
ForceFiles = Annotated[bool, typer.Option("--force", help="Replace the files where they exist.")]
Offline = Annotated[bool, typer.Option("--offline", help="Forbid the network: downloads of weights, and stores.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key; KEY= takes it out.")
]
RunKey = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", help="The key of the run; in the user's own folder otherwise.")
]
Share = Annotated[
    bool,
    typer.Option(
        "--share", envvar="RFT_SHARE", help="Let the folder's group read the report; no predictions or model."
    ),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")]


@contextmanager
def _out_of_memory_as_error() -> Iterator[None]:
    """Turn what says that memory ran out, wherever it was, into an error that a user can act on."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        raise_if_out_of_memory(error)
        raise


_said: list[RftError] = []


def note_error(error: RftError) -> None:
    """Note an error for programs (``--json``) that another process says."""
    _said.append(error)


def say_error(error: RftError) -> None:
    """Write on stderr what is wrong, where, and what to do, in one or two lines."""
    note_error(error)
    where = f"{error.where}: " if error.where else ""
    err.say(f"rft: {where}{error.what}", *([error.remedy] if error.remedy else []), style="red")


def take_errors() -> list[RftError]:
    """Return the errors that were said or noted since this was last asked."""
    said = [*_said]
    _said.clear()
    return said


@contextmanager
def report_errors(debug: bool) -> Iterator[None]:
    """Turn errors into one or two lines on stderr and an exit code."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter("%(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("rft").setLevel(
        logging.DEBUG if debug else logging.ERROR if err.without_notes else logging.WARNING
    )
    try:
        with quiet_libraries(bars=err.is_terminal), unwind_when_interrupted(), _out_of_memory_as_error():
            yield
    except RftError as error:
        if debug:
            err.say_traceback()
        say_error(error)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt as interruption:
        err.say(MESSAGE, style="red")
        raise typer.Exit(exit_code(interruption)) from None
    except (typer.Exit, SystemExit):
        raise
    except Exception as error:  # a bug: the one place where an unknown error becomes an exit code
        if debug:
            err.say_traceback()
        err.say(f"rft: a bug in rft: {type(error).__name__}: {error}", style="red")
        err.say("Run again with --debug and report what it shows.")
        raise typer.Exit(BUG) from None
