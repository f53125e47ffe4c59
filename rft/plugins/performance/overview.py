"""The first question of an audit: does the model work at all?"""

from __future__ import annotations

from rft import number_format
from rft.plugins.pillar import NOT_ASKED, ClaimDefinition, PillarDefinition, find_measured, write_value
from rft.records import ModelFacts, Section

PILLAR = PillarDefinition(
    "Works",
    (
        ClaimDefinition("Accuracy", ("performance.accuracy",)),
        ClaimDefinition("ROC AUC", ("performance.roc_auc",)),
        ClaimDefinition("Calibration of the scores", ("performance.ece",)),
        ClaimDefinition("Baseline to compare with", ("performance.baseline_accuracy",)),
    ),
)


def summarize_performance(section: Section | None, model: ModelFacts) -> str:
    """Return how often the model is right, beside always giving the most frequent answer."""
    if section is None:
        return NOT_ASKED
    accuracy = find_measured(section, "performance.accuracy")
    if accuracy is None:
        return "How often it is right was not measured."
    right = f"Accuracy {write_value(accuracy)} on test {model.name_items()}{_count_cases(accuracy.n or 0, model)}"
    baseline = find_measured(section, "performance.baseline_accuracy")
    if baseline is None or baseline.value is None or accuracy.interval is None:
        return f"{right}."
    always = "always guessing the commonest class of training"
    reached = number_format.format_quantity(baseline.value, baseline.unit)
    if accuracy.interval.low > baseline.value:
        return f"{right}; {always} reaches {reached}."
    return f"{right}, which is not shown to be better than {always}: that reaches {reached}."


def _count_cases(n: int, model: ModelFacts) -> str:
    """Say how many independent cases there are: units where the data names them, which may be fewer than examples."""
    written = number_format.format_count(n)
    if model.unit is not None:
        return f" of {written} {model.name_unit() if n == 1 else model.name_units()}"
    return f" ({written} independent {'case' if n == 1 else 'cases'})"
