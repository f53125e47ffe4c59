"""How a plugin states a finding: what is known before anything is measured, and then what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypedDict, Unpack

from rft.records.findings import About, Absence, Adjusted, Better, Cases, Finding, Grade, Interval

MeasuredStatus = Literal["info", "warn", "fail"]


class StatementDetails(TypedDict, total=False):
    """What a statement adds to its definition, once the value is known.

    Attributes:
        status: ``info`` where nothing is said.
        description: the sentence in place of that of the definition, which is of what was asked.
        caveats: further ones, after those of the definition.
        about: in place of that of the definition, where it depends on what was measured.
    """

    status: MeasuredStatus
    description: str
    caveats: str
    about: About


@dataclass(frozen=True)
class FindingDefinition:
    """What is known of a finding before anything is measured; its methods state what was.

    What the attributes mean stands with ``Finding``. A finding that could not be measured has the id, title,
    description and ``about`` of its definition; all else belongs to a value.
    """

    id: str
    title: str
    description: str
    unit: str = ""
    about: About = field(default_factory=About)
    caveats: str = ""
    references: tuple[str, ...] = ()
    cases: Cases | None = None
    better: Better | None = None
    grade: Grade = "measured"
    headline: bool = False
    card_tags: tuple[str, ...] = ()
    remedy: str = ""
    rounding: Literal["nearest", "up", "down"] = "nearest"
    card_metric: str = ""

    def state_count(self, value: int, *, n: int | None = None, **details: Unpack[StatementDetails]) -> Finding:
        """Return the finding of a number of things of this run, out of ``n`` where there is such a number."""
        return self._build_finding(value, n, details, deterministic=True)

    def state_fact(self, value: float, *, n: int | None = None, **details: Unpack[StatementDetails]) -> Finding:
        """Return the finding of a value that is no estimate: an epsilon, a share of all there are.

        ``n`` is how many cases it rests on, where it rests on cases.
        """
        return self._build_finding(value, n, details, deterministic=True)

    def state_estimate(
        self,
        value: float,
        *,
        interval: Interval | None,
        adjusted: Sequence[Adjusted],
        n: int,
        small_groups: tuple[str, ...] = (),
        **details: Unpack[StatementDetails],
    ) -> Finding:
        """Return the finding of a value that was estimated from a sample.

        Args:
            value: the estimate.
            interval: at 95 %; None where no method gives one, so that no rule can be settled.
            adjusted: the same for verdicts over several rules (``rft.stats.multiplicity``); empty where there is none.
            n: how many independent cases it rests on.
            small_groups: groups too small to have a part in the value, which ``adjusted`` covers.
            details: what is said of the value.
        """
        return self._build_finding(
            value, n, details, interval=interval, adjusted=tuple(adjusted), small_groups=small_groups
        )

    def state_not_measured(
        self,
        reason: str,
        *,
        n: int | None = None,
        about: About | None = None,
        adjusted: Sequence[Adjusted] = (),
        small_groups: tuple[str, ...] = (),
        absence: Absence | None = None,
    ) -> Finding:
        """Return the finding of something that could not be measured.

        Args:
            reason: why not; a full stop at its end is left out, since sentences go on after it.
            n: how many cases there were.
            about: in place of that of the definition.
            adjusted: the intervals that groups which are too small allow for all that.
            small_groups: those groups.
            absence: that nobody asked for it, or that nothing in this run could be asked; None where it failed.
        """
        return Finding(
            id=self.id,
            title=self.title,
            status="not_measured",
            description=self.description,
            reason=reason.removesuffix("."),
            n=n,
            about=self.about if about is None else about,
            adjusted=tuple(adjusted),
            small_groups=small_groups,
            absence=absence,
        )

    def _build_finding(
        self,
        value: float,
        n: int | None,
        details: StatementDetails,
        *,
        deterministic: bool = False,
        interval: Interval | None = None,
        adjusted: tuple[Adjusted, ...] = (),
        small_groups: tuple[str, ...] = (),
    ) -> Finding:
        return Finding(
            id=self.id,
            title=self.title,
            status=details.get("status", "info"),
            value=value,
            unit=self.unit,
            interval=interval,
            adjusted=adjusted,
            small_groups=small_groups,
            deterministic=deterministic,
            n=n,
            grade=self.grade,
            description=details.get("description", self.description),
            caveats=" ".join(filter(None, (self.caveats, details.get("caveats", "")))),
            references=self.references,
            remedy=self.remedy,
            rounding=self.rounding,
            card_metric=self.card_metric,
            about=details.get("about", self.about),
            cases=self.cases,
            better=self.better,
            headline=self.headline,
            card_tags=self.card_tags,
        )
