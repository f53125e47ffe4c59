"""One check of the self-test, as the report shows it."""

from __future__ import annotations

from dataclasses import dataclass

from rft.records import Row


@dataclass(frozen=True)
class SelfTestCheck:
    """One promise: what was expected of it, what was found, and whether that is within bounds."""

    name: str
    expected: str
    observed: str
    passed: bool
    description: str

    def to_row(self) -> Row:
        """Return it as a row of the report's table."""
        outcome = "passed" if self.passed else "failed"
        names = ("check", "expected", "found", "outcome", "description")
        return dict(zip(names, (self.name, self.expected, self.observed, outcome, self.description), strict=True))
