"""From predictions to the section: plan, measure, compare, and put the chapters together. Test rows only."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from rft.disclosure.withheld import Counted
from rft.errors import Unavailable
from rft.plugins import AuditedModel
from rft.plugins.chapter_content import ChapterContent, merge_chapters
from rft.plugins.fairness import FairnessOptions
from rft.plugins.fairness.legal import build, ll144
from rft.plugins.fairness.measure.group_comparison import GroupComparison
from rft.plugins.fairness.measure.group_metrics import SampleSizeRules
from rft.plugins.fairness.measure.plan import ComparisonPlan
from rft.plugins.fairness.measure.warning_family import correct_together
from rft.plugins.fairness.mitigation import chapter
from rft.plugins.fairness.mitigation.mitigate import MitigationResult, fit_mitigation
from rft.plugins.fairness.present.chapters import build_chapters, tabulate_by_group
from rft.plugins.fairness.present.columns import COLUMNS
from rft.plugins.fairness.present.tables import SPLIT
from rft.records import Finding, ModelFacts, Section, label_counts
from rft.references import KISH_KORN_GRAUBARD

_CONTROLLED = (
    "Within each value of {} the other attributes are compared once more: the tables gaps and by_group hold the "
    "results with that value in the column control. They are no findings, and no rule can name them."
)


def audit_groups(audited: AuditedModel, options: FairnessOptions, *, positive: str) -> Section:
    """Return the section; raises ``Unavailable`` without test rows, groups, or a prediction for every row."""
    size_rules = SampleSizeRules(options.min_group_size, options.reported_size)
    audited.withheld.require_split(SPLIT)
    plan = ComparisonPlan.from_frame(
        _test_rows(audited.predictions), audited.facts.classes, options, positive, audited.withheld
    )
    compared = _compare_all_groups(plan, size_rules, audited.seed)
    model = "external" if audited.facts.training.mode == "external" else "fine-tuned"
    chapters = build_chapters(plan, compared, model=model, size_rules=size_rules, seed=audited.seed)
    chapters.append(_legal_chapter(plan, options))
    mitigated = None
    if options.mitigation is not None:
        mitigated = fit_mitigation(audited, options.mitigation, positive, size_rules)
        chapters.append(chapter.mitigation_chapter(audited, mitigated, options, positive))
    section = merge_chapters(
        "fairness",
        "Fairness",
        chapters,
        columns=label_counts(COLUMNS, audited.facts.name_units(declared=plan.rows.units is not None)),
        notes=_write_notes(plan, positive, options, audited.facts),
        card_tables={"by_group": "Groups"},
    )
    cases = f"{options.min_group_size} {audited.facts.name_units(declared=plan.rows.units is not None)}"
    told = tuple(say_whom_to_test(finding, cases) for finding in section.findings)
    section = section.model_copy(update={"findings": told, "unanswered": name_unanswered(section)})
    return section if mitigated is None else _with_mitigated(section, mitigated, audited, options, positive)


def say_whom_to_test(finding: Finding, cases: str) -> Finding:
    """Return a finding about groups, with what to do where some are too small for it; ``cases`` is how many do."""
    if not finding.small_groups or finding.remedy:
        return finding
    by = ", ".join(finding.about.attributes)
    return finding.model_copy(update={"remedy": f"Test at least {cases} of each group by {by}, and audit again."})


def name_unanswered(section: Section) -> str | None:
    """Return the first gap of groups where none at all could be measured: then nothing is known of how they fare."""
    gaps = [finding for finding in section.findings if finding.about.attributes and "_gap." in finding.id]
    return gaps[0].id if gaps and all(gap.value is None for gap in gaps) else None


def count_cases(audited: AuditedModel, options: FairnessOptions, *, positive: str) -> Iterator[Counted]:
    """Yield the rows that the section's numbers of groups rest on; raises ``Unavailable`` as ``audit_groups`` does."""
    plan = ComparisonPlan.from_frame(_test_rows(audited.predictions), audited.facts.classes, options, positive)
    mitigates = options.mitigation is not None
    yield from plan.count_cases(SPLIT, selections=bool(options.tables), all_classes=mitigates)
    if options.ll144 is not None:
        both = (options.ll144.sex, options.ll144.race)
        for mask in (None, ll144.select_rows(plan.rows, plan.positive, options.ll144)):
            yield Counted(SPLIT, both, mask, mask is not None)


def _test_rows(predictions: pd.DataFrame) -> pd.DataFrame:
    frame = predictions[predictions["split"] == SPLIT].reset_index(drop=True)
    if frame.empty:
        raise Unavailable("the predictions hold no rows of the split test")
    return frame


def _compare_all_groups(plan: ComparisonPlan, size_rules: SampleSizeRules, seed: int) -> list[GroupComparison]:
    return correct_together(
        [GroupComparison.from_plan(grouped, plan, size_rules, seed) for grouped in plan.group_predictions()]
    )


def _legal_chapter(plan: ComparisonPlan, options: FairnessOptions) -> ChapterContent:
    return build.build_legal_chapter(
        plan.rows,
        [*plan.attributes, *plan.crossed],
        plan.positive,
        tables=options.tables,
        ll144_options=options.ll144,
        min_group_size=options.min_group_size,
        withheld=plan.withheld,
    )


def _with_mitigated(
    section: Section, mitigated: MitigationResult, audited: AuditedModel, options: FairnessOptions, positive: str
) -> Section:
    """Add the groups of the mitigated model to the table, and the model to the run."""
    if mitigated.predictions is None:
        return section
    plan = ComparisonPlan.from_frame(
        _test_rows(mitigated.predictions), audited.facts.classes, options, positive, audited.withheld
    )
    compared = _compare_all_groups(plan, SampleSizeRules(options.min_group_size, options.reported_size), audited.seed)
    rows = tabulate_by_group(plan, compared, "mitigated", audited.seed)
    tables = section.tables | {"by_group": section.tables["by_group"] + rows}
    return section.model_copy(update={"tables": tables, "folders": mitigated.folders})


def _write_notes(plan: ComparisonPlan, positive: str, options: FairnessOptions, facts: ModelFacts) -> tuple[str, ...]:
    repeats = plan.rows.units is not None
    units = (
        f" Rows of one {facts.name_unit()} are not independent: units are what is counted and resampled "
        f"({KISH_KORN_GRAUBARD})."
        if repeats
        else ""
    )
    return (
        f"Rates are for the favourable class {positive}, against all others. Groups in which fewer than "
        f"{options.min_group_size} test {facts.name_units(declared=repeats)} are cases of a metric are "
        f"inconclusive: shown and not compared. With fewer than {options.reported_size} there is no number at all.",
        "An interval is one of how far apart groups are, whichever is the higher: for two groups Newcombe's on exact "
        "limits, for more that of the largest gap among all pairs. Each holds at "
        "95 % by itself; where rules judge several, their intervals are wider. A gap is pointed out where chance does "
        f"not explain it, allowing for the number of gaps that are findings (Holm).{units}",
        *([_CONTROLLED.format(plan.control.attribute)] if plan.control else []),
        *plan.omitted,
    )
