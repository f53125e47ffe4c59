"""Legal tables: published ratios, exact tests against enumeration, the selected maximum, and what is left unsaid."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from rft.errors import ConfigError
from rft.plugins.chapter_content import ChapterContent
from rft.plugins.fairness.legal import Ll144Options, build, check_attributes, check_options, exact, four_fifths, ratios
from rft.plugins.fairness.legal.ratios import SelectionRates
from rft.predictions.table import Grouping, PredictionArrays
from rft.records import Row, Section
from rft.stats.gaps.rate_ratio import smallest_ratio

LL144 = {"asian": (10, 24), "black": (16, 32), "hispanic": (18, 28), "white": (15, 40)}  # selected, applicants
COMPAS = {"black": (805 + 1369, 3696), "white": (349 + 505, 2454)}  # predicted to be arrested again


def rows_of(counts: dict[str, tuple[int, int]], **others: list[str | None]) -> tuple[PredictionArrays, list[Grouping]]:
    """Return rows of groups, each with so many selected of so many, and their groupings."""
    predicted = np.concatenate([np.arange(n) < selected for selected, n in counts.values()])
    race = np.repeat(list(counts), [n for _, n in counts.values()])
    columns = {"race": race, **others}
    groupings = [Grouping.from_values(name, pd.Series(values, dtype=object)) for name, values in columns.items()]
    return PredictionArrays(("no", "yes"), np.zeros(len(race), np.int32), predicted.astype(np.int32)), groupings


def with_sex(counts: dict[str, tuple[int, int]]) -> tuple[PredictionArrays, list[Grouping]]:
    n = sum(n for _, n in counts.values())
    return rows_of(
        counts, sex=[("female", "male", None)[row % 3] if row % 9 == 2 else "fm"[row % 2] for row in range(n)]
    )


def legal_chapter(rows: PredictionArrays, groupings: list[Grouping], *tables: str, **options) -> ChapterContent:
    ll144 = Ll144Options(sex="sex", race="race", **options) if "ll144" in tables else None
    return build.build_legal_chapter(rows, groupings, 1, tables=tables, ll144_options=ll144)


def row_of_group(legal: ChapterContent, table: str, group: str, attribute: str = "race") -> Row:
    [row] = [row for row in legal.tables[table] if (row["attribute"], row["group"]) == (attribute, group)]
    return row


def cut_off(share: float, digits: int) -> str:
    """Write a share as the published example does, which cuts off: 18 of 28 is 64.2 %."""
    return f"{int(share * 10**digits + 1e-9) / 10**digits:.{digits}f}"


def test_the_example_of_local_law_144_to_the_last_digit() -> None:
    legal = legal_chapter(*with_sex(LL144), "ll144")
    published = {
        "hispanic": (28, "64.2", 1.00),
        "white": (40, "37.5", 0.58),
        "black": (32, "50.0", 0.78),
        "asian": (24, None, 0.65),
    }
    for group, (n, percent, ratio) in published.items():
        row = row_of_group(legal, "ll144", group)
        assert row["n"] == n
        assert percent is None or cut_off(100 * row["selection_rate"], 1) == percent
        assert round(row["impact_ratio"], 2) == ratio
    assert round(100 * row_of_group(legal, "ll144", "asian")["selection_rate"], 1) == 41.7
    assert row_of_group(legal, "ll144", "hispanic")["status"] == "highest rate"


def test_only_these_counts_give_the_published_rates() -> None:
    for group, published in (("hispanic", (64.2, 64.3)), ("white", (37.5,)), ("black", (50.0,)), ("asian", (41.7,))):
        selected, n = LL144[group]
        assert [k for k in range(n + 1) if round(100 * k / n, 1) in published] == [selected]


def test_compas_selected_are_those_predicted_to_be_arrested_again() -> None:
    legal = legal_chapter(*rows_of(COMPAS), "four_fifths")
    white = row_of_group(legal, "four_fifths", "white")
    assert white["reference"] == "black"
    assert white["impact_ratio"] == pytest.approx((854 / 2454) / (2174 / 3696))
    assert white["low"] < white["impact_ratio"] < white["high"] < 0.8
    assert white["p_equal"] < 1e-70
    assert white["p_four_fifths"] < 1e-5
    finding = legal.findings[0]
    assert (finding.id, finding.n, finding.status) == ("fairness.four_fifths.race", 6150, "info")
    assert "854 of 2454 against 2174 of 3696" in finding.description


def test_intersections_and_unknowns_are_counted() -> None:
    rows, groupings = with_sex(LL144)
    legal = legal_chapter(rows, groupings, "ll144")
    table = legal.tables["ll144"]
    for attribute in ("sex", "race", "sex x race"):
        assert np.sum([row["n"] for row in table if row["attribute"] == attribute]) == len(rows)
    missing = next(grouping for grouping in groupings if grouping.attribute == "sex").missing
    assert missing > 0
    assert row_of_group(legal, "ll144", "(unknown)", "sex")["n"] == missing
    assert row_of_group(legal, "ll144", "(unknown)", "sex x race")["n"] == missing
    assert row_of_group(legal, "ll144", "(unknown)")["n"] == 0
    assert row_of_group(legal, "ll144", "(unknown)", "sex")["status"] == "in no category"
    sexes = next(finding for finding in legal.findings if finding.id == "fairness.ll144.sex")
    assert f"{missing} of {len(rows)} are in no category" in sexes.description
    Section(plugin="fairness", tables=dict(legal.tables), findings=legal.findings)  # its rows have the same columns


def test_a_scoring_rate_is_the_share_above_the_median_of_all() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(201)
    values = [None if k % 10 == 0 else "ab"[k % 2] for k in range(201)]
    groupings = [Grouping.from_values(name, pd.Series(values, dtype=object)) for name in ("sex", "race")]
    nobody = np.zeros(201, np.int32)
    rows = PredictionArrays(("no", "yes"), nobody, nobody, scores=np.column_stack([1 - scores, scores]))
    row = row_of_group(legal_chapter(rows, groupings, "ll144", basis="score"), "ll144", "a")
    group_scores = scores[[value == "a" for value in values]]
    assert row["scoring_rate"] == pytest.approx(np.mean(group_scores > sorted(scores)[100]))
    assert row["n_above_median"] == np.sum(group_scores > np.median(scores))
    assert "selection_rate" not in row


def test_a_category_under_two_percent_is_marked_or_left_out_and_said_so() -> None:
    counts = {"few": (12, 12), "many": (300, 600), "most": (200, 600)}
    rows, groupings = rows_of(counts, sex=["f"] * 612 + ["m"] * 600)
    marked = legal_chapter(rows, groupings, "ll144")
    assert row_of_group(marked, "ll144", "few")["status"] == "highest rate, under 2 %"
    assert row_of_group(marked, "ll144", "most")["impact_ratio"] == pytest.approx(1 / 3)
    assert any("are marked" in note for note in marked.text)
    out = legal_chapter(rows, groupings, "ll144", small_left_out_because="twelve people tell nothing")
    few, most = (row_of_group(out, "ll144", group) for group in ("few", "most"))
    assert (few["status"], few["impact_ratio"], few["selection_rate"], few["n"]) == ("left out: under 2 %", None, 1, 12)
    assert most["impact_ratio"] == pytest.approx(2 / 3)
    assert any("because: twelve people tell nothing" in note for note in out.text)


@pytest.mark.parametrize("table", ["ll144", "four_fifths"])
def test_nobody_selected_is_not_measured_and_no_zero(table: str) -> None:
    legal = legal_chapter(*with_sex({"a": (0, 30), "b": (0, 40)}), table)
    assert {row["impact_ratio"] for row in legal.tables[table]} == {None}
    assert {f.status for f in legal.findings} == {"not_measured"}
    assert row_of_group(legal, table, "a")["status"] == "undefined: nobody is chosen"


def test_a_group_with_too_few_is_shown_and_neither_scored_nor_the_reference() -> None:
    legal = legal_chapter(*rows_of({"a": (3, 3), "b": (30, 60), "c": (20, 60)}), "four_fifths")
    few = row_of_group(legal, "four_fifths", "a")
    assert (few["status"], few["n"], few["selection_rate"], few["impact_ratio"]) == ("too few", 3, None, None)
    assert row_of_group(legal, "four_fifths", "c")["reference"] == "b"
    alone = legal_chapter(*rows_of({"a": (3, 3), "b": (30, 60)}), "four_fifths")
    assert alone.findings[0].status == "not_measured"
    assert "a has 3" in alone.findings[0].reason


def test_rows_of_one_person_have_no_exact_test_and_a_wider_interval() -> None:
    rows, groupings = rows_of({"a": (20, 60), "b": (40, 60)})
    shared = PredictionArrays(rows.classes, rows.labels, rows.predictions, units=np.arange(120) // 2)
    first, pair = (legal_chapter(arrays, groupings, "four_fifths") for arrays in (rows, shared))
    apart, together = (row_of_group(legal, "four_fifths", "a") for legal in (first, pair))
    assert together["p_equal"] is None
    assert together["p_four_fifths"] is None
    expected = smallest_ratio([10, 20], [30, 30])  # all rows of a person agree
    assert (together["low"], together["high"]) == pytest.approx((expected.low, expected.high), rel=0.05)
    assert together["high"] - together["low"] > apart["high"] - apart["low"]
    assert four_fifths.REPEATED in pair.text
    assert four_fifths.REPEATED not in first.text


@pytest.mark.parametrize(("n", "other_n"), [(7, 9), (12, 5), pytest.param(20, 20, marks=pytest.mark.slow)])
def test_the_exact_test_of_the_ratio_is_the_enumeration_of_all_outcomes(n: int, other_n: int) -> None:
    """Held against a sum over every outcome, without bisection; over the same shares of the other group."""
    k, other_k = np.meshgrid(np.arange(n + 1), np.arange(other_n + 1), indexing="ij")
    z = exact.score_statistic(k, n, other_k, other_n, 0.8)
    assert np.all(np.diff(z, axis=0) >= -1e-9), "the statistic rises with the count, as bisection needs"
    for selected, second in itertools.product(range(0, n + 1, 3), range(0, other_n + 1, 2)):
        shares = np.linspace(*exact._confidence_set(second, other_n), 200)
        extreme = z <= z[selected, second] + 1e-9
        chance = max(
            float(
                (
                    np.outer(binom.pmf(range(n + 1), n, 0.8 * p), binom.pmf(range(other_n + 1), other_n, p))[extreme]
                ).sum()
            )
            for p in shares
        )
        p_value = exact.ratio_p_value(selected, n, second, other_n, ratio=0.8)
        assert p_value.exact
        assert p_value.value == pytest.approx(min(chance + 1e-6, 1.0), abs=1e-12)


@pytest.mark.parametrize(("n", "other_n"), [(10, 30), (25, 25), (40, 15)])
def test_the_exact_test_of_the_ratio_rejects_a_true_one_in_at_most_five_percent(n: int, other_n: int) -> None:
    """The true chance of rejection, summed over every outcome, at ratios on and above the bound."""
    p = np.array(
        [[exact.ratio_p_value(k, n, m, other_n, ratio=0.8).value for m in range(other_n + 1)] for k in range(n + 1)]
    )
    worst = 0.0
    for share, ratio in itertools.product(np.linspace(0.02, 1, 50), (0.8, 0.9, 1.0)):
        chances = np.outer(
            binom.pmf(range(n + 1), n, min(ratio * share, 1.0)), binom.pmf(range(other_n + 1), other_n, share)
        )
        worst = max(worst, float(chances[p <= 0.05].sum()))
    assert worst <= 0.05
    assert worst > 0.02, "it rejects at all"


def test_the_score_test_of_large_samples_agrees_with_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = (1200, 2400, 1480, 2400)
    p_value = exact.ratio_p_value(*counts, ratio=0.8)
    monkeypatch.setattr(exact, "MAX_ROWS_OF_EXACT_TEST", 10)
    approximate = exact.ratio_p_value(*counts, ratio=0.8)
    assert (p_value.exact, approximate.exact) == (True, False)
    assert p_value.value == pytest.approx(approximate.value, rel=0.05)


def test_equality_is_the_hypergeometric_sum() -> None:
    """The tea test of Fisher 1935: 3 of 4 right has p = 34 / 70 to both sides."""
    assert exact.equality_p_value(3, 4, 1, 4) == pytest.approx(34 / 70)


def test_the_selected_maximum_inflates_plain_p_values_and_the_adjusted_ones_allow_for_it() -> None:
    """Six alike groups of 60, one in two selected: how often the smallest p-value is below 5 %."""
    rng = np.random.default_rng(5)
    grouping = Grouping.from_values("race", pd.Series(np.repeat(list("abcdef"), 60)))
    plain, adjusted, covered, repetitions = 0, 0, 0, 400
    for _ in range(repetitions):
        shares = SelectionRates.from_selection(grouping, rng.random(360) < 0.5, None, min_group_size=10)
        best = shares.reference
        assert best is not None
        others = [group for group in range(6) if group != best]
        smallest = min(
            exact.equality_p_value(int(shares.chosen[value]), 60, int(shares.chosen[best]), 60) for value in others
        )
        plain += smallest < 0.05
        adjusted += min(1.0, smallest * shares.pairs) < 0.05
        covered += all(ratio.low <= 1 <= ratio.high for ratio in map(shares.ratio_interval, others) if ratio)
    assert plain / repetitions > 0.12, "against a selected maximum the plain test finds what is not there"
    assert adjusted / repetitions <= 0.06
    assert covered / repetitions >= 0.94


def test_no_wording_claims_that_a_law_is_satisfied() -> None:
    source = Path(ratios.__file__).parent
    words: list[str] = []
    for chapter in (
        legal_chapter(*with_sex(LL144), "ll144", "four_fifths", small_left_out_because="few"),
        legal_chapter(*with_sex({"a": (0, 30), "b": (1, 2)}), "ll144", "four_fifths"),
    ):
        words += [*chapter.text, *chapter.captions.values()]
        words += [text for f in chapter.findings for text in (f.title, f.description, f.caveats, f.reason or "")]
        words += [str(cell) for table in chapter.tables.values() for row in table for cell in row.values()]
    words += [file.read_text(encoding="utf-8") for file in source.glob("*.py")]
    claims = re.compile(
        r"\b(compl(y|ies|iant|iance)|pass(es|ed)?|lawful|legal(ly)? (fine|sound)|no violation|ok)\b", re.I
    )
    assert not [claims.search(text) for text in words if claims.search(text)]
    assert any("not a statement about adverse impact" in text for text in words)
    assert any("selected maximum" in text for text in words)


def test_what_local_law_144_cannot_have_is_refused_with_the_key() -> None:
    options = Ll144Options(sex="gender", race="ethnicity")
    with pytest.raises(
        ConfigError, match=r"fairness\.ll144\.sex: 'gender' is not among data\.groups \(genders, race\)"
    ):
        check_attributes(options, ["genders", "race"])
    check_attributes(options, ["gender", "ethnicity"])
    check_attributes(None, [])
    for tables, ll144_options, reason in (
        (["ll144"], None, "needs"),
        (["four_fifths"], options, "needs tables"),
        (["ll144"], Ll144Options(sex="race", race="race"), "are both"),
    ):
        with pytest.raises(ValueError, match=reason):
            check_options(tables, ll144_options)
    check_options(["ll144"], options)
    check_options([], None)


def test_what_the_data_lacks_is_not_measured_with_the_reason() -> None:
    rows, groupings = rows_of(LL144)
    [finding] = legal_chapter(rows, groupings, "ll144").findings
    assert finding.status == "not_measured"
    assert "no group attribute 'sex', only race" in finding.reason
    [finding] = legal_chapter(*with_sex(LL144), "ll144", basis="score").findings
    assert "decisions alone" in finding.reason
    assert legal_chapter(rows, groupings) == ChapterContent("Legal tables")
