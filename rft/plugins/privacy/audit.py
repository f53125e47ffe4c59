"""From a fit and its predictions to the section: what training spent, what it covers, and what an attack reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rft.plugins import Subject
from rft.plugins.privacy import PrivacyOptions, attacks, statement
from rft.plugins.privacy.attacks import Outcome, Target
from rft.records import Figure, Finding, Section, Status, Table, not_measured

if TYPE_CHECKING:
    from rft.training import Facts

HIGH_EPSILON = 10.0
AGREEMENT = 1e-3  # by which the tight accountant may exceed the loose one

DP_SGD = "Abadi et al. 2016, CCS"
PLD = "Doroshenko et al. 2022, PoPETs"
RDP = "Mironov et al. 2019, arXiv:1908.10530"
NIST = "NIST SP 800-226"
YEOM = "Yeom et al. 2018, CSF"
NEWCOMBE = "Newcombe 2006, Stat. Med. 25:559"

EPSILON_TITLE = "Privacy loss epsilon"
EPSILON_MEANING = (
    "How much the trained weights can depend on any one {unit}, at most: 0 is not at all, smaller is better."
)
EPSILON_LIMITS = "Covers the training of this model alone; see the table of what is and what is not covered."
AUC_MEANING = (
    "How often an attacker who sees the probability that the model gives to the true label ranks a training {unit} "
    "above another one: 0.5 is a coin toss, 1 is always."
)
AUC_LIMITS = (
    "One simple attack. Members and non-members are the run's own train and test split: a difference between the two "
    "shows as well. Describes exposure and is no bound on epsilon."
)
EXTERNAL_LIMITS = " That this model was trained on the train split is what the user says; this run cannot know."

CAPTIONS = {
    "parameters": "What is needed to check or convert epsilon. Measured: computed in this run; declared: a setting.",
    "scope": "What the guarantee covers, and what it does not.",
    "attacks": "Membership inference by a loss threshold, over all and within each group.",
    "roc": "True-positive against false-positive rate of the attack.",
}


def audit(subject: Subject, options: PrivacyOptions) -> Section:
    """Return the section. Without a private fit epsilon is not measured; the attack needs predictions only."""
    facts: Facts = subject.fit.facts if subject.fit else {}
    unit = _unit(subject, facts)
    target = attacks.target(subject.predictions, subject.facts.classes)
    outcome = attacks.attack(target.rows)
    private = facts.get("mode") == "private"
    tables: dict[str, Table] = {"scope": statement.scope(facts), "attacks": attacks.table(target)}
    if private:
        tables["parameters"] = statement.parameters(facts, unit)
    if outcome:
        tables["roc"] = attacks.roc(outcome)
    return Section(
        plugin="privacy",
        title="Privacy",
        findings=(
            *(_spent(facts, unit) if private else (_no_epsilon(subject),)),
            _membership(target, outcome, external=subject.fit is None),
        ),
        tables=tables,
        captions={name: CAPTIONS[name] for name in tables},
        figures=_figures(outcome, grouped=len(tables["attacks"]) > 1),
        notes=(*(statement.notes(facts, unit) if private else ()), statement.ATTACK, *_left_out(target)),
    )


def _unit(subject: Subject, facts: Facts) -> str:
    """Return whose data is protected: the name of the unit column where the run's facts have it."""
    return subject.facts.training.unit or facts.get("unit", "example")


def _no_epsilon(subject: Subject) -> Finding:
    reason = (
        "the model was trained without differential privacy: [privacy] has no epsilon"
        if subject.fit
        else "the model was trained outside this run"
    )
    return not_measured("privacy.epsilon", EPSILON_TITLE, reason, EPSILON_MEANING.format(unit="example"))


def _spent(facts: Facts, unit: str) -> tuple[Finding, ...]:
    """Return the findings about a private fit, in the order in which a reviewer asks."""
    return (
        _epsilon(facts, unit),
        _epsilon_rdp(facts),
        _delta(facts),
        _noise_multiplier(facts, unit),
        _gradient_error(facts),
        _empty_batches(facts),
        _non_finite(facts),
    )


def _epsilon(facts: Facts, unit: str) -> Finding:
    status, remark = _judged(facts)
    return Finding(
        id="privacy.epsilon",
        title=EPSILON_TITLE,
        status=status,
        value=facts["epsilon"],
        exact=True,
        n=facts["n"],
        meaning=EPSILON_MEANING.format(unit=unit) + remark,
        limits=EPSILON_LIMITS,
        references=(DP_SGD, PLD if facts["accountant"] == "PLD" else RDP, NIST),
    )


def _judged(facts: Facts) -> tuple[Status, str]:
    """Return the status of epsilon and what to say about it; what breaks the claim comes before what weakens it."""
    epsilon = facts["epsilon"]
    if epsilon > facts["epsilon_rdp"] + AGREEMENT:
        return "fail", f" It exceeds the looser accountant's {facts['epsilon_rdp']:.4g}: one of the two is wrong."
    if epsilon > facts["target_epsilon"] * (1 + 1e-9):
        return "fail", f" It exceeds the {facts['target_epsilon']:g} that was asked for."
    if facts["randomness"] == "seeded":
        return "warn", " Void for whoever knows the run's seed, from which samples and noise follow."
    if epsilon > HIGH_EPSILON:
        return "warn", f" Above {HIGH_EPSILON:g} the bound is weak: it allows odds to change more than 22,000-fold."
    return "info", ""


