"""From an ``AuditRun`` to what the templates show: words and rounded numbers, no HTML.

Templates compute nothing. What has no value says so with its reason; it is never a zero, a dash alone, or left out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rft.records import AuditRun, Backbone, Finding, RuleOutcome, Section, Table, describe_columns, list_columns
from rft.report.format import numbers, toml
from rft.report.views import model_facts as what
from rft.report.views import tables
from rft.report.views.model_facts import Fact
from rft.report.views.tables import TableView

STATUS_WORDS = {"warn": "Worth a look", "fail": "Failed", "not_measured": "Not measured"}
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


def page(run: AuditRun) -> PageView:
    """Return the view of a run."""
    sections = [section(each) for each in run.sections]
    backbone = run.model.backbone
    return PageView(
        name=run.run.name,
        byline=what.byline(run),
        rft_version=run.rft_version,
        audited=what.describe_model(run),
        trained=run.model.training.mode != "external",
        verdict=verdict(run),
        summary=tuple(_summary_line(run, each) for each in sections),
        not_measured=_not_measured(sections),
        model=what.list_model_facts(run, backbone),
        frozen=_frozen(backbone),
        training=what.list_training_facts(run.model.training),
        data=_data(run),
        skipped=run.data.skipped,
        unreadable="a value is missing" if what.alone(run) else "their item could not be read",
        environment=_environment(run),
        config=_config(run.run.config),
        hashes=_hashes(run),
    )


def section(each: Section) -> SectionView:
    """Return the view of a section's words."""
    return SectionView(
        plugin=each.plugin,
        anchor=anchor(f"section-{each.plugin}"),
        title=each.title or each.plugin.replace("_", " ").capitalize(),
        findings=tuple(map(finding, each.findings)),
        notes=each.notes,
    )


def finding(each: Finding) -> FindingView:
    """Return a finding in words; an estimate is rounded by its interval."""
    ends = (each.interval.low, each.interval.high) if each.interval else None
    return FindingView(
        id=each.id,
        anchor=anchor(each.id),
        title=each.title,
        state=each.status,
        word=STATUS_WORDS.get(each.status, GRADE_WORDS[each.grade]),
        value="" if each.value is None else numbers.quantity(each.value, each.unit, ends),
        unit="" if each.unit in ("fraction", "probability") else each.unit.replace("_", " "),
        interval=numbers.span(*ends) if ends else "",
        method=each.interval.method if each.interval else "",
        n="" if each.n is None else numbers.count(each.n),
        description=each.description,
        caveats=each.caveats,
        references=each.references,
        reason=each.reason or "",
        headline=each.headline,
    )


def anchor(id: str) -> str:
    """Return a name for links to a finding: its id, made unique by a hash where a link cannot hold the id."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", id)
    return plain if plain == id else f"{plain}-{hashlib.sha256(id.encode()).hexdigest()[:8]}"


def verdict(run: AuditRun) -> VerdictView:
    """Return the verdict with one sentence that says what it rests on."""
    known = {each.id for every in run.sections for each in every.findings}
    status = run.verdict.status
    return VerdictView(
        status=status,
        word=OUTCOME_WORDS[status],
        sentence=" ".join([_sentence(status, run.verdict.rules), *_small_groups(run.verdict.rules)]),
        source=run.verdict.source,
        rules=tuple(_rule(each, known) for each in run.verdict.rules),
    )


def key_findings(run: AuditRun, each: SectionView, most: int = KEY_FINDINGS) -> tuple[FindingView, ...]:
    """Return the findings to name first: failed, judged by a rule, worth a look, then in the section's own order."""
    judged = {rule.finding for rule in run.verdict.rules}
    measured = [every for every in each.findings if not every.reason]
    return tuple(sorted(measured, key=lambda every: _rank(every, judged))[:most])


def _rank(each: FindingView, judged: set[str]) -> int:
    if each.state == "fail":
        return 0
    if each.id in judged or each.headline:
        return 1
    return 2 if each.state == "warn" else 3


def _sentence(status: str, rules: tuple[RuleOutcome, ...]) -> str:
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


