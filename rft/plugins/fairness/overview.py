"""The question of fairness: which group is worse off, by how much, and does chance explain it?"""

from __future__ import annotations

from collections.abc import Iterator

from rft import number_format
from rft.plugins.pillar import NOT_ASKED, ClaimDefinition, PillarDefinition, write_value
from rft.predictions.crossing import CROSSING_SEPARATOR
from rft.records import TASKS, Contrast, Finding, GroupRate, ModelFacts, Row, Section
from rft.stats.gaps.small import SMALL_GAP, is_small_gap
from rft.stats.intervals import CONFIDENCE_LEVEL
from rft.stats.scores.classification import METRICS

ANY_TASK = tuple(TASKS)
PILLAR = PillarDefinition(
    "Fairness",
    (
        ClaimDefinition("Gaps between groups", ("fairness.*_gap.*",), ANY_TASK),
        ClaimDefinition("Worst group", ("fairness.worst_*",), ANY_TASK),
        ClaimDefinition("Combined groups", ("fairness.*_gap.* x *", "fairness.intersection.*"), ANY_TASK),
        ClaimDefinition("Legal thresholds", ("fairness.four_fifths*", "fairness.ll144*")),
        ClaimDefinition("Ways to narrow gaps", ("fairness.mitigation.*",)),
    ),
)
_FIRST_METRICS = ("accuracy", "word_error_rate")
MOST_NAMES = 4  # of groups that a sentence names


def summarize_fairness(section: Section | None, model: ModelFacts) -> str:
    """Return the gap that matters most with both groups, or why groups cannot be compared."""
    if section is None:
        return NOT_ASKED
    gaps = [finding for finding in section.findings if _is_gap(finding)]
    measured = [finding for finding in gaps if finding.value is not None]
    if not measured:
        reason = gaps[0].reason if gaps else "no attribute divides the test examples into groups"
        return f"Groups are not comparable: {reason}."
    leading = min(measured, key=_rank_gap)
    missed = _say_detectable(measured, section)
    sentences = [_say_gap(leading, section, model.positive, missed if len(measured) == 1 else "")]
    sentences += [*_say_others(measured, section, model.positive, missed), *_say_not_compared(gaps)]
    return " ".join(sentences)


def _is_gap(finding: Finding) -> bool:
    """Whether it is a gap between the groups of an attribute, or the combined groups of two, before any mitigation."""
    return (
        finding.about.metric is not None
        and "_gap." in finding.id
        and len(finding.about.attributes) == 1
        and not finding.id.startswith("fairness.mitigation")
    )


def _rank_gap(finding: Finding) -> tuple[bool, bool, bool, float]:
    """Put first what is to review, then gaps in accuracy or in wrong words, of single attributes, then the largest."""
    is_combined = CROSSING_SEPARATOR in finding.about.attributes[0]
    return (
        finding.status != "warn",
        finding.about.metric not in _FIRST_METRICS,
        is_combined,
        -(finding.value or 0.0),
    )


def _exceeds_chance(finding: Finding, section: Section) -> bool:
    """Whether chance does not explain a gap, be it to review or small, allowing for all gaps that were compared."""
    if finding.status == "warn":
        return True
    key = finding.about.attributes[0], finding.about.metric
    found = [row for row in section.tables.get("gaps", []) if (row["attribute"], row["metric"]) == key]
    p_values = [row.get("p_holm") for row in found if row.get("value") == finding.value]
    return any(p is not None and float(p) <= 1 - CONFIDENCE_LEVEL for p in p_values)


def _is_small(finding: Finding, section: Section, positive: str | None) -> bool:
    """Whether a gap that chance does not explain is not to review because it is small."""
    rates = _list_rates(finding, section, positive)
    return (
        finding.status != "warn"
        and len(rates) > 1
        and is_small_gap(rates[0][0], rates[-1][0])
        and _exceeds_chance(finding, section)
    )


def _say_gap(finding: Finding, section: Section, positive: str | None, missed: str) -> str:
    attribute, metric = finding.about.attributes[0], finding.about.metric
    values = _list_rates(finding, section, positive)
    name = finding.title.partition(": gap by")[0] + _define_metric(metric, positive)
    ends = (finding.interval.low, finding.interval.high) if finding.interval else None
    is_small = _is_small(finding, section, positive)
    explained = "more than chance explains" if finding.status == "warn" or is_small else "chance may explain it"
    explained += f", but small (under {SMALL_GAP:g})" * is_small + _say_left_out(finding)
    if len(values) < 2:
        return f"{name}: gap by {attribute} {write_value(finding)}, {explained}."
    (low, lowest), (high, highest) = values[0], values[-1]
    written = number_format.format_ends(low, high, finding.value or 0.0, ends)
    return (
        f"{name} is {written[0]} for {lowest} and {written[1]} for {highest} ({attribute}): a gap of "
        f"{write_value(finding)}, {explained}{'' if is_small else missed}."
    )


def _say_left_out(finding: Finding) -> str:
    """Name the groups that a gap says nothing of."""
    left_out = finding.small_groups
    if not left_out:
        return ""
    named = ", ".join(left_out) if len(left_out) <= MOST_NAMES else f"{len(left_out)} groups"
    return f" (not compared, too few: {named})"


