"""Membership attacks in the report: which were made, what they reached on whom, and why others were not made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rft.errors import RftError, Unavailable
from rft.number_format import format_fixed, format_plain
from rft.plugins import AuditedModel
from rft.plugins.privacy import PrivacyOptions
from rft.plugins.privacy.attack_strength import find_strongest_attack
from rft.plugins.privacy.attacks import scores as attacks
from rft.plugins.privacy.attacks.catalog import ATTACKS, LIRA, LOSS, Attack, label_attack, score_shadows
from rft.plugins.privacy.attacks.scores import FPR_BY_COLUMN, MIN_UNITS_PER_SIDE, AttackOutcome, AttackTarget
from rft.plugins.privacy.chapter import PrivacyChapter
from rft.plugins.privacy.promise import allows_area, allows_rate
from rft.records import About, Figure, Finding, FindingDefinition, Interval, ModelFacts, dots_figure, lines_figure
from rft.references import DELONG, ZOU_DONNER
from rft.stats import multiplicity
from rft.stats.intervals import CONFIDENCE_LEVEL
from rft.stats.scores.auc import difference_of_aucs
from rft.stats.scores.roc import MIN_NON_MEMBERS_ABOVE, finest_fpr

DEFAULT_SHADOWS = 64  # where they are trained together
MIN_SHADOWS = 8

AREA_LIMITS = (
    "Members and non-members are the run's own train and test split: a difference between the two shows as well. "
    "The interval covers the choice of people, not another training. Describes exposure and is no bound on epsilon."
)
EXTERNAL_LIMITS = (
    " That this model was trained on the train split is what the user says; this run cannot know. Where train and test "
    "were not drawn at random from one source, their difference shows as membership does."
)
SHADOW_LIMITS = " The attacker is given other people's data from the same source and the run's whole recipe."
SHADOWS_ASKED_FOR = (
    "what is trained here is more than a linear head on one cached vector an example, and every shadow model takes as "
    f"long as the training, whose time stands under What was audited; privacy.shadows = {DEFAULT_SHADOWS} asks for them"
)
CHAPTER = "Membership attacks"
DESCRIPTIVE = (
    "The attacks describe, they prove nothing: a curve near the diagonal says that these attacks failed, and another "
    "may succeed."
)

CAPTIONS = {
    "attacks": "Membership attacks, over all and within each group. Members and non-members: how many {units} of train "
    "and of test. Intervals are of the area; a rate finer than "
    f"{MIN_NON_MEMBERS_ABOVE} over the number of non-members is not measured.",
    "roc": "True-positive against false-positive rate of each attack, from the finest measured rate on.",
}


@dataclass(frozen=True)
class AttackResults:
    """What was attacked, what each attack reached over all, and why those with shadow models were not made.

    ``outcomes`` lacks attacks that were not made; ``reason`` is None when all were.
    """

    target: AttackTarget
    outcomes: Mapping[str, AttackOutcome]
    reason: str | None
    external: bool
    facts: ModelFacts

    @property
    def unit(self) -> str:
        """Whose membership is guessed."""
        return self.facts.name_unit(declared=self.target.units)

    @property
    def units(self) -> str:
        """Whose membership is guessed, of several."""
        return self.facts.name_units(declared=self.target.units)

    @property
    def fewest(self) -> int:
        """The smaller of the numbers of members and non-members."""
        return min(attacks.count_members(self.target.rows))

    @property
    def foremost(self) -> str:
        """The attack that groups are compared by, fixed beforehand: LiRA, or where it was not made the threshold."""
        return LIRA if LIRA in self.outcomes else LOSS


def membership_chapter(audited: AuditedModel, options: PrivacyOptions) -> PrivacyChapter:
    """Attack the audited model's model and return what came out; the loss threshold needs predictions only."""
    if audited.withheld.splits & {"train", "test"}:
        return _explain_missing_attacks(audited.withheld.reason)
    target = attacks.read_attack_target(audited.predictions, audited.facts.classes)
    reason = _why_no_shadows(audited, options, target)
    notes = [DESCRIPTIVE, *_left_out(target, audited)]
    if reason is None:
        try:
            count = options.shadows or DEFAULT_SHADOWS
            target = _with_shadows(audited, target, count)
            notes.append(_about_shadows(audited, count))
        except RftError as error:
            reason = f"a shadow model could not be trained: {error.public}"
    outcome_by_attack = {name: attacks.run_attack(target.rows, name) for name in target.attacks}
    outcomes = {name: outcome for name, outcome in outcome_by_attack.items() if outcome}
    results = AttackResults(target, outcomes, reason, audited.fit is None, audited.facts)
    tables = {"attacks": attacks.attack_table(target, audited.withheld)} | (
        {"roc": attacks.roc_table(outcomes)} if outcomes else {}
    )
    areas = [_auc_finding(results, name) for name in ATTACKS]
    strongest = find_strongest_attack(areas)
    return PrivacyChapter(
        CHAPTER,
        findings=(
            *(area.model_copy(update={"headline": True}) if area is strongest else area for area in areas),
            *(_tpr_finding(results, column) for column in FPR_BY_COLUMN),
            *_most_exposed(results),
        ),
        tables=tables,
        captions={name: CAPTIONS[name].format(units=results.units) for name in tables},
        figures=_membership_figures(results),
        text=tuple(notes),
        computed_from="train",
    )


