"""The names that findings of ``[privacy]`` may have, for rules that are looked at before any work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rft.plugins.privacy.attacks.catalog import ATTACKS
from rft.plugins.privacy.attacks.scores import FPR_BY_COLUMN

# Stated whatever the training was, with a number or with the reason why there is none.
_ALWAYS = (
    *("epsilon", "epsilon_lower_bound", "audit_power", "one_run_epsilon_lower_bound", "most_exposed_group"),
    *("near_duplicates", "pretraining_overlap"),
)
_PRIVATE = (
    *("epsilon_with_audits", "epsilon_rdp", "epsilon_replace_one", "epsilon_shuffled", "accountant_difference"),
    *("delta", "units", "self_test", "batch_independence", "noise_multiplier", "gradient_error", "accuracy_cost"),
    *("ideal_tpr_at_1pct_fpr", "ideal_tpr_at_01pct_fpr"),
    *("ledger_epsilon", "ledger_remaining", "ledger_elsewhere", "ledger_interruptions"),
)


def list_names(groups: Sequence[str], *, private: bool) -> Iterator[str]:
    """Yield the names, without that of the plugin.

    Args:
        groups: the attributes of ``data.groups``.
        private: whether training is private.
    """
    yield from (attack.finding_id.partition(".")[2] for attack in ATTACKS.values())
    yield from (*FPR_BY_COLUMN, *_ALWAYS)
    yield from (f"attribute_probe.{attribute}" for attribute in groups)
    if private:
        yield from _PRIVATE
        yield from (f"accuracy_cost_gap.{attribute}" for attribute in groups)
