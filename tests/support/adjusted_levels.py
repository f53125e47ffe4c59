"""What every estimate of a run must carry for verdicts over several estimates."""

from __future__ import annotations

from itertools import pairwise

from rft.config.schema import Rule
from rft.records import AuditRun, Finding
from rft.stats.multiplicity import JUDGED_ESTIMATE_COUNTS
from rft.verdict.policy import judge_rules

SLACK = 1e-9
OTHER_METHOD = 0.005  # without an error Clopper-Pearson's interval is a little shorter than Wilson's


def estimates_of(run: AuditRun) -> list[Finding]:
    """Return the findings that rest on a sample and have an interval."""
    findings = [finding for section in run.sections for finding in section.findings]
    return [finding for finding in findings if finding.interval is not None and not finding.deterministic]


def check_levels(run: AuditRun) -> list[Finding]:
    """Check that every estimate has intervals at all levels, none narrower than one for fewer rules; return them."""
    estimates = estimates_of(run)
    for finding in estimates:
        assert tuple(adjusted.rules for adjusted in finding.adjusted) == JUDGED_ESTIMATE_COUNTS, finding.id
        ends = [(adjusted.interval.low, adjusted.interval.high) for adjusted in finding.adjusted]
        for (low, high), (wider_low, wider_high) in pairwise(ends):
            assert wider_low <= low + SLACK, finding.id
            assert wider_high >= high - SLACK, finding.id
        assert ends[0][0] <= finding.interval.low + OTHER_METHOD, finding.id
        assert ends[0][1] >= finding.interval.high - OTHER_METHOD, finding.id
        assert finding.interval.low - SLACK <= finding.value <= finding.interval.high + SLACK, finding.id
    return estimates


def check_that_more_rules_are_never_looser(run: AuditRun) -> None:
    """Check that what is uncertain among few rules is not settled among more, for a bound on every estimate."""
    estimates = estimates_of(run)
    rules = [Rule(finding=finding.id, max=finding.interval.high) for finding in estimates]
    filler = [Rule(finding=finding.id, max=1e9) for finding in estimates]
    before = {rule.finding: judge_rules([rule], run.sections).rules[-1].outcome for rule in rules}
    for rule in rules:
        together = judge_rules(
            [rule, *(second for second in filler if second.finding != rule.finding)], run.sections
        ).rules
        [outcome] = [judged.outcome for judged in together if judged.finding == rule.finding]
        assert outcome == before[rule.finding] or outcome == "uncertain", rule.finding
