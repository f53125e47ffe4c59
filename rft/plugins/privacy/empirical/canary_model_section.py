"""The audit in one run in the report: what guesses about the canaries of a model say about epsilon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rft.errors import ConfigError, Unavailable
from rft.plugins import AuditedModel
from rft.plugins.privacy import PrivacyOptions
from rft.plugins.privacy.accounting.accountants import Mechanism
from rft.plugins.privacy.accounting.curves import trade_off
from rft.plugins.privacy.chapter import PrivacyChapter
from rft.plugins.privacy.empirical import canaries
from rft.plugins.privacy.empirical.bounds import (
    LEVEL,
    Curve,
    one_run_bound,
    one_run_curve_p_value,
    one_run_gaussian_bound,
    one_run_p_value,
)
from rft.plugins.privacy.empirical.canaries import OneRunAudit
from rft.plugins.privacy.empirical.epsilon_bounds import (
    NO_EVIDENCE,
    NOT_PRIVATE,
    EmpiricalAudit,
    EpsilonBound,
    describe_p_value,
)
from rft.plugins.privacy.empirical.many_runs import REFUTATION_LEVEL
from rft.plugins.privacy.training.trainer import DPTrainer
from rft.records import Absence, Cell, Finding, FindingDefinition, Table
from rft.references import MAHLOUJIFAR, STEINKE

if TYPE_CHECKING:
    from rft.training.privacy_facts import PrivacyFacts


ONE_RUN_BOUND = FindingDefinition(
    "privacy.one_run_epsilon_lower_bound",
    "Empirical lower bound on epsilon, by canaries in one run",
    f"With {LEVEL:.0%} confidence this training gives away at least this much to an attacker who sees the trained "
    "weights.",
    caveats=f"{NO_EVIDENCE} Measured on a canary model, trained as the model was with canaries among the data.",
    references=(STEINKE, MAHLOUJIFAR),
    rounding="down",
)
CAPTIONS = {"one_run_audit": "The audit in one run: a canary model, which is trained like the model and not released."}


def audit_with_canaries(
    audited: AuditedModel, options: PrivacyOptions, facts: PrivacyFacts | None, seed: int, void: str | None = None
) -> EmpiricalAudit:
    """Train a canary model and attack it; the finding says why not where that cannot be."""
    if facts is None:
        return _explain_missing_audit(void or NOT_PRIVATE, absence="not_applicable")
    if void is not None:
        return _explain_missing_audit(void)
    try:
        audit = _audit_canary_model(audited, options, facts, seed)
    except Unavailable as missing:
        return _explain_missing_audit(str(missing))
    except ConfigError as refused:  # too little of the budget is left
        return _explain_missing_audit(f"no canary model was trained: {refused.what}")
    delta, canary_facts = facts.delta, audit.fit.require_privacy()
    bound = one_run_bound(audit.guesses, delta)
    gaussian = one_run_gaussian_bound(audit.guesses, delta)
    p_value = _one_run_p_value(audit, facts)
    content = PrivacyChapter(
        findings=(_one_run_finding(audit, bound, p_value, facts),),
        tables={"one_run_audit": _one_run_table(audit, bound, gaussian, p_value, delta)},
        captions=CAPTIONS,
        text=(_describe_canary_model(audit),),
        computed_from="train",
        mechanisms=(Mechanism.from_facts(canary_facts),),
        ledger=canary_facts.ledger,
    )
    bounds = (
        EpsilonBound("one run", "at least", bound, "nothing"),
        EpsilonBound("one run, if Gaussian", "at least", gaussian, "a Gaussian trade-off curve"),
    )
    return EmpiricalAudit(content, bounds)


def _explain_missing_audit(reason: str, *, absence: Absence | None = None) -> EmpiricalAudit:
    finding = ONE_RUN_BOUND.state_not_measured(reason, absence=absence)
    return EmpiricalAudit(PrivacyChapter(findings=(finding,), computed_from="train"))


def _audit_canary_model(audited: AuditedModel, options: PrivacyOptions, facts: PrivacyFacts, seed: int) -> OneRunAudit:
    if options.canaries < canaries.MIN_CANARIES:
        raise Unavailable(
            f"privacy.canaries is {options.canaries}: with {canaries.MIN_CANARIES} or more, 1000 say, a canary "
            "model is trained with them, which is charged"
        )
    trainer, task = audited.require_trainer(), audited.require_task()
    if isinstance(trainer, DPTrainer) and trainer.method != "sgd":
        raise Unavailable("canaries are made for gradient descent, and this training solves least squares")
    return canaries.audit_canary_model(trainer, task, facts, options.canaries, facts.delta, seed=seed)


def _one_run_p_value(audit: OneRunAudit, facts: PrivacyFacts) -> float:
    """Return the p-value of the claim, by its epsilon and by its curve (Bonferroni)."""
    canary_facts = audit.fit.require_privacy()  # its epsilon is larger where training it was interrupted
    by_epsilon = one_run_p_value(audit.guesses, canary_facts.epsilon, facts.delta)
    by_curve = one_run_curve_p_value(audit.guesses, Curve(trade_off(Mechanism.from_facts(canary_facts))))
    return min(1.0, 2 * min(by_epsilon, by_curve))


def _one_run_finding(audit: OneRunAudit, bound: float, p_value: float, facts: PrivacyFacts) -> Finding:
    refuted = p_value < REFUTATION_LEVEL
    if refuted:
        verdict = (
            f" The guesses are better than the claim allows ({describe_p_value(p_value)} if it held): it is not kept."
        )
    else:
        verdict = f" The accountant says: at most {facts.epsilon:.4g}. Nothing here contradicts that."
    return ONE_RUN_BOUND.state_fact(  # a confidence limit: a rule is settled by the limit itself
        bound,
        n=audit.guesses.canaries,
        status="fail" if refuted else "info",
        description=ONE_RUN_BOUND.description + verdict,
    )


def _one_run_table(audit: OneRunAudit, bound: float, gaussian: float, p_value: float, delta: float) -> Table:
    guesses = audit.guesses
    rows: list[tuple[str, Cell, str]] = [
        ("canaries", guesses.canaries, "Made-up examples, each put in by a fair coin."),
        ("canaries in training", int(audit.inside.sum()), "What the coins said."),
        ("guesses", guesses.guessed, "Fixed by public numbers beforehand; about the others nothing was guessed."),
        ("right guesses", guesses.right, f"Without any leakage about {guesses.guessed // 2}."),
        ("p-value of the claim", p_value, f"Chance of guesses so good, at most. Below {REFUTATION_LEVEL:g}: refuted."),
        ("lower bound on epsilon", bound, f"At delta {delta:.3g}, with {LEVEL:.0%} confidence."),
        ("lower bound if Gaussian", gaussian, "As far as the trade-off curve is that of a Gaussian."),
    ]
    return [dict(zip(("quantity", "value", "description"), row, strict=True)) for row in rows]


def _describe_canary_model(audit: OneRunAudit) -> str:
    return (
        f"For the audit in one run a canary model was trained with {audit.guesses.canaries} canaries among the "
        f"data, and thrown away. Training it spent an epsilon of {audit.fit.require_privacy().epsilon:.4g} on the same "
        "people once more."
    )
