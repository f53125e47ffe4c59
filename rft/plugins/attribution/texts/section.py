"""The attribution section of a model of texts: what is explained, by what, and how the results are laid out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from rft.plugins import AuditedModel
from rft.plugins.attribution import AttributionOptions, findings, interventions, modality_words, sample
from rft.plugins.attribution.columns import COLUMNS
from rft.plugins.attribution.interventions import Intervention
from rft.plugins.attribution.network import Network, explain_failure
from rft.plugins.attribution.shortcuts.by_group import GROUPS_CAPTION, rows_by_group
from rft.plugins.attribution.shortcuts.findings import ShortcutTest, judge_shortcuts, unsuited_shortcut
from rft.plugins.attribution.shortcuts.options import Shortcut
from rft.plugins.attribution.shortcuts.wording import words_wording
from rft.plugins.attribution.texts import examples, profile
from rft.plugins.attribution.texts.faithfulness import deletion_gain
from rft.plugins.attribution.texts.methods import METHOD, Scores, integrated_gradients
from rft.plugins.attribution.texts.shortcuts import replace_words
from rft.plugins.attribution.texts.tokenized_texts import TokenizedTextReader, TokenizedTexts
from rft.records import Figure, Finding, Section, Table, select_columns

METHODS = (METHOD,)


def build_section(audited: AuditedModel, options: AttributionOptions, network: Network) -> Section:
    """Return the section; raises ``Unavailable`` when the audited model has no inputs, no tokenizer or no test text."""
    reader = TokenizedTextReader(audited)
    explained = _explain_sample(audited, network, reader, options.samples)
    scores, reasons = _run_methods(network, reader, explained, options)
    replaced = [
        _replace_words(audited, network, reader, shortcut)
        for shortcut in options.shortcut
        if shortcut.tokens is not None
    ]

    tables, figures = _build_tables(audited, reader, explained, scores, replaced)
    words = modality_words.text_wording(reader.baseline_name)
    stated = (
        *judge_shortcuts(
            [
                ShortcutTest(shortcut, result, words_wording(shortcut.name, result, reader.baseline_name))
                for shortcut, result in replaced
            ]
        ),
        *(unsuited_shortcut(shortcut, "texts") for shortcut in options.shortcut if shortcut.tokens is None),
        *(_score_findings(audited, network, reader, explained, scores) if scores else ()),
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
        notes=_NOTES,
    )


_CAPTIONS = {
    "shortcuts": "Predictions that flip when words are replaced, in texts that have them.",
    "shortcuts_by_group": GROUPS_CAPTION,
    "completeness": "Integrated gradients of each explained text: gradients spent, how much of the attributions the "
    "last doubling of the steps changed, and how far off they are along the path, relative to the change of the logit.",
    "position_profile": "Share of what speaks for the predicted class in each tenth of a text, special tokens left "
    f"out; spread evenly it would be {1 / profile.PARTS:g} everywhere.",
    "tokens": "Tokens of explained texts. Special tokens have no attribution.",
}

_NOTES = (
    "Integrated gradients on the word embeddings show which tokens speak for the predicted class according to the "
    "model's gradients. They illustrate. They start from the text with one fixed token in place of every word; special "
    "tokens such as [CLS] and [SEP] stay, so how much the model leans on those is not measured.",
    "Whether a model relies on suspected words is decided by intervention: they are replaced in the texts that have "
    "them, and flipped predictions are counted against a control in which other words of the same texts are replaced. "
    "Nothing is said about words that were not named as shortcuts.",
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
    network: Network, reader: TokenizedTextReader, explained: _Explained, options: AttributionOptions
) -> tuple[Scores | None, dict[str, str]]:
    """Return the attributions, if there are any, and the reasons of methods that give none."""
    scores, reasons = None, {}
    for method in options.methods or METHODS:
        if method != METHOD:
            reasons[method] = f"{modality_words.METHOD_NAMES[method]} reads a map of the image, and texts have none"
            continue
        try:
            scores = integrated_gradients(network, *explained, baseline=reader.baseline, max_steps=options.max_steps)
        except Exception as error:
            reasons[method] = explain_failure(modality_words.METHOD_NAMES[method], error)
    return scores, reasons


def _replace_words(
    audited: AuditedModel, network: Network, reader: TokenizedTextReader, shortcut: Shortcut
) -> tuple[Shortcut, Intervention]:
    result = replace_words(
        network,
        reader,
        audited.splits["test"].units,
        words=shortcut.tokens or (),
        most=shortcut.max_pairs,
        rng=sample.random_generator(audited, f"suspect {shortcut.name}"),  # names a stream: another gives other draws
    )
    return shortcut, result


def _score_findings(
    audited: AuditedModel, network: Network, reader: TokenizedTextReader, explained: _Explained, scores: Scores
) -> Iterator[Finding]:
    """Yield what is found about the attributions themselves: their checks, completeness, the deletion test."""
    words = modality_words.text_wording(reader.baseline_name)
    yield findings.failed_maps_finding(METHOD, scores.sound, words)
    yield from findings.completeness_findings(scores.completeness, words)
    texts = explained.texts
    replaced = network.logits(texts.replace_tokens(texts.ordinary, reader.baseline)).argmax(dim=1)
    yield findings.baseline_finding(int((replaced == explained.target).sum()), len(texts), words)
    gain = np.array([])
    if scores.sound.any():
        rng = sample.random_generator(audited, "deletion")
        gain = deletion_gain(network, *explained, scores, baseline=reader.baseline, rng=rng)
    units = sample.explained_units(audited, explained.texts.rows[scores.sound])
    yield findings.deletion_finding(METHOD, gain, units, words)


def _build_tables(
    audited: AuditedModel,
    reader: TokenizedTextReader,
    explained: _Explained,
    scores: Scores | None,
    replaced: Sequence[tuple[Shortcut, Intervention]],
) -> tuple[dict[str, Table], tuple[Figure, ...]]:
    """Return the tables that have rows, and their figures. Words of texts appear only where examples may be shown."""
    texts, tables = explained.texts, {}
    tables["shortcuts"] = [
        interventions.condition_row(shortcut.name, condition)
        for shortcut, result in replaced
        for condition in result.conditions
    ]
    tables["shortcuts_by_group"] = rows_by_group({shortcut.name: result for shortcut, result in replaced}, audited)
    if scores is not None:
        tables["completeness"] = _completeness_rows(scores)
        tables["position_profile"] = profile.profile_table(texts, scores, sample.explained_units(audited, texts.rows))
        if audited.show_examples:
            captions = sample.describe_predictions(audited, texts.rows, explained.target.numpy())
            tables["tokens"] = examples.tokens_table(reader, texts, scores, captions)
    tables = {name: table for name, table in tables.items() if table}
    figures = {"position_profile": profile.profile_figure(), "tokens": examples.examples_figure()}
    return tables, (
        *interventions.shortcuts_figure(tables, "Predictions that flip when words are replaced"),
        *(figure for name, figure in figures.items() if name in tables),
    )


def _completeness_rows(scores: Scores) -> Table:
    return [
        {"text": number, "method": METHOD, **completeness.as_row()}
        for number, completeness in enumerate(scores.completeness, start=1)
    ]
