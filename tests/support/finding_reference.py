"""Write docs/findings.md, every finding that the code can state: python -m tests.support.finding_reference"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import SimpleNamespace

from rft.config.item_files import FILE_KINDS
from rft.plugins.attribution import OCCLUSIONS
from rft.plugins.attribution.interventions import DELETED_SHARES, NOISE
from rft.plugins.attribution.modality_words import METHOD_NAMES, Wording
from rft.plugins.attribution.speech.findings import word_filling
from rft.plugins.attribution.texts.findings import REPLACED_WORDS
from rft.plugins.fairness.mitigation.findings import SOURCES as METHOD_SOURCES
from rft.plugins.performance.audit import METRICS
from rft.plugins.performance.change import CHANGED_METRICS
from rft.plugins.privacy.accounting.section import IDEAL_RATES
from rft.plugins.privacy.attacks.catalog import ATTACKS
from rft.plugins.privacy.attacks.scores import FPR_BY_COLUMN
from rft.records.findings import CHANGE
from rft.references import WESTFALL_YOUNG
from rft.stats.gaps import rate_difference
from rft.stats.scores.error_rates import COMPARED, ERROR_RATES
from tests.support import ROOT
from tests.support.definition_sites import Variables, evaluate_site, list_sites

PAGE = ROOT / "docs" / "findings.md"
INTRODUCTION = """\
# Every finding

<!-- python -m tests.support.finding_reference writes this page from the code that states the findings. -->

A finding is one fact that an audit states. Its id is its name in rules (`[[policy]]`), in `audit.json` and in exports.
`<attribute>`, `<metric>` and the like stand for names of your config and data. Which findings a run has follows from
its config; one that could not be measured says why, and never has a number.

How a finding is stated decides how a rule is settled:

- an **estimate** comes from a sample. It has an interval at 95 %, where a method gives one, and a rule is settled by
  the whole interval;
- a **count** or a **fact** is of this run alone, such as the number of duplicates or an epsilon. A rule is settled by
  the value.

