"""The four-fifths rule of the Uniform Guidelines (29 CFR 1607.4 D): selection rates against the highest one, tested."""

from __future__ import annotations

from rft.disclosure.withheld import NOTHING, Withheld
from rft.number_format import format_fixed
from rft.plugins.fairness.legal import exact
from rft.plugins.fairness.legal.ratios import SelectionRates
from rft.records import About, Finding, FindingDefinition, Row, Table
from rft.references import BERGER, CHAN, FARRINGTON, FISHER

FOUR_FIFTHS = 0.8
NAME = "four_fifths"
REFERENCES = ("29 CFR 1607.4 (D)", FISHER, CHAN, BERGER, FARRINGTON)
CAPTION = (
    "Selection rate of each group and its ratio to the highest one (29 CFR 1607.4 D), with an interval that holds for "
    "all pairs of groups at once. p equal: both rates are equal; p four fifths: the ratio is at least 0.8; a small p "
    "speaks against it. The p for all pairs allow for the reference being the highest of several"
)
COLUMNS = (
    *("attribute", "group", "reference", "selection_rate", "impact_ratio", "low", "high", "p_equal"),
    *("p_equal_all_pairs", "p_four_fifths", "p_four_fifths_all_pairs", "n", "n_selected", "status"),
)
NOTES = (
    "The four-fifths table states ratios of selection rates in this sample. It is not a statement about adverse impact "
    "in the legal sense: the guidelines also ask about practical significance, small numbers, and the job.",
    "The reference of the four-fifths table is the group with the highest rate of this sample: a selected maximum. "
    "Against it, groups that do not differ look different too often, the more the more groups there are; so read the "
    "p-values for all pairs (Bonferroni), which hold whichever group comes out highest, and not the plain ones.",
    f"Equality is tested by Fisher's exact test. That the ratio is at least {FOUR_FIFTHS} is tested by the exact "
    "unconditional test that orders outcomes by the score statistic; where the reference group has more than "
    f"{exact.MAX_ROWS_OF_EXACT_TEST} rows, by the score test itself, which approximates.",
)
REPEATED = "Rows share units, so that no exact test applies: the four-fifths table then has intervals but no p-values."


def rows_of(shares: SelectionRates, withheld: Withheld = NOTHING) -> Table:
    """Return the rows of the table ``four_fifths`` for one attribute, groups in order of their names."""
    rows = [_row_of_group(shares, group) for group in range(len(shares.n))]
    return rows + [_withheld_row(shares, name, withheld.reason) for name in shares.grouping.withheld]


def _withheld_row(shares: SelectionRates, group: str, reason: str) -> Row:
    about: Row = {"attribute": shares.grouping.attribute, "group": group, "status": reason}
    return {**dict.fromkeys(COLUMNS), **about}


def _row_of_group(shares: SelectionRates, group: int) -> Row:
    scored, ratio, interval = bool(shares.compared[group]), shares.ratio_to_highest(group), shares.ratio_interval(group)
    equal, fifths = _test_ratio(shares, group)
    return {
        "attribute": shares.grouping.attribute,
        "group": shares.grouping.names[group],
        "reference": None if shares.reference is None else shares.grouping.names[shares.reference],
        "selection_rate": float(shares.rates[group]) if scored else None,
        "impact_ratio": ratio,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "p_equal": equal,
        "p_equal_all_pairs": None if equal is None else min(1.0, equal * shares.pairs),
        "p_four_fifths": fifths.value if fifths else None,
        "p_four_fifths_all_pairs": min(1.0, fifths.value * 2 * shares.pairs) if fifths else None,
        "n": int(shares.n[group]),
        "n_selected": int(shares.chosen[group]) if scored else None,
        "status": _status_of_group(shares, group),
    }


def _test_ratio(shares: SelectionRates, group: int) -> tuple[float | None, exact.PValue | None]:
    """Return both p-values; None for the reference, for what has no ratio, and where rows share units."""
    best = shares.reference
    if best is None or group == best or not shares.compared[group] or shares.repeats:
        return None, None
    counts = tuple(
        int(number)
        for compared_group in (group, best)
        for number in (shares.chosen[compared_group], shares.n[compared_group])
    )
    return exact.equality_p_value(*counts), exact.ratio_p_value(*counts, ratio=FOUR_FIFTHS)


def _status_of_group(shares: SelectionRates, group: int) -> str:
    if not shares.compared[group]:
        return "too few"
    if shares.reference is None:
        return f"undefined: {shares.undefined}"
    return "highest rate" if group == shares.reference else "measured"


def state_lowest_ratio(shares: SelectionRates) -> Finding:
    """Return the finding ``fairness.four_fifths.<attribute>``: the lowest ratio."""
    attribute = shares.grouping.attribute
    definition = FindingDefinition(
        f"fairness.{NAME}.{attribute}",
        f"Lowest impact ratio by {attribute}",
        f"The lowest selection rate by {attribute}, divided by the highest.",
        unit="ratio",
        about=About(attributes=(attribute,)),
        references=REFERENCES,
        better="higher",
    )
    lowest = shares.lowest_group()
    ratio = None if lowest is None else shares.ratio_to_highest(lowest)
    if lowest is None or ratio is None or shares.reference is None:
        return state_unmeasured_ratio(definition, shares)
    names = shares.grouping.names
    return definition.state_estimate(
        ratio,
        interval=shares.lowest_ratio_interval(),
        adjusted=shares.judging_intervals(),
        n=shares.n_independent,
        small_groups=shares.small_groups,
        description=f"{names[lowest]} is selected {format_fixed(ratio, 3)} times as often as "
        f"{names[shares.reference]}, the group with the highest rate ({_describe_counts(shares, lowest)} against "
        f"{_describe_counts(shares, shares.reference)}).",
        caveats=f"The guidelines speak of four fifths ({FOUR_FIFTHS}). The reference is the highest of "
        f"{int(shares.compared.sum())} groups in this sample; nothing here says whether a law is satisfied.",
    )


def _describe_counts(shares: SelectionRates, group: int) -> str:
    return f"{shares.rows_chosen[group]} of {shares.rows[group]}"


def state_unmeasured_ratio(definition: FindingDefinition, shares: SelectionRates) -> Finding:
    """Return the finding of an attribute without a ratio; groups that are too small still enter rules about it."""
    return definition.state_not_measured(
        explain_not_measured(shares),
        n=shares.n_independent,
        about=About(attributes=(shares.grouping.attribute,), metric="selection_rate"),
        adjusted=shares.judging_intervals() if shares.small_groups else (),
        small_groups=shares.small_groups,
    )


def explain_not_measured(shares: SelectionRates) -> str:
    """Return why an attribute has no ratio, with the size of each group that is too small."""
    few = [
        f"{name} has {n}"
        for name, n, fine in zip(shares.grouping.names, shares.n, shares.compared, strict=True)
        if not fine
    ]
    if shares.undefined == "nobody is chosen":
        return "the highest rate is 0, so that no ratio to it exists"
    return "fewer than two groups have enough rows to be compared" + (f": {', '.join(few)}" if few else "")
