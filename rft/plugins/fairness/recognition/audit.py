"""From counted errors to the section: group the utterances of test, measure, compare, and put the chapters together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd

from rft.data.remarks import cut_list
from rft.disclosure.withheld import NOTHING, Counted, Withheld
from rft.errors import Unavailable
from rft.plugins import AuditedModel
from rft.plugins.chapter_content import ChapterContent, merge_chapters
from rft.plugins.fairness import FairnessOptions
from rft.plugins.fairness.audit import name_unanswered, say_whom_to_test
from rft.plugins.fairness.measure.group_counts import count_cases_by_group
from rft.plugins.fairness.measure.plan import cross_attributes, read_groupings, select_groupings, withhold_groups
from rft.plugins.fairness.present import findings as common
from rft.plugins.fairness.present.figures import draw_gaps
from rft.plugins.fairness.present.withheld_tables import state_withheld_missing_values
from rft.plugins.fairness.recognition import findings, tables
from rft.plugins.fairness.recognition.compare import SpeakerComparison, correct_together
from rft.predictions.table import Grouping
from rft.predictions.transcripts import TranscriptArrays
from rft.predictions.wrong_words import FEWEST_SPEAKERS
from rft.records import Finding, Section, Split, label_counts
from rft.references import COCHRAN_RATIO
from rft.stats.scores.error_rates import COMPARED, WORDS
from rft.stats.unit_ratio import MIN_UNITS

SPLIT = tables.SPLIT


def audit_speakers(audited: AuditedModel, options: FairnessOptions) -> Section:
    """Return the section; raises ``Unavailable`` without utterances of test, words, or groups."""
    audited.withheld.require_split(SPLIT)
    frame = _read_test(audited)
    rows = TranscriptArrays.from_frame(frame)
    if not rows.count(WORDS):
        raise Unavailable("no reference of test has a word that is left to compare")
    single, crossed, omitted = _plan_groupings(frame, options, audited.withheld)
    comparisons = correct_together(
        [SpeakerComparison.from_grouping(rows, grouping) for grouping in (*single, *crossed)]
    )
    section = merge_chapters(
        "fairness",
        "Fairness",
        _build_chapters(audited, rows, comparisons[: len(single)], comparisons[len(single) :]),
        columns=label_counts(tables.COLUMNS, audited.facts.name_units()),
        notes=[*_write_notes(audited), *omitted],
        card_tables={"by_group": "Groups"},
    )
    told = tuple(say_whom_to_test(finding, f"{MIN_UNITS} speakers") for finding in section.findings)
    return section.model_copy(update={"findings": told, "unanswered": name_unanswered(section)})


def count_speaker_cases(audited: AuditedModel, options: FairnessOptions) -> Iterator[Counted]:
    """Yield the rows that numbers of groups rest on; raises ``Unavailable`` as ``audit_speakers`` does."""
    single, crossed, _ = _plan_groupings(_read_test(audited), options, NOTHING)
    for grouping in (*single, *crossed):
        yield Counted(SPLIT, grouping.parts)


def describe_small_speaker_groups(splits: Mapping[str, Split], attribute: str) -> Iterator[str]:
    """Yield the sentence which says that groups of an attribute have too few speakers, where any has."""
    sizes = count_cases_by_group([splits[SPLIT]], attribute)
    small = [f"{name} has {size}" for name, size in sorted(sizes.items()) if size < MIN_UNITS]
    if small:
        large = len(sizes) - len(small)
        yield (
            f"{attribute}: {large} of {len(sizes)} groups have the {MIN_UNITS} speakers that an error rate is measured "
            f"of. Too small: {'; '.join(cut_list(small))}"
        )


def _read_test(audited: AuditedModel) -> pd.DataFrame:
    frame = audited.predictions[audited.predictions["split"] == SPLIT].reset_index(drop=True)
    if frame.empty:
        raise Unavailable("the predictions hold no rows of the split test")
    return frame


def _plan_groupings(
    frame: pd.DataFrame, options: FairnessOptions, withheld: Withheld
) -> tuple[list[Grouping], list[Grouping], list[str]]:
    """Return the groupings by one attribute, those by several, and a sentence for each that is left out."""
    known = {name: withhold_groups(grouping, withheld) for name, grouping in read_groupings(frame).items()}
    single = select_groupings(known, options.attributes or list(known))
    crossed, omitted = cross_attributes(single, options.max_intersection_order)
    return single, [withhold_groups(grouping, withheld) for grouping in crossed], omitted


def _build_chapters(
    audited: AuditedModel,
    rows: TranscriptArrays,
    single: list[SpeakerComparison],
    crossed: list[SpeakerComparison],
) -> list[ChapterContent]:
    has_normalizer = audited.facts.normalizer != "none"
    gaps = [tables.row_of_gap(gap) for comparison in (*single, *crossed) for gap in comparison.gaps]
    by_group = tables.tabulate_rates(rows, [*single, *crossed], has_normalizer)
    by_group += tables.rows_of_withheld([*single, *crossed], by_group[0], audited.withheld.reason)
    drawn = tables.draw_groups(
        [comparison.grouping.attribute for comparison in single], by_group, audited.facts.name_units()
    )
    return [
        ChapterContent("At a glance", computed_from="test", figures=draw_gaps(gaps)),
        ChapterContent(
            "Gaps",
            [findings.state_gap(gap) for comparison in single for gap in comparison.gaps],
            {"gaps": gaps},
            tables.CAPTIONS,
            computed_from="test",
        ),
        ChapterContent(
            "Groups",
            (),
            {"by_group": by_group, "errors": tables.tabulate_errors(single, has_normalizer)},
            tables.CAPTIONS,
            drawn,
            drawn=("by_group",) if drawn else (),
            computed_from="test",
        ),
        _words_chapter(audited, rows, single),
        ChapterContent(
            "Worst groups",
            [findings.state_worst_group(gap) for comparison in single for gap in comparison.gaps],
            folded=True,
            computed_from="test",
        ),
        ChapterContent(
            "Intersections",
            [finding for comparison in crossed for finding in _state_intersection(comparison)],
            computed_from="test",
        ),
        ChapterContent(
            "Missing values",
            [_state_missing_values(comparison.grouping, len(rows), audited.withheld) for comparison in single],
            computed_from="test",
        ),
    ]


def _words_chapter(audited: AuditedModel, rows: TranscriptArrays, single: list[SpeakerComparison]) -> ChapterContent:
    """Return the chapter of the words that are wrong most often, where words may be shown."""
    title = "Words that are wrong most often"
    if not audited.show_examples or audited.words is None:
        return ChapterContent()
    fewest = max(FEWEST_SPEAKERS, audited.withheld.below)
    where = np.flatnonzero(audited.predictions["split"] == SPLIT)
    table = tables.tabulate_words(audited.words, rows, where, single, fewest)
    said = f"Words that fewer than {fewest} speakers of a group said are not listed: they may be names."
    return ChapterContent(title, (), {"wrong_words": table}, tables.CAPTIONS, text=(said,), computed_from="examples")


def _state_intersection(comparison: SpeakerComparison) -> list[Finding]:
    """Return the gaps that can be measured, or one finding that says why none can."""
    stated = [findings.state_gap(gap) for gap in comparison.gaps if gap.ratios is not None]
    return stated or [findings.state_no_intersection(comparison.gaps[0])]


def _state_missing_values(grouping: Grouping, n: int, withheld: Withheld) -> Finding:
    if grouping.hides:
        return state_withheld_missing_values(grouping.attribute, withheld.reason)
    return common.state_missing_values(grouping.attribute, grouping.missing, n, ())


def _write_notes(audited: AuditedModel) -> Iterator[str]:
    yield (
        f"Groups are compared by their error rates over all words of their speakers. A group of fewer than {MIN_UNITS} "
        "speakers is not measured: so few do not tell how others stray."
    )
    yield (
        "Utterances of one speaker are not independent, so intervals are made from the totals of speakers, by the "
        f"ratio estimator with Student's t ({COCHRAN_RATIO}); those of a gap hold for the largest among all pairs. "
        "Each holds at 95 % by itself; where rules judge several, their intervals are wider. A gap is pointed out "
        "where chance does not explain it, allowing for the number of gaps that are findings (Holm)."
    )
    if not audited.show_examples:
        yield "Which words were wrong is not shown: [report] show_examples = true lists them by group."


def list_speaker_findings(names: Iterable[str]) -> Iterator[str]:
    """Yield the ids of findings about these attributes, of which some may be crossed."""
    for name in names:
        for rate in COMPARED:
            yield f"fairness.{rate}_gap.{name}"
            yield f"fairness.worst_{rate}.{name}"
        yield from (f"fairness.{kind}.{name}" for kind in ("missing", "intersection"))