A value in *fraction* is a share from 0 to 1, or a difference of shares from -1 to 1; *nats* are natural logarithms of
probabilities; a value without a unit is a plain number. The report shows the interval and its method beside each value,
and all that is said of a finding here.
"""
SECTIONS = {
    "performance": ("Performance", "How well the model predicts, on test."),
    "dataset": ("Data", "What is unusual about the data. [How data is read](data.md)."),
    "training": ("Training", "What training did to the weights."),
    "backbone": ("Pretrained features", "How far the frozen features carry, on training examples."),
    "label_errors": ("Labels that look wrong", "[How to read the section](label-errors.md)."),
    "influence": ("What predictions rest on", "[How to read the section](influence.md)."),
    "fairness": (
        "Fairness",
        "`<metric>` is a metric of groups, such as `accuracy` or `tpr`, in the table of "
        "[reading the fairness section](fairness.md#what-is-compared); with more than two classes `<metric>` names the "
        "class too. `<attribute>` is a column of `data.groups`, or several joined by ` x `.",
    ),
    "privacy": ("Privacy", "[How to read the section, and the threat model](privacy.md)."),
    "attribution": ("Attribution", "What the model looks at, and whether the maps hold up."),
    "change": ("Changes between two runs", "What [`rft compare`](compare.md) states of two runs."),
    "<plugin>": ("Of any plugin", "What rft itself states of an audit."),
}
STATED = {"state_estimate": "estimate", "state_count": "count", "state_fact": "fact"}
PARAMETERS = ("id", "title", "description", "unit", "references", "better", "caveats")


@dataclass(frozen=True)
class FindingEntry:
    """What the reference says of a finding; the fields are those of ``FindingDefinition``."""

    id: str
    title: str
    description: str = ""
    unit: str = ""
    references: tuple[str, ...] = ()
    better: str | None = None
    caveats: str = ""
    statements: frozenset[str] = frozenset()


EXAMPLES = Wording(
    one="example",
    many="examples",
    maps="attributions",
    baseline="the baseline (the blurred image, the text with a token for each word, or the recording filled)",
    misled="pixels, tokens or windows",
    deleted=(
        f"the {', '.join(f'{share:.0%}' for share in DELETED_SHARES)} that the attribution marks are taken away",
        "random equal parts are",
    ),
    deletion_limits="What is left is no natural image, text or recording.",
    inserted=("what the attribution marks, alone,", "random equal parts"),
    insertion_limits="What is shown alone is no natural image, text or recording.",
    content="what the example holds, whatever was learned",
    by_chance="that have nothing in common",
    noise=f"noise of {NOISE:.0%} of the range of its pixels, word embeddings or samples".replace("%", " %"),
    slight_noise="small noise",
)


class NamedNumber(str):
    """A number that is only known in a run: it is written as its name."""

    def __format__(self, spec: str) -> str:
        return "<" + self + ">"


GAP = SimpleNamespace(
    attribute="<attribute>", metric=SimpleNamespace(bound=1.0, worst="lowest or highest", direction=None)
)
# What is only known in a run, by the name of its variable.
STAND_INS: Variables = {
    "attribute": "<attribute>",
    "unit": "unit",
    "unit_words": "units",
    "limit": "",
    "layer": None,
    "words": EXAMPLES,
    "facts": SimpleNamespace(
        name_unit=lambda: "unit",
        name_units=lambda: "units",
        sample_rate=0.5,
        elsewhere=0,
        unit="person",
        n=1_000_000,
        delta=1e-9,
        delta_by_rule=False,
        engine=SimpleNamespace(name="closed form"),
        accountant="PLD",
        budget=NamedNumber("privacy.budget"),
    ),
    "gap": GAP,
    "metric_id": lambda gap: "<metric>",
    "metric_label": lambda gap: "<metric>",
    "define_metric": lambda gap: "as the table of metrics defines it",
    "options": SimpleNamespace(attribute="<attribute>", metric="accuracy", basis="selection"),
    "_references_of_gap": lambda gap: (*rate_difference.SOURCES, WESTFALL_YOUNG),
    "plugin": SimpleNamespace(name="<plugin>", explain_task=lambda task: "it does not apply"),
    "task": "recognition",
    "section": SimpleNamespace(plugin="<plugin>"),
    "shortcut": SimpleNamespace(name="<name>", modality="image"),
    "names": ("the first run", "the second run"),
    "pair": SimpleNamespace(names=("the first run", "the second run")),
}
ACCURACY = SimpleNamespace(accuracy=SimpleNamespace(value=None))
MITIGATED = SimpleNamespace(before=ACCURACY, after=ACCURACY)
AFTER_AND_BEFORE = [{"suffix": "", "words": "after mitigation"}, {"suffix": "_before", "words": "before mitigation"}]
SPEAKER_GAPS = [{"gap": SimpleNamespace(attribute="<attribute>", rate=ERROR_RATES[name])} for name in COMPARED]
# What one place states of several things, or what it computes before it can say it.
VARIANTS: Mapping[str, Sequence[Variables]] = {
    "rft.pipeline.comparison.changes._state_change": [
        {
            "after": SimpleNamespace(change_id=f"{CHANGE}<finding>", title="Any finding", unit="", better=None),
            "names": ("the first run", "the second run"),
        }
    ],
    "rft.plugins.attribution.findings.failed_maps_finding": [{"method": method} for method in METHOD_NAMES],
    "rft.plugins.attribution.findings._define_deletion": [{"method": method} for method in METHOD_NAMES],
    **{
        f"rft.plugins.attribution.quality.findings.define_{quality}": [{"method": method} for method in METHOD_NAMES]
        for quality in ("insertion", "randomization", "stability")
    },
    "rft.plugins.attribution.quality.gaps._state_gap": [
        {"method": method, "attribute": "<attribute>"} for method in METHOD_NAMES
    ],
    "rft.plugins.attribution.replacement_shift.replacement_finding": [
        {"words": words} for words in (REPLACED_WORDS, *map(word_filling, OCCLUSIONS))
    ],
    "rft.plugins.attribution.shortcuts.findings._define_shortcut": [
        {"name": "<name>", "words": SimpleNamespace(title="", description="")}
    ],
    **{
        f"rft.data.folders.{place}": [{"kind": kind} for kind in FILE_KINDS.values()]
        for place in ("class_folders._unread_remarks", "metadata._lost_remarks", "metadata._unlisted_remarks")
    },
    "rft.plugins.dataset._truncated_texts": [{"cut": "k", "n": "n"}],
    "rft.plugins.dataset._validation_examples": [{"n": "k", "total": "n"}],
    "rft.plugins.fairness.mitigation.findings.state_unfitted_methods": [
        {"method": method, "words": method.replace("_", " ")} for method in METHOD_SOURCES
    ],
    "rft.plugins.fairness.mitigation.findings._define_gap": [
        variant | {"title": f"Gap {variant['words']}", "references": (*rate_difference.SOURCES, WESTFALL_YOUNG)}
        for variant in AFTER_AND_BEFORE
    ],
    "rft.plugins.fairness.mitigation.findings._state_accuracy": [
        variant | {"choice": MITIGATED, "format_fixed": lambda *_: "..."} for variant in AFTER_AND_BEFORE
    ],
    "rft.plugins.fairness.mitigation.findings._state_worst_group": AFTER_AND_BEFORE,
    "rft.plugins.fairness.paired.section._state_change": [{"metric": "<metric>", "words": "<metric>"}],
    "rft.plugins.fairness.present.findings.state_missing_values": [{"missing": "k", "n": "n", "allowed": ""}],
    "rft.plugins.fairness.recognition.findings.state_gap": SPEAKER_GAPS,
    "rft.plugins.fairness.recognition.findings.state_worst_group": SPEAKER_GAPS,
    "rft.plugins.performance.audit._against_scores": [{"against": "k", "n": "n"}],
    "rft.plugins.performance.audit._build_finding": [{"name": name} for name in METRICS],
    "rft.plugins.performance.change._state_changes": [{"name": name} for name in CHANGED_METRICS],
    "rft.plugins.performance.recognition.audit._state_rate": [{"rate": rate} for rate in ERROR_RATES.values()],
    "rft.plugins.performance.recognition.change._state_change": [{"rate": rate} for rate in ERROR_RATES.values()],
    "rft.plugins.privacy.accounting.findings._epsilon_with_audits_finding": [
        {"len": lambda _: "<n>", "mechanisms": (), "high": False, "spent": SimpleNamespace(accountant="PLD")}
    ],
    "rft.plugins.privacy.accounting.findings._units_finding": [{"remarks": []}],
    "rft.plugins.privacy.accounting.findings._batch_independence_findings": [{"remark": ""}],
    "rft.plugins.privacy.accounting.section._define_ideal": [{"fpr": rate} for rate in IDEAL_RATES],
    "rft.plugins.privacy.attacks.membership._define_attack": [{"attack": attack} for attack in ATTACKS.values()],
    "rft.plugins.privacy.attacks.membership._tpr_finding": [
        {"column": column, "results": SimpleNamespace(units="units")} for column in FPR_BY_COLUMN
    ],
    "rft.plugins.privacy.attacks.membership._most_exposed": [{"results": SimpleNamespace(foremost="lira")}],
    "rft.plugins.privacy.leakage.attribute_inference._define_probe": [{"chance": "1 over the number of groups"}],
}
# What is stated again of another definition, or copied from one.
COPIES = {
    "rft.plugins.privacy.accounting.findings._withdraw_promise",
    "rft.plugins.dataset._finding_of_remark",  # its remarks are listed instead
}


@cache
def list_entries() -> tuple[FindingEntry, ...]:
    """Return an entry for each finding, in the order of their ids within their plugins."""
    entries: dict[str, FindingEntry] = {}
    for entry in [*_list_defined(), *_list_remarks()]:
        entries[entry.id] = _merge_entries(entries[entry.id], entry) if entry.id in entries else entry
    plugins = list(SECTIONS)
    return tuple(sorted(entries.values(), key=lambda entry: (plugins.index(entry.id.partition(".")[0]), entry.id)))


def _list_defined() -> Iterator[FindingEntry]:
    for site in list_sites(ROOT / "rft", "FindingDefinition"):
        if site.name not in COPIES:
            for evaluation in evaluate_site(site, PARAMETERS, STAND_INS, VARIANTS.get(site.name, ())):
                yield FindingEntry(**evaluation.arguments, statements=evaluation.statements)


def _list_remarks() -> Iterator[FindingEntry]:
    for site in list_sites(ROOT / "rft" / "data", "Remark"):
        for evaluation in evaluate_site(site, ("id", "title", "unit"), STAND_INS, VARIANTS.get(site.name, ())):
            given = {**evaluation.arguments, "id": f"dataset.{evaluation.arguments['id']}"}
            yield FindingEntry(**given, statements=frozenset(["state_count"]))


def _merge_entries(first: FindingEntry, second: FindingEntry) -> FindingEntry:
    """Return an entry of what two places say of one finding: the longer text, all sources and statements."""
    longer = {name: max(getattr(first, name), getattr(second, name), key=len) for name in ("title", "description")}
    return replace(
        first,
        **longer,
        unit=first.unit or second.unit,
        caveats=first.caveats or second.caveats,
        better=first.better or second.better,
        references=tuple(dict.fromkeys(first.references + second.references)),
        statements=first.statements | second.statements,
    )


def write_entry(entry: FindingEntry) -> str:
    """Return what the page says of a finding."""
    stated = [word for method, word in STATED.items() if method in entry.statements]
    assert entry.statements, f"nothing in its module states {entry.id}"
    facts = [
        " or ".join(stated).capitalize() or "Stated only where it could not be measured",
        entry.unit and f"unit: {entry.unit}",
        entry.better and f"{entry.better} is better",
    ]
    paragraphs = [
        f"**{entry.title}.** {entry.description}".rstrip(),
        "; ".join(fact for fact in facts if fact) + ".",
        entry.caveats and f"*Caveat:* {entry.caveats}",
        "*Source:* " + "; ".join(entry.references) + "." if entry.references else "",
    ]
    return "\n\n".join([f"### `{entry.id}`", *(_mark_names(text) for text in paragraphs if text)])


def _mark_names(text: str) -> str:
    """Return a text whose ``<names>`` a page does not take for markup."""
    return re.sub(r"<[\w.]+>", r"`\g<0>`", text)


def write_page() -> str:
    """Return the text of docs/findings.md."""
    entries = list_entries()
    parts = [INTRODUCTION]
    for plugin, (title, about) in SECTIONS.items():
        of_plugin = [write_entry(entry) for entry in entries if entry.id.partition(".")[0] == plugin]
        parts += [f"## {title}\n\n{about}", *of_plugin]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(write_page(), encoding="utf-8")
