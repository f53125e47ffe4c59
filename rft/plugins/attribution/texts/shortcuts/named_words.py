"""The words that a config names as shortcuts: what is done to each, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence

from rft.plugins import AuditedModel
from rft.plugins.attribution import sample
from rft.plugins.attribution.network import Network
from rft.plugins.attribution.shortcuts.findings import ShortcutTest
from rft.plugins.attribution.shortcuts.options import Shortcut
from rft.plugins.attribution.shortcuts.wording import swap_wording, words_wording
from rft.plugins.attribution.texts.shortcuts.changes import Exchange, OtherWords, Removal, WordChange
from rft.plugins.attribution.texts.shortcuts.counterparts import Counterparts
from rft.plugins.attribution.texts.shortcuts.interventions import FirstPredictions, change_words
from rft.plugins.attribution.texts.shortcuts.other_words import WordPool
from rft.plugins.attribution.texts.tokenized_texts import TokenizedTextReader
from rft.plugins.attribution.texts.words import whole_word_pattern


def measure_words(
    audited: AuditedModel, network: Network, reader: TokenizedTextReader, shortcuts: Sequence[Shortcut]
) -> list[ShortcutTest]:
    """Return what changing the words of each shortcut did, for those that name words."""
    first = FirstPredictions(network)
    return [
        _measure_shortcut(audited, first, reader, shortcut) for shortcut in shortcuts if shortcut.modality == "text"
    ]


def _measure_shortcut(
    audited: AuditedModel, first: FirstPredictions, reader: TokenizedTextReader, shortcut: Shortcut
) -> ShortcutTest:
    rng = sample.random_generator(audited, f"suspect {shortcut.name}")  # names a stream: another gives other draws
    change = _choose_change(audited, first.network, reader, shortcut)
    units = audited.splits["test"].units
    result = change_words(first, reader, units, change=change, most=shortcut.max_pairs, rng=rng)
    if isinstance(change, Exchange):
        words = swap_wording(shortcut.name, result, matched=change.pool.measures_distance)
    else:
        words = words_wording(shortcut.name, result, removed=isinstance(change, Removal))
    return ShortcutTest(shortcut, result, words)


def _choose_change(
    audited: AuditedModel, network: Network, reader: TokenizedTextReader, shortcut: Shortcut
) -> WordChange:
    if shortcut.swap is not None:
        terms = Counterparts.from_list(shortcut.swap)
        rng = sample.random_generator(audited, f"words beside {shortcut.swap}")
        return Exchange(terms, WordPool.collect(network, reader, terms.pattern, rng))
    pattern = whole_word_pattern(shortcut.tokens or ())
    if shortcut.change != "other_words":
        return Removal(pattern)
    rng = sample.random_generator(audited, f"words beside {shortcut.name}")
    return OtherWords(pattern, WordPool.collect(network, reader, pattern, rng))
