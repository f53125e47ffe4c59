"""``rft audit`` in several processes, started by torchrun: one speaks, the others help and are silent.

What goes wrong is said once, by the process that fails first; the others end because of it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import typer

from rft.cli.app import BUG, note_error
from rft.errors import RftError
from rft.runtime.interruption import exit_code, say_no_more
from rft.runtime.progress import hide_progress
from rft.runtime.ranks.group import RankGroup, join_ranks
from rft.runtime.ranks.place import RankPlace, read_rank_place


@contextmanager
def join_audit() -> Iterator[RankPlace | None]:
    """Connect the processes of this audit within this context; None where this is the only one.

    Raises:
        ConfigError: the variables of torchrun are incomplete or contradict each other.
        ProcessLostError: not all processes came, or one has ended.
        typer.Exit: this process failed after another one, which has said why.
    """
    with join_ranks(read_rank_place(os.environ)) as ranks:
        if ranks is None:
            yield None
            return
        with _speak_once(ranks), nullcontext() if ranks.place.leads else _stay_silent():
            yield ranks.place


def help_audit(config: Path, overrides: list[str], *, device: str | None, offline: bool) -> None:
    """Do this process's part of extraction and training; raises as ``rft.audit``."""
    from rft.pipeline.preflight import plan_audit
    from rft.pipeline.stages import help_with_audit

    plan = plan_audit(config, overrides, offline=offline)
    help_with_audit(plan, device=device, offline=offline)


@contextmanager
def _speak_once(ranks: RankGroup) -> Iterator[None]:
    """End without a word where another process failed before."""
    try:
        yield
    except (typer.Exit, SystemExit):
        raise
    except KeyboardInterrupt as interruption:
        _end_unless_first(ranks, exit_code(interruption))
        raise
    except RftError as error:
        _end_unless_first(ranks, error.exit_code, error)
        raise
    except Exception:
        _end_unless_first(ranks, BUG)
        raise


def _end_unless_first(ranks: RankGroup, code: int, error: RftError | None = None) -> None:
    say_no_more()  # torchrun ends all processes when one has ended, and may send its signal twice
    if ranks.is_first_to_fail():
        return
    if error is not None:
        note_error(error)
    raise typer.Exit(code) from None


@contextmanager
def _stay_silent() -> Iterator[None]:
    """Show no bars and no warnings: process 0 has the same to say."""
    log = logging.getLogger("rft")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with hide_progress():
            yield
    finally:
        log.setLevel(level)
