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
from rft.records import Figure, Finding, Row, Table, not_measured
from rft.references import CHUA, DONG, DOROSHENKO, GOPI

if TYPE_CHECKING:
    from rft.training.privacy_facts import PrivacyFacts

IDEAL_ATTACKER_RATES = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5)  # false-positive rates at which the ideal attacker is shown


CHAPTER = "How that was counted"
AGREEMENT_TITLE = "Difference between two accountants"
AGREEMENT_DESCRIPTION = (
    "How far apart the privacy loss distributions (PLD) of dp-accounting and the privacy random variables (PRV) of "
    "Opacus put epsilon: two methods and two libraries for the same training."
)
REPLACE_TITLE = "Epsilon if one unit were replaced by another"
REPLACE_DESCRIPTION = (
    "The same training under another neighbouring relation: what one unit contributed is replaced by what any other "
    "might, and not by nothing. Some libraries and papers state this one."
)
SHUFFLED_TITLE = "Epsilon had the batches been shuffled, at most"
SHUFFLED_DESCRIPTION = (
    "Here each step draws a new random sample. Many tools shuffle the data and cut it into batches instead, and state "
    "the epsilon of random samples nevertheless; with the noise of this run theirs would be up to this value"
)
IDEAL_TITLE = "Ideal attacker: largest TPR at {rate:g} % FPR"
IDEAL_DESCRIPTION = (
    "No attacker, whoever it is and whatever else it knows, can recognise more than this share of the members by the "
    "trained weights without also accusing {rate:g} % of those who took no part."
)
IDEAL_LIMITS = "A bound that follows from the accounting, not an attack; guessing alone reaches {fpr:g}."
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
    )


def _withdraw_all_promises(reason: str) -> PrivacyChapter:
    """Return the findings without their numbers: they would restate a promise that nobody is given."""
    about = [
        ("privacy.accountant_difference", AGREEMENT_TITLE, AGREEMENT_DESCRIPTION),
        ("privacy.epsilon_replace_one", REPLACE_TITLE, REPLACE_DESCRIPTION),
        ("privacy.epsilon_shuffled", SHUFFLED_TITLE, SHUFFLED_DESCRIPTION + "."),
        *((_ideal_id(fpr), IDEAL_TITLE.format(rate=100 * fpr), _describe_ideal(fpr)) for fpr in IDEAL_RATES),
    ]
    return PrivacyChapter(
        CHAPTER, findings=tuple(not_measured(id, title, reason, description) for id, title, description in about)
    )


def _difference_finding(cross_check: AccountantCrossCheck) -> Finding:
    id, pld, prv = "privacy.accountant_difference", cross_check.pld, cross_check.prv
    if not cross_check.problems and (prv is None or not math.isfinite(pld)):
        reason = cross_check.prv_reason or "PLD has no value for these parameters"
        return not_measured(id, AGREEMENT_TITLE, reason, AGREEMENT_DESCRIPTION)
    error = f" PRV by itself is right within {prv.error:.2g}." if prv else ""
    problems = "".join(f" {problem}: one of them is wrong." for problem in cross_check.problems)
    return Finding(
        id=id,
        title=AGREEMENT_TITLE,
        status="fail" if problems else "info",
        value=abs(pld - (prv.epsilon if prv else cross_check.rdp)),
        unit="epsilon",
        deterministic=True,
        cases="none",
        description=AGREEMENT_DESCRIPTION + error + problems,
        caveats="Both take the same description of the training for granted; that it was kept to is for the self-test.",
        references=(DOROSHENKO, GOPI),
    )


def _replace_one_finding(epsilon: float | None, n: int) -> Finding:
    id = "privacy.epsilon_replace_one"
    if epsilon is None:
        return not_measured(id, REPLACE_TITLE, NO_FINITE_VALUE, REPLACE_DESCRIPTION, n=n)
    return Finding(
        id=id,
        title=REPLACE_TITLE,
        status="info",
        value=epsilon,
        unit="epsilon",
        deterministic=True,
        cases="none",
        n=n,
        description=REPLACE_DESCRIPTION,
        references=(DOROSHENKO,),
    )


def _shuffled_finding(shuffled: ShuffledBounds, facts: PrivacyFacts) -> Finding:
    id, n = "privacy.epsilon_shuffled", facts.n
    if not math.isfinite(shuffled.high):
        return not_measured(id, SHUFFLED_TITLE, NO_FINITE_VALUE, SHUFFLED_DESCRIPTION + ".", n=n)
    least = "" if shuffled.low is None else f", and at least {shuffled.low:.3g}"
    if shuffled.low is not None and shuffled.low > facts.epsilon:
        least += f", more than the {facts.epsilon:.3g} of random samples"
    return Finding(
        id=id,
        title=SHUFFLED_TITLE,
        status="info",
        value=shuffled.high,
        unit="epsilon",
        deterministic=True,
        cases="none",
        n=n,
        description=f"{SHUFFLED_DESCRIPTION}{least}.",
        caveats="The exact value is not known to research.",
        references=(CHUA,),
    )


def _ideal_attacker_table(mechanism: Mechanism) -> Table:
    fnr = trade_off(mechanism)
    return [{"fpr": rate, "tpr": 1 - fnr(rate)} for rate in IDEAL_ATTACKER_RATES]


def _ideal_finding(row: Row, n: int) -> Finding:
    fpr = float(row["fpr"] or 0)
    return Finding(
        id=_ideal_id(fpr),
        title=IDEAL_TITLE.format(rate=100 * fpr),
        status="info",
        value=float(row["tpr"] or 0),
        unit="fraction",
        deterministic=True,
        n=n,
        description=_describe_ideal(fpr),
        caveats=IDEAL_LIMITS.format(fpr=fpr),
        references=(DONG, DOROSHENKO),
    )


def _ideal_id(fpr: float) -> str:
    return f"privacy.ideal_tpr_at_{f'{100 * fpr:g}'.replace('.', '')}pct_fpr"


def _describe_ideal(fpr: float) -> str:
    return IDEAL_DESCRIPTION.format(rate=100 * fpr)


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
    return Figure(
        id="epsilon_curve",
        kind="lines",
        table="epsilon_curve",
        encode={"x": "delta", "y": "epsilon"},
        options={"x_scale": "log"},
        x_label="delta",
        y_label="epsilon",
        title="Epsilon against delta",
        alt="The epsilon of the same training at each delta: it falls as delta, on a logarithmic axis, grows.",
    )