def _explain_missing_attacks(reason: str) -> PrivacyChapter:
    """Return what is said where a split as a whole has too few for any number on it."""
    return PrivacyChapter(
        CHAPTER,
        findings=tuple(_define_attack(attack, "example").state_not_measured(reason) for attack in ATTACKS.values()),
        computed_from="train",
    )


def _why_no_shadows(audited: AuditedModel, options: PrivacyOptions, target: AttackTarget) -> str | None:
    """Return why no shadow models are trained, or None when they are."""
    try:
        task, features = audited.require_task(), audited.require_features()
        audited.require_trainer()
    except Unavailable as reason:
        return f"{reason}, so that its training cannot be repeated on other people"
    n_members, n_non_members = attacks.count_members(target.rows)
    if min(n_members, n_non_members) < MIN_UNITS_PER_SIDE:
        return _too_few(n_members, n_non_members, target, audited.facts)
    if features["train"].views != features["test"].views:
        return "training saw augmented views, which there are none of test examples: shadow models would not compare"
    if options.shadows is None:
        return SHADOWS_ASKED_FOR if not _is_batched(task) else None
    if options.shadows < MIN_SHADOWS:
        return f"privacy.shadows is {options.shadows}; at least {MIN_SHADOWS} models are needed"
    return None


def _is_batched(task: object) -> bool:
    from rft.plugins.privacy.attacks import shadows

    return shadows.is_batched(task)  # type: ignore[arg-type]


def _with_shadows(audited: AuditedModel, target: AttackTarget, count: int) -> AttackTarget:
    from rft.plugins.privacy.attacks import shadows

    confidences = shadows.shadow_confidences(audited, count)
    scores = score_shadows(confidences.target, confidences.shadows, members=confidences.members)
    return target.with_scores(confidences.ids, scores)


def _about_shadows(audited: AuditedModel, count: int) -> str:
    private = audited.facts.training.mode == "private"
    return (
        f"{count} shadow models were made by the run's own training{', noise included,' if private else ''} on random "
        "parts of the train and test split together, each with as large a share of it as the model had. Linear heads "
        "are trained together, on examples in one order or on one sample a step. None is kept."
    )


def _auc_finding(results: AttackResults, name: str) -> Finding:
    outcome = results.outcomes.get(name)
    allowed = outcome is not None and allows_area(results.facts.training, outcome.interval().low)
    definition = _define_attack(ATTACKS[name], results.unit, _say_remedy(results.facts, allowed=allowed))
    if outcome is None:
        return definition.state_not_measured(_explain_absence(results, name), n=results.fewest)
    interval = outcome.interval()
    leaks = interval.low > 0.5
    return definition.state_estimate(
        outcome.auc,
        interval=interval,
        adjusted=multiplicity.adjust_interval(lambda level: outcome.interval(level=level)),
        n=results.fewest,
        status="warn" if leaks else "info",
        description=definition.description + (" The interval lies above 0.5: membership shows." if leaks else ""),
        caveats=_describe_caveats(results, name),
    )


def _say_remedy(facts: ModelFacts, *, allowed: bool) -> str:
    """Say what to do about an attack that succeeds; ``allowed``: the promise of the training covers what it reached."""
    if allowed:
        return "The epsilon that was promised allows this: ask whoever set it whether it is small enough."
    if facts.training.mode == "external":
        return (
            "Find out whether train and test were drawn at random from one source. If so, the model gives away some of "
            "its training data: before it is released, have it trained with differential privacy, so that it "
            "memorises less."
        )
    how = "a smaller epsilon" if facts.training.mode == "private" else "differential privacy"
    return f"Before the model is released, have it trained with {how}, so that it memorises less."


