"""What a gap's metric is called, in ids and in sentences."""

from __future__ import annotations

from rft.plugins.fairness.measure.gaps import Gap


def metric_id(gap: Gap) -> str:
    """Return the metric's part of an id: ``tpr``, or ``macro_tpr`` for the mean over classes."""
    macro = gap.metric.of_class and gap.target.positive is None
    return f"macro_{gap.metric.name}" if macro else gap.metric.name


def metric_label(gap: Gap) -> str:
    """Return what the metric is called."""
    macro = gap.metric.of_class and gap.target.positive is None
    return f"{gap.metric.label}, mean over classes" if macro else gap.metric.label


def define_metric(gap: Gap) -> str:
    """Return what the metric is."""
    return gap.metric.definition.format(c=gap.target.name or "each class")
