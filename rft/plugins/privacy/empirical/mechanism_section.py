"""The audit of the mechanism in the report: what many runs with and without a canary say about the claim."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rft.plugins import AuditedModel
from rft.plugins.privacy import PrivacyOptions
from rft.plugins.privacy.accounting import accountants
from rft.plugins.privacy.accounting.accountants import Mechanism
from rft.plugins.privacy.accounting.curves import trade_off
from rft.plugins.privacy.chapter import PrivacyChapter
from rft.plugins.privacy.empirical import mechanism_audit
from rft.plugins.privacy.empirical.bounds import LEVEL, Curve
from rft.plugins.privacy.empirical.epsilon_bounds import (
    NO_EVIDENCE,
    NOT_PRIVATE,
    EmpiricalAudit,
    EpsilonBound,
    describe_p_value,
)
from rft.plugins.privacy.empirical.many_runs import REFUTATION_LEVEL, ClaimJudgement, judge_runs
from rft.plugins.privacy.empirical.power import FAULTS, MAX_FACTOR, WANTED_POWER, Violation, smallest_violation
from rft.plugins.privacy.training.trainer import DPTrainer
from rft.records import Absence, Cell, Figure, Finding, FindingDefinition, Row, Table, lines_figure
from rft.references import DONG, NASR
from rft.training.linear_heads import linear_head_vectors

if TYPE_CHECKING:
    from rft.training.privacy_facts import PrivacyFacts

MIN_RUNS = 50
CURVE_POINTS = 60  # of a drawn curve


LOWER_BOUND = FindingDefinition(
    "privacy.epsilon_lower_bound",
    "Empirical lower bound on epsilon, by many runs with and without a canary",
    f"With {LEVEL:.0%} confidence the mechanism gives away at least this much to an attacker who sees every noised "
    "gradient and chose all other data.",
    caveats=NO_EVIDENCE,
    references=(NASR, DONG),
    rounding="down",
)
POWER = FindingDefinition(
    "privacy.audit_power",
    "Smallest violation that the audit of the mechanism would see",
    f"The true epsilon of a training with too little noise that the audit would refute in {WANTED_POWER:.0%} of cases; "
    "it mostly misses what lies between the claim and this.",
    caveats="Found by repeating the audit on simulated steps, which have the distribution of the real ones.",
)
CAPTIONS = {
    "mechanism_audit": "The audit of the mechanism: trainings by the run's own sampler, clipping and noise.",
    "audit_power": f"The smallest faults that this audit refutes in {WANTED_POWER:.0%} of cases, found by repeating "
    "it.",
    "attacker_curve": "What the accountant allows any attacker, and what the audit's attacker reached. Single points "
    "may lie above by chance, within their intervals; the p-value of the claim judges at one fixed beforehand.",
}


def audit_with_many_runs(
    audited: AuditedModel, options: PrivacyOptions, facts: PrivacyFacts | None, seed: int, void: str | None = None
) -> EmpiricalAudit:
    """Audit the mechanism of a private fit; the findings say why not where there is none."""
    reason = void or _why_no_runs(audited, options)
    if facts is None or reason:
        reason = reason or NOT_PRIVATE
        absence: Absence | None = None if facts else "not_applicable"
        missing = tuple(definition.state_not_measured(reason, absence=absence) for definition in (LOWER_BOUND, POWER))
        return EmpiricalAudit(PrivacyChapter(findings=missing, computed_from="train"))
    trainer, runs = audited.require_trainer(), options.mechanism_runs
    assert isinstance(trainer, DPTrainer)
    claim = mechanism_audit.claimed_mechanism(facts)
    curve = Curve(trade_off(claim))
    scores = mechanism_audit.audit_mechanism(trainer, facts, runs, seed=seed, device=audited.device)
    judgement = judge_runs(scores, curve, facts.delta)
    violations = [smallest_violation(claim, curve, fault, runs) for fault in FAULTS]
    content = PrivacyChapter(
        findings=(_bound_finding(judgement, facts, claim), _power_finding(violations[0], facts, runs)),
        tables={
            "mechanism_audit": _mechanism_table(judgement, facts, claim, curve),
            "audit_power": _power_table(violations, facts),
            "attacker_curve": _attacker_curve(judgement, curve),
        },
        captions=CAPTIONS,
        figures=(_curve_figure(judgement),),
        text=(_describe_runs(audited, runs),),
        computed_from="train",
    )
    bounds = (
        EpsilonBound("many runs", "at least", judgement.bound, "nothing"),
        EpsilonBound("many runs, if Gaussian", "at least", judgement.gaussian_bound, "a Gaussian trade-off curve"),
    )
    return EmpiricalAudit(content, bounds)


def _why_no_runs(audited: AuditedModel, options: PrivacyOptions) -> str | None:
    """Return why the mechanism is not audited, or None when it is."""
    if audited.fit is None or audited.fit.privacy is None:
        return NOT_PRIVATE
    if not isinstance(audited.trainer, DPTrainer) or audited.trainer.method != "sgd":
        return "the audit watches the steps of DP-SGD, which this training has none of"
    if options.mechanism_runs < MIN_RUNS:
        return f"privacy.mechanism_runs is {options.mechanism_runs}: at least {MIN_RUNS} are needed on each side"
    return None


def _bound_finding(judgement: ClaimJudgement, facts: PrivacyFacts, claim: Mechanism) -> Finding:
    refuted = judgement.p_value < REFUTATION_LEVEL
    verdict = (
        " The attacker does better than the accountant says that anyone can "
        f"({describe_p_value(judgement.p_value)} if the claim held): this training does not keep its promise."
        if refuted
        else f" The accountant says: at most {facts.epsilon:.4g}. Nothing here contradicts that."
    )
    part = f" Of {facts.steps} steps the first {claim.steps} were watched." if claim.steps < facts.steps else ""
    return LOWER_BOUND.state_fact(  # a confidence limit: a rule is settled by the limit itself
        judgement.bound,
        n=judgement.counted.without_canary.size + judgement.counted.with_canary.size,
        status="fail" if refuted else "info",
        description=LOWER_BOUND.description + verdict + part,
        caveats=f"With this many runs the bound cannot exceed {_bound_ceiling(judgement):.1f}; "
        "whether the claim is refuted does not depend on it. Faults that follow from the data show in no audit of the "
        "mechanism.",
    )


def _power_finding(violation: Violation | None, facts: PrivacyFacts, runs: int) -> Finding:
    if violation is None:
        reason = f"with {runs} runs on each side even noise that is {MAX_FACTOR:g} times too small goes unseen"
        return POWER.state_not_measured(reason, n=2 * runs)
    return POWER.state_fact(
        accountants.tightest_spending(violation.mechanism, facts.delta).epsilon,
        n=2 * runs,
        description=f"{POWER.description} Here: {1 / violation.factor:.0%} of the declared noise.",
    )


def _mechanism_table(judgement: ClaimJudgement, facts: PrivacyFacts, claim: Mechanism, curve: Curve) -> Table:
    errors, counted = judgement.errors, judgement.counted
    least = float(curve(np.asarray(errors.fpr)))
    rows: list[tuple[str, Cell, str]] = [
        (
            "runs without the canary",
            len(counted.without_canary),
            "That errors are counted on; thresholds were chosen on others.",
        ),
        ("runs with the canary", len(counted.with_canary), "Likewise."),
        ("steps watched", claim.steps, f"Of {facts.steps} in training."),
        ("false-positive rate", float(errors.fpr), "Runs without the canary that looked as if it had been there."),
        ("false-negative rate", float(errors.fnr), "Runs with the canary that looked as if it had not."),
        ("least false-negative rate", least, "That the accountant allows any attacker at this false-positive rate."),
        (
            "p-value of the claim",
            judgement.p_value,
            f"Chance of errors so few, at most. Below {REFUTATION_LEVEL:g}: refuted.",
        ),
        ("lower bound on epsilon", judgement.bound, f"At delta {facts.delta:.3g}, with {LEVEL:.0%} confidence."),
        ("lower bound if Gaussian", judgement.gaussian_bound, "As far as the trade-off curve is that of a Gaussian."),
    ]
    return [dict(zip(("quantity", "value", "description"), row, strict=True)) for row in rows]


def _power_table(violations: list[Violation | None], facts: PrivacyFacts) -> Table:
    return [
        {
            "fault": fault.name,
            "factor": violation.factor if violation else None,
            "epsilon": accountants.tightest_spending(violation.mechanism, facts.delta).epsilon if violation else None,
            "power": WANTED_POWER if violation else None,
        }
        for fault, violation in zip(FAULTS, violations, strict=True)
    ]


def _attacker_curve(judgement: ClaimJudgement, curve: Curve) -> Table:
    """Return rows of the claimed upper limit, and of what was reached at thresholds evenly spread over the runs."""
    rates = np.linspace(0, 1, CURVE_POINTS + 1)
    claimed: Table = [
        _curve_point("at most, by the accountant", fpr, 1 - fnr) for fpr, fnr in zip(rates, curve(rates), strict=True)
    ]
    scores = np.concatenate([judgement.counted.without_canary, judgement.counted.with_canary])
    errors = judgement.counted.count_errors(np.quantile(scores, np.linspace(1, 0, CURVE_POINTS + 1)))
    low, high = errors.true_positive_limits(1 - LEVEL)
    reached = zip(errors.fpr, 1 - errors.fnr, low, high, strict=True)
    return claimed + [_curve_point("reached in the audit", *point) for point in reached]


def _curve_point(series: str, fpr: float, tpr: float, low: float | None = None, high: float | None = None) -> Row:
    limits = {"low": None if low is None else float(low), "high": None if high is None else float(high)}
    return {"series": series, "fpr": float(fpr), "tpr": float(tpr), **limits}


def _curve_figure(judgement: ClaimJudgement) -> Figure:
    return lines_figure(
        id="attacker_curve",
        table="attacker_curve",
        x="fpr",
        y="tpr",
        series="series",
        low="low",
        high="high",
        diagonal=True,
        x_label="runs without the canary that are taken for runs with it",
        y_label="runs with the canary that are found",
        title="What the accountant allows an attacker, and what one reached",
        alt="The largest true-positive rate that the accountant allows at each false-positive rate, and below it what "
        f"the audit's attacker reached, with {LEVEL:.0%} intervals; a coin toss is the diagonal. "
        f"p-value of the claim: {judgement.p_value:.2g}.",
    )


def _describe_runs(audited: AuditedModel, runs: int) -> str:
    head = linear_head_vectors(audited.require_task()) is not None
    no_head = (
        ""
        if head
        else " What this run trained is no linear head: its own gradients are held by the self-test alone, the audit "
        "watched the sampler, the clipping and the noise of linear heads."
    )
    return (
        f"The audit of the mechanism trained {runs} heads with a made-up canary and {runs} without, by the run's "
        "sampling rate, steps, noise, clipping norm and divisor, and by the same code. No private example took part, "
        "and nothing was released. A claim that holds is refuted once in a thousand audits at most." + no_head
    )


def _bound_ceiling(judgement: ClaimJudgement) -> float:
    """Return the bound that a test without any error would give on as many runs."""
    n = min(len(judgement.counted.without_canary), len(judgement.counted.with_canary))
    return float(np.log(n / -np.log((1 - LEVEL) / 2)))
