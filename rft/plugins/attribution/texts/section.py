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
from rft.plugins.attribution.modality_words import Wording, explain_unsuited
from rft.plugins.attribution.network import Network, explain_failure
from rft.plugins.attribution.replacement_shift import replacements_table
from rft.plugins.attribution.shortcuts.by_group import GROUPS_CAPTION, rows_by_group
from rft.plugins.attribution.shortcuts.findings import ShortcutTest, judge_shortcuts, list_unsuited
from rft.plugins.attribution.texts import examples, profile
from rft.plugins.attribution.texts.faithfulness import deletion_gain
from rft.plugins.attribution.texts.findings import explain_refusal, replacement_finding
from rft.plugins.attribution.texts.methods import Scores, integrated_gradients, word_removal
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
    tests = measure_words(audited, network, reader, options.shortcut)

    tables, figures = _build_tables(audited, reader, explained, scores, replacements, tests)
    words = modality_words.text_wording(choose_token(replacements).name, replacements[0].name)
    stated = (
        *judge_shortcuts(tests),
        *list_unsuited(options.shortcut, "text", "texts"),
        replacement_finding(choose_token(replacements)),
        *_score_findings(audited, network, explained, scores, replacements, words),
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


def _score_findings(
    audited: AuditedModel,
    network: Network,
    explained: _Explained,
    scores: Sequence[Scores],
    replacements: Sequence[Replacement],
    words: Wording,
) -> Iterator[Finding]:
    """Yield what is found about the attributions themselves: their checks, completeness, the deletion test."""
    texts, target = explained
    for of_method in track_progress(scores, "Deletion test"):
        yield findings.failed_maps_finding(of_method.method, of_method.sound, words)
        if of_method.completeness is not None:
            yield from findings.completeness_findings(of_method.completeness, words)
            absent = choose_token(replacements).replace(texts, texts.ordinary)
            same = int((network.logits(absent).argmax(dim=1) == target).sum())
            yield findings.baseline_finding(same, len(texts), words)
        gain = np.array([])
        if of_method.sound.any():
            rng = sample.random_generator(audited, "deletion")
            gain = deletion_gain(network, texts, target, of_method, replacement=replacements[0], rng=rng)
        units = sample.explained_units(audited, texts.rows[of_method.sound])
        yield findings.deletion_finding(of_method.method, gain, units, words)


def _build_tables(
    audited: AuditedModel,
    reader: TokenizedTextReader,
    explained: _Explained,
    scores: Sequence[Scores],
    replacements: Sequence[Replacement],
    tests: Sequence[ShortcutTest],
) -> tuple[dict[str, Table], tuple[Figure, ...]]:
    """Return the tables that have rows, and their figures. Words of texts appear only where examples may be shown."""
    texts, units = explained.texts, sample.explained_units(audited, explained.texts.rows)
    tables = {
        "shortcuts": [
            interventions.condition_row(test.shortcut.name, condition)
            for test in tests
            for condition in test.intervention.conditions
        ],
        "shortcuts_by_group": rows_by_group({test.shortcut.name: test.intervention for test in tests}, audited),
        "replacements": replacements_table(replacements, choose_token(replacements).name, "baseline"),
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
