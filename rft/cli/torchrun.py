"""``python -m rft.cli.torchrun``: torchrun that ends with the exit code of the audit.

torchrun itself ends with 1 whatever code a process ended with, beside pages of a traceback. This takes the same
arguments, ends with the code of the process that failed first, and adds no word to what that process has said.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from rft.runtime.ranks.group import count_cores

QUIET_LOGGERS = ("torch.distributed.elastic", "torch.distributed.run")


def main(arguments: Sequence[str]) -> int:
    """Start processes as torchrun does and return the exit code of the command."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    os.environ.setdefault("OMP_NUM_THREADS", str(count_cores()))  # each process takes its part of them
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        run.run(run.parse_args(list(arguments)))
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
    except SignalException as ending:
        return 128 + ending.sigval
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
