"""From the training examples to the section: the list of labels to look at, and what such a list is worth."""

from __future__ import annotations

import numpy as np

from rft.number_format import format_fixed
from rft.plugins import AuditedModel
from rft.plugins.label_errors import LabelErrorsOptions
from rft.plugins.label_errors.ranking import PLANTED_SHARE, PLANTINGS, LabelRanker, LabelRanking, PlantedErrors
from rft.plugins.label_errors.tables import CAPTIONS, COLUMNS, group_table, pair_table, review_table
from rft.plugins.training_vectors import LabelledExamples, read_examples
from rft.records import Finding, FindingDefinition, Section, Table
from rft.references import COOK_WEISBERG, NORTHCUTT
from rft.stats import multiplicity
from rft.stats.intervals import clip_interval, mean_interval

RECALL = FindingDefinition(
    "label_errors.planted_recall",
    "Wrong labels that a review would find",
    f"{PLANTED_SHARE:.0%} of the labels were made wrong on purpose, in each of {PLANTINGS} rounds; this is the share "
    "of them that came up among the labels to look at again.",
    unit="fraction",
    better="higher",
    caveats="Planted errors are random. Real ones lie between similar classes more often, and are found less often. "
    "The interval covers the choice of labels that were made wrong, not that of examples.",
    references=(COOK_WEISBERG, NORTHCUTT),
    cases="none",
    remedy="Have the labels checked by somebody, starting with those of the smallest classes: this list does not help.",
)
CONTRADICTED = FindingDefinition(
    "label_errors.contradicted",
    "Labels that the features speak against",
    "How many training examples a linear fit to all others gives to another class than their label says.",
    unit="examples",
    better="lower",
    caveats="Not all of them are wrong: an unusual example with the right label is contradicted too.",
    references=(COOK_WEISBERG,),
)
NO_BETTER_THAN_CHANCE = "A review of labels drawn at random would find as many: the list is of no use here."


def audit(audited: AuditedModel, options: LabelErrorsOptions) -> Section:
    """Return the section; raises ``Unavailable`` without a vector of features of each training example."""
    examples = read_examples(audited)
    ranker = LabelRanker(examples, len(audited.facts.classes), options.review_share)
    ranking = ranker.rank()
    planted = ranker.plant_errors(np.random.default_rng([audited.seed, PLANTINGS]))
    tables: dict[str, Table] = {
        "pairs": pair_table(examples, ranking, audited.facts.classes, audited.withheld),
        "by_group": group_table(examples, ranking, planted, audited.withheld),
        "review": review_table(examples, ranking, audited.facts.classes) if audited.show_examples else [],
    }
    tables = {name: table for name, table in tables.items() if table}
    findings = (_state_recall(planted, ranking, len(examples)), _state_contradicted(ranking))
    return Section(
        plugin="label_errors",
        title="Labels that look wrong",
        findings=findings,
        tables=tables,
        columns={name: COLUMNS[name] for name in tables},
        captions={name: CAPTIONS[name] for name in tables},
        computed_from=dict.fromkeys([*(finding.id for finding in findings), *tables], "train"),
        notes=_section_notes(examples, ranking, shown=audited.show_examples),
    )


def _state_recall(planted: PlantedErrors, ranking: LabelRanking, n: int) -> Finding:
    chance = ranking.review_size / n
    is_found = planted.is_found.astype(np.float64)
    interval = mean_interval(is_found, planted.rounds)
    assert interval is not None, "there are several rounds"
    method = f"Student t 95 %, {PLANTINGS} rounds"
    interval = clip_interval(interval, 0.0, 1.0).model_copy(update={"method": method})
    helps = interval.low > chance
    return RECALL.state_estimate(
        float(is_found.mean()),
        interval=interval,
        adjusted=multiplicity.adjust_mean_interval(is_found, planted.rounds),
        n=len(is_found),
        status="info" if helps else "warn",
        description=f"{RECALL.description} A list drawn at random would hold {format_fixed(chance, 3)} of them."
        + ("" if helps else f" {NO_BETTER_THAN_CHANCE}"),
    )


def _state_contradicted(ranking: LabelRanking) -> Finding:
    return CONTRADICTED.state_count(int((ranking.margins < 0).sum()), n=len(ranking.margins))


def _section_notes(examples: LabelledExamples, ranking: LabelRanking, *, shown: bool) -> tuple[str, ...]:
    n, drawn_from = len(examples), examples.drawn_from
    these = f"all {n} training examples" if n == drawn_from else f"{n} of {drawn_from} training examples, at random"
    by_unit = " or any other of its unit" if examples.units is not None else ""
    method = (
        f"Ranked are the labels of {these}. Each is judged by ridge regression on the features of the others: a fit "
        f"that has not seen the example{by_unit}. The {ranking.review_size} whose label falls furthest below another "
        "class are to be looked at again. Nobody has looked at them yet: the list says where to begin."
    )
    absent = "Which they are is not shown: [report] show_examples = true lists their ids."
    return (method,) if shown else (method, absent)
