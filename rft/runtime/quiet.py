"""What libraries say to their developers, kept off the terminal of a command; what a user can act on stays.

For the command line alone: whoever uses rft as a library decides about warnings of the process. Each entry says why
the user misses nothing; what is not listed is shown. What rft itself says goes through the logger ``rft`` and stands.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class SilencedWarning:
    """A warning of ``warnings`` that is not shown.

    Attributes:
        reason: why the user misses nothing.
        category: its class.
        message: how it begins, a regular expression; all that begin otherwise are shown.
        module: where it is said, a regular expression.
    """

    reason: str
    category: type[Warning]
    message: str = ""
    module: str = ""


@dataclass(frozen=True)
class SilencedRecord:
    """A record of a library's log that is not shown; fields as of ``SilencedWarning``."""

    reason: str
    logger: str
    message: str


WARNINGS = (
    SilencedWarning("of what a later version will do: for whoever calls it", FutureWarning, module=r"(?!rft\b)"),
    SilencedWarning(
        "of a faster path that a layer of torch does not take: the numbers are the same",
        UserWarning,
        "enable_nested_tensor is True",
    ),
    SilencedWarning(
        "Captum asks for the gradients that it needs, and says so",
        UserWarning,
        r"Input Tensor \d+ (has a dtype of|did not already require gradients)",
    ),
    SilencedWarning("of how torch reads older files, which it does", UserWarning, "TypedStorage is deprecated"),
)
RECORDS = (
    SilencedRecord("written once, for the charts; takes seconds", "matplotlib.font_manager", "Matplotlib is building"),
    SilencedRecord("where fonts are kept if not in the home folder", "matplotlib", "Matplotlib created a temporary"),
    SilencedRecord("of torchao's import, for its developers", "torch.utils._pytree", "<enum "),
    SilencedRecord(
        "of torch's import on macOS and Windows, about a feature that is not used",
        "torch.distributed.elastic.multiprocessing.redirects",
        "NOTE: Redirects are currently not supported",
    ),
)
TRANSFORMERS = {  # heads that are left out, texts longer than the model: the report says what matters of it
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}
BARS = {"TQDM_DISABLE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}  # a file keeps every step of a bar as a line


@contextmanager
def quiet_libraries(*, bars: bool) -> Iterator[None]:
    """Keep remarks of libraries off the terminal within this context, which begins before they are imported.

    Args:
        bars: whether their progress bars are shown, as on a terminal. Environment variables that the user set stand.
    """
    settings = {
        name: value for name, value in (TRANSFORMERS | ({} if bars else BARS)).items() if name not in os.environ
    }
    filters = [(logging.getLogger(record.logger), _filter_record(record)) for record in RECORDS]
    os.environ.update(settings)
    for logger, hide in filters:
        logger.addFilter(hide)
    try:
        with warnings.catch_warnings():
            for silenced in WARNINGS:
                warnings.filterwarnings("ignore", silenced.message, silenced.category, silenced.module)
            yield
    finally:
        for logger, hide in filters:
            logger.removeFilter(hide)
        for name in settings:
            os.environ.pop(name, None)


def _filter_record(silenced: SilencedRecord) -> logging.Filter:
    class Hide(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            return re.match(silenced.message, record.getMessage()) is None

    return Hide()
