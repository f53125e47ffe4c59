"""The attribution section of a model of texts: what is explained, by what, and how the results are laid out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from rft.errors import Unavailable
from rft.plugins import AuditedModel
from rft.plugins.attribution import AttributionOptions, Suspect, findings, interventions, modality_words, sample
from rft.plugins.attribution.columns import COLUMNS
from rft.plugins.attribution.interventions import Intervention
from rft.plugins.attribution.network import Network
from rft.plugins.attribution.texts import examples, profile
from rft.plugins.attribution.texts.faithfulness import deletion_gain
from rft.plugins.attribution.texts.methods import METHOD, Scores, integrated_gradients
from rft.plugins.attribution.texts.shortcuts import intervene
from rft.plugins.attribution.texts.tokenized_texts import Reader, Texts
from rft.records import Figure, Finding, Section, Table, select_columns

METHODS = (METHOD,)


def section(audited: AuditedModel, options: AttributionOptions, network: Network) -> Section:
    """Return the section; raises ``Unavailable`` when the audited model has no inputs, no tokenizer or no test text."""
    reader = Reader(audited)
    explained = _explained(audited, network, reader, options.samples)
    scores, reasons = _run(network, reader, explained, options)
    replaced = [_replace(audited, network, reader, each) for each in options.suspect if each.tokens is not None]

    tables, figures = _tables(audited, reader, explained, scores, replaced)
    words = modality_words.texts(reader.baseline_name)
    return Section(
        plugin="attribution",
        title="Attribution",
        findings=(
            *(
                findings.suspect(each, result, modality_words.words(each.name, result, reader.baseline_name))
                for each, result in replaced
            ),
            *(findings.unsuited(each, "texts") for each in options.suspect if each.tokens is None),
            *(_score_findings(audited, network, reader, explained, scores) if scores else ()),
            *findings.unmade(reasons, words),
        ),
        tables=tables,
        columns=select_columns(COLUMNS, tables),
        captions={name: caption for name, caption in _CAPTIONS.items() if name in tables},
        figures=figures,
        notes=_NOTES,
    )


_CAPTIONS = {
    "suspects": "Predictions that flip when words are replaced, in texts that have them.",
    "completeness": "Integrated gradients of each explained text: gradients spent, and how far the attributions are "
    "from summing to the change of the logit, relative to that change.",
    "position_profile": "Share of the absolute attribution in each tenth of a text, special tokens left out; spread "
    f"evenly it would be {1 / profile.PARTS:g} everywhere.",
    "tokens": "Tokens of explained texts. Special tokens have no attribution.",
}

_NOTES = (
    "Integrated gradients on the word embeddings show which tokens speak for the predicted class according to the "
    "model's gradients. They illustrate. They start from the text with one fixed token in place of every word; special "
    "tokens such as [CLS] and [SEP] stay, so how much the model leans on those is not measured.",
    "Whether a model relies on suspected words is decided by intervention: they are replaced in the texts that have "
    "them, and flipped predictions are counted against a control in which other words of the same texts are replaced. "
    "Nothing is said about words that were not named as suspects.",
    "The explained texts are a random sample of the test split. Attributions and flips describe this model on texts "
    "like these; differential privacy of the training does not cover them.",
)


class _Explained(NamedTuple):
    """The explained texts and the classes predicted for them, (N,)."""

    texts: Texts
    target: Tensor


def _explained(audited: AuditedModel, network: Network, reader: Reader, samples: int) -> _Explained:
    texts = reader.read(sample.explained_rows(audited, samples))
    return _Explained(texts, network.logits(texts.inputs).argmax(dim=1))


def _run(
    network: Network, reader: Reader, explained: _Explained, options: AttributionOptions
) -> tuple[Scores | None, dict[str, str]]:
    """Return the attributions, if there are any, and the reasons of methods that give none."""
    scores, reasons = None, {}
    for method in options.methods or METHODS:
        if method != METHOD:
            reasons[method] = f"{modality_words.NAMES[method]} reads a map of the picture, and texts have none"
            continue
        try:
            scores = integrated_gradients(network, *explained, baseline=reader.baseline, max_steps=options.max_steps)
        except Unavailable as reason:
            reasons[method] = str(reason)
    return scores, reasons


def _replace(audited: AuditedModel, network: Network, reader: Reader, suspect: Suspect) -> tuple[Suspect, Intervention]:
    result = intervene(
        network,
        reader,
        audited.splits["test"].units,
        words=suspect.tokens or (),
        most=suspect.pairs,
        rng=sample.generator(audited, f"suspect {suspect.name}"),
    )
    return suspect, result


def _score_findings(
    audited: AuditedModel, network: Network, reader: Reader, explained: _Explained, scores: Scores
) -> Iterator[Finding]:
    """Yield what is found about the attributions themselves: their checks, completeness, the deletion test."""
    words = modality_words.texts(reader.baseline_name)
    yield findings.failed_maps(METHOD, scores.sound, words)
    yield from findings.completeness(scores.completeness, words)
    gain = np.array([])
    if scores.sound.any():
        rng = sample.generator(audited, "deletion")
        gain = deletion_gain(network, *explained, scores, baseline=reader.baseline, rng=rng)
    units = sample.explained_units(audited, explained.texts.rows[scores.sound])
    yield findings.deletion(METHOD, gain, units, words)


def _tables(
    audited: AuditedModel,
    reader: Reader,
    explained: _Explained,
    scores: Scores | None,
    replaced: Sequence[tuple[Suspect, Intervention]],
) -> tuple[dict[str, Table], tuple[Figure, ...]]:
    """Return the tables that have rows, and their figures. Words of texts appear only where examples may be shown."""
    texts, tables = explained.texts, {}
    tables["suspects"] = [interventions.row(each.name, arm) for each, result in replaced for arm in result.arms]
    if scores is not None:
        tables["completeness"] = _completeness_rows(scores)
        tables["position_profile"] = profile.table(texts, scores, sample.explained_units(audited, texts.rows))
        if audited.show_examples:
            captions = sample.captions(audited, texts.rows, explained.target.numpy())
            tables["tokens"] = examples.table(reader, texts, scores, captions)
    tables = {name: table for name, table in tables.items() if table}
    figures = {"position_profile": profile.figure(), "tokens": examples.figure()}
    return tables, (
        *interventions.figure(tables, "Predictions that flip when words are replaced"),
        *(figure for name, figure in figures.items() if name in tables),
    )


def _completeness_rows(scores: Scores) -> Table:
    return [
        {"text": number, "method": METHOD, "steps": each.steps, "error": each.error}
        for number, each in enumerate(scores.completeness, start=1)
    ]