def _define_attack(attack: Attack, unit: str, remedy: str = "") -> FindingDefinition:
    return FindingDefinition(
        attack.finding_id,
        attack.title,
        attack.description.format(unit=unit),
        references=(*attack.references, DELONG),
        better="lower",
        remedy=remedy,
    )


def _explain_absence(results: AttackResults, name: str) -> str:
    """Return why an attack has no outcome."""
    too_few = _too_few(*attacks.count_members(results.target.rows), results.target, results.facts)
    return results.reason if results.reason is not None and ATTACKS[name].needs_shadows else too_few


def _describe_caveats(results: AttackResults, name: str) -> str:
    return (
        AREA_LIMITS
        + (SHADOW_LIMITS if ATTACKS[name].needs_shadows else "")
        + (EXTERNAL_LIMITS if results.external else "")
    )


def _tpr_finding(results: AttackResults, column: str) -> Finding:
    """Return the finding on LiRA's true-positive rate at a low false-positive rate, which is what LiRA is judged by."""
    fpr = FPR_BY_COLUMN[column]
    outcome = results.outcomes.get(LIRA)
    rate = outcome.tpr_at(fpr) if outcome else None
    allowed = rate is not None and allows_rate(results.facts.training, rate.interval.low, fpr)
    definition = FindingDefinition(
        f"privacy.{column}",
        f"Training {results.units} found by {label_attack(LIRA)} at {100 * fpr:g} % false alarms",
        f"Share of the training {results.units} that the likelihood-ratio attack names while it wrongly names "
        f"{100 * fpr:g} % of the others; guessing finds {100 * fpr:g} %.",
        unit="fraction",
        references=(*ATTACKS[LIRA].references, ZOU_DONNER),
        better="lower",
        remedy=_say_remedy(results.facts, allowed=allowed),
    )
    if outcome is None:
        return definition.state_not_measured(_explain_absence(results, LIRA), n=results.fewest)
    n = len(outcome.non_members)
    if rate is None:
        reason = f"{n:,} {results.units} outside training; a rate this low needs {MIN_NON_MEMBERS_ABOVE / fpr:,.0f}"
        return definition.state_not_measured(reason, n=n)
    leaks = rate.interval.low > fpr
    return definition.state_estimate(
        rate.value,
        interval=rate.interval,
        adjusted=multiplicity.adjust_interval(lambda level: _rate_interval(outcome, fpr, level)),
        n=n,
        status="warn" if leaks else "info",
        description=definition.description + (" The interval lies above guessing." if leaks else ""),
        caveats=_describe_caveats(results, LIRA),
    )


def _rate_interval(outcome: AttackOutcome, fpr: float, level: float) -> Interval:
    rate = outcome.tpr_at(fpr, level=level)
    assert rate is not None  # at which rates there is one does not depend on the level
    return rate.interval


def _group_intervals(
    outcomes: Mapping[tuple[str, str], AttackOutcome], level: float
) -> dict[tuple[str, str], Interval]:
    """Return intervals of the areas of all groups at once (Bonferroni)."""
    return {group: outcome.interval(level=1 - (1 - level) / len(outcomes)) for group, outcome in outcomes.items()}


def _highest_interval(intervals: Mapping[tuple[str, str], Interval]) -> Interval:
    """Return the interval of the highest area of any group, whichever group has it."""
    ends = list(intervals.values())
    return ends[0].model_copy(
        update={"low": max(interval.low for interval in ends), "high": max(interval.high for interval in ends)}
    )


def _most_exposed(results: AttackResults) -> tuple[Finding, ...]:
    """Return the finding on the group that the foremost attack tells apart best; none where there are no groups."""
    if not results.target.attributes:
        return ()
    outcome_by_group = {
        group: attacks.run_attack(rows, results.foremost) for group, rows in results.target.rows_by_group().items()
    }
    outcomes = {group: outcome for group, outcome in outcome_by_group.items() if outcome}
    intervals = _group_intervals(outcomes, CONFIDENCE_LEVEL)
    lowest = [interval.low for interval in intervals.values()]
    allowed = bool(lowest) and allows_area(results.facts.training, max(lowest))
    definition = FindingDefinition(
        "privacy.most_exposed_group",
        "Membership attack within the most exposed group, area",
        f"Area under the curve of the attack {label_attack(results.foremost)} within the group whose interval reaches "
        "highest at its lower end, so that no small group is named for its noise.",
        about=About(attributes=tuple(results.target.attributes)),
        references=(*ATTACKS[results.foremost].references, DELONG, ZOU_DONNER),
        better="lower",
        remedy=_say_remedy(results.facts, allowed=allowed),
    )
    if not outcomes:
        reason = (
            f"the groups of training {results.units} are not known, so none can be told from those of test"
            if not results.target.members_have_groups
            else f"no group has {MIN_UNITS_PER_SIDE} training and {MIN_UNITS_PER_SIDE} test {results.units} with a "
            "score"
        )
        return (definition.state_not_measured(reason),)
    attribute, group = most = max(intervals, key=lambda group: intervals[group].low)
    exposed = _more_exposed(results, outcomes)
    return (
        definition.state_estimate(
            outcomes[most].auc,
            interval=_highest_interval(intervals),
            adjusted=multiplicity.adjust_interval(lambda level: _highest_interval(_group_intervals(outcomes, level))),
            n=min(len(outcomes[most].members), len(outcomes[most].non_members)),
            status="warn" if exposed else "info",
            description=f"{attribute} = {group}, of {len(outcomes)} groups. {definition.description}{exposed}",
            caveats=_describe_caveats(results, results.foremost)
            + " The interval holds for all groups at once (Bonferroni); the value is the highest of several.",
            about=definition.about.model_copy(update={"group": group}),
        ),
    )


