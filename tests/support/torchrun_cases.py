"""Commands in several processes that torchrun starts, as a user starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

SECONDS_TO_END = 20.0  # of all processes once one has ended; the machine may have other work


def start_command(folder: Path, cache: str, *command: str) -> subprocess.Popen[str]:
    """Start Python with these arguments, in a folder that also has the cache and the user's state."""
    environment = os.environ | {
        "RFT_CACHE": str(folder / cache),
        "RFT_STATE": str(folder / "state"),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def in_processes(*command: str, processes: int = 2) -> list[str]:
    """Return the arguments of Python by which several processes run a command."""
    return ["-m", "rft.cli.torchrun", "--standalone", f"--nproc-per-node={processes}", *command]


def finish_command(audit: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return the exit code of a command, and what it wrote on stdout and stderr."""
    out, err = audit.communicate(timeout=300)
    return audit.returncode, out, err


def list_shards(cache: Path) -> list[str]:
    """Return the names of the files that features are kept in."""
    return sorted(path.name for path in cache.rglob("*.safetensors"))


def process_of_rank(rank: int, folder: Path) -> int:
    """Return the process that torchrun started as this rank in this folder."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_bytes().split(b"\0")
            here = (process / "cwd").resolve() == folder.resolve()
        except OSError:
            continue
        if here and f"RANK={rank}".encode() in variables:
            return int(process.name)
    raise LookupError(rank)


def said_of_errors(err: str) -> list[str]:
    """Return the lines of stderr that are not about stages that are over."""
    return [line for line in err.splitlines() if not line.startswith(("rft: data", "rft: features"))]
