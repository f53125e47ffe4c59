"""A run as strangers may read it: results on test, the verdict, facts of the model, and the claim of privacy.

It is made by allowing, not by forbidding: a part of the run that is not named here does not pass, and neither does what
no plugin declared (``rft.disclosure.strangers``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from rft.disclosure.strangers import SMALL, HiddenNames, PublicPart, select_public_part, title_table
from rft.disclosure.withheld import PUBLISHED_BELOW
from rft.number_format import format_date
from rft.records import AuditRun, Backbone, Finding, JsonObject, LaterVerdict, Pillar, RuleOutcome, SplitFacts, Verdict
from rft.report.format.words import end_sentence, join_names
from rft.report.render.publishable import is_few, make_publishable, withheld_below
from rft.report.views.findings import view_finding

NOT_SHOWN = "what it judges is left out of this public version, and so are its numbers"
LATER_RULES = "rules that were applied later"
SHOWN_SPLIT = "test"
NOT_NAMED = "a file that is not named"

_ALWAYS_LEFT_OUT = (
    "The config as it was used, but for what the organisation says in [card]: it names files, columns and people.",
    "Hashes of the config and of the rules, digests of inputs, and what plugins recorded as evidence: they could "
    "confirm a guess of what was read. The random salt of the run, with which its other hashes could be guessed.",
    "Images, texts and their attributions: they show single examples.",
    "How many training examples have which class or group, class weights and the time that training took: they were "
    "computed from training examples without noise.",
)
_MAX_NAMED = 12  # titles in a sentence


def make_public(run: AuditRun) -> AuditRun:
    """Return a run without what strangers may not see, and with what that is in ``left_out``.

    A run that is public already is returned as it is.
    """
    if run.left_out:
        return run
    below = max(withheld_below(run), PUBLISHED_BELOW)
    stored = run.data.small_cells
    was_measured_without = stored is not None and run.run.table("report").get("suppress_below") == stored.below == below
    restricted = run if was_measured_without else make_publishable(run, below=below)
    by_group = stored is not None and stored.below >= below
    hidden = _find_hidden_names(run, restricted)
    parts = {section.plugin: select_public_part(section, hidden, by_group=by_group) for section in restricted.sections}
    sections = tuple(part.section for part in parts.values() if part.section is not None)
    before = {finding.id: finding for section in run.sections for finding in section.findings}
    after = {finding.id: finding for section in sections for finding in section.findings}
    untouched = {id for id, finding in after.items() if finding.value is not None and _is_same(finding, before[id])}
    return AuditRun(
        format_version=run.format_version,
        rft_version=run.rft_version,
        # The salt kept readers of hashes from guessing what they were not given; these readers are given all of it.
        run=run.run.model_copy(
            update={
                "volatile": run.run.volatile.model_copy(update={"salt": "", "training_seconds": None}),
                "config": _select_config(run, below),
                "config_sha256": "",
            }
        ),
        model=run.model.model_copy(
            update=dict(  # noqa: C408 - fields of a record, not plugins of these names
                unit=None if run.model.unit is None else "",
                backbone=_clean_backbone(run.model.backbone),
                training=run.model.training.model_copy(
                    update={"class_weights": None, "unit": _clean_unit(run.model.training.unit)}
                ),
            )
        ),
        data=restricted.data.model_copy(
            update={
                "splits": _clean_splits(restricted, hidden, by_group=by_group),
                "skipped": None if is_few(run.data.skipped or 0, below) else run.data.skipped,
                "small_cells": None,
            }
        ),
        sections=sections,
        pillars=tuple(_clean_pillar(pillar, run, after, untouched, hidden) for pillar in run.pillars),
        verdict=_clean_verdict(run.verdict, untouched, hidden),
        later_verdicts=tuple(_clean_later(later, untouched, hidden) for later in run.later_verdicts),
        left_out=(
            *_explain_parts(run, parts),
            *_explain_restricted(run, restricted, hidden, parts),
            *_explain_small(below, by_group),
            *_ALWAYS_LEFT_OUT,
        ),
    )


def _is_same(finding: Finding, before: Finding) -> bool:
    """Whether a finding says the same number, of the same groups, as it did before."""
    names = ("value", "interval", "adjusted", "n", "status", "small_groups")
    return not finding.withheld and all(getattr(finding, name) == getattr(before, name) for name in names)


def _find_hidden_names(run: AuditRun, restricted: AuditRun) -> HiddenNames:
    """Return the names of groups that are withheld, by the run itself and by the counts of its splits."""
    names = {name for facts in _list_group_counts(restricted) for name, count in facts.items() if count is None}
    if run.data.small_cells is not None:
        names |= {name for group in run.data.small_cells.groups.values() for name in group}
    unit = run.model.training.unit
    column = run.run.table("data").get("unit")
    named = column if isinstance(column, str) else unit
    return HiddenNames(frozenset(names - {""}), named if named and named != "example" else "")


def _list_group_counts(run: AuditRun) -> list[Mapping[str, int | None]]:
    return [counts for facts in run.data.splits.values() for counts in facts.groups.values()]


def _select_config(run: AuditRun, below: int) -> JsonObject:
    """Return what of the config was written to be read by others, and the least count of this version."""
    card = run.run.table("card")
    config: JsonObject = {"report": {"suppress_below": below}}
    return {**config, "card": dict(card)} if card else config


def _clean_unit(unit: str | None) -> str | None:
    return unit if unit in (None, "example") else "unit"


def _clean_backbone(backbone: Backbone | None) -> Backbone | None:
    """Return the backbone; names that are paths say only that there was a file."""
    if backbone is None:
        return None
    update = {"name": _clean_source(backbone.name), "weights": _clean_source(backbone.weights)}
    return backbone.model_copy(update=update)


def _clean_source(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    is_path = path.is_absolute() or name.startswith((".", "~")) or len(path.parts) > 2 or ":" in path.parts[:1]
    return NOT_NAMED if is_path or path.suffix in (".pt", ".pth", ".safetensors", ".bin", ".ckpt") else name


def _clean_splits(run: AuditRun, hidden: HiddenNames, *, by_group: bool) -> dict[str, SplitFacts]:
    shown = run.data.splits.get(SHOWN_SPLIT)
    groups = {
        attribute: {name: count for name, count in counts.items() if count is not None}
        for attribute, counts in (shown.groups.items() if shown and by_group else ())
    }

    def clean_split(name: str, facts: SplitFacts) -> SplitFacts:
        if name == SHOWN_SPLIT:
            return facts.model_copy(update={"groups": groups})
        without_counts = {attribute: dict.fromkeys(counts) for attribute, counts in groups.items()}
        labels = dict.fromkeys(run.model.classes)
        return facts.model_copy(update={"labels": labels, "groups": without_counts, "n_units": None})

    return {name: clean_split(name, facts) for name, facts in run.data.splits.items()}


def _clean_verdict(verdict: Verdict, untouched: set[str], hidden: HiddenNames) -> Verdict:
    """Return a verdict whose outcomes stay: strangers must not be shown another than the report."""
    return verdict.model_copy(
        update={"rules": tuple(_clean_rule(rule, rule.finding in untouched, hidden) for rule in verdict.rules)}
    )


def _clean_rule(rule: RuleOutcome, is_shown: bool, hidden: HiddenNames) -> RuleOutcome:
    named = (rule.rule, rule.finding, rule.because, rule.explanation, rule.reason, rule.remedy, *rule.small_groups)
    if is_shown and not hidden.occurs_in(*named):
        return rule
    update: dict[str, object] = {"small_groups": ()}
    if hidden.occurs_in(rule.rule, rule.finding, rule.because):
        update |= {"rule": "a rule on a small group", "finding": "left_out", "because": ""}
    return rule.without_numbers(NOT_SHOWN).model_copy(update=update)


def _clean_later(later: LaterVerdict, untouched: set[str], hidden: HiddenNames) -> LaterVerdict:
    source = f"{LATER_RULES}, on {format_date(later.applied)}"
    verdict = _clean_verdict(later.verdict, untouched, hidden).model_copy(update={"source": source})
    return later.model_copy(update={"file": LATER_RULES, "sha256": "", "verdict": verdict})


def _clean_pillar(
    pillar: Pillar, run: AuditRun, after: Mapping[str, Finding], untouched: set[str], hidden: HiddenNames
) -> Pillar:
    """Return an answer that rests on what is shown alone."""
    measured = [
        finding.id
        for section in run.sections
        if section.plugin == pillar.plugin
        for finding in section.findings
        if finding.value is not None
    ]
    claims = tuple(
        claim if claim.finding in after else claim.model_copy(update={"finding": None}) for claim in pillar.claims
    )
    if untouched.issuperset(measured):
        return pillar.model_copy(
            update={
                "claims": claims,
                "summary": hidden.write_without_unit(pillar.summary),
                "contrasts": tuple(
                    contrast
                    for contrast in pillar.contrasts
                    if contrast.finding in after and not hidden.occurs_in(contrast.lowest.group, contrast.highest.group)
                ),
            }
        )
    shown = [after[claim.finding] for claim in claims if claim.finding in untouched and claim.finding is not None]
    answered = [claim for claim in pillar.claims if claim.state in ("measured", "declared")]
    left = [claim.label for claim in answered if claim.finding not in untouched]
    said = [f"{finding.title}: {view_finding(finding).brief}." for finding in shown]
    if left:
        said.append(f"Left out of this public version: {join_names(left)}.")
    summary = " ".join(said) or "Left out of this public version."
    return pillar.model_copy(update={"claims": claims, "summary": summary, "contrasts": ()})


def _explain_parts(run: AuditRun, parts: Mapping[str, PublicPart]) -> Iterable[str]:
    titles = {section.plugin: section.title or section.plugin for section in run.sections}
    for plugin, part in parts.items():
        for reason, names in part.left_out.items():
            more = f", and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
            listed = "; ".join(names[:_MAX_NAMED]) or "results that name small groups"
            yield end_sentence(f"{titles[plugin]}: {listed}{more}. Why: {reason}")


def _explain_restricted(
    run: AuditRun, restricted: AuditRun, hidden: HiddenNames, parts: Mapping[str, PublicPart]
) -> Iterable[str]:
    """Name the findings and tables of which small cells are a part, and which are left out as in a card."""
    for before, after in zip(run.sections, restricted.sections, strict=True):
        pairs = zip(before.findings, after.findings, strict=True)
        names = [old.title for old, new in pairs if old.value is not None and new.value is None]
        names += [title_table(before, name) for name in before.tables if name not in after.tables]
        told = [hidden.write_without_unit(name) for name in names if not hidden.occurs_in(name)]
        named = {name for titles in parts[before.plugin].left_out.values() for name in titles}
        if told := [name for name in told if name not in named]:
            yield f"{before.title or before.plugin}: {'; '.join(told)}. Why: {SMALL}."


def _explain_small(below: int, by_group: bool) -> Iterable[str]:
    yield (
        f"Numbers that rest on fewer than {below} cases, those from which they would follow, and the names of such "
        "groups."
    )
    if not by_group:
        yield f"All numbers by group, since this run did not decide which rest on fewer than {below} cases."