def _more_exposed(results: AttackResults, outcomes: Mapping[tuple[str, str], AttackOutcome]) -> str:
    """Return which groups are more exposed than the others of their attribute, in words; empty where none is shown to.

    A group is compared with other people, so that both areas vary on their own; all comparisons hold at once
    (Bonferroni).
    """
    level, said = 1 - (1 - CONFIDENCE_LEVEL) / len(outcomes), ""
    for (attribute, group), outcome in outcomes.items():
        others = attacks.run_attack(results.target.rows_of_other_groups(attribute, group), results.foremost)
        if others is None:
            continue
        interval = difference_of_aucs(outcome.area, others.area, level)
        if interval.low > 0:
            said += (
                f" {attribute} = {group} is more exposed than the other groups of {attribute}: area "
                f"{format_fixed(outcome.auc, 2)} against {format_fixed(others.auc, 2)}, difference "
                f"{format_fixed(interval.low, 2)} to {format_fixed(interval.high, 2)}."
            )
    return said


def _too_few(n_members: int, n_non_members: int, target: AttackTarget, facts: ModelFacts) -> str:
    unit, units = facts.name_unit(declared=target.units), facts.name_units(declared=target.units)
    if not n_members:
        return f"no training {unit} has a score: what the model was trained on must be known to tell it from the rest"
    if not n_non_members:
        return f"no test {unit} has a score: there is nothing to tell training {units} from"
    return f"{n_members} training and {n_non_members} test {units} with a score: at least {MIN_UNITS_PER_SIDE} of each"


def _left_out(target: AttackTarget, audited: AuditedModel) -> tuple[str, ...]:
    """Return what the attacks could not use, in words."""

    def said(count: int) -> str:
        return f"Fewer than {audited.withheld.below}" if audited.withheld.is_small(count) else f"{count}"

    units = audited.facts.name_units()
    both = f"{said(target.n_in_both)} {units} have examples in both train and test; the attacks leave them out."
    unscored = f"{said(target.n_unscored)} examples have no probability for their label; the attacks leave them out."
    return ((both,) if target.n_in_both else ()) + ((unscored,) if target.n_unscored else ())


def _membership_figures(results: AttackResults) -> tuple[Figure, ...]:
    if not results.outcomes:
        return ()
    areas = ", ".join(
        f"{label_attack(name)} {format_fixed(outcome.auc, 3)}" for name, outcome in results.outcomes.items()
    )
    finest = float(f"{finest_fpr(len(results.outcomes[results.foremost].non_members)):.2g}")
    curve = lines_figure(
        id="membership_roc",
        lead=True,
        table="roc",
        x="fpr",
        y="tpr",
        series="attack",
        diagonal=True,
        x_scale="log",
        y_scale="log",
        x_label=f"false-positive rate; below {format_plain(finest)} nothing is measured",
        y_label="true-positive rate",
        title="Membership attacks",
        alt=f"The curve of each attack on logarithmic axes; a coin toss is the diagonal. Areas under them: {areas}.",
    )
    groups = dots_figure(
        id="membership_by_group",
        table="attacks",
        y="group",
        x="auc",
        low="low",
        high="high",
        facet="attribute",
        where={"attack": results.foremost},
        reference=0.5,
        x_label="area under the ROC curve",
        title=f"Membership attack by group: {label_attack(results.foremost)}",
        alt="The area under the curve over all and within each group, with intervals; 0.5 is a coin toss.",
    )
    return (curve, groups) if results.target.attributes else (curve,)
