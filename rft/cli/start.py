"""Where the command begins: what must hold before anything else is imported."""

from __future__ import annotations

import os
import sys

from rft.runtime.collection import collect_seldom
from rft.runtime.interruption import end_at_once


def main() -> None:
    """Run the command line."""
    end_at_once()
    # Read by OpenMP when torch is first imported. Its threads spin while they wait for each other, so that with any
    # other process on one of the cores, a forward pass took up to 25 times longer; waiting passively costs 15 %.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Read by pydantic when the first model is made: for plugins of its own it opens the metadata of every package that
    # is installed, and rft has no use for any.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    for stream in (sys.stdout, sys.stderr):  # a terminal or pipe that cannot write a character gets its code
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    with collect_seldom():
        from rft.cli.main import app

    app()
