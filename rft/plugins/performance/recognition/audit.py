"""How well a recogniser transcribes: error rates on ``test`` with intervals by speaker, raw beside normalised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from rft.errors import Unavailable
from rft.number_format import format_count, format_quantity
from rft.plugins import AuditedModel
from rft.plugins.chapter_content import ChapterContent, merge_chapters
from rft.plugins.performance.recognition.outputs import OUTPUT_COLUMNS, outputs_chapter
from rft.predictions.transcripts import TranscriptArrays
from rft.predictions.wrong_words import FEWEST_SPEAKERS, find_wrong_words
from rft.records import (
    About,
    Columns,
    Figure,
    Finding,
    FindingDefinition,
    Row,
    Section,
    Table,
    dots_figure,
    label_counts,
    list_columns,
)
from rft.references import COCHRAN_RATIO, RADFORD
from rft.stats import multiplicity
from rft.stats.scores.error_rates import ABBREVIATIONS, ERROR_RATES, RAW_WORDS, WORDS, ErrorRate
from rft.stats.unit_ratio import MIN_UNITS, UnitRatio

RAW = {"word_error_rate": "raw_word_error_rate", "character_error_rate": "raw_character_error_rate"}
REMEDY = "Have the recogniser adapted to such speech, or another one chosen, and audit again."
CAVEATS = "The normaliser moves it: compare rates of one normaliser alone. Errors count alike, important or not."
RAW_CAVEATS = "Case, punctuation and ways to write a word count as errors."
SPLITS = ("test", "train")
COLUMNS: dict[str, Columns] = {
    "error_rates": list_columns(
        {
            "split": "key",
            "metric": "metric",
            "value": "estimate",
            "low": "low",
            "high": "high",
            "raw": "number",
            "errors": "number",
            "length": "number",
            "n": "count",
        },
        labels={"raw": "without normaliser", "length": "of words or characters"},
        spellings={"metric": ABBREVIATIONS},
    ),
    "wrong_words": list_columns(
        {"word": "key", "wrong": "number", "said": "number", "share": "number", "n": "count"},
        labels={"wrong": "times wrong", "said": "times said", "share": "share wrong"},
    ),
}
CAPTIONS = {
    "error_rates": "Errors over the words, or characters, of all references, with 95 % intervals by speaker on test; "
    "beside them the same without the normaliser.",
    "wrong_words": "Words of the references for which another word or nothing was written, the most frequent errors "
    "first.",
}
NORMALIZERS = {
    "none": "References and hypotheses are compared as they stand: case, punctuation and spelling count as errors.",
    "simple": "References and hypotheses are compared without case, punctuation and symbols (the normaliser simple).",
    "whisper_english": "References and hypotheses are compared after Whisper's rules for English, which make numbers, "
    "contractions and spellings alike too (the normaliser whisper_english).",
}


def audit_transcripts(audited: AuditedModel) -> Section:
    """Return the section; raises ``Unavailable`` where test has no words of references."""
    audited.withheld.require_split("test")
    rows = {name: _read_split(audited, name) for name in SPLITS if name not in audited.withheld.splits}
    test = rows["test"]
    if test is None:
        raise Unavailable("the predictions hold no rows of the split test")
    if not test.count(WORDS):
        raise Unavailable("no reference of test has a word that is left to compare")
    has_normalizer = audited.facts.normalizer != "none"
    rates = [rate for name, rate in ERROR_RATES.items() if has_normalizer or name not in RAW.values()]
    error_rates: Table = [
        row for name, arrays in rows.items() if arrays for row in _tabulate_rates(name, arrays, has_normalizer)
    ]
    fewest = max(FEWEST_SPEAKERS, audited.withheld.below)
    words: dict[str, Table] = {"wrong_words": _tabulate_words(audited, fewest)} if audited.show_examples else {}
    chapters = [
        ChapterContent(
            "Error rates",
            [_state_rate(rate, test) for rate in rates],
            {"error_rates": error_rates},
            CAPTIONS,
            (_draw_rates(),),
            computed_from="test",
            exceptions={"error_rates": "by_split"},
        ),
        outputs_chapter(audited),
        ChapterContent(
            "Words that are wrong most often",
            tables=words,
            captions=CAPTIONS,
            text=(f"Words that fewer than {fewest} speakers said are not listed: they may be names.",) if words else (),
            computed_from="examples",
        ),
    ]
    return merge_chapters(
        "performance",
        "Performance",
        chapters,
        columns={**label_counts(COLUMNS, audited.facts.name_units()), "outputs": OUTPUT_COLUMNS},
        notes=tuple(_write_notes(audited, test, has_normalizer)),
        card_tables={"error_rates": "Error rates"},
    )


def _read_split(audited: AuditedModel, name: str) -> TranscriptArrays | None:
    frame = audited.predictions[audited.predictions["split"] == name]
    return None if frame.empty else TranscriptArrays.from_frame(frame)


def _state_rate(rate: ErrorRate, rows: TranscriptArrays) -> Finding:
    definition = FindingDefinition(
        f"performance.{rate.name}",
        rate.title,
        f"On test: {rate.definition}.",
        unit=rate.unit,
        about=About(metric=rate.name),
        caveats=RAW_CAVEATS if rate.name in RAW.values() else CAVEATS,
        references=(COCHRAN_RATIO,),
        better="lower",
        headline=rate.name == "word_error_rate",
        remedy=REMEDY,
        card_metric=rate.hub_metric,
    )
    ratio = rows.estimate_rate(rate)
    if ratio is None:
        return definition.state_not_measured("no reference of test has anything that it could be over", n=rows.n)
    return definition.state_estimate(
        ratio.value,
        interval=ratio.confidence_interval(),
        adjusted=multiplicity.adjust_where_defined(ratio.confidence_interval),
        n=ratio.n,
        status="warn" if ratio.value > 1 else "info",
        description=_describe_rate(rate, rows, ratio),
        caveats=_explain_no_interval(ratio),
    )


def _describe_rate(rate: ErrorRate, rows: TranscriptArrays, ratio: UnitRatio) -> str:
    errors, length = rows.count(*rate.errors), rows.count(rate.length)
    of = "characters" if rate.unit.endswith("character") else "words"
    above = " There are more errors than words: much was written that was not said." * (ratio.value > 1)
    return (
        f"{format_count(errors)} errors for {format_count(length)} {of} in {format_count(len(rows))} test utterances: "
        f"{rate.definition}.{above}"
    )


def _explain_no_interval(ratio: UnitRatio) -> str:
    """Return why there is no interval; empty where there is one."""
    if ratio.has_interval:
        return ""
    if ratio.n < MIN_UNITS:
        return f"It has no interval: {ratio.n} speakers do not tell how others stray, {MIN_UNITS} do."
    return "It has no interval: all speakers have the same rate, which does not tell how others stray."


def _tabulate_rates(split: str, rows: TranscriptArrays, has_normalizer: bool) -> Iterator[Row]:
    for name, rate in ERROR_RATES.items():
        ratio = rows.estimate_rate(rate)
        if name in RAW.values() or ratio is None:
            continue
        interval = ratio.confidence_interval() if split == "test" else None
        raw = rows.estimate_rate(ERROR_RATES[RAW[name]]) if name in RAW else None  # type: ignore[index]
        row: Row = {
            "split": split,
            "metric": name,
            "value": ratio.value,
            "low": interval.low if interval else None,
            "high": interval.high if interval else None,
        }
        if has_normalizer:
            row["raw"] = None if raw is None else raw.value
        yield {**row, "errors": rows.count(*rate.errors), "length": rows.count(rate.length), "n": ratio.n}


def _tabulate_words(audited: AuditedModel, fewest_speakers: int) -> Table:
    """Return the words that were wrong most often on test, of those that enough speakers said."""
    assert audited.words is not None
    of_test = np.asarray(audited.predictions["split"] == "test")
    units = TranscriptArrays.from_frame(audited.predictions).units
    groups = np.where(of_test, 0, -1)
    [found] = find_wrong_words(audited.words, groups, units, n_groups=1, fewest_speakers=fewest_speakers)
    return [
        {"word": word.word, "wrong": word.wrong, "said": word.said, "share": word.wrong / word.said, "n": word.speakers}
        for word in found
    ]


def _draw_rates() -> Figure:
    return dots_figure(
        id="performance_error_rates",
        lead=True,
        table="error_rates",
        y="metric",
        x="value",
        low="low",
        high="high",
        where={"split": "test"},
        x_label="errors per word or character on test, with 95 % interval",
        title="Error rates on test",
        alt="Each error rate on test as a dot with its interval.",
    )


def _write_notes(audited: AuditedModel, test: TranscriptArrays, has_normalizer: bool) -> Iterator[str]:
    normalizer = audited.facts.normalizer or "none"
    yield f"{NORMALIZERS[normalizer]}{f' ({RADFORD})' if normalizer == 'whisper_english' else ''}"
    yield (
        "Rates are of the whole corpus: all errors over all words. They are no mean over utterances, and can be above "
        "1. An utterance in which nothing was said has no rate of its own; what was written for it counts as inserted."
    )
    yield (
        "Utterances of one speaker are not independent, so intervals are made from the totals of speakers: the ratio "
        f"estimator with Student's t ({COCHRAN_RATIO})."
    )
    if has_normalizer and (change := _measure_change(test)):
        yield change
    if not audited.show_examples:
        yield "Which words were wrong is not shown: [report] show_examples = true lists them."


def _measure_change(test: TranscriptArrays) -> str:
    """Return how much the normaliser moves the word error rate; empty where there is nothing to compare."""
    rates: Mapping[str, UnitRatio | None] = {
        name: test.estimate_rate(ERROR_RATES[name]) for name in ("word_error_rate", "raw_word_error_rate")
    }
    normalized, raw = rates.values()
    if normalized is None or raw is None:
        return ""
    words = f"{format_count(test.count(WORDS))} words in place of {format_count(test.count(RAW_WORDS))}"
    return (
        f"The normaliser moves the word error rate from {format_quantity(raw.value)} to "
        f"{format_quantity(normalized.value)} ({words}): a rate that was measured with another one cannot be compared."
    )
