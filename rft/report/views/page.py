"""From an ``AuditRun`` to what the templates show: words and rounded numbers, no HTML.

Templates compute nothing. What has no value says so with its reason; it is never a zero, a dash alone, or left out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from rft.records import (
    AuditRun,
    Backbone,
    Finding,
    JsonObject,
    RuleOutcome,
    Section,
    Table,
    describe_columns,
    list_columns,
)
from rft.report.format import numbers, toml
from rft.report.views import model_facts, tables
from rft.report.views.model_facts import Fact
from rft.report.views.tables import TableView

STATUS_WORDS = {"warn": "Review", "fail": "Failed", "not_measured": "Not measured"}
GRADE_WORDS = {"measured": "Measured", "declared": "Declared by the user", "unverified": "Not verified"}
OUTCOME_WORDS = {"pass": "Pass", "fail": "Fail", "uncertain": "Uncertain", "no_rules": "No rules"}
KEY_FINDINGS = 2  # of each section, in the summary


@dataclass(frozen=True)
class FindingView:
    """A finding in words.

    ``state`` is its status, for the icon; ``word`` says it; ``value`` is empty without one; ``headline`` as in
    ``Finding``.
    """

    id: str
    anchor: str
    title: str
    state: str
    word: str
    value: str
    unit: str
    interval: str
    method: str
    n: str
    description: str
    caveats: str
    references: tuple[str, ...]
    reason: str
    headline: bool

    @property
    def brief(self) -> str:
        """The value with its interval, in one line."""
        return " ".join(part for part in (self.value, self.unit, self.interval) if part) or "not measured"


@dataclass(frozen=True)
class RuleView:
    """A rule with its outcome. ``anchor`` leads to the finding it judges; empty when the run has none of this name."""

    rule: str
    outcome: str
    word: str
    explanation: str
    because: str
    anchor: str


@dataclass(frozen=True)
class VerdictView:
    """The verdict: a word, a sentence, and the rules it comes from."""

    status: str
    word: str
    sentence: str
    source: str
    rules: tuple[RuleView, ...]


@dataclass(frozen=True)
class SummaryLine:
    """One section in the summary: what it found in a line, and how many findings ask for a look."""

    title: str
    anchor: str
    key: tuple[FindingView, ...]
    counts: str


@dataclass(frozen=True)
class SectionView:
    """A section without its tables and figures, which ``html`` lays out."""

    plugin: str
    anchor: str
    title: str
    findings: tuple[FindingView, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class FrozenView:
    """Whether the frozen tensors are the same after training as before."""

    unchanged: bool
    before: str
    after: str


@dataclass(frozen=True)
class PageView:
    """Everything in a report that is not a section's table or figure."""

    name: str
    byline: tuple[str, ...]
    rft_version: str
    audited: str  # what this is an audit of, in words
    trained: bool  # in this run
    verdict: VerdictView
    summary: tuple[SummaryLine, ...]
    not_measured: tuple[tuple[str, tuple[FindingView, ...]], ...]  # reason, findings
    model: tuple[Fact, ...]
    frozen: FrozenView | None
    training: tuple[Fact, ...]
    data: TableView
    skipped: int
    unreadable: str  # why
    environment: tuple[Fact, ...]
    config: str
    hashes: tuple[Fact, ...]


def view_run(run: AuditRun) -> PageView:
    """Return the view of a run."""
    sections = [view_section(section) for section in run.sections]
    backbone = run.model.backbone
    return PageView(
        name=run.run.name,
        byline=model_facts.write_byline(run),
        rft_version=run.rft_version,
        audited=model_facts.describe_model(run),
        trained=run.model.training.mode != "external",
        verdict=view_verdict(run),
        summary=tuple(_summary_line(run, section) for section in sections),
        not_measured=_group_by_reason(sections),
        model=model_facts.list_model_facts(run, backbone),
        frozen=_view_frozen(backbone),
        training=model_facts.list_training_facts(run.model.training),
        data=_view_data(run),
        skipped=run.data.skipped,
        unreadable="a value is missing" if model_facts.is_predictions_alone(run) else "their item could not be read",
        environment=_list_environment(run),
        config=_write_config(run.run.config),
        hashes=_list_hashes(run),
    )


