"""Other ways to decide on the same cached features, so that groups are treated more alike, and what they cost.

Candidates are fitted on training examples, one is chosen on validation examples, and that one alone is measured on
test, once. It is saved beside the model, loads like it and can be audited like any other.
"""

from rft.plugins.fairness.mitigation.options import MitigationOptions

__all__ = ["MitigationOptions"]
