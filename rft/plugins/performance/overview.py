"""The first question of an audit: does the model work at all?"""

from __future__ import annotations

from rft import number_format
from rft.plugins.pillar import NOT_ASKED, ClaimDefinition, PillarDefinition, find_measured, write_value
from rft.records import Finding, ModelFacts, Section, TaskName

RECOGNITION: tuple[TaskName, ...] = ("recognition",)
PILLAR = PillarDefinition(
    "Works",
    (
        ClaimDefinition("Accuracy", ("performance.accuracy",)),
        ClaimDefinition("ROC AUC", ("performance.roc_auc",)),
        ClaimDefinition("Calibration of the scores", ("performance.ece",)),
        ClaimDefinition("Baseline to compare with", ("performance.baseline_accuracy",)),
        ClaimDefinition("Word error rate", ("performance.word_error_rate",), RECOGNITION),
        ClaimDefinition("Character error rate", ("performance.character_error_rate",), RECOGNITION),
        ClaimDefinition("Word error rate without normaliser", ("performance.raw_word_error_rate",), RECOGNITION),
    ),
)


def summarize_performance(section: Section | None, model: ModelFacts) -> str:
    """Return how often the model is right, beside always giving the most frequent answer."""
    if section is None:
        return NOT_ASKED
    if model.task == "recognition":
        return _summarize_recognition(section, model)
    accuracy = find_measured(section, "performance.accuracy")
    if accuracy is None:
        return "How often it is right was not measured."
    right = f"Accuracy {write_value(accuracy)} on test {model.name_items()}{_count_cases(accuracy.n or 0, model)}"
    baseline = find_measured(section, "performance.baseline_accuracy")
    if baseline is None or baseline.value is None or accuracy.interval is None:
        return f"{right}."
    reached = number_format.format_quantity(baseline.value, baseline.unit)
    shown = "" if accuracy.interval.low > baseline.value else "not shown to be "
    always = f"{shown}better than always guessing the commonest class of training, which reaches {reached}"
    return f"{right}: {always}.{_say_balanced(accuracy, section)}"


def _say_balanced(accuracy: Finding, section: Section) -> str:
    """Say what accuracy is with each class counting the same, where that is lower beyond chance: rare ones go wrong."""
    balanced = find_measured(section, "performance.balanced_accuracy")
    if balanced is None or balanced.interval is None or accuracy.interval is None:
        return ""
    if balanced.interval.high >= accuracy.interval.low:
        return ""
    return f" The classes are unbalanced: each counting the same, it is {write_value(balanced)} (balanced accuracy)."


def _summarize_recognition(section: Section, model: ModelFacts) -> str:
    """Return the word error rate, and what it is without the normaliser."""
    rate = find_measured(section, "performance.word_error_rate")
    if rate is None:
        return "How often its words are wrong was not measured."
    said = f"Word error rate {write_value(rate)} on test {model.name_items()}{_count_cases(rate.n or 0, model)}"
    raw = find_measured(section, "performance.raw_word_error_rate")
    if raw is None or raw.value is None:
        return f"{said}, of the texts as they stand."
    without = number_format.format_quantity(raw.value, raw.unit)
    return f"{said} with the normaliser {model.normalizer}; {without} without it."


def _count_cases(n: int, model: ModelFacts) -> str:
    """Say how many cases there are: units where the data names them; otherwise examples, each as one of its own."""
    written = number_format.format_count(n)
    if model.unit is not None:
        return f" of {written} {model.name_unit() if n == 1 else model.name_units()}"
    return f" ({written}, taken as independent)"