def view_section(section: Section) -> SectionView:
    """Return the view of a section's words."""
    return SectionView(
        plugin=section.plugin,
        anchor=make_anchor(f"section-{section.plugin}"),
        title=section.title or section.plugin.replace("_", " ").capitalize(),
        findings=tuple(map(view_finding, section.findings)),
        notes=section.notes,
    )


def view_finding(finding: Finding) -> FindingView:
    """Return a finding in words; an estimate is rounded by its interval."""
    ends = (finding.interval.low, finding.interval.high) if finding.interval else None
    return FindingView(
        id=finding.id,
        anchor=make_anchor(finding.id),
        title=finding.title,
        state=finding.status,
        word=STATUS_WORDS.get(finding.status, GRADE_WORDS[finding.grade]),
        value="" if finding.value is None else numbers.format_quantity(finding.value, finding.unit, ends),
        unit="" if finding.unit in ("fraction", "probability") else finding.unit.replace("_", " "),
        interval=numbers.format_interval(*ends) if ends else "",
        method=finding.interval.method if finding.interval else "",
        n="" if finding.n is None else numbers.format_count(finding.n),
        description=finding.description,
        caveats=finding.caveats,
        references=finding.references,
        reason=finding.reason or "",
        headline=finding.headline,
    )


def make_anchor(id: str) -> str:
    """Return a name for links to a finding: its id, made unique by a hash where a link cannot hold the id."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", id)
    return plain if plain == id else f"{plain}-{hashlib.sha256(id.encode()).hexdigest()[:8]}"


def view_verdict(run: AuditRun) -> VerdictView:
    """Return the verdict with one sentence that says what it rests on."""
    known = {outcome.id for section in run.sections for outcome in section.findings}
    status = run.verdict.status
    return VerdictView(
        status=status,
        word=OUTCOME_WORDS[status],
        sentence=" ".join([_explain_verdict(status, run.verdict.rules), *_name_small_groups(run.verdict.rules)]),
        source=run.verdict.source,
        rules=tuple(_view_rule(outcome, known) for outcome in run.verdict.rules),
    )


def key_findings(run: AuditRun, section: SectionView, most: int = KEY_FINDINGS) -> tuple[FindingView, ...]:
    """Return the findings to name first: failed, judged by a rule, to review, then in the section's own order."""
    judged = {rule.finding for rule in run.verdict.rules}
    measured = [finding for finding in section.findings if not finding.reason]
    return tuple(sorted(measured, key=lambda finding: _rank_finding(finding, judged))[:most])


def _rank_finding(finding: FindingView, judged: set[str]) -> int:
    if finding.state == "fail":
        return 0
    if finding.id in judged or finding.headline:
        return 1
    return 2 if finding.state == "warn" else 3


def _explain_verdict(status: str, rules: tuple[RuleOutcome, ...]) -> str:
    if status == "no_rules":
        return "There are no rules, so nothing was judged. The findings below stand by themselves."
    of_all = f"of {len(rules)} rules" if len(rules) != 1 else "of 1 rule"
    if status == "pass":
        return f"All {len(rules)} rules are met." if len(rules) != 1 else "The one rule is met."
    if status == "fail":
        count = sum(rule.outcome == "fail" for rule in rules)
        return f"{count} {of_all} {'is' if count == 1 else 'are'} not met."
    count = sum(rule.outcome == "uncertain" for rule in rules)
    return f"{count} {of_all} cannot be settled by what was measured."


def _name_small_groups(rules: tuple[RuleOutcome, ...]) -> list[str]:
    names = dict.fromkeys(name for rule in rules for name in rule.small_groups)
    if not names:
        return []
    return [f"Too small to be compared, so that their exact intervals alone enter the rules: {', '.join(names)}."]


