"""The attribution section of a model of texts: what is explained, by what, and how the results are laid out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from rft.config.schema import SEE_WORDS
from rft.errors import Unavailable
from rft.plugins import AuditedModel
from rft.plugins.attribution import METHODS_OF, AttributionOptions, findings, interventions, modality_words, sample
from rft.plugins.attribution.columns import COLUMNS
from rft.plugins.attribution.group_means import Memberships, list_memberships
from rft.plugins.attribution.modality_words import Wording, explain_unsuited
from rft.plugins.attribution.network import Network, explain_failure
from rft.plugins.attribution.quality.gaps import gap_findings
from rft.plugins.attribution.quality.measures import (
    QUALITY_CAPTION,
    AttributionQuality,
    state_no_quality,
    state_quality,
    tabulate_quality,
)
from rft.plugins.attribution.quality.parts import choose_repeated, measure_part_quality
from rft.plugins.attribution.replacement_shift import replacement_finding, replacements_table
from rft.plugins.attribution.shortcuts.by_group import GROUPS_CAPTION, rows_by_group
from rft.plugins.attribution.shortcuts.findings import ShortcutTest, judge_shortcuts, list_unsuited
from rft.plugins.attribution.texts import examples, profile
from rft.plugins.attribution.texts.findings import REPLACED_WORDS, explain_refusal
from rft.plugins.attribution.texts.methods import Scores, integrated_gradients, word_removal
from rft.plugins.attribution.texts.quality import TextExamples
from rft.plugins.attribution.texts.replacements import (
    Replacement,
    choose_token,
    find_removal,
    measure_replacements,
)
from rft.plugins.attribution.texts.shortcuts.named_words import measure_words
from rft.plugins.attribution.texts.tokenized_texts import TokenizedTextReader, TokenizedTexts
from rft.records import Figure, Finding, Section, Table, select_columns
from rft.runtime.progress import track_progress


def build_section(audited: AuditedModel, options: AttributionOptions, network: Network) -> Section:
    """Return the section; raises ``Unavailable`` when the audited model has no inputs, no tokenizer or no test text."""
    reader = TokenizedTextReader(audited)
    explained = _explain_sample(audited, network, reader, options.samples)
    rng = sample.random_generator(audited, "replacements")
    replacements = measure_replacements(network, reader, audited.splits["test"].units, rng)
    scores, reasons = _run_methods(network, explained, options, replacements)
    judged = [
        _measure_quality(audited, network, explained, of_method, replacements)
        for of_method in track_progress(scores, "Quality of attributions")
    ]
    tests = measure_words(audited, network, reader, options.shortcut)

    words = modality_words.text_wording(choose_token(replacements).name, replacements[0].name)
    tables, figures = _build_tables(audited, reader, explained, judged, replacements, tests, words)
    stated = (
        *judge_shortcuts(tests),
        *list_unsuited(options.shortcut, "text", "texts"),
        replacement_finding(choose_token(replacements), REPLACED_WORDS),
        *_score_findings(audited, network, explained, judged, replacements, words),
        *findings.unavailable_methods(reasons, words),
    )
    return Section(
        plugin="attribution",
        title="Attribution",
        findings=stated,
        tables=tables,
        columns=select_columns(COLUMNS, tables),
        captions={name: caption for name, caption in _CAPTIONS.items() if name in tables},
        computed_from=interventions.list_sources(stated, tables),
        figures=figures,
        notes=_NOTES if audited.show_examples else (SEE_WORDS, *_NOTES),
    )


_CAPTIONS = {
    "shortcuts": "Predictions that flip when words are removed or exchanged, in texts that have them.",
    "shortcuts_by_group": GROUPS_CAPTION,
    "replacements": "What stands for the absence of words: how far predicted probabilities move, and how many "
    "predictions flip, when the same few random words of test texts are replaced by each; least first.",
    "map_quality": QUALITY_CAPTION.format(maps="attributions", many="texts"),
    "completeness": "Integrated gradients of each explained text: gradients spent, how much of the attributions the "
    "last doubling of the steps changed, and how far off they are along the path, relative to the change of the logit.",
    "position_profile": "Share of what speaks for the predicted class in each tenth of a text, special tokens left "
    f"out; spread evenly it would be {1 / profile.PARTS:g} everywhere.",
    "tokens": "Tokens of explained texts. Special tokens have no attribution.",
}

_NOTES = (
    "Integrated gradients on the word embeddings show which tokens speak for the predicted class according to the "
    "model's gradients, word removal how far the lead of the class falls without a word. They illustrate. Gradients "
    "start from the text with one token in place of every word: of those that were tried, the one that shifts the "
    "predictions of this model on these texts least. Special tokens such as [CLS] and [SEP] stay, so how much the "
    "model leans on those is not measured.",
    "Whether a model relies on suspected words is decided by intervention: they are removed, or exchanged for others, "
    "in the texts that have them, and flipped predictions are counted against a control in which other words of the "
    "same texts are. Where random words as a control flip more than 10 % of them, nothing is said. Nothing is said "
    "either about words that were not named as shortcuts.",
    "The explained texts are a random sample of the test split. Attributions and flips describe this model on texts "
    "like these; differential privacy of the training does not cover them.",
)


class _Explained(NamedTuple):
    """The explained texts and the classes predicted for them, (N,)."""

    texts: TokenizedTexts
    target: Tensor


class _Judged(NamedTuple):
    """The attributions of one method, and how far they can be believed.

    Attributes:
        scores: N of them, of which M are sound.
        memberships: attribute -> (M,) group of each text with a sound one.
        units: (M,) whose text each is, or None.
        quality: of the sound ones; None where there are none.
    """

    scores: Scores
    memberships: Memberships
    units: np.ndarray | None
    quality: AttributionQuality | None


def _explain_sample(audited: AuditedModel, network: Network, reader: TokenizedTextReader, samples: int) -> _Explained:
    texts = reader.read(sample.explained_rows(audited, samples))
    return _Explained(texts, network.logits(texts.inputs).argmax(dim=1))


def _run_methods(
    network: Network, explained: _Explained, options: AttributionOptions, replacements: Sequence[Replacement]
) -> tuple[list[Scores], dict[str, str]]:
    """Return the attributions of each method that gives some, and the reasons of those that do not."""
    scores: list[Scores] = []
    reasons: dict[str, str] = {}
    baseline, removal = choose_token(replacements), find_removal(replacements)
    for method in options.methods or METHODS_OF["text"]:
        name = modality_words.METHOD_NAMES[method]
        try:
            if method == "integrated_gradients":
                token = _require_usable(baseline)
                scores.append(integrated_gradients(network, *explained, baseline=token, max_steps=options.max_steps))
            elif method == "word_removal":
                _require_usable(removal)
                scores.append(word_removal(network, *explained, removal=removal))
            else:
                reasons[method] = explain_unsuited(method, "texts")
        except Exception as error:
            reasons[method] = explain_failure(name, error)
    return scores, reasons


def _require_usable(replacement: Replacement) -> int:
    """Return the token of a replacement, 0 for none; raises ``Unavailable`` where it changes too many predictions."""
    if not replacement.usable:
        raise Unavailable(explain_refusal(replacement))
    return replacement.token or 0


def _measure_quality(
    audited: AuditedModel,
    network: Network,
    explained: _Explained,
    scores: Scores,
    replacements: Sequence[Replacement],
) -> _Judged:
    sound, quality = np.flatnonzero(scores.sound), None
    rows = explained.texts.rows[sound]
    memberships = list_memberships(audited, rows, explained.target.numpy()[sound])
    if len(sound):
        rng = sample.random_generator(audited, "deletion")
        examples = TextExamples.from_scores(network, *explained, scores, replacements)
        quality = measure_part_quality(network, examples, choose_repeated(memberships, rng), rng)
    return _Judged(scores, memberships, sample.explained_units(audited, rows), quality)


def _score_findings(
    audited: AuditedModel,
    network: Network,
    explained: _Explained,
    judged: Sequence[_Judged],
    replacements: Sequence[Replacement],
    words: Wording,
) -> Iterator[Finding]:
    """Yield what is found about the attributions themselves: their checks, their completeness, their quality."""
    texts, target = explained
    for scores, memberships, units, quality in judged:
        yield findings.failed_maps_finding(scores.method, scores.sound, words)
        if scores.completeness is not None:
            yield from findings.completeness_findings(scores.completeness, words)
            absent = choose_token(replacements).replace(texts, texts.ordinary)
            same = int((network.logits(absent).argmax(dim=1) == target).sum())
            yield findings.baseline_finding(same, len(texts), words)
        yield from state_quality(quality, units, words) if quality else state_no_quality(scores.method, words)
        gains = quality.faithfulness.deletion if quality else np.array([])
        yield from gap_findings(scores.method, gains, memberships, units, audited.withheld, words)


def _build_tables(
    audited: AuditedModel,
    reader: TokenizedTextReader,
    explained: _Explained,
    judged: Sequence[_Judged],
    replacements: Sequence[Replacement],
    tests: Sequence[ShortcutTest],
    words: Wording,
) -> tuple[dict[str, Table], tuple[Figure, ...]]:
    """Return the tables that have rows, and their figures. Words of texts appear only where examples may be shown."""
    texts, units = explained.texts, sample.explained_units(audited, explained.texts.rows)
    scores = [of_method.scores for of_method in judged]
    tables = {
        "shortcuts": [
            interventions.condition_row(test.shortcut.name, condition)
            for test in tests
            for condition in test.intervention.conditions
        ],
        "shortcuts_by_group": rows_by_group({test.shortcut.name: test.intervention for test in tests}, audited),
        "replacements": replacements_table(replacements, choose_token(replacements).name, "baseline"),
        "map_quality": [
            row
            for _, memberships, units_of_sound, quality in judged
            if quality
            for row in tabulate_quality(quality, memberships, units_of_sound, audited.withheld, words)
        ],
        "completeness": [row for of_method in scores for row in _completeness_rows(of_method)],
        "position_profile": [row for of_method in scores[:1] for row in profile.profile_table(texts, of_method, units)],
    }
    if audited.show_examples:
        captions = sample.describe_predictions(audited, texts.rows, explained.target.numpy())
        tables["tokens"] = [
            row for of_method in scores for row in examples.tokens_table(reader, texts, of_method, captions)
        ]
    tables = {name: table for name, table in tables.items() if table}
    return tables, (
        *interventions.shortcuts_figure(tables, "Predictions that flip when words are changed"),
        *([profile.profile_figure()] if "position_profile" in tables else []),
        *examples.examples_figures(tables.get("tokens", [])),
    )


def _completeness_rows(scores: Scores) -> Table:
    return [
        {"text": number, "method": scores.method, **completeness.as_row()}
        for number, completeness in enumerate(scores.completeness or (), start=1)
    ]
