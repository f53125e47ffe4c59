"""The overview of an audit: what each of its questions was answered, and what was claimed, measured or left open."""

from __future__ import annotations

from typing import Literal

from rft.records.base import Number, Record

ClaimState = Literal["measured", "declared", "not_measured", "not_applicable", "not_asked"]


class Claim(Record):
    """Whether one thing that a reviewer asks for was measured.

    Attributes:
        label: what is asked, in a few words: ``Gaps between groups``.
        state: ``measured`` in this run; ``declared`` by the user; ``not_measured`` though it was asked for;
            ``not_applicable``, since there is nothing that it could be asked of; ``not_asked`` for.
        finding: id of the finding that answers it, or says why there is no answer; None where there is none.
    """

    label: str
    state: ClaimState
    finding: str | None = None


class GroupRate(Record):
    """A group with its value of a metric."""

    group: str
    value: Number


class Contrast(Record):
    """The largest gap in a metric between the groups of an attribute: the two groups, and both rates.

    Attributes:
        finding: id of the finding whose value is the gap.
        attribute: that divides into the groups.
        metric: in words.
        lowest, highest: the group with the lowest value, and that with the highest.
    """

    finding: str
    attribute: str
    metric: str
    lowest: GroupRate
    highest: GroupRate


class Pillar(Record):
    """One question of an audit, such as privacy, whether or not a run asked it.

    Attributes:
        plugin: whose question it is.
        label: a word or two: ``Privacy``.
        summary: the answer in a sentence or two, for the first screen of a report.
        claims: what the answer is made of.
        contrasts: the largest gaps between groups, where the answer is about groups, one for each attribute and metric.
    """

    plugin: str
    label: str
    summary: str
    claims: tuple[Claim, ...] = ()
    contrasts: tuple[Contrast, ...] = ()
