"""What an audit states: findings with their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from rft.records.base import Number, Record

Status = Literal["info", "warn", "fail", "not_measured"]

CHANGE = "change."  # begins the id of the change of a finding between two runs

Grade = Literal["measured", "declared", "unverified"]

Cases = Literal["counted", "sampled", "none"]

Absence = Literal["not_asked", "not_applicable"]

Better = Literal["higher", "lower"]

SHARES = ("", "fraction", "probability")  # units of values that are no counts, whole though they may be


class Interval(Record):
    """A confidence interval; ``method`` names how it was made and at which level."""

    low: Number
    high: Number
    method: str

    @model_validator(mode="after")
    def _check_order(self) -> Interval:
        if self.low > self.high:
            raise ValueError(f"interval with low {self.low} above high {self.high}")
        return self


class Adjusted(Record):
    """The interval of an estimate when ``rules`` estimates are judged together: at a level of 1 - 0.05 / rules."""

    rules: int = Field(ge=1)
    interval: Interval


class About(Record):
    """What a finding is about, for those who withhold, group or compare findings.

    Attributes:
        attributes: the group attributes whose groups the value compares, crossed ones joined by `` x ``; none where it
            is of everybody.
        group: the one group that the value is of.
        metric: the metric whose value, gap or ratio it is.
        classes: the classes whose single numbers the value is made of; ``all`` for a mean over classes.
    """

    attributes: tuple[str, ...] = ()
    group: str | None = None
    metric: str | None = None
    classes: tuple[str, ...] | Literal["all"] = ()


class Finding(Record):
    """One fact that an audit states. It judges nothing: that is what policy rules do.

    Attributes:
        id: stable dotted name, beginning with the plugin's name: ``fairness.accuracy_gap.gender``.
        title: a few words for a heading.
        status: ``info``, ``warn`` (to review), ``fail`` (broken integrity, nothing else) or ``not_measured``.
        value: the number; None exactly when the status is ``not_measured``.
        unit: what the number counts (``fraction``, ``epsilon``, ``examples``); empty for a pure number.
        interval: for an estimate from a sample, at 95 %.
        adjusted: the same for verdicts over several rules, fewest rules first; empty where no method gives one. Its
            method may differ from the shown one, where that is not strict enough for a verdict.
        small_groups: groups that are too small for the value and its interval, in which they have no part; ``adjusted``
            covers them too, so that a rule is never met by leaving somebody out.
        deterministic: the value is a fact of this run (a count, an epsilon), no estimate from a sample.
            A policy rule settles an estimate by its interval and a deterministic value by itself.
        rounding: how a reader sees the value: an upper bound ``up``, a lower one ``down``.
        n: how many independent cases the estimate rests on.
        grade: ``measured`` in this run, ``declared`` by the user, or ``unverified``.
        description: one sentence that a reviewer understands without the code.
        caveats: what the number does not show.
        references: papers or standards, short form.
        reason: why it was not measured; None otherwise.
        absence: why, where it is no failure: nobody asked for it, or nothing in this run could be asked; else None.
        remedy: what to do where it is worth a review or breaks a rule, in a sentence.
        about: the attributes, group, metric and classes that it is about.
        cases: how the value rests on cases (examples, people): it is a number of them (``counted``), was measured on
            ``n`` of them (``sampled``), or has nothing to do with them (``none``), as epsilon. None: ``counted`` for a
            whole deterministic number that is no share, else ``sampled``.
        better: which values are better, so that a change for the worse can be told; None where neither is by itself.
        headline: shown whatever its status, by the terminal and first in the summary of a report.
        card_tags: tags that a model card gets where this was measured and no integrity is broken.
        card_metric: the name under which the hub knows the metric (``accuracy``), where it is a result of the model on
            test for the metadata of a model card.
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
    rounding: Literal["nearest", "up", "down"] = "nearest"
    n: int | None = None
    grade: Grade = "measured"
    description: str
    caveats: str = ""
    references: tuple[str, ...] = ()
    reason: str | None = None
    absence: Absence | None = None
    remedy: str = ""
    about: About = About()
    cases: Cases | None = None
    better: Better | None = None
    headline: bool = False
    card_tags: tuple[str, ...] = ()
    card_metric: str = ""
    withheld: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check_value_or_reason(self) -> Finding:
        if self.status == "not_measured" and (self.value is not None or not self.reason):
            raise ValueError(f"{self.id}: not_measured needs a reason and has no value")
        if self.status != "not_measured" and (self.value is None or self.reason):
            raise ValueError(f"{self.id}: a finding with status {self.status} needs a value and no reason")
        return self

    def __repr__(self) -> str:
        if self.value is None:
            return f"Finding({self.id!r}, not measured: {self.reason})"
        ends = f" [{self.interval.low:.4g}, {self.interval.high:.4g}]" if self.interval else ""
        cases = "" if self.n is None else f", n={self.n}"
        review = ", to review" if self.status == "warn" else ", failed" if self.status == "fail" else ""
        return f"Finding({self.id!r}, {self.value:.4g}{ends}{f' {self.unit}' if self.unit else ''}{cases}{review})"

    __str__ = __repr__  # pydantic's own would print every paragraph

    @property
    def change_id(self) -> str:
        """The id of the finding that states its change between two runs: ``change.performance.accuracy``."""
        return f"{CHANGE}{self.id}"

    def without_value(self, reason: str, description: str) -> Finding:
        """Return the finding as not measured, without its value and whatever could tell of it.

        ``description`` stands in place of its own, which may name the value; ``reason`` says why there is none.
        """
        return Finding(
            id=self.id,
            title=self.title,
            status="not_measured",
            unit=self.unit,
            grade=self.grade,
            description=description,
            references=self.references,
            reason=reason,
            about=self.about,
        )

    @property
    def rests_on(self) -> Cases:
        """How the value rests on cases, as the plugin says, or by the safe guess where it does not."""
        if self.cases is not None:
            return self.cases
        whole = self.value is not None and float(self.value).is_integer()
        return "counted" if self.deterministic and whole and self.unit not in SHARES else "sampled"


@dataclass(frozen=True)
class NotMeasured:
    """What stands in the place of a result that could not be measured: never a number, always the reason."""

    reason: str
