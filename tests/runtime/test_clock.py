"""The time that is written down: of the machine, or the one that SOURCE_DATE_EPOCH sets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import rft
from rft.errors import ConfigError
from rft.runtime.clock import read_clock


def test_without_the_variable_it_is_the_time_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    now = read_clock()
    assert (now.tzinfo, now.microsecond) == (UTC, 0)
    assert abs(datetime.now(UTC) - now) < timedelta(minutes=1)


def test_the_variable_fixes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1740832205")
    assert read_clock().isoformat() == "2025-03-01T12:30:05+00:00"


@pytest.mark.parametrize("written", ["", "yesterday", "1.5", "9" * 30])
def test_what_is_no_time_is_an_error_of_the_user(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", written)
    with pytest.raises(ConfigError, match=r"SOURCE_DATE_EPOCH: is .*, which is no time\nUnset it"):
        read_clock()


def test_a_run_says_the_time_that_was_set(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1740832205")
    assert rft.audit(tiny).run.volatile.created == "2025-03-01T12:30:05+00:00"
