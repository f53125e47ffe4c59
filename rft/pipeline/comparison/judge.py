"""Which changes are for the worse: by more than chance, or by more than a tolerance.

A change is for the worse by more than chance where its interval at 95 % lies on the worse side of 0; each change is
judged by itself. A fact of the runs, such as epsilon, is worse as soon as it is worse at all. With a tolerance the
difference itself is judged, whatever its interval. Without one, so few cases that no change of them could be told from
chance settle nothing. Which side is worse is said by the finding (``Finding.better``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rft.config.rule_places import name_rule_places
from rft.config.schema import Rule
from rft.errors import ConfigError, near
from rft.pipeline.comparison.changes import list_changes
from rft.plugins.possible_findings import check_rule, list_possible_of_run
from rft.records import CHANGE, AuditRun, Finding, RuleOutcome, Section, Verdict
from rft.stats.discordant_pairs import fewest_telling_pairs
from rft.verdict.policy import combine_outcomes

SOURCE = "no finding may be worse than before"
NONE_LOST: Mapping[str, str] = {}
ROUNDING = 1e-9  # by which two computations of one fact may differ, as a share of its size


def judge_changes(
    sections: Sequence[Section], tolerances: Mapping[str, float], lost_audits: Mapping[str, str] = NONE_LOST
) -> Verdict:
    """Return the verdict on all changes that have a better side: ``fail`` where one is for the worse.

    Where none is, but the second run lacks a whole audit of the first, it is ``uncertain``: what is not measured any
    more may be worse.

    Args:
        sections: with the changes of findings.
        tolerances: id of a finding -> how much worse it may be.
        lost_audits: plugin -> title of its section, of audits that the first run alone measured anything in.

    Raises:
        ConfigError: a tolerance is of something that was not compared, or has no better side.
    """
    changes = list_changes(sections)
    _check_tolerances(changes, tolerances)
    judged = [_judge_change(name, change, tolerances.get(name)) for name, change in changes.items() if change.better]
    lost = [_state_lost_audit(plugin, title) for plugin, title in lost_audits.items()]
    rules = (*lost, *(outcome for outcome in judged if outcome is not None))
    return Verdict(source=SOURCE, status=combine_outcomes(rules), rules=rules)


def check_change_rules(
    rules: Sequence[Rule], runs: Sequence[AuditRun], sections: Sequence[Section], file: Path
) -> None:
    """Raise ``ConfigError`` for a rule on what no comparison of these runs can find.

    Args:
        rules: about changes.
        runs: that were compared.
        sections: with the findings of the comparison.
        file: in which the rules stand.
    """
    stated = {finding.id for section in sections for finding in section.findings}
    listed = [item for run in runs for item in list_possible_of_run(run).items()]
    of_runs = [name for plugin, names in listed for name in ((f"{plugin}.*",) if names is None else names)]
    possible = {CHANGE.removesuffix("."): tuple(f"{CHANGE}{name}" for name in of_runs)}
    others: dict[str, None] = dict.fromkeys(plugin for plugin, _ in listed)  # which changes these state is not listed
    for rule, place in zip(rules, name_rule_places(file, len(rules)), strict=True):
        if rule.finding in of_runs and rule.finding not in stated:
            raise ConfigError(
                f"{rule.finding!r} is a finding of one run, and what is judged here is how two differ",
                where=place,
                remedy=f'Write finding = "{CHANGE}{rule.finding}".',
            )
        check_rule(rule, possible | others, where=place)


def find_lost_audits(*runs: AuditRun) -> dict[str, str]:
    """Return plugin -> title of its section, of what the first run asked for and measured, and the second did not."""
    first, second = ({section.plugin: section.title for section in run.sections if _measures(section)} for run in runs)
    asked = runs[0].run.config
    return {plugin: title for plugin, title in first.items() if plugin in asked and plugin not in second}


def _measures(section: Section) -> bool:
    return any(finding.value is not None for finding in section.findings)


def _state_lost_audit(plugin: str, title: str) -> RuleOutcome:
    return RuleOutcome(
        rule=f"{plugin} is audited again",
        finding=plugin,
        outcome="uncertain",
        because="no audit may be left out unseen",
        explanation=f"“{title}” was measured in the first run, and nothing of it in the second",
        reason="only the first run measured it",
        remedy=f"Switch [{plugin}] on in the second run, too, or judge the changes that matter with --policy.",
    )


def list_unjudged(sections: Sequence[Section], verdict: Verdict) -> list[str]:
    """Return the findings that changed and have a better side, but no interval that tells their change from chance."""
    judged = {rule.finding for rule in verdict.rules}
    return [
        name
        for name, change in list_changes(sections).items()
        if change.value is not None and change.better and change.id not in judged
    ]


def _check_tolerances(changes: Mapping[str, Finding], tolerances: Mapping[str, float]) -> None:
    for name in tolerances:
        if name not in changes:
            raise ConfigError(f"{name} was not compared", where="--tolerance", remedy=near(name, list(changes)))
        if changes[name].better is None:
            raise ConfigError(
                f"nothing says whether higher or lower is better for {name}",
                where="--tolerance",
                remedy=f'Judge it by a rule about "{changes[name].id}", with --policy.',
            )


def _judge_change(name: str, change: Finding, tolerance: float | None) -> RuleOutcome | None:
    """Return what is said of a change; None where chance cannot be told from a change."""
    assert change.value is not None
    if tolerance is None and change.interval is not None and 0 < (change.n or 0) < fewest_telling_pairs():
        return _state_too_few(name, change)
    sign = 1.0 if change.better == "lower" else -1.0
    written = f"changed by {change.value:+.4g}"
    if tolerance is not None:
        worse, because = sign * change.value > tolerance, f"a tolerance of {tolerance:g}"
        reason = f"{'worse' if worse else 'not worse'} by more than {tolerance:g}"
    elif change.deterministic:
        worse, because = sign * change.value > ROUNDING * max(1.0, abs(change.value)), "no tolerance"
        reason = "worse" if worse else "not worse"
    elif change.interval is None:
        return None
    else:
        ends = sorted((sign * change.interval.low, sign * change.interval.high))
        worse, because = ends[0] > 0, "no tolerance"
        reason = f"{'worse' if worse else 'not worse'} by more than chance"
        written = f"{written}, interval {change.interval.low:+.4g} to {change.interval.high:+.4g}"
    if worse and tolerance is None:
        because = f"{because}; --tolerance {name}=VALUE would allow a change up to VALUE"
    return RuleOutcome(
        rule=_write_rule(name),
        finding=change.id,
        outcome="fail" if worse else "pass",
        because=because,
        explanation=f"{written}: {reason}",
        reason=reason,
        value=change.value,
        interval=None if tolerance is not None else change.interval,
    )


def _write_rule(name: str) -> str:
    return f"{name} may not become worse"


def _state_too_few(name: str, change: Finding) -> RuleOutcome:
    """Return that nothing can be said of a change, since so few cases could not show any."""
    reason = f"{change.n} cases are too few to tell any change from chance: it takes {fewest_telling_pairs()} at least"
    return RuleOutcome(
        rule=_write_rule(name),
        finding=change.id,
        outcome="uncertain",
        because="no tolerance",
        explanation=f"changed by {change.value:+.4g}: {reason}",
        reason=reason,
        remedy="Compare runs on more test examples, or say with --tolerance how much worse it may be.",
        value=change.value,
        interval=change.interval,
    )
