"""Below the verdict: one sentence for each question, what is open, what to do next, and what was claimed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rft import number_format
from rft.records import AuditRun, Claim, Contrast, Finding, Pillar, RuleOutcome, Verdict
from rft.report.format.words import end_sentence, join_names
from rft.report.views.findings import make_anchor, view_finding
from rft.report.views.verdict import title_rule

CLAIM_WORDS = {
    "measured": "measured",
    "declared": "declared by the user",
    "not_measured": "not measured",
    "not_applicable": "does not apply",
    "not_asked": "not requested",
}
MAX_STEPS = 4
MAX_METRICS, MAX_ATTRIBUTES = 5, 4  # of the gaps on the first screen; the section has all
MAX_LEFT_OUT = 2  # groups that a gap on the first screen names as left out; of more, their number


@dataclass(frozen=True)
class ClaimView:
    """A claim with its mark. ``anchor`` leads to the finding that answers it; empty where there is none."""

    label: str
    state: str
    word: str
    anchor: str


@dataclass(frozen=True)
class ClaimGroup:
    """The claims of a question that have one state, with the word for it."""

    state: str
    word: str
    claims: tuple[ClaimView, ...]


@dataclass(frozen=True)
class ContrastView:
    """The largest gap of an attribute in a metric, with both groups, their values, and the groups that are left out."""

    value: str = ""
    interval: str = ""
    ends: tuple[tuple[str, str], ...] = ()
    anchor: str = ""
    is_noteworthy: bool = False
    left_out: str = ""


@dataclass(frozen=True)
class ContrastTable:
    """The largest gaps: for each attribute a row, in it a cell for each metric; ``omitted`` attributes are left out."""

    metrics: tuple[str, ...]
    rows: tuple[tuple[str, tuple[ContrastView, ...]], ...]
    omitted: int


@dataclass(frozen=True)
class PillarView:
    """A question with its answer. ``anchor`` leads to its section; empty where it took no part."""

    label: str
    summary: str
    anchor: str
    claims: tuple[ClaimView, ...]
    contrasts: ContrastTable | None = None

    @property
    def groups(self) -> tuple[ClaimGroup, ...]:
        """The claims by their state, what was measured first."""
        by_state = {state: tuple(claim for claim in self.claims if claim.state == state) for state in CLAIM_WORDS}
        return tuple(
            ClaimGroup(state, CLAIM_WORDS[state].capitalize(), claims) for state, claims in by_state.items() if claims
        )


@dataclass(frozen=True)
class OverviewView:
    """All questions, what is open after them, and what to do next."""

    pillars: tuple[PillarView, ...]
    open: str
    next: str


def view_overview(run: AuditRun) -> OverviewView:
    """Return the overview of a run."""
    present = {section.plugin for section in run.sections}
    findings = {finding.id: finding for finding in run.findings}
    pillars = tuple(
        PillarView(
            pillar.label,
            _add_judged_gaps(pillar, run.latest_verdict, findings),
            make_anchor(f"section-{pillar.plugin}") if pillar.plugin in present else "",
            tuple(map(_view_claim, pillar.claims)),
            _tabulate_contrasts(pillar.contrasts, findings),
        )
        for pillar in run.pillars
    )
    return OverviewView(pillars, _say_what_is_open(run), _say_what_is_next(run))


def _tabulate_contrasts(contrasts: Sequence[Contrast], findings: Mapping[str, Finding]) -> ContrastTable | None:
    """Return the largest gaps as a table that fits on the first screen; None without any."""
    contrasts = [contrast for contrast in contrasts if contrast.finding in findings]
    if not contrasts:
        return None
    metrics = tuple(dict.fromkeys(contrast.metric for contrast in contrasts))[:MAX_METRICS]
    attributes = list(dict.fromkeys(contrast.attribute for contrast in contrasts))
    cells = {
        (contrast.attribute, contrast.metric): _view_contrast(contrast, findings[contrast.finding])
        for contrast in contrasts
    }
    rows = tuple(
        (attribute, tuple(cells.get((attribute, metric), ContrastView()) for metric in metrics))
        for attribute in attributes[:MAX_ATTRIBUTES]
    )
    return ContrastTable(metrics, rows, max(0, len(attributes) - MAX_ATTRIBUTES))


def _view_contrast(contrast: Contrast, finding: Finding) -> ContrastView:
    shown = view_finding(finding)
    ends, written = (contrast.lowest, contrast.highest), _round_ends(contrast, finding)
    return ContrastView(
        value=shown.value,
        interval=shown.interval,
        ends=tuple((rate.group, text) for rate, text in zip(ends, written, strict=True)),
        anchor=shown.anchor,
        is_noteworthy=finding.status == "warn",
        left_out=_name_left_out(finding.small_groups),
    )


def _name_left_out(groups: Sequence[str]) -> str:
    return join_names(groups) if len(groups) <= MAX_LEFT_OUT else f"{number_format.format_count(len(groups))} groups"


def _add_judged_gaps(pillar: Pillar, verdict: Verdict, findings: Mapping[str, Finding]) -> str:
    """Return the answer to a question, after the gaps that rules judge where the answer speaks of none of them."""
    by_finding = {contrast.finding: contrast for contrast in pillar.contrasts}
    ids = dict.fromkeys(rule.finding for rule in verdict.rules if rule.finding in by_finding and rule.asked)
    judged = [by_finding[id] for id in ids if id in findings]
    if any(_is_told(contrast, pillar.summary) for contrast in judged):
        return pillar.summary
    told = [
        f"By the rules: {contrast.metric} is {_write_ends(contrast, findings[contrast.finding])}: a gap of "
        f"{view_finding(findings[contrast.finding]).brief}."
        for contrast in judged
    ]
    return " ".join([*told, pillar.summary])


def _is_told(contrast: Contrast, summary: str) -> bool:
    """Whether the answer to a question speaks of a gap already."""
    return f"for {contrast.highest.group} ({contrast.attribute})" in summary and f"{contrast.metric} is" in summary


def _write_ends(contrast: Contrast, finding: Finding) -> str:
    """Return both groups with their rates, as the answers to questions have them: ``0.1 for a and 0.2 for b (sex)``."""
    low, high = _round_ends(contrast, finding)
    return f"{low} for {contrast.lowest.group} and {high} for {contrast.highest.group} ({contrast.attribute})"


def _round_ends(contrast: Contrast, finding: Finding) -> list[str]:
    interval = (finding.interval.low, finding.interval.high) if finding.interval else None
    return number_format.format_ends(contrast.lowest.value, contrast.highest.value, finding.value or 0.0, interval)


def _view_claim(claim: Claim) -> ClaimView:
    return ClaimView(
        claim.label, claim.state, CLAIM_WORDS[claim.state], make_anchor(claim.finding) if claim.finding else ""
    )


def _say_what_is_open(run: AuditRun) -> str:
    """Return all that has no answer: what failed to be measured, and what nobody requested."""
    claims = [claim for pillar in run.pillars for claim in pillar.claims]
    failed = [_uncapitalize(claim.label) for claim in claims if claim.state == "not_measured"]
    unasked = [_uncapitalize(claim.label) for claim in claims if claim.state == "not_asked"]
    sentences = (
        f"Requested, but could not be measured: {join_names(failed)}." * bool(failed),
        f"Not requested: {join_names(unasked, most=12)}." * bool(unasked),
    )
    return " ".join(filter(None, sentences)) or "Nothing of what this report can measure is missing."


def _say_what_is_next(run: AuditRun) -> str:
    """Return what to do: against what is broken, about what is unsettled, worth a review, or was never tested."""
    steps = [*_list_remedies(run), *_list_untested(run)]
    if run.latest_verdict.status == "no_rules":
        steps.insert(
            0, "Write down as rules what this use can bear, and judge this run by them: rft report RUN --policy FILE."
        )
    if steps:
        return " ".join(list(dict.fromkeys(steps))[:MAX_STEPS])
    if run.latest_verdict.status == "fail":
        return "Do not release it before the broken rules are explained: see the findings they link to."
    return "Keep the run and its hash, and audit again when data or model change."


def _list_remedies(run: AuditRun) -> list[str]:
    """Return a step for each rule that is broken, then for each that is unsettled, then for what no rule judges."""
    findings = {finding.id: finding for section in run.sections for finding in section.findings}
    rules = run.latest_verdict.rules
    broken = [rule.finding for rule in rules if rule.outcome == "fail"]
    unsettled = [rule for rule in rules if rule.outcome == "uncertain"]
    noteworthy = [finding.id for finding in findings.values() if finding.status == "warn"]
    return [
        *(findings[id].remedy for id in broken if id in findings and findings[id].remedy),
        *(_say_how_to_settle(rule, findings.get(rule.finding)) for rule in unsettled),
        *(findings[id].remedy for id in noteworthy if findings[id].remedy),
    ]


def _list_untested(run: AuditRun) -> list[str]:
    """Return a step for each question of which nothing was measured, where the model is there to be asked."""
    if run.model.modality == "predictions":  # a table of them answers what it can: the rest needs the model
        return []
    return [
        f"Nothing was measured for “{pillar.label}”: audit again with its tests switched on (the section "
        f"[{pillar.plugin}] of audit.toml)."
        for pillar in run.pillars
        if pillar.claims and all(claim.state == "not_asked" for claim in pillar.claims)
    ]


def _uncapitalize(label: str) -> str:
    """Return a label as it stands in a sentence; abbreviations keep their capitals."""
    return label if label[1:2].isupper() else label[:1].lower() + label[1:]


def _say_how_to_settle(rule: RuleOutcome, finding: Finding | None) -> str:
    """Return a sentence about a rule that cannot be settled: what would settle it, or why nothing is known to."""
    if rule.remedy and (rule.interval is None or rule.small_groups):  # that of the finding, a sentence of its own
        return rule.remedy
    return end_sentence(f"“{title_rule(rule, finding)}”: {rule.remedy or rule.reason or rule.explanation}")
