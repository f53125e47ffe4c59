"""The tables and figures of error rates by group of speakers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rft.plugins.fairness.recognition.compare import ErrorRateGap, GroupErrors, SpeakerComparison
from rft.predictions.transcripts import TranscriptArrays
from rft.predictions.wrong_words import find_wrong_words
from rft.records import Columns, Figure, Row, Table, WordOccurrences, dots_figure, list_columns
from rft.stats.scores.error_rates import (
    ABBREVIATIONS,
    COMPARED,
    DELETIONS,
    ERROR_RATES,
    INSERTIONS,
    SUBSTITUTIONS,
    WORDS,
    ErrorRate,
)

SPLIT = "test"
MODEL = "external"
_METRICS = {"metric": ABBREVIATIONS}
COLUMNS: dict[str, Columns] = {
    "by_group": list_columns(
        {
            "split": "key",
            "model": "key",
            "attribute": "attribute",
            "group": "group",
            "metric": "metric",
            "value": "estimate",
            "low": "low",
            "high": "high",
            "raw": "number",
            "n": "count",
            "status": "status",
        },
        labels={"raw": "without normaliser"},
        spellings=_METRICS,
    ),
    "errors": list_columns(
        {
            "attribute": "attribute",
            "group": "group",
            "raw": "number",
            "wer": "estimate",
            "substitutions": "number",
            "deletions": "number",
            "insertions": "number",
            "words": "number",
            "utterances": "number",
            "n": "count",
            "status": "status",
        },
        labels={"raw": "WER without normaliser", "wer": "WER"},
    ),
    "gaps": list_columns(
        {
            "attribute": "attribute",
            "metric": "metric",
            "what": "key",
            "groups": "key",
            "value": "estimate",
            "low": "low",
            "high": "high",
            "null_low": "band_low",
            "null_95th_percentile": "band_high",
            "p": "p",
            "p_holm": "p",
            "minimum_detectable_effect": "number",
            "mde_group": "key",
            "mde_group_rate": "number",
            "mde_rest_rate": "number",
            "left_out": "note",
            "n_groups": "number",
            "finding": "note",
            "status": "status",
        },
        labels={
            "null_low": "without a difference",
            "p_holm": "p, corrected",
            "minimum_detectable_effect": "detectable gap",
            "mde_group": "detectable for",
            "mde_group_rate": "at a rate of",
            "mde_rest_rate": "others at",
        },
        spellings=_METRICS,
    ),
    "wrong_words": list_columns(
        {
            "attribute": "attribute",
            "group": "group",
            "word": "key",
            "wrong": "number",
            "said": "number",
            "share": "estimate",
            "n": "count",
        },
        labels={"wrong": "times wrong", "said": "times said", "share": "share wrong"},
    ),
}
CAPTIONS = {
    "by_group": "Error rates on test by group of speakers, with intervals at 95 %; a rate can be above 1",
    "errors": "Substituted, deleted and inserted words for each word that was said, by group of speakers",
    "gaps": "The highest group minus the lowest. p: of no difference, and corrected for the number of findings (Holm). "
    "Without a difference: up to the largest gap between these groups that chance explains at 95 %. The detectable gap "
    "is the smallest one of the smallest group that is told from none in about 80 % of samples, at the rates beside it",
    "wrong_words": "Words for which another word or nothing was written, the most frequent errors of each group first",
}


def tabulate_rates(everybody: TranscriptArrays, comparisons: Sequence[SpeakerComparison], raw: bool) -> Table:
    """Return the rows of the table ``by_group``, those of everybody first."""
    rows = [*_rows_of_group(None, GroupErrors("all", everybody), raw)]
    for comparison in comparisons:
        for group in comparison.groups:
            rows += _rows_of_group(comparison.grouping.attribute, group, raw)
    return rows


def _rows_of_group(attribute: str | None, group: GroupErrors, raw: bool) -> Iterator[Row]:
    for name in COMPARED:
        rate = ERROR_RATES[name]
        ratio = group.rows.estimate_rate(rate) if attribute is None else group.measure(rate)
        interval = None if ratio is None else ratio.confidence_interval()
        unnormalized = group.rows.estimate_rate(_raw_of(name)) if ratio is not None and raw else None
        row: Row = {
            "model": MODEL,
            "split": SPLIT,
            "attribute": attribute,
            "group": group.group if attribute else None,
            "metric": name,
            "value": None if ratio is None else ratio.value,
            "low": interval.low if interval else None,
            "high": interval.high if interval else None,
        }
        if raw:
            row["raw"] = None if unnormalized is None else unnormalized.value
        yield {**row, "n": group.n, "status": "ok" if attribute is None else group.status(rate)}


def tabulate_errors(comparisons: Sequence[SpeakerComparison], raw: bool) -> Table:
    """Return the rows of the table ``errors``."""
    return [
        _row_of_errors(comparison.grouping.attribute, group, raw)
        for comparison in comparisons
        for group in comparison.groups
    ]


def _row_of_errors(attribute: str, group: GroupErrors, raw: bool) -> Row:
    rate, rows = ERROR_RATES["word_error_rate"], group.rows
    ratio = group.measure(rate)
    row: Row = {"attribute": attribute, "group": group.group}
    if raw:
        unnormalized = rows.estimate_rate(_raw_of("word_error_rate")) if ratio is not None else None
        row["raw"] = None if unnormalized is None else unnormalized.value
    counts = {"substitutions": SUBSTITUTIONS, "deletions": DELETIONS, "insertions": INSERTIONS}
    words = rows.count(WORDS)
    return {
        **row,
        "wer": None if ratio is None else ratio.value,
        **{name: None if ratio is None else rows.count(column) / words for name, column in counts.items()},
        "words": None if ratio is None else words,
        "utterances": None if ratio is None else len(rows),
        "n": group.n,
        "status": group.status(rate),
    }


def _raw_of(name: str) -> ErrorRate:
    return ERROR_RATES["raw_word_error_rate" if name == "word_error_rate" else "raw_character_error_rate"]


def row_of_gap(gap: ErrorRateGap) -> Row:
    """Return the row of a gap."""
    ratios, detectable = gap.ratios, gap.minimum_detectable_effect
    interval = None if ratios is None else ratios.confidence_interval()
    return {
        "attribute": gap.attribute,
        "what": gap.rate.label,
        "metric": gap.rate.name,
        "groups": None if ratios is None else f"{gap.compared[-1][0].group} minus {gap.compared[0][0].group}",
        "n_groups": len(gap.compared),
        "value": None if ratios is None else ratios.value,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "p": gap.p_value,
        "p_holm": gap.p_family,
        "null_low": 0.0 if interval else None,
        "null_95th_percentile": ratios.gap_within_chance() if ratios is not None and interval else None,
        "minimum_detectable_effect": detectable.gap if detectable else None,
        "mde_group": gap.compared[gap.smallest][0].group if detectable else None,
        "mde_group_rate": detectable.group_rate if detectable else None,
        "mde_rest_rate": detectable.rest if detectable else None,
        "left_out": ", ".join(f"{group.group}: {group.status(gap.rate)}" for group in gap.excluded) or None,
        "finding": ratios is not None,
        "status": "not_measured" if ratios is None else "warn" if gap.is_to_review else "info",
    }


def rows_of_withheld(comparisons: Sequence[SpeakerComparison], template: Row, reason: str) -> Iterator[Row]:
    """Yield the rows of the table ``by_group`` for withheld groups: that they are, and no number."""
    for comparison in comparisons:
        for group in comparison.grouping.withheld:
            for name in COMPARED:
                about = {"attribute": comparison.grouping.attribute, "group": group, "metric": name, "status": reason}
                yield {**dict.fromkeys(template), "model": MODEL, "split": SPLIT, **about}


def tabulate_words(
    words: WordOccurrences,
    rows: TranscriptArrays,
    where: np.ndarray,
    comparisons: Sequence[SpeakerComparison],
    fewest_speakers: int,
) -> Table:
    """Return the rows of the table ``wrong_words``.

    Args:
        words: of all utterances.
        rows: the M utterances of test.
        where: (M,) which of all utterances these are.
        comparisons: the groupings of these.
        fewest_speakers: a word that fewer speakers of a group said is left out of it.
    """
    n = int(words.rows.max(initial=-1)) + 1
    units = np.zeros(max(n, int(where.max(initial=-1)) + 1), dtype=np.int64)
    units[where] = rows.units
    table: Table = []
    for comparison in comparisons:
        groups = np.full(len(units), -1, dtype=np.int64)
        groups[where] = comparison.grouping.codes
        found = find_wrong_words(words, groups, units, n_groups=len(comparison.groups), fewest_speakers=fewest_speakers)
        table += [
            {
                "attribute": comparison.grouping.attribute,
                "group": group.group,
                "word": word.word,
                "wrong": word.wrong,
                "said": word.said,
                "share": word.wrong / word.said,
                "n": word.speakers,
            }
            for group, of_group in zip(comparison.groups, found, strict=True)
            for word in of_group
        ]
    return table


def draw_groups(attributes: Sequence[str], by_group: Table, counted: str) -> list[Figure]:
    """Return a chart of the error rates of the groups of each attribute that has any."""
    shown = [
        name for name in attributes if any(row["attribute"] == name and row["value"] is not None for row in by_group)
    ]
    return [
        dots_figure(
            id=f"fairness_{attribute}",
            table="by_group",
            y="group",
            x="value",
            low="low",
            high="high",
            label="n",
            facet="metric",
            where={"attribute": attribute},
            x_label=f"with 95 % interval; n counts the test {counted} of the group",
            title=f"Groups by {attribute}",
            alt=f"For each error rate, the value of every group by {attribute} as a dot with its interval and n.",
        )
        for attribute in shown
    ]