def _epsilon_rdp(facts: Facts) -> Finding:
    return Finding(
        id="privacy.epsilon_rdp",
        title="Epsilon by a second, looser accountant (a cross-check)",
        status="info",
        value=facts["epsilon_rdp"],
        exact=True,
        n=facts["n"],
        meaning="The same training by the Renyi accountant of Opacus, which is looser and must not come out lower.",
        references=(RDP,),
    )


def _delta(facts: Facts) -> Finding:
    large = facts["delta"] > (1 + 1e-9) / (10 * facts["n"])
    remark = f" It is above 1 / (10 n) = {1 / (10 * facts['n']):.2g}, which is usually asked for." if large else ""
    return Finding(
        id="privacy.delta",
        title="Failure probability delta",
        status="warn" if large else "info",
        value=facts["delta"],
        exact=True,
        n=facts["n"],
        grade="declared",
        meaning="Probability with which the bound of epsilon may fail to hold." + remark,
        limits="A delta near 1 / n would allow a training that publishes one unit outright.",
        references=(NIST,),
    )


def _noise_multiplier(facts: Facts, unit: str) -> Finding:
    everyone = facts["sample_rate"] == 1
    remark = f" Every step uses every {unit}: a smaller batch_size than {facts['n']} would need less noise."
    return Finding(
        id="privacy.noise_multiplier",
        title="Noise multiplier",
        status="warn" if everyone else "info",
        value=facts["noise_multiplier"],
        exact=True,
        meaning=f"Standard deviation of the noise, in units of the largest contribution of one {unit} to a step."
        + (remark if everyone else ""),
        references=(DP_SGD,),
    )


def _gradient_error(facts: Facts) -> Finding:
    return Finding(
        id="privacy.gradient_error",
        title="Error of single examples' gradients",
        status="info",
        value=facts["engine_error"],
        exact=True,
        meaning=f"{statement.GRADIENT_ERROR} In training they were computed {statement.GRADIENTS[facts['engine']]}.",
        limits="A test on a few examples before training; nothing is trained where no way is exact to 0.001.",
    )


def _empty_batches(facts: Facts) -> Finding:
    return Finding(
        id="privacy.empty_batches",
        title="Steps with an empty sample",
        status="info",
        value=facts["empty_batches"],
        unit="steps",
        exact=True,
        n=facts["steps"],
        meaning="Steps in which nobody was sampled: taken with noise and counted, as the accounting assumes.",
    )


def _non_finite(facts: Facts) -> Finding:
    count = facts["non_finite_gradients"]
    remark = " Some features are not finite, or training diverged." if count else ""
    return Finding(
        id="privacy.non_finite_gradients",
        title="Gradients that were not finite",
        status="warn" if count else "info",
        value=count,
        unit="gradients",
        exact=True,
        meaning="Per-example gradients that were not finite, over all steps; each counted as zero." + remark,
        limits="The number itself depends on the data and is not covered by the guarantee.",
    )


def _membership(target: Target, outcome: Outcome | None, *, external: bool) -> Finding:
    id, title = "privacy.membership_auc", "Membership attack, area under the ROC curve"
    unit = "unit" if target.units else "example"
    meaning = AUC_MEANING.format(unit=unit)
    n_members, n_non_members = attacks.counts(target.rows)
    fewest = min(n_members, n_non_members)
    if outcome is None:
        return not_measured(id, title, _too_few(n_members, n_non_members, unit), meaning, n=fewest)
    leaks = outcome.interval.low > 0.5
    return Finding(
        id=id,
        title=title,
        status="warn" if leaks else "info",
        value=outcome.auc,
        interval=outcome.interval,
        n=fewest,
        meaning=meaning + (" The interval lies above 0.5: membership shows." if leaks else ""),
        limits=AUC_LIMITS + (EXTERNAL_LIMITS if external else ""),
        references=(YEOM, NEWCOMBE),
    )


def _too_few(n_members: int, n_non_members: int, unit: str) -> str:
    if not n_members:
        return f"no training {unit} has a score: what the model was trained on must be known to tell it from the rest"
    if not n_non_members:
        return f"no test {unit} has a score: there is nothing to tell training {unit}s from"
    return f"{n_members} training and {n_non_members} test {unit}s with a score: at least {attacks.FEWEST} of each"


def _left_out(target: Target) -> tuple[str, ...]:
    """Return what the attack could not use, in words."""
    both = f"{target.n_in_both} units have examples in both train and test; the attack leaves them out."
    unscored = f"{target.n_unscored} examples have no probability for their label; the attack leaves them out."
    return ((both,) if target.n_in_both else ()) + ((unscored,) if target.n_unscored else ())


def _figures(outcome: Outcome | None, *, grouped: bool) -> tuple[Figure, ...]:
    if outcome is None:
        return ()
    curve = Figure(
        id="membership_roc",
        kind="lines",
        table="roc",
        encode={"x": "fpr", "y": "tpr"},
        options={"diagonal": "yes"},
        x_label="false-positive rate",
        y_label="true-positive rate",
        title="Membership attack",
        alt=f"The curve of the attack, with an area of {outcome.auc:.3f} under it; a coin toss is the diagonal.",
    )
    groups = Figure(
        id="membership_by_group",
        kind="dots",
        table="attacks",
        encode={"y": "group", "x": "auc", "low": "low", "high": "high", "facet": "attribute"},
        options={"reference": 0.5},
        x_label="area under the ROC curve",
        title="Membership attack by group",
        alt="The area under the curve over all and within each group, with intervals; 0.5 is a coin toss.",
    )
    return (curve, groups) if grouped else (curve,)
