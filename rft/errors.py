"""Errors that a user can act on. Each says what is wrong, where, and what to do about it."""

from __future__ import annotations

import re


class RftError(Exception):
    """An error for the user: one or two lines, no traceback, and the exit code of the command.

    Args:
        what: what is wrong and what was expected, one sentence without a full stop at the end.
        where: the file, the line or the key, shown in front.
        remedy: what to do, shown on a second line.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str | None = None, remedy: str | None = None) -> None:
        self.what, self.where, self.remedy = what, where, remedy
        first_line = f"{where}: {what}" if where else what
        super().__init__(f"{first_line}\n{remedy}" if remedy else first_line)

    @property
    def public(self) -> str:
        """What is wrong, for a report: with the key of the config that it is about, without paths of this machine."""
        is_key = re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", self.where or "") is not None
        return f"{self.where}: {self.what}" if is_key else self.what


class ConfigError(RftError):
    """The config asks for something that does not exist or contradicts itself."""


class DataError(RftError):
    """The manifest, a label, a split or an image cannot be used."""


class ModelError(RftError):
    """The backbone or its weights cannot be used."""


class OutputError(RftError):
    """The output folder cannot be written: it is in use, or the disk is full."""


class RemoteError(RftError):
    """A store at a URL cannot be reached, refuses, or has no such bucket."""


class BusyError(OutputError):
    """Another process uses what this one needs; the same command may succeed later."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: try again


class ProcessLostError(RftError):
    """Another process of the same audit has ended, or did not start."""

    exit_code = 75


class IntegrityError(RftError):
    """A check that a promise rests on failed before anything was trained or released."""

    exit_code = 1


class UnknownNameError(RftError, KeyError):
    """A run has no finding, section or table of this name; what is near stands in the message."""

    def __str__(self) -> str:
        return Exception.__str__(self)  # that of KeyError shows quotes and escapes


class EvidenceError(RftError):
    """A file of a finished run is not the file that was written."""

    exit_code = 4


class Unavailable(Exception):
    """Something that an audit needs is absent from its audited; the message is the reason.

    Not an error for the user: it becomes a ``not_measured`` finding.
    """


def near(name: str, known: list[str]) -> str | None:
    """Return a "did you mean" sentence with the known names nearest to ``name`` in any case, or None."""
    from difflib import get_close_matches

    by_folded_name = {candidate.casefold(): candidate for candidate in reversed(known)}
    matches = [
        by_folded_name[match] for match in get_close_matches(name.casefold(), list(by_folded_name), n=3, cutoff=0.6)
    ]
    return f"Did you mean {' or '.join(repr(match) for match in matches)}?" if matches else None
