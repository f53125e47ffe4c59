"""The table of a bias audit under New York City's Local Law 144 (6 RCNY 5-300 to 5-304)."""

from __future__ import annotations

import numpy as np

from rft.disclosure.withheld import NOTHING, Withheld
from rft.errors import Unavailable
from rft.number_format import format_fixed
from rft.plugins.fairness.legal import Ll144Options
from rft.plugins.fairness.legal.four_fifths import state_unmeasured_ratio
from rft.plugins.fairness.legal.ratios import SelectionRates
from rft.plugins.fairness.measure.group_metrics import INCONCLUSIVE
from rft.predictions.table import PredictionArrays
from rft.records import About, Finding, FindingDefinition, Row, Table
from rft.stats.gaps import rate_ratio

NAME = "ll144"
SMALL_CATEGORY_SHARE = 0.02  # of the data: the share under which 5-301 (d) lets an auditor leave a category out
UNKNOWN_CATEGORY = "(unknown)"
REFERENCES = ("6 RCNY 5-300 to 5-304", *rate_ratio.SOURCES)
_RATE = {"selection": "selection_rate", "score": "scoring_rate"}
_CHOSEN = {"selection": "n_selected", "score": "n_above_median"}
_MEANS = {
    "selection": "the share of a category that is given the favourable class",
    "score": "the share of a category whose probability of the favourable class is above the median of all",
}


def select_rows(rows: PredictionArrays, positive: int, options: Ll144Options) -> np.ndarray:
    """Return (N,) whether each row counts: selected, or scored above the median of all rows, known category or not.

    Raises:
        Unavailable: scores are asked for and the predictions hold none.
    """
    if options.basis == "selection":
        return np.asarray(rows.predictions == positive)
    if rows.scores is None:
        raise Unavailable("a scoring rate needs probabilities, and the predictions hold decisions alone")
    scores = rows.scores[:, positive]
    return np.asarray(scores > np.median(scores))


def leave_out_small_categories(shares: SelectionRates, options: Ll144Options) -> SelectionRates:
    """Return the shares in which categories under 2 % are not compared, where the auditor left them out."""
    if options.small_left_out_because is None:
        return shares
    return shares.leave_out(_is_small_category(shares))


def rows_of(shares: SelectionRates, options: Ll144Options, withheld: Withheld = NOTHING) -> Table:
    """Return the rows of the table ``ll144`` for one attribute: its categories, then the unknown."""
    named = [_row_of_category(shares, group, options) for group in range(len(shares.n))]
    blank: Row = dict.fromkeys(_table_columns(options))
    if shares.grouping.hides:
        about: Row = {"attribute": shares.grouping.attribute, "status": withheld.reason}
        return [*named, *(blank | about | {"group": name} for name in (*shares.grouping.withheld, UNKNOWN_CATEGORY))]
    missing = shares.grouping.missing
    unknown = blank | {
        "attribute": shares.grouping.attribute,
        "group": UNKNOWN_CATEGORY,
        "share_of_data": _share_of_data(missing, shares),
    }
    return [*named, unknown | {"n": missing, "status": "in no category"}]


def _table_columns(options: Ll144Options) -> tuple[str, ...]:
    rate, count = _RATE[options.basis], _CHOSEN[options.basis]
    return (
        "attribute",
        "group",
        "reference",
        rate,
        "impact_ratio",
        "low",
        "high",
        "share_of_data",
        "n",
        count,
        "status",
    )


def _row_of_category(shares: SelectionRates, group: int, options: Ll144Options) -> Row:
    interval = shares.ratio_interval(group)
    cells = (
        shares.grouping.attribute,
        shares.grouping.names[group],
        None if shares.reference is None else shares.grouping.names[shares.reference],
        float(shares.rates[group]),
        shares.ratio_to_highest(group),
        interval.low if interval else None,
        interval.high if interval else None,
        _share_of_data(int(shares.rows[group]), shares),
        int(shares.n[group]),
        int(shares.chosen[group]),
        _status_of_category(shares, group, options),
    )
    return dict(zip(_table_columns(options), cells, strict=True))


def _share_of_data(n: int, shares: SelectionRates) -> float | None:
    return n / shares.total if shares.total else None


def _is_small_category(shares: SelectionRates) -> np.ndarray:
    return shares.rows < SMALL_CATEGORY_SHARE * shares.total


def _status_of_category(shares: SelectionRates, group: int, options: Ll144Options) -> str:
    small = bool(_is_small_category(shares)[group])
    if not shares.compared[group]:
        return "left out: under 2 %" if small and options.small_left_out_because else INCONCLUSIVE
    if shares.reference is None:
        return f"undefined: {shares.undefined}"
    words = "highest rate" if group == shares.reference else "measured"
    return f"{words}, under 2 %" if small else words


def state_lowest_ratio(shares: SelectionRates, options: Ll144Options) -> Finding:
    """Return the finding ``fairness.ll144.<attribute>``: the lowest impact ratio."""
    attribute = shares.grouping.attribute
    description = f"The lowest {_RATE[options.basis].replace('_', ' ')} by {attribute} divided by the highest"
    definition = FindingDefinition(
        f"fairness.{NAME}.{attribute}",
        f"Lowest impact ratio by {attribute}, Local Law 144",
        f"{description}.",
        unit="ratio",
        about=About(attributes=(attribute,)),
        caveats="The law sets no threshold; nothing here says whether it is satisfied.",
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
        description=f"{description}: {names[lowest]} {format_fixed(shares.rates[lowest], 3)}, "
        f"{names[shares.reference]} {format_fixed(shares.rates[shares.reference], 3)}{_describe_unknown(shares)}.",
    )


def _describe_unknown(shares: SelectionRates) -> str:
    if shares.grouping.hides:
        return ""
    return f"; {shares.grouping.missing} of {shares.total} are in no category"


def caption_table(options: Ll144Options) -> str:
    """Return the line over the table."""
    rate = _RATE[options.basis].replace("_", " ")
    return (
        f"Categories as in a bias audit under Local Law 144 (6 RCNY 5-301): {rate}, {_MEANS[options.basis]}; "
        "impact ratio, that rate divided by the highest, with an interval that holds for all pairs at once"
    )


def write_notes(total: int, options: Ll144Options, min_group_size: int) -> tuple[str, ...]:
    """Return what the table is and is not, and which categories were left out by whose judgement."""
    because = options.small_left_out_because
    small = (
        f"Categories under 2 % of the data are left out of the impact ratios (5-301 (d)), because: {because}"
        if because
        else "Categories under 2 % of the data are marked; they were counted like all others."
    )
    return (
        f"The Local Law 144 table holds the numbers that 6 RCNY 5-301 asks for, of {total} applicants: the test rows "
        "of this run. The rule wants an independent auditor and historical data, or reasons for test data; whether "
        "these rows are that is for the auditor to say, and the table is not such an audit by itself.",
        f"{small} Categories with fewer than {min_group_size} rows have a rate, since the rule asks for it, but no "
        "impact ratio: they are inconclusive. Those whose category is unknown are counted in a row of their own.",
    )
