"""From an ``AuditRun`` to what the templates show: words and rounded numbers, no HTML.

Templates compute nothing. What has no value says so with its reason; it is never a zero, a dash alone, or left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rft import number_format
from rft.records import AuditRun, Backbone, JsonObject, Section, Table, describe_columns, list_columns
from rft.report.format import toml
from rft.report.views import model_facts, tables
from rft.report.views.card_facts import list_card_facts
from rft.report.views.findings import NOTHING_JUDGED, WORTH_A_REVIEW, FindingView, make_anchor, view_finding
from rft.report.views.model_facts import Fact
from rft.report.views.overview import OverviewView, view_overview
from rft.report.views.tables import TableView
from rft.report.views.verdict import VerdictView, view_verdict


@dataclass(frozen=True)
class SectionView:
    """A section without its tables and figures, which ``html`` lays out. ``counts`` says what asks for a review."""

    plugin: str
    anchor: str
    title: str
    findings: tuple[FindingView, ...]
    notes: tuple[str, ...]
    counts: str


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
    run_id: str
    byline: tuple[str, ...]
    rft_version: str
    audited: str  # what this is an audit of, in words
    trained: bool  # in this run
    verdict: VerdictView
    unjudged: tuple[tuple[SectionView, int], ...]  # sections with findings to review that no rule judges, and how many
    later_verdicts: tuple[VerdictView, ...]
    overview: OverviewView
    model: tuple[Fact, ...]
    frozen: FrozenView | None
    training: tuple[Fact, ...]
    card: tuple[Fact, ...]  # what the organisation says of it; empty where it says nothing
    data: TableView
    skipped: int  # 0 where it is withheld
    unreadable: str  # why
    environment: tuple[Fact, ...]
    config: str
    hashes: tuple[Fact, ...]
    left_out: tuple[str, ...]  # of a version for strangers

    @property
    def has_later_verdicts_alone(self) -> bool:
        """Whether later verdicts take the place of that of a run without rules; no other verdict gives way to them."""
        return self.verdict.status == "no_rules" and bool(self.later_verdicts)


def view_run(run: AuditRun) -> PageView:
    """Return the view of a run."""
    backbone = run.model.backbone
    return PageView(
        name=run.run.name,
        run_id=run.run.volatile.id,
        byline=model_facts.write_byline(run),
        rft_version=run.rft_version,
        audited=model_facts.describe_model(run),
        trained=run.model.training.mode != "external",
        verdict=view_verdict(run),
        unjudged=count_unjudged(run),
        later_verdicts=tuple(view_verdict(run, later.verdict) for later in run.later_verdicts),
        overview=view_overview(run),
        model=model_facts.list_model_facts(run, backbone),
        frozen=_view_frozen(backbone),
        training=model_facts.list_training_facts(run),
        card=list_card_facts(run) if run.run.table("card") else (),
        data=_view_data(run),
        skipped=run.data.skipped or 0,
        unreadable="a value is missing" if model_facts.is_predictions_alone(run) else "their item could not be read",
        environment=_list_environment(run),
        config=_write_config(run.run.config),
        hashes=_list_hashes(run),
        left_out=run.left_out,
    )


def judged_findings(run: AuditRun) -> dict[str, bool]:
    """Return the findings that rules judge, of the run or applied later: id -> whether all its rules hold."""
    holds: dict[str, bool] = {}
    for verdict in [run.verdict, *(later.verdict for later in run.later_verdicts)]:
        for rule in verdict.rules:
            holds[rule.finding] = holds.get(rule.finding, True) and rule.outcome == "pass"
    return holds


def view_section(section: Section, judged: Mapping[str, bool] = NOTHING_JUDGED) -> SectionView:
    """Return the view of a section's words, given the findings that rules judge (``judged_findings``)."""
    findings = tuple(view_finding(finding, judged) for finding in section.findings)
    return SectionView(
        plugin=section.plugin,
        anchor=make_anchor(f"section-{section.plugin}"),
        title=section.title or section.plugin.replace("_", " ").capitalize(),
        findings=findings,
        notes=section.notes,
        counts=_count_states(findings),
    )


def key_findings(section: SectionView, most: int) -> tuple[FindingView, ...]:
    """Return the findings to name first: failed, judged by a rule, worth a review, then in the section's own order.

    Of those that are worth a review the section's headlines come first.
    """
    measured = [finding for finding in section.findings if not finding.reason]
    return tuple(sorted(measured, key=_place_finding)[:most])


def _place_finding(finding: FindingView) -> tuple[int, bool]:
    return finding.rank, not (finding.headline and finding.state == "warn")


def count_unjudged(run: AuditRun) -> tuple[tuple[SectionView, int], ...]:
    """Return the sections with findings to review that no rule judges, and how many of them each has."""
    judged = judged_findings(run)
    sections = [view_section(section, judged) for section in run.sections]
    counts = [sum(map(_is_unjudged, section.findings)) for section in sections]
    return tuple((section, count) for section, count in zip(sections, counts, strict=True) if count)


def _count_states(findings: Sequence[FindingView]) -> str:
    """Return what asks for a look in a section, but for what a rule judges, which stands in the verdict."""
    failed = sum(finding.state == "fail" for finding in findings)
    review = sum(_is_unjudged(finding) for finding in findings)
    return ", ".join(filter(None, [f"{failed} failed" * bool(failed), f"{review} to review" * bool(review)]))


def _is_unjudged(finding: FindingView) -> bool:
    return finding.state == "warn" and finding.rank == WORTH_A_REVIEW


def _view_data(run: AuditRun) -> TableView:
    """Return how many examples each split has: in all, of each label, and of each group."""
    splits = {name: run.data.splits[name] for name in model_facts.split_names(run)}
    groups = {(name, group) for facts in splits.values() for name, counts in facts.groups.items() for group in counts}
    rows: Table = [{"what": "examples", "value": "all", **{name: facts.n for name, facts in splits.items()}}]
    if any(facts.n_units is not None for facts in splits.values()):
        units = {name: facts.n_units for name, facts in splits.items()}
        rows.append({"what": run.model.name_units(), "value": "all", **units})
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
        ("Time taken", number_format.format_duration(run.run.volatile.seconds)),
        ("Run", run.run.volatile.id),
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