def list_contrasts(section: Section, model: ModelFacts) -> tuple[Contrast, ...]:
    """Return the largest measured gap of each attribute, or pair of them, in each metric, with both its groups."""
    largest: dict[tuple[str, str | None], Finding] = {}
    for finding in section.findings:
        if _is_gap(finding) and finding.value is not None:
            key = finding.about.attributes[0], finding.about.metric
            largest[key] = max(largest.get(key, finding), finding, key=lambda gap: gap.value or 0.0)
    contrasts = (_state_contrast(finding, section, model.positive) for finding in largest.values())
    return tuple(contrast for contrast in contrasts if contrast is not None)


def _state_contrast(finding: Finding, section: Section, positive: str | None) -> Contrast | None:
    """Return a gap with both ends; None where the two rates are those of several classes."""
    rates = _list_rates(finding, section, positive)
    if len(rates) < 2:
        return None
    lowest, highest = (GroupRate(group=group, value=value) for value, group in (rates[0], rates[-1]))
    return Contrast(
        finding=finding.id,
        attribute=finding.about.attributes[0],
        metric=finding.title.partition(": gap by")[0],
        lowest=lowest,
        highest=highest,
    )


def _list_rates(finding: Finding, section: Section, positive: str | None) -> list[tuple[float, str]]:
    """Return (value, group) of each group that a gap compares, the lowest first."""
    table = section.tables.get("by_group", [])
    audited = [row for row in table if row.get("model") == table[0].get("model")]  # a mitigated model may come after it
    attribute, metric = finding.about.attributes[0], finding.about.metric
    rows = [row for row in audited if _is_row_of(row, attribute, metric, positive)]
    return sorted((float(str(row["value"])), str(row["group"])) for row in rows)


def _define_metric(metric: str | None, positive: str | None) -> str:
    """Say what a metric is in parentheses; nothing for accuracy, whose name says it."""
    if metric not in METRICS or metric in _FIRST_METRICS:
        return ""
    return f" ({METRICS[metric].definition.format(c=positive or 'each class')})"


def _is_row_of(row: Row, attribute: str, metric: str | None, positive: str | None) -> bool:
    """Whether a row has a value for one whole group that was compared."""
    return (
        row["attribute"] == attribute
        and row["metric"] == metric
        and row["value"] is not None
        and row["group"] is not None
        and row.get("control") is None
        and row.get("class") in (None, positive)
        and row.get("status") == "ok"
    )


def _say_detectable(measured: list[Finding], section: Section) -> str:
    """Say which gaps would have been found where none was, by metric: without it nothing is cleared.

    Of several attributes, the largest gap that could be missed counts. Nothing is said where any gap exceeds chance.
    """
    if any(finding.status == "warn" for finding in measured):
        return ""
    missed: dict[str, float] = {}
    for finding in measured:
        effects = [
            float(str(effect))
            for row in section.tables.get("gaps", [])
            if (row["attribute"], row["metric"]) == (finding.about.attributes[0], finding.about.metric)
            and (effect := row.get("minimum_detectable_effect")) is not None
        ]
        if effects:
            label = _name_metric(finding)
            missed[label] = max(missed.get(label, 0.0), effects[0])
    named = [f"{number_format.format_fixed(effect, 2)} in {label}" for label, effect in missed.items()]
    return f"; this test could miss gaps under {', '.join(named)}" if named else ""


def _name_metric(finding: Finding) -> str:
    """Return the metric of a gap as it stands in a sentence."""
    title = finding.title.partition(": gap by")[0]
    return title if title[:2].isupper() else title[:1].lower() + title[1:]


def _say_not_compared(gaps: list[Finding]) -> Iterator[str]:
    """Yield a sentence for each attribute of which no gap was measured, with its groups that are too small."""
    compared = {finding.about.attributes[0] for finding in gaps if finding.value is not None}
    small: dict[str, list[str]] = {}
    for finding in gaps:
        if (attribute := finding.about.attributes[0]) not in compared:
            small.setdefault(attribute, []).extend(finding.small_groups)
    for attribute, groups in small.items():
        too_few = f": too few of {', '.join(dict.fromkeys(groups))} were tested" if groups else ""
        yield f"Nothing could be compared by {attribute}{too_few}."


def _say_others(measured: list[Finding], section: Section, positive: str | None, missed: str) -> list[str]:
    if len(measured) < 2:
        return []
    small = sum(_is_small(finding, section, positive) for finding in measured)
    standing_out = [
        finding.about.attributes[0]
        for finding in measured
        if finding.status == "warn" or _is_small(finding, section, positive)
    ]
    if not standing_out:
        return [f"None of {len(measured)} gaps exceeds chance{missed}."]
    verb, attributes = "exceeds" if len(standing_out) == 1 else "exceed", ", ".join(dict.fromkeys(standing_out))
    but_small = f", {small} of these {'is' if small == 1 else 'are'} small" * bool(small)
    return [f"{len(standing_out)} of {len(measured)} gaps {verb} chance ({attributes}){but_small}."]