def _small_groups(rules: tuple[RuleOutcome, ...]) -> list[str]:
    names = dict.fromkeys(name for rule in rules for name in rule.small_groups)
    if not names:
        return []
    return [f"Too small to be compared, so that their exact intervals alone enter the rules: {', '.join(names)}."]


def _rule(each: RuleOutcome, known: set[str]) -> RuleView:
    return RuleView(
        rule=each.rule,
        outcome=each.outcome,
        word=OUTCOME_WORDS[each.outcome],
        explanation=each.explanation,
        because=each.because,
        anchor=anchor(each.finding) if each.finding in known else "",
    )


def _summary_line(run: AuditRun, each: SectionView) -> SummaryLine:
    states = [every.state for every in each.findings]
    named = (("fail", "failed"), ("warn", "worth a look"), ("not_measured", "not measured"))
    counts = ", ".join(f"{states.count(state)} {word}" for state, word in named if state in states)
    return SummaryLine(title=each.title, anchor=each.anchor, key=key_findings(run, each), counts=counts)


def _not_measured(sections: Iterable[SectionView]) -> tuple[tuple[str, tuple[FindingView, ...]], ...]:
    """Return what was not measured by the first clause of its reason; the whole reason stands at the finding."""
    found: dict[str, list[FindingView]] = {}
    for each in sections:
        for every in each.findings:
            if every.reason:
                found.setdefault(every.reason.split(": ")[0], []).append(every)
    return tuple((reason, tuple(findings)) for reason, findings in found.items())


def _data(run: AuditRun) -> TableView:
    """Return how many examples each split has: in all, of each label, and of each group."""
    splits = {name: run.data.splits[name] for name in what.split_names(run)}
    groups = {(name, group) for facts in splits.values() for name, counts in facts.groups.items() for group in counts}
    rows: Table = [{"what": "examples", "value": "all", **{name: facts.n for name, facts in splits.items()}}]
    if any(facts.n_units is not None for facts in splits.values()):
        rows.append({"what": "units", "value": "all", **{name: facts.n_units for name, facts in splits.items()}})
    for label in run.model.classes:
        counts = {name: _shown(facts.labels.get(label, 0)) for name, facts in splits.items()}
        rows.append({"what": "label", "value": label, **counts})
    for attribute, group in sorted(groups):
        counts = {name: _shown(facts.groups.get(attribute, {}).get(group, 0)) for name, facts in splits.items()}
        rows.append({"what": attribute, "value": group or "(missing)", **counts})
    columns = describe_columns(rows, list_columns({"what": "key", "value": "key", **dict.fromkeys(splits, "count")}))
    return tables.view_table(rows, columns, caption="", condense=False)


def _shown(count: int | None) -> int | str:
    return "withheld" if count is None else count


def _frozen(backbone: Backbone | None) -> FrozenView | None:
    if backbone is None:
        return None
    before, after = backbone.frozen_sha256_before, backbone.frozen_sha256_after
    return FrozenView(unchanged=before == after, before=before, after=after)


def _environment(run: AuditRun) -> tuple[Fact, ...]:
    environment = run.run.environment
    return (
        ("rft", run.rft_version),
        ("Python", environment.python),
        ("Platform", environment.platform),
        ("Device", environment.device),
        ("Threads", str(environment.threads)),
        *sorted(environment.packages.items()),
        ("Seed", str(run.run.seed)),
        ("Time taken", numbers.duration(run.run.seconds)),
        ("Run", run.run.id),
    )


def _config(config: dict[str, Any]) -> str:
    first, last = ("name", "seed", "data", "model", "predictions", "train"), ("report", "policy")
    keys = sorted(config, key=lambda key: (first.index(key) if key in first else len(first) + (key in last), key))
    return toml.dumps({key: config[key] for key in keys})


def _hashes(run: AuditRun) -> tuple[Fact, ...]:
    backbone = run.model.backbone
    named: Iterable[tuple[str, str | None]] = (
        ("Config", run.run.config_sha256),
        ("Model", run.model.model_sha256),
        ("Pretrained weights", backbone.weights_sha256 if backbone else None),
    )
    return tuple((label, value) for label, value in named if value)
