"""What an audit states: findings with their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from rft.records.base import Number, Record

Status = Literal["info", "warn", "fail", "not_measured"]

Grade = Literal["measured", "declared", "unverified"]


class Interval(Record):
    """A confidence interval; ``method`` names how it was made and at which level."""

    low: Number
    high: Number
    method: str

    @model_validator(mode="after")
    def _ordered(self) -> Interval:
        if self.low > self.high:
            raise ValueError(f"interval with low {self.low} above high {self.high}")
        return self


class Adjusted(Record):
    """The interval of an estimate when ``rules`` estimates are judged together: at a level of 1 - 0.05 / rules."""

    rules: int = Field(ge=1)
    interval: Interval


class Finding(Record):
    """One fact that an audit states. It judges nothing: that is what policy rules do.

    Attributes:
        id: stable dotted name, beginning with the plugin's name: ``fairness.accuracy_gap.gender``.
        title: a few words for a heading.
        status: ``info``, ``warn`` (worth a look), ``fail`` (broken integrity, nothing else) or ``not_measured``.
        value: the number; None exactly when the status is ``not_measured``.
        unit: what the number counts (``fraction``, ``epsilon``, ``examples``); empty for a pure number.
        interval: for an estimate from a sample, at 95 %.
        adjusted: the same for verdicts over several rules, fewest rules first; empty where no method gives one. Its
            method may differ from the shown one, where that is not strict enough for a verdict.
        small_groups: groups that are too small for the value and its interval, in which they have no part; ``adjusted``
            covers them too, so that a rule is never met by leaving somebody out.
        deterministic: the value is a fact of this run (a count, an epsilon), no estimate from a sample.
            A policy rule settles an estimate by its interval and a deterministic value by itself.
        n: how many independent cases the estimate rests on.
        grade: ``measured`` in this run, ``declared`` by the user, or ``unverified``.
        description: one sentence that a reviewer understands without the code.
        caveats: what the number does not show.
        references: papers or standards, short form.
        reason: why it was not measured; None otherwise.
        attributes: the group attributes whose groups the value compares, crossed ones joined by `` x ``; none where it
            is of everybody.
        by_class: whether the value is made of numbers of single classes, such as a mean over classes.
        withheld: groups that it leaves out because too few of their cases may leave the machine. It says nothing of
            them, so that no rule can pass by it.
    """

    id: str = Field(pattern=r"^[a-z0-9_]+(\.[^.\s][^.]*)+$")
    title: str
    status: Status
    value: Number | None = None
    unit: str = ""
    interval: Interval | None = None
    adjusted: tuple[Adjusted, ...] = ()
    small_groups: tuple[str, ...] = ()
    deterministic: bool = False
    n: int | None = None
    grade: Grade = "measured"
    description: str
    caveats: str = ""
    references: tuple[str, ...] = ()
    reason: str | None = None
    attributes: tuple[str, ...] = ()
    by_class: bool = False
    withheld: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _value_or_reason(self) -> Finding:
        if self.status == "not_measured" and (self.value is not None or not self.reason):
            raise ValueError(f"{self.id}: not_measured needs a reason and has no value")
        if self.status != "not_measured" and (self.value is None or self.reason):
            raise ValueError(f"{self.id}: a finding with status {self.status} needs a value and no reason")
        return self


@dataclass(frozen=True)
class NotMeasured:
    """What stands in the place of a result that could not be measured: never a number, always the reason."""

    reason: str


def not_measured(id: str, title: str, reason: str, description: str, *, n: int | None = None) -> Finding:
    """Return the finding for something that could not be measured."""
    return Finding(id=id, title=title, status="not_measured", reason=reason, description=description, n=n)
