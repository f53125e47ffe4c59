"""The time that is written down: that of the machine, or the one that ``SOURCE_DATE_EPOCH`` sets."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from rft.errors import ConfigError

VARIABLE = "SOURCE_DATE_EPOCH"  # seconds since 1970, by the convention of reproducible builds


def read_clock() -> datetime:
    """Return the present time in UTC, without fractions of a second.

    Raises:
        ConfigError: ``SOURCE_DATE_EPOCH`` is set, and no number of seconds.
    """
    fixed = os.environ.get(VARIABLE)
    if fixed is None:
        return datetime.now(UTC).replace(microsecond=0)
    try:
        return datetime.fromtimestamp(int(fixed), UTC)
    except (ValueError, OverflowError, OSError) as error:
        remedy = "Unset it, or give whole seconds since 1970."
        raise ConfigError(f"is {fixed!r}, which is no time", where=VARIABLE, remedy=remedy) from error
