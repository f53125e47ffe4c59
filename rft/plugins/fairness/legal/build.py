"""From rows and groupings to the legal tables of the section: numbers, captions, notes and findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rft.disclosure.withheld import NOTHING, Withheld
from rft.errors import Unavailable
from rft.plugins.fairness.legal import Ll144Options, TableName, four_fifths, ll144
from rft.plugins.fairness.legal.ratios import Shares
from rft.predictions.table import Grouping, PredictionArrays
from rft.records import Finding, Table, not_measured


@dataclass(frozen=True)
class Legal:
    """What the legal tables add to a section; empty where none was asked for."""

    tables: Mapping[str, Table] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    def __add__(self, other: Legal) -> Legal:
        return Legal(
            {**self.tables, **other.tables},
            {**self.captions, **other.captions},
            self.notes + other.notes,
            self.findings + other.findings,
        )


def build(
    rows: PredictionArrays,
    groupings: Sequence[Grouping],
    positive: int,
    *,
    tables: Sequence[TableName],
    ll144_options: Ll144Options | None = None,
    min_group: int = 10,
    withheld: Withheld = NOTHING,
) -> Legal:
    """Return the tables that were asked for.

    Args:
        rows: N predictions.
        groupings: of these rows: single attributes, and crossed ones for the four-fifths table.
        positive: index of the favourable class.
        tables: which ones.
        ll144_options: for the table ``ll144``, which has none without them.
        min_group: groups with fewer rows are shown as too few and never compared.
        withheld: what may not leave the machine.
    """
    legal = Legal()
    if "ll144" in tables:
        legal += _ll144(rows, groupings, positive, ll144_options, min_group, withheld)
    if "four_fifths" in tables:
        legal += _four_fifths(rows, groupings, positive, min_group, withheld)
    return legal


def _four_fifths(
    rows: PredictionArrays, groupings: Sequence[Grouping], positive: int, min_group: int, withheld: Withheld
) -> Legal:
    selected = rows.predictions == positive
    every = [Shares.of(grouping, selected, rows.units, min_group=min_group) for grouping in groupings]
    table = [row for shares in every for row in four_fifths.rows_of(shares, withheld)]
    repeated = (four_fifths.REPEATED,) if any(shares.repeats for shares in every) else ()
    return Legal(
        {four_fifths.NAME: table} if table else {},
        {four_fifths.NAME: four_fifths.CAPTION} if table else {},
        (*four_fifths.NOTES, *repeated),
        tuple(map(four_fifths.finding, every)),
    )


def _ll144(
    rows: PredictionArrays,
    groupings: Sequence[Grouping],
    positive: int,
    options: Ll144Options | None,
    min_group: int,
    withheld: Withheld,
) -> Legal:
    try:
        categories = _categories(groupings, options, withheld)
        assert options is not None
        counted = ll144.chosen(rows, positive, options)
    except Unavailable as reason:
        description = "Rates and impact ratios by sex, race or ethnicity, and both, as Local Law 144 asks for them."
        return Legal(
            findings=(not_measured(f"fairness.{ll144.NAME}", "Local Law 144 table", str(reason), description),)
        )
    every = [
        ll144.left_out(Shares.of(grouping, counted, rows.units, min_group=min_group), options)
        for grouping in categories
    ]
    return Legal(
        {ll144.NAME: [row for shares in every for row in ll144.rows_of(shares, options, withheld)]},
        {ll144.NAME: ll144.caption(options)},
        ll144.notes(len(rows), options, min_group),
        tuple(ll144.finding(shares, options) for shares in every),
    )


def _categories(
    groupings: Sequence[Grouping], options: Ll144Options | None, withheld: Withheld
) -> tuple[Grouping, Grouping, Grouping]:
    """Return the groupings by sex, by race or ethnicity, and by both."""
    if options is None:
        raise Unavailable("fairness.ll144 does not say which attributes hold sex and race or ethnicity")
    known = {grouping.attribute: grouping for grouping in groupings if len(grouping.parts) == 1}
    for name in (options.sex, options.race):
        if name not in known:
            raise Unavailable(f"the data has no group attribute {name!r}, only {', '.join(known) or 'none'}")
    sex, race = known[options.sex], known[options.race]
    both = Grouping.from_crossing([sex, race])
    return sex, race, both.withhold_groups(withheld.of(both.attribute), hides=withheld.touches(both.attribute))
