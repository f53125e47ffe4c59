"""What private training spent, and whether its own objects kept what the accountants take for granted.

Findings about the facts of a fit; nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rft.plugins import AuditedModel
from rft.plugins.privacy.accounting import accountants, claim
from rft.plugins.privacy.accounting.accountants import Mechanism
from rft.plugins.privacy.chapter import PrivacyChapter
from rft.records import Finding, FindingDefinition, MeasuredStatus, TaskName
from rft.references import ABADI, DOROSHENKO, MIRONOV, NIST_800_226, PONOMAREVA

if TYPE_CHECKING:
    from rft.training.privacy_facts import PrivacyFacts

HIGH_EPSILON = 10.0
FEW_UNITS = 100  # below it the noise of a useful epsilon is as large as what is learnt from everybody
AGREEMENT_TOLERANCE = 1e-3  # by which the tight accountant may exceed the loose one

WEAK = f" Above {HIGH_EPSILON:g} the bound is weak: it allows odds to change more than 22,000-fold."

SPENT = "Privacy budget spent"


def spending_chapter(
    facts: PrivacyFacts,
    unit: str,
    others: Sequence[Mechanism],
    void: str | None = None,
    *,
    task: TaskName = "classification",
) -> PrivacyChapter:
    """Return what a private fit spent, in the order in which a reviewer asks.

    Args:
        facts: of the fit.
        unit: whose contribution is bounded: ``example``, or ``unit (face_id)``.
        others: what else of the run, frontier heads and canary models, was trained privately on the same data.
        void: why nothing is promised; None where the promise stands.
        task: what the model does.
    """
    promised = [_epsilon_finding(facts, unit)]
    promised += [_epsilon_with_audits_finding(facts, others, unit)] if others else []
    promised += [_rdp_finding(facts), _delta_finding(facts), _noise_finding(facts, unit)]
    if void is not None:
        promised = [_withdraw_promise(finding, void) for finding in promised]
    return PrivacyChapter(
        SPENT,
        findings=(*promised, _units_finding(facts, unit), *_batch_independence_findings(facts, unit)),
        tables={"parameters": claim.parameters_table(facts, unit, void, task=task)},
        captions={
            "parameters": "What is needed to check or convert epsilon. Measured: computed in this run; declared: a "
            "setting; unverified: neither."
        },
        text=tuple(claim.claim_notes(facts, unit, void)),
        computed_from="facts",
        exceptions={"parameters": "train"},  # it counts the examples of the largest unit
    )


def _withdraw_promise(finding: Finding, reason: str) -> Finding:
    """Return a finding about a promise that is void; one that says that integrity is broken stays."""
    if finding.status == "fail":
        return finding
    return FindingDefinition(finding.id, finding.title, finding.description).state_not_measured(reason, n=finding.n)


def no_spending_chapter(audited: AuditedModel) -> PrivacyChapter:
    """Return that nothing was spent since nothing was promised."""
    definition = _define_epsilon("example")
    if audited.fit is None:
        elsewhere = _say_that_training_is_elsewhere(definition, audited.provided_as)
        return PrivacyChapter(SPENT, findings=(elsewhere,), computed_from="facts")
    reason = "the model was trained without differential privacy: [privacy] has no epsilon"
    finding = definition.state_not_measured(reason, absence="not_asked")
    return PrivacyChapter(SPENT, findings=(finding,), computed_from="facts")


def _say_that_training_is_elsewhere(definition: FindingDefinition, provided_as: str) -> Finding:
    return definition.state_not_measured(provided_as, absence="not_applicable")


def self_test_chapter(facts: PrivacyFacts) -> PrivacyChapter:
    """Return what was tried out before the first step; a run in which something failed has no report."""
    rows = facts.self_test
    failed = sum(row["outcome"] != "passed" for row in rows)
    definition = FindingDefinition(
        "privacy.self_test",
        "Failed self-tests",
        "Sampling, clipping, noise and their bookkeeping, tried out before the first step on the objects that trained, "
        "with made-up examples.",
        better="lower",
        unit="checks",
        caveats="Statistical checks find gross mistakes only; a failed one stops the run before anything is trained.",
        cases="none",
    )
    finding = definition.state_count(failed, n=len(rows), status="fail" if failed else "info")
    return PrivacyChapter(
        "Self-test",
        findings=(finding, _gradient_error_finding(facts)),
        tables={"self_test": rows},
        captions={"self_test": "Each promise, what was expected and what was found."},
        computed_from="facts",
    )


def _epsilon_with_audits_finding(facts: PrivacyFacts, mechanisms: Sequence[Mechanism], unit: str) -> Finding:
    """Return the epsilon of the model together with all else that the run trained privately on the same data."""
    model = Mechanism.from_facts(facts)
    spent = accountants.composed_spending([model, *mechanisms], facts.delta)
    high = spent.epsilon > HIGH_EPSILON
    definition = FindingDefinition(
        "privacy.epsilon_with_audits",
        "Epsilon if the heads that this audit trained were given away too",
        f"How much the model and {len(mechanisms)} further heads of this run, taken together, can depend on any one "
        f"{unit}: what counts where such heads are given away with the model." + WEAK * high,
        caveats="Does not cover this report, which is un-noised: its tables, figures and attack results, and what "
        "these heads do on test examples, are computed without noise, and no epsilon covers them.",
        references=(DOROSHENKO if spent.accountant == "PLD" else MIRONOV,),
        better="lower",
        rounding="up",
    )
    return definition.state_fact(spent.epsilon, n=facts.n, status="warn" if high else "info")


def _define_epsilon(unit: str, references: tuple[str, ...] = ()) -> FindingDefinition:
    return FindingDefinition(
        "privacy.epsilon",
        "Privacy loss epsilon",
        f"How much the trained weights can depend on any one {unit}, at most: 0 is not at all, smaller is better.",
        caveats="Covers the training of this model alone; see the table of what is and what is not covered.",
        references=references,
        better="lower",
        headline=True,
        card_tags=("differential-privacy",),
        remedy="Train again with a smaller epsilon; privacy.frontier shows what that costs in accuracy.",
        rounding="up",
    )


def _epsilon_finding(facts: PrivacyFacts, unit: str) -> Finding:
    status, remark = _judge_epsilon(facts)
    accountant = DOROSHENKO if facts.accountant == "PLD" else MIRONOV
    definition = _define_epsilon(unit, (ABADI, accountant, NIST_800_226, PONOMAREVA))
    return definition.state_fact(facts.epsilon, n=facts.n, status=status, description=definition.description + remark)


def _judge_epsilon(facts: PrivacyFacts) -> tuple[MeasuredStatus, str]:
    """Return the status of epsilon and what to say about it; what breaks the claim comes before what weakens it."""
    epsilon = facts.epsilon
    if epsilon > facts.epsilon_rdp + AGREEMENT_TOLERANCE:
        return "fail", f" It exceeds the looser accountant's {facts.epsilon_rdp:.4g}: one of the two is wrong."
    if epsilon > facts.target_epsilon * (1 + 1e-9):
        repeated = facts.charged_steps - facts.steps
        if repeated > 0:
            remark = f" It exceeds the {facts.target_epsilon:g} that was asked for, since training was interrupted: "
            return "warn", remark + f"{repeated} steps were taken again, and all are counted."
        return "fail", f" It exceeds the {facts.target_epsilon:g} that was asked for."
    if epsilon > HIGH_EPSILON:
        return "warn", WEAK
    return "info", ""


def _rdp_finding(facts: PrivacyFacts) -> Finding:
    definition = FindingDefinition(
        "privacy.epsilon_rdp",
        "Epsilon by a second, looser accountant (a cross-check)",
        "The same training by the Renyi accountant of Opacus, which is looser and must not come out lower.",
        references=(MIRONOV,),
        rounding="up",
    )
    return definition.state_fact(facts.epsilon_rdp, n=facts.n)


def _delta_finding(facts: PrivacyFacts) -> Finding:
    large = facts.delta > (1 + 1e-9) / (10 * facts.n)
    remark = f" It is above 1 / (10 n) = {1 / (10 * facts.n):.2g}, which is usually asked for." if large else ""
    rule = " By the rule min(1e-5, 1 / (10 n)), since the config gives none." if facts.delta_by_rule else ""
    definition = FindingDefinition(
        "privacy.delta",
        "Failure probability delta",
        "Probability with which the bound of epsilon may fail to hold." + rule + remark,
        caveats="A delta near 1 / n would allow a training that publishes one unit outright.",
        references=(NIST_800_226,),
        better="lower",
        grade="measured" if facts.delta_by_rule else "declared",
        rounding="up",
    )
    return definition.state_fact(facts.delta, n=facts.n, status="warn" if large else "info")


def _units_finding(facts: PrivacyFacts, unit: str) -> Finding:
    few, undeclared = facts.n < FEW_UNITS, facts.unit == "example"
    remarks = [
        f" With fewer than {FEW_UNITS} the noise that hides one hides most of what all have in common." * few,
        " No unit was declared: a person with several examples is protected less than epsilon says." * undeclared,
    ]
    definition = FindingDefinition(
        "privacy.units",
        "Units that are protected",
        f"Each {unit} counts as one, with all its examples; n is taken to be public." + "".join(remarks),
        unit="units",
        references=(NIST_800_226,),
        grade="declared",
    )
    return definition.state_count(facts.n, status="warn" if few or undeclared else "info")


def _batch_independence_findings(facts: PrivacyFacts, unit: str) -> tuple[Finding, ...]:
    """Return what the others do to the features of an example; nothing where no features were cached."""
    dependence = facts.batch_dependence
    if dependence is None:
        return ()
    change, others = 0.0 if dependence.alone else dependence.change, facts.n * facts.sample_rate
    remark = (
        " Each example was run by itself: nothing changes."
        if dependence.alone
        else " No change was seen."
        if not change
        else f" Without one {unit}, the contributions of the others to a step, about {others:.0f}, may together differ "
        f"by some {change * others:.1g} of the largest contribution of one, which the accounting does not count."
    )
    definition = FindingDefinition(
        "privacy.batch_independence",
        "Change of an example's features by those that it was computed with",
        claim.BATCH_CHANGE + remark,
        caveats="Measured on a few made-up examples, in batches of the usual size.",
    )
    return (definition.state_fact(change),)


def _noise_finding(facts: PrivacyFacts, unit: str) -> Finding:
    everyone = facts.sample_rate == 1
    remark = f" Every step uses every {unit}: a smaller batch_size than {facts.n} would need less noise."
    definition = FindingDefinition(
        "privacy.noise_multiplier",
        "Noise multiplier",
        f"Standard deviation of the noise, in units of the largest contribution of one {unit} to a step."
        + (remark if everyone else ""),
        references=(ABADI,),
    )
    return definition.state_fact(facts.noise_multiplier, status="warn" if everyone else "info")


def _gradient_error_finding(facts: PrivacyFacts) -> Finding:
    definition = FindingDefinition(
        "privacy.gradient_error",
        "Error of single examples' gradients",
        f"{claim.GRADIENT_ERROR} In training they were computed {claim.GRADIENTS[facts.engine.name]}.",
        caveats="A test on a few examples before training; nothing is trained where no way is exact to 0.001.",
    )
    assert facts.engine.error is not None, "the self-test has run before anything was trained"
    return definition.state_fact(facts.engine.error)
