"""What privacy costs: heads at several epsilons beside heads without privacy, judged on the same test examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from rft.errors import EvidenceError, IntegrityError, RftError
from rft.plugins import AuditedModel
from rft.plugins.privacy import PrivacyOptions
from rft.plugins.privacy.accounting.accountants import Mechanism
from rft.plugins.privacy.chapter import PrivacyChapter
from rft.plugins.privacy.frontier.heads import METHODS, MIN_EXAMPLES_FOR_RATE, WITHOUT, HeadCondition, JudgedHeads
from rft.plugins.privacy.frontier.section import explain_missing_frontier, present_frontier

if TYPE_CHECKING:
    from rft.plugins.privacy.training.trainer import DPTrainer
    from rft.training import Fit, Job

FRONTIER_STREAM = 0xF207  # sets the seeds of these heads apart from other uses of the run's seed
SEEDED_HEADS = (
    "The noise of these heads followed from seeds: they show what an epsilon costs, and promise it to nobody."
)
NO_DECISIONS = "heads of a frontier are compared by their decisions, and transcripts are none"
SMALL_EPSILON = 1.0  # epsilons below it are tried by the other method as well


def frontier_chapter(audited: AuditedModel, options: PrivacyOptions) -> PrivacyChapter:
    """Train the heads of the frontier and tell how they do on test; an empty chapter where none was asked for.

    All public numbers but the noise are those of the run's own training, and so are the features. Which epsilons and
    methods there are follows from the config: what comes out here chooses nothing.

    Raises:
        IntegrityError: the self-test of private training failed.
        EvidenceError: the ledger is not the one that was written.
    """
    if not options.frontier:
        return PrivacyChapter()
    assert options.epsilon is not None, "the options refuse a frontier without epsilon"
    test = audited.splits.get("test")
    if audited.facts.task == "recognition":
        return explain_missing_frontier(NO_DECISIONS)
    if "test" in audited.withheld.splits:
        return explain_missing_frontier(audited.withheld.reason)
    if test is None or len(test) < MIN_EXAMPLES_FOR_RATE:
        return explain_missing_frontier(f"fewer than {MIN_EXAMPLES_FOR_RATE} test examples to judge heads on")
    arms, refusal = _train_within_budget(audited, options)
    if len(arms) < 2:
        return explain_missing_frontier(refusal)
    positive = audited.facts.positive
    judged = JudgedHeads(
        conditions=arms,
        labels=test.labels,
        units=test.ids if test.units is None else test.units,
        groups=test.groups,
        positive=None if positive is None else audited.facts.classes.index(positive),
        withheld=audited.withheld,
    )
    chapter = present_frontier(judged, options.epsilon, refusal)
    return replace(
        chapter,
        text=chapter.text if arms[-1].spent is not None else (SEEDED_HEADS, *chapter.text),
        mechanisms=tuple(mechanism for arm in arms for mechanism in arm.mechanisms),
        ledger=arms[-1].ledger,
    )


def _train_within_budget(audited: AuditedModel, options: PrivacyOptions) -> tuple[list[HeadCondition], str]:
    """Return what could be trained, and why the rest was refused: by a spent budget, say. The model itself stands."""
    arms: list[HeadCondition] = []
    try:
        for arm in train_conditions(audited, options):
            arms.append(arm)
    except (EvidenceError, IntegrityError):
        raise
    except RftError as refused:
        return arms, refused.public
    return arms, ""


def train_conditions(audited: AuditedModel, options: PrivacyOptions) -> Iterator[HeadCondition]:
    """Yield the heads without privacy, those of the run's own method, and those of the other at small epsilons."""
    from rft.plugins.privacy.training.trainer import fit_together

    task, rng = audited.require_task(), np.random.default_rng([audited.seed, FRONTIER_STREAM])
    yield _build_condition(
        audited, WITHOUT, None, audited.require_plain_trainer().fit(task, _seeded_jobs(options.replicates, rng))
    )
    for trainers in _trainers_by_method(audited, options):
        repeated = [trainer for trainer in trainers for _ in range(options.replicates)]
        fits = fit_together(repeated, task, _seeded_jobs(len(repeated), rng), purpose="frontier")
        for number, trainer in enumerate(trainers):
            replicates = fits[number * options.replicates : (number + 1) * options.replicates]
            yield _build_condition(audited, METHODS[trainer.method], trainer.epsilon, replicates)


def _trainers_by_method(audited: AuditedModel, options: PrivacyOptions) -> list[list[DPTrainer]]:
    """Return the trainers of each method. Least squares needs a linear head on vectors."""
    from rft.plugins.privacy.training.trainer import DPTrainer
    from rft.training.linear_heads import linear_head_vectors

    trainer = audited.require_trainer()
    assert isinstance(trainer, DPTrainer)
    trainers = [replace(trainer, epsilon=epsilon, noise_multiplier=None) for epsilon in sorted(set(options.frontier))]
    other_method: Literal["sgd", "least_squares"] = "sgd" if trainer.method == "least_squares" else "least_squares"
    small = [
        replace(small_trainer, method=other_method)
        for small_trainer in trainers
        if small_trainer.epsilon < SMALL_EPSILON
    ]
    return [trainers, small] if small and linear_head_vectors(audited.require_task()) is not None else [trainers]


def _seeded_jobs(count: int, rng: np.random.Generator) -> list[Job]:
    """Return jobs that each have a seed of their own: one seed is one noise, where noise comes from seeds."""
    from rft.training import Job

    return [Job(int(seed)) for seed in rng.integers(2**32, size=count)]


def _build_condition(audited: AuditedModel, method: str, epsilon: float | None, fits: Sequence[Fit]) -> HeadCondition:
    from rft.training.linear_heads import compute_logits

    scores = compute_logits(audited.require_task(), fits, audited.require_features()["test"])
    predictions = np.stack([head_scores.argmax(axis=1) for head_scores in scores])
    if epsilon is None:
        return HeadCondition(method, None, None, predictions)
    facts = [fit.require_privacy() for fit in fits]
    mechanisms = (
        Mechanism(head_facts.noise_multiplier, head_facts.sample_rate, head_facts.charged_steps) for head_facts in facts
    )
    spent = None if facts[0].void else facts[0].epsilon
    return HeadCondition(method, epsilon, spent, predictions, tuple(mechanisms), facts[-1].ledger)
