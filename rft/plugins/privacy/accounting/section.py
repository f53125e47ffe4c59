"""What the report says of the accounting: whether accountants agree, and the same training in other terms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rft.plugins.privacy.accounting.accountant_cross_check import AccountantCrossCheck, cross_check_accountants
from rft.plugins.privacy.accounting.accountants import Mechanism
from rft.plugins.privacy.accounting.alternative_accounting import ShuffledBounds, epsilon_replace_one, epsilon_shuffled
from rft.plugins.privacy.accounting.curves import DELTAS, epsilon_curve, trade_off
from rft.plugins.privacy.chapter import PrivacyChapter
from rft.records import Figure, Finding, FindingDefinition, Row, Table, lines_figure
from rft.references import CHUA, DONG, DOROSHENKO, GOPI

if TYPE_CHECKING:
    from rft.training.privacy_facts import PrivacyFacts

IDEAL_ATTACKER_RATES = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5)  # false-positive rates at which the ideal attacker is shown


CHAPTER = "How that was counted"
AGREEMENT = FindingDefinition(
    "privacy.accountant_difference",
    "Difference between two accountants",
    "How far apart the privacy loss distributions (PLD) of dp-accounting and the privacy random variables (PRV) of "
    "Opacus put epsilon: two methods and two libraries for the same training.",
    unit="epsilon",
    caveats="Both take the same description of the training for granted; that it was kept to is for the self-test.",
    references=(DOROSHENKO, GOPI),
    cases="none",
)
REPLACED = FindingDefinition(
    "privacy.epsilon_replace_one",
    "Epsilon if one unit were replaced by another",
    "The same training under another neighbouring relation: what one unit contributed is replaced by what any other "
    "might, and not by nothing. Some libraries and papers state this one.",
    unit="epsilon",
    references=(DOROSHENKO,),
    cases="none",
    better="lower",
    rounding="up",
)
SHUFFLED_DESCRIPTION = (
    "Here each step draws a new random sample. Many tools shuffle the data and cut it into batches instead, and state "
    "the epsilon of random samples nevertheless; with the noise of this run theirs would be up to this value"
)
SHUFFLED = FindingDefinition(
    "privacy.epsilon_shuffled",
    "Epsilon had the batches been shuffled, at most",
    f"{SHUFFLED_DESCRIPTION}.",
    unit="epsilon",
    caveats="The exact value is not known to research.",
    references=(CHUA,),
    cases="none",
    better="lower",
    rounding="up",
)
NO_FINITE_VALUE = "no accountant gives a finite value for these parameters"
IDEAL_RATES = (0.01, 0.001)  # those that have a finding
CAPTIONS = {
    "accounting": "What each accountant gives for this training, and what it would spend under other assumptions.",
    "epsilon_curve": "Each pair of delta and epsilon holds for the same training.",
    "ideal_attacker": "The largest true-positive rate that any membership attack can have, by the accounting.",
}


def accounting_chapter(facts: PrivacyFacts, void: str | None = None) -> PrivacyChapter:
    """Return the checks of a private fit's epsilon, and what the same training spends in other terms.

    Where accountants contradict each other, the status of ``privacy.accountant_difference`` is ``fail``.

    Args:
        facts: of the fit; all that was charged counts where training was interrupted.
        void: why nothing is promised; None where the promise stands.
    """
    if void is not None:
        return _withdraw_all_promises(void)
    mechanism = Mechanism.from_facts(facts)
    delta = facts.delta
    cross_check = cross_check_accountants(mechanism, delta)
    replaced, shuffled = epsilon_replace_one(mechanism, delta), epsilon_shuffled(mechanism, delta)
    ideal = _ideal_attacker_table(mechanism)
    return PrivacyChapter(
        CHAPTER,
        findings=(
            _difference_finding(cross_check),
            _replace_one_finding(replaced, facts.n),
            _shuffled_finding(shuffled, facts),
            *(_ideal_finding(row, facts.n) for row in ideal if row["fpr"] in IDEAL_RATES),
        ),
        tables={
            "accounting": _accountants_table(cross_check, replaced, shuffled, facts.accountant_versions),
            "epsilon_curve": _epsilon_curve_table(mechanism, facts),
            "ideal_attacker": ideal,
        },
        captions=CAPTIONS,
        figures=(_epsilon_curve_figure(),),
        computed_from="facts",
    )


def _withdraw_all_promises(reason: str) -> PrivacyChapter:
    """Return the findings without their numbers: they would restate a promise that nobody is given."""
    promises = (AGREEMENT, REPLACED, SHUFFLED, *map(_define_ideal, IDEAL_RATES))
    findings = tuple(promise.state_not_measured(reason) for promise in promises)
    return PrivacyChapter(CHAPTER, findings=findings, computed_from="facts")


def _difference_finding(cross_check: AccountantCrossCheck) -> Finding:
    pld, prv = cross_check.pld, cross_check.prv
    if not cross_check.problems and (prv is None or not math.isfinite(pld)):
        reason = cross_check.prv_reason or "PLD has no value for these parameters"
        return AGREEMENT.state_not_measured(reason)
    error = f" PRV by itself is right within {prv.error:.2g}." if prv else ""
    problems = "".join(f" {problem}: one of them is wrong." for problem in cross_check.problems)
    return AGREEMENT.state_fact(
        abs(pld - (prv.epsilon if prv else cross_check.rdp)),
        status="fail" if problems else "info",
        description=AGREEMENT.description + error + problems,
    )


def _replace_one_finding(epsilon: float | None, n: int) -> Finding:
    if epsilon is None:
        return REPLACED.state_not_measured(NO_FINITE_VALUE, n=n)
    return REPLACED.state_fact(epsilon, n=n)


def _shuffled_finding(shuffled: ShuffledBounds, facts: PrivacyFacts) -> Finding:
    if not math.isfinite(shuffled.high):
        return SHUFFLED.state_not_measured(NO_FINITE_VALUE, n=facts.n)
    least = "" if shuffled.low is None else f", and at least {shuffled.low:.3g}"
    if shuffled.low is not None and shuffled.low > facts.epsilon:
        least += f", more than the {facts.epsilon:.3g} of random samples"
    return SHUFFLED.state_fact(shuffled.high, n=facts.n, description=f"{SHUFFLED_DESCRIPTION}{least}.")


def _ideal_attacker_table(mechanism: Mechanism) -> Table:
    fnr = trade_off(mechanism)
    return [{"fpr": rate, "tpr": 1 - fnr(rate)} for rate in IDEAL_ATTACKER_RATES]


def _ideal_finding(row: Row, n: int) -> Finding:
    return _define_ideal(float(row["fpr"] or 0)).state_fact(float(row["tpr"] or 0), n=n)


def _define_ideal(fpr: float) -> FindingDefinition:
    return FindingDefinition(
        _ideal_id(fpr),
        f"Ideal attacker: largest TPR at {100 * fpr:g} % FPR",
        "No attacker, whoever it is and whatever else it knows, can recognise more than this share of the members by "
        f"the trained weights without also accusing {100 * fpr:g} % of those who took no part.",
        unit="fraction",
        caveats=f"A bound that follows from the accounting, not an attack; guessing alone reaches {fpr:g}.",
        references=(DONG, DOROSHENKO),
        better="lower",
    )


def _ideal_id(fpr: float) -> str:
    return f"privacy.ideal_tpr_at_{f'{100 * fpr:g}'.replace('.', '')}pct_fpr"


def _accountants_table(
    cross_check: AccountantCrossCheck, replaced: float | None, shuffled: ShuffledBounds, versions: Mapping[str, str]
) -> Table:
    """Return a row for each accountant and for each other assumption; an interval where a value is known within one."""
    dp_accounting, opacus = (f"{name} {versions[name]}" for name in ("dp-accounting", "opacus"))
    prv = cross_check.prv
    prv_ends = (max(0.0, prv.epsilon - prv.error), prv.epsilon + prv.error) if prv else (None, None)
    shuffled_ends = (shuffled.low or 0.0, shuffled.high) if math.isfinite(shuffled.high) else (None, None)
    rows = [
        (
            "PLD",
            _finite_or_none(cross_check.pld),
            None,
            None,
            dp_accounting,
            "tight; what the report states where it has one",
        ),
        ("RDP", _finite_or_none(cross_check.rdp), None, None, opacus, "an upper bound, looser"),
        (
            "PRV",
            prv.epsilon if prv else None,
            *prv_ends,
            opacus,
            cross_check.prv_reason or "tight, within its own error",
        ),
        ("replace-one", replaced, None, None, dp_accounting, "by PLD, one unit replaced by another"),
        ("shuffled", None, *shuffled_ends, dp_accounting, "from below by one event, from above by PLD of every pass"),
    ]
    names = ("name", "value", "low", "high", "accountant", "description")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _finite_or_none(epsilon: float) -> float | None:
    return epsilon if math.isfinite(epsilon) else None


def _epsilon_curve_table(mechanism: Mechanism, facts: PrivacyFacts) -> Table:
    """Return epsilon at powers of ten and at the run's own delta, where it is the one that the report states."""
    stated = (facts.delta, facts.epsilon, facts.accountant)
    spent = epsilon_curve(mechanism, [delta for delta in DELTAS if delta != facts.delta])
    points = [(delta, _finite_or_none(spending.epsilon), spending.accountant) for delta, spending in spent.items()]
    names = ("delta", "epsilon", "accountant")
    return [dict(zip(names, point, strict=True)) for point in sorted([*points, stated])]


def _epsilon_curve_figure() -> Figure:
    return lines_figure(
        id="epsilon_curve",
        table="epsilon_curve",
        x="delta",
        y="epsilon",
        x_scale="log",
        x_label="delta",
        y_label="epsilon",
        title="Epsilon against delta",
        alt="The epsilon of the same training at each delta: it falls as delta, on a logarithmic axis, grows.",
    )
