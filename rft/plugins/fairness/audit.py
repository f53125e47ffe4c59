"""From predictions to the section: plan, measure, compare, and put the chapters together. Test rows only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from rft.disclosure.withheld import Counted
from rft.errors import Unavailable
from rft.plugins import AuditedModel
from rft.plugins.fairness import FairnessOptions
from rft.plugins.fairness.legal import build, ll144
from rft.plugins.fairness.measure.group_comparison import Compared
from rft.plugins.fairness.measure.group_metrics import Limits
from rft.plugins.fairness.measure.plan import Plan
from rft.plugins.fairness.measure.warning_family import judge_together
from rft.plugins.fairness.mitigation import chapter
from rft.plugins.fairness.mitigation.mitigate import Mitigated, mitigate
from rft.plugins.fairness.present.chapters import Part, by_group_rows, parts
from rft.plugins.fairness.present.tables import SPLIT
from rft.records import Section, Table
from rft.references import KISH_KORN_GRAUBARD

_CONTROLLED = (
    "Within each value of {} the other attributes are compared once more: the tables gaps and by_group hold the "
    "results with that value in the column control. They are no findings, and no rule can name them."
)


def audit(audited: AuditedModel, options: FairnessOptions, *, positive: str) -> Section:
    """Return the section; raises ``Unavailable`` without test rows, groups, or a prediction for every row."""
    limits = Limits(options.min_group, options.shown)
    audited.withheld.require(SPLIT)
    plan = Plan.of(_test_rows(audited.predictions), audited.facts.classes, options, positive, audited.withheld)
    compared = _compared(plan, limits, audited.seed)
    model = "external" if audited.facts.training.mode == "external" else "fine-tuned"
    made = parts(plan, compared, model=model, limits=limits, seed=audited.seed)
    made.append(_legal(plan, options))
    found = None
    if options.mitigation is not None:
        found = mitigate(audited, options.mitigation, positive, limits)
        made.append(chapter.part(audited, found, options, positive))
    section = _section(made, _notes(plan, positive, options))
    return section if found is None else _with_mitigated(section, found, audited, options, positive)


def counted(audited: AuditedModel, options: FairnessOptions, *, positive: str) -> Iterator[Counted]:
    """Yield the rows that the section's numbers of groups rest on; raises ``Unavailable`` as ``audit`` does."""
    plan = Plan.of(_test_rows(audited.predictions), audited.facts.classes, options, positive)
    mitigates = options.mitigation is not None
    yield from plan.counted(SPLIT, selections=bool(options.tables), all_classes=mitigates)
    if options.ll144 is not None:
        both = (options.ll144.sex, options.ll144.race)
        for mask in (None, ll144.chosen(plan.rows, plan.positive, options.ll144)):
            yield Counted(SPLIT, both, mask, mask is not None)


def _test_rows(predictions: pd.DataFrame) -> pd.DataFrame:
    frame = predictions[predictions["split"] == SPLIT].reset_index(drop=True)
    if frame.empty:
        raise Unavailable("the predictions hold no rows of the split test")
    return frame


def _compared(plan: Plan, limits: Limits, seed: int) -> list[Compared]:
    return judge_together([Compared.of(grouped, plan, limits, seed) for grouped in plan.grouped()])


def _legal(plan: Plan, options: FairnessOptions) -> Part:
    legal = build.build(
        plan.rows,
        [*plan.attributes, *plan.crossed],
        plan.positive,
        tables=options.tables,
        ll144_options=options.ll144,
        min_group=options.min_group,
        withheld=plan.withheld,
    )
    return Part("Legal tables", legal.findings, legal.tables, legal.captions, text=legal.notes)


def _section(made: Sequence[Part], notes: tuple[str, ...]) -> Section:
    shown = [part for part in made if not part.empty]
    tables: dict[str, Table] = {name: table for part in shown for name, table in part.tables.items()}
    captions = {name: text for part in shown for name, text in part.captions.items()}
    return Section(
        plugin="fairness",
        title="Fairness",
        findings=tuple(finding for part in shown for finding in part.findings),
        tables=tables,
        captions={name: text for name, text in captions.items() if name in tables},
        figures=tuple(figure for part in shown for figure in part.figures),
        notes=notes,
        chapters=tuple(part.chapter() for part in shown),
    )


def _with_mitigated(
    section: Section, found: Mitigated, audited: AuditedModel, options: FairnessOptions, positive: str
) -> Section:
    """Add the groups of the mitigated model to the table, and the model to the run."""
    if found.predictions is None:
        return section
    plan = Plan.of(_test_rows(found.predictions), audited.facts.classes, options, positive, audited.withheld)
    compared = _compared(plan, Limits(options.min_group, options.shown), audited.seed)
    rows = by_group_rows(plan, compared, "mitigated", audited.seed)
    tables = section.tables | {"by_group": section.tables["by_group"] + rows}
    return section.model_copy(update={"tables": tables, "folders": found.folders})


def _notes(plan: Plan, positive: str, options: FairnessOptions) -> tuple[str, ...]:
    repeats = plan.rows.units is not None
    units = (
        f" Rows of one unit are not independent: units are what is counted and resampled ({KISH_KORN_GRAUBARD})."
        if repeats
        else ""
    )
    return (
        f"Rates are for the favourable class {positive}, against all others. Groups in which fewer than "
        f"{options.min_group} test {'units' if repeats else 'examples'} are cases of a metric are too few to tell: "
        f"shown and not compared. With fewer than {options.shown} there is no number at all.",
        "An interval is one of how far apart groups are, whichever is the higher: for two groups Newcombe's on exact "
        "limits, for more that of the largest gap among all pairs. Each holds at "
        "95 % by itself; where rules judge several, their intervals are wider. A gap is pointed out where chance does "
        f"not explain it, allowing for the number of gaps that are findings (Holm).{units}",
        *([_CONTROLLED.format(plan.control.attribute)] if plan.control else []),
        *plan.omitted,
    )
