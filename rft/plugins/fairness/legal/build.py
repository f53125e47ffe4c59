"""From rows and groupings to the chapter of legal tables."""

from __future__ import annotations

from collections.abc import Sequence

from rft.disclosure.withheld import NOTHING, Withheld
from rft.errors import Unavailable
from rft.plugins.chapter_content import ChapterContent, join_content
from rft.plugins.fairness.legal import Ll144Options, TableName, four_fifths, ll144
from rft.plugins.fairness.legal.ratios import SelectionRates
from rft.predictions.table import Grouping, PredictionArrays
from rft.records import FindingDefinition

LL144_TABLE = FindingDefinition(
    f"fairness.{ll144.NAME}",
    "Local Law 144 table",
    "Rates and impact ratios by sex, race or ethnicity, and both, as Local Law 144 asks for them.",
)


def build_legal_chapter(
    rows: PredictionArrays,
    groupings: Sequence[Grouping],
    positive: int,
    *,
    tables: Sequence[TableName],
    ll144_options: Ll144Options | None = None,
    min_group_size: int = 10,
    withheld: Withheld = NOTHING,
) -> ChapterContent:
    """Return the chapter of the tables that were asked for; empty where none was.

    Args:
        rows: N predictions.
        groupings: of these rows: single attributes, and crossed ones for the four-fifths table.
        positive: index of the favourable class.
        tables: which ones.
        ll144_options: for the table ``ll144``, which has none without them.
        min_group_size: groups with fewer rows are shown as too few and never compared.
        withheld: what may not leave the machine.
    """
    contents = []
    if "ll144" in tables:
        contents.append(_ll144_content(rows, groupings, positive, ll144_options, min_group_size, withheld))
    if "four_fifths" in tables:
        contents.append(_four_fifths_content(rows, groupings, positive, min_group_size, withheld))
    return join_content("Legal tables", contents)


def _four_fifths_content(
    rows: PredictionArrays, groupings: Sequence[Grouping], positive: int, min_group_size: int, withheld: Withheld
) -> ChapterContent:
    selected = rows.predictions == positive
    rates_by_attribute = [
        SelectionRates.from_selection(grouping, selected, rows.units, min_group_size=min_group_size)
        for grouping in groupings
    ]
    table = [row for shares in rates_by_attribute for row in four_fifths.rows_of(shares, withheld)]
    repeated = (four_fifths.REPEATED,) if any(shares.repeats for shares in rates_by_attribute) else ()
    return ChapterContent(
        findings=tuple(map(four_fifths.state_lowest_ratio, rates_by_attribute)),
        tables={four_fifths.NAME: table} if table else {},
        captions={four_fifths.NAME: four_fifths.CAPTION} if table else {},
        text=(*four_fifths.NOTES, *repeated),
        computed_from="test",
    )


def _ll144_content(
    rows: PredictionArrays,
    groupings: Sequence[Grouping],
    positive: int,
    options: Ll144Options | None,
    min_group_size: int,
    withheld: Withheld,
) -> ChapterContent:
    try:
        categories = _select_categories(groupings, options, withheld)
        assert options is not None
        counted = ll144.select_rows(rows, positive, options)
    except Unavailable as reason:
        return ChapterContent(findings=(LL144_TABLE.state_not_measured(str(reason)),), computed_from="test")
    rates_by_attribute = [
        ll144.leave_out_small_categories(
            SelectionRates.from_selection(grouping, counted, rows.units, min_group_size=min_group_size), options
        )
        for grouping in categories
    ]
    table = [row for shares in rates_by_attribute for row in ll144.rows_of(shares, options, withheld)]
    return ChapterContent(
        findings=tuple(ll144.state_lowest_ratio(shares, options) for shares in rates_by_attribute),
        tables={ll144.NAME: table},
        captions={ll144.NAME: ll144.caption_table(options)},
        text=ll144.write_notes(len(rows), options, min_group_size),
        computed_from="test",
    )


def _select_categories(
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
    return (
        sex,
        race,
        both.withhold_groups(withheld.groups_of(both.attribute), hides=withheld.hides_groups_of(both.attribute)),
    )