def _view_rule(outcome: RuleOutcome, known: set[str]) -> RuleView:
    return RuleView(
        rule=outcome.rule,
        outcome=outcome.outcome,
        word=OUTCOME_WORDS[outcome.outcome],
        explanation=outcome.explanation,
        because=outcome.because,
        anchor=make_anchor(outcome.finding) if outcome.finding in known else "",
    )


def _summary_line(run: AuditRun, section: SectionView) -> SummaryLine:
    states = [finding.state for finding in section.findings]
    named = (("fail", "failed"), ("warn", "to review"), ("not_measured", "not measured"))
    counts = ", ".join(f"{states.count(state)} {word}" for state, word in named if state in states)
    return SummaryLine(title=section.title, anchor=section.anchor, key=key_findings(run, section), counts=counts)


def _group_by_reason(sections: Iterable[SectionView]) -> tuple[tuple[str, tuple[FindingView, ...]], ...]:
    """Return what was not measured by the first clause of its reason; the whole reason stands at the finding."""
    by_reason: dict[str, list[FindingView]] = {}
    for section in sections:
        for finding in section.findings:
            if finding.reason:
                by_reason.setdefault(finding.reason.split(": ")[0], []).append(finding)
    return tuple((reason, tuple(findings)) for reason, findings in by_reason.items())


def _view_data(run: AuditRun) -> TableView:
    """Return how many examples each split has: in all, of each label, and of each group."""
    splits = {name: run.data.splits[name] for name in model_facts.split_names(run)}
    groups = {(name, group) for facts in splits.values() for name, counts in facts.groups.items() for group in counts}
    rows: Table = [{"what": "examples", "value": "all", **{name: facts.n for name, facts in splits.items()}}]
    if any(facts.n_units is not None for facts in splits.values()):
        rows.append({"what": "units", "value": "all", **{name: facts.n_units for name, facts in splits.items()}})
    for label in run.model.classes:
        counts = {name: _write_count(facts.labels.get(label, 0)) for name, facts in splits.items()}
        rows.append({"what": "label", "value": label, **counts})
    for attribute, group in sorted(groups):
        counts = {name: _write_count(facts.groups.get(attribute, {}).get(group, 0)) for name, facts in splits.items()}
        rows.append({"what": attribute, "value": group or "(missing)", **counts})
    columns = describe_columns(rows, list_columns({"what": "key", "value": "key", **dict.fromkeys(splits, "count")}))
    return tables.view_table(rows, columns, caption="", condense=False)


def _write_count(count: int | None) -> int | str:
    return "withheld" if count is None else count


def _view_frozen(backbone: Backbone | None) -> FrozenView | None:
    if backbone is None:
        return None
    before, after = backbone.frozen_sha256_before, backbone.frozen_sha256_after
    return FrozenView(unchanged=before == after, before=before, after=after)


def _list_environment(run: AuditRun) -> tuple[Fact, ...]:
    environment = run.run.environment
    return (
        ("rft", run.rft_version),
        ("Python", environment.python),
        ("Platform", environment.platform),
        ("Device", environment.device),
        ("Threads", str(environment.threads)),
        *sorted(environment.packages.items()),
        ("Seed", str(run.run.seed)),
        ("Time taken", numbers.format_duration(run.run.seconds)),
        ("Run", run.run.id),
    )


def _write_config(config: JsonObject) -> str:
    first, last = ("name", "seed", "data", "model", "predictions", "train"), ("report", "policy")
    keys = sorted(config, key=lambda key: (first.index(key) if key in first else len(first) + (key in last), key))
    return toml.dumps({key: config[key] for key in keys})


def _list_hashes(run: AuditRun) -> tuple[Fact, ...]:
    backbone = run.model.backbone
    named: Iterable[tuple[str, str | None]] = (
        ("Config", run.run.config_sha256),
        ("Model", run.model.model_sha256),
        ("Pretrained weights", backbone.weights_sha256 if backbone else None),
    )
    return tuple((label, value) for label, value in named if value)
