"""What the audits of the mechanism and of a canary model refute, beside what the accountant promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rft.plugins import AuditedModel
from rft.plugins.privacy import PrivacyOptions
from rft.plugins.privacy.chapter import PrivacyChapter, join_privacy_content
from rft.plugins.privacy.empirical.canary_model_section import audit_with_canaries
from rft.plugins.privacy.empirical.epsilon_bounds import compare_bounds
from rft.plugins.privacy.empirical.mechanism_section import audit_with_many_runs

if TYPE_CHECKING:
    pass

TITLE = "Empirical lower bound on epsilon"
AUDIT_SEED_OFFSET = 1_000_003  # added to the run's seed, so that audits share no random numbers with training


def empirical_chapter(audited: AuditedModel, options: PrivacyOptions, void: str | None = None) -> PrivacyChapter:
    """Audit the mechanism and, where canaries are asked for, train and attack a canary model.

    A claim that is refuted (at most one time in a thousand where it holds) is a ``fail``: integrity is broken. Where
    nothing is claimed since it would be ``void``, nothing is audited.
    """
    facts = audited.fit.privacy if audited.fit else None
    seed = audited.seed + AUDIT_SEED_OFFSET
    audits = (
        audit_with_many_runs(audited, options, facts, seed, void),
        audit_with_canaries(audited, options, facts, seed, void),
    )
    bounds = compare_bounds(facts, [bound for audit in audits for bound in audit.bounds])
    return join_privacy_content(TITLE, [bounds, *(audit.content for audit in audits)])
