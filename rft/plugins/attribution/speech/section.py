"""The attribution section of a model of recordings: what is explained, by what, and how the results are laid out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rft.plugins import AuditedModel
from rft.plugins.attribution import (
    METHODS_OF,
    OCCLUSIONS,
    SECOND_OPINION_STEPS,
    SECOND_OPINIONS,
    AttributionOptions,
    Method,
    findings,
    interventions,
    sample,
)
from rft.plugins.attribution.columns import COLUMNS
from rft.plugins.attribution.group_means import MIN_MAPS_PER_GROUP, Memberships, list_memberships
from rft.plugins.attribution.modality_words import METHOD_NAMES, Wording, explain_unsuited, recording_wording
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
from rft.plugins.attribution.speech import examples, profiles
from rft.plugins.attribution.speech.clips import ExplainedClips, TestClips
from rft.plugins.attribution.speech.findings import word_filling
from rft.plugins.attribution.speech.methods import Scores, find_filled, integrate_gradients, measure_occlusion
from rft.plugins.attribution.speech.quality import ClipExamples
from rft.plugins.attribution.speech.replacements import Replacement, measure_replacements
from rft.plugins.attribution.speech.shortcuts.swaps import measure_sounds
from rft.records import Finding, Section, Table, select_columns
from rft.runtime.progress import track_progress


class _Explanations(NamedTuple):
    """What was made of the explained recordings.

    Attributes:
        explained: the recordings.
        fillings: method -> what fills its parts; integrated gradients start from what fills windows.
        scores: attributions by each method that gives some.
        reasons: method -> why it gives none.
    """

    explained: ExplainedClips
    fillings: Mapping[str, Replacement]
    scores: list[Scores]
    reasons: dict[str, str]

    @property
    def complete(self) -> list[Scores]:
        """The attributions by methods that explain all recordings."""
        return [scores for scores in self.scores if len(scores.places) == len(self.explained)]


class _Judged(NamedTuple):
    """The attributions of one method, and how far they can be believed.

    Attributes:
        scores: of some of the explained recordings; M of them are sound.
        memberships: attribute -> (M,) group of each recording with a sound one.
        units: (M,) whose recording each is, or None.
        quality: of the sound ones; None where there are none.
        words: of recordings and of what the method fills.
    """

    scores: Scores
    memberships: Memberships
    units: np.ndarray | None
    quality: AttributionQuality | None
    words: Wording


def build_section(audited: AuditedModel, options: AttributionOptions, network: Network) -> Section:
    """Return the section; raises ``Unavailable`` when the model has no inputs, or there is no test recording."""
    clips = TestClips.from_audited(audited)
    explained = ExplainedClips.from_rows(network, clips, sample.explained_rows(audited, options.samples))
    split = audited.splits["test"]
    rng = sample.random_generator(audited, "replacements")
    replacements = measure_replacements(network, clips, len(split), split.units, rng)
    explanations = _explain_clips(audited, network, options, explained, replacements)
    judged = [
        _measure_quality(audited, network, explanations, scores)
        for scores in track_progress(explanations.scores, "Quality of attributions")
    ]
    tests = measure_sounds(audited, network, clips, options.shortcut)

    tables = _build_tables(audited, explanations, judged, replacements, tests)
    figures = [
        *interventions.shortcuts_figure(tables, "Predictions that flip when parts of recordings are swapped"),
        *profiles.draw_profiles(tables),
    ]
    assets: dict[str, bytes] = {}
    if audited.show_examples and any(scores.sound.any() for scores in explanations.complete):
        captions = sample.describe_predictions(audited, explained.rows, explained.target.numpy())
        tables["examples"], assets = examples.draw_examples(explained, explanations.complete, captions)
        figures.append(examples.draw_figure())
    stated = (
        *judge_shortcuts(tests),
        *list_unsuited(options.shortcut, "audio", "recordings"),
        *(replacement_finding(of_method[0], word_filling(method)) for method, of_method in replacements.items()),
        *_score_findings(audited, network, explanations, judged),
        *(
            finding
            for method, reason in explanations.reasons.items()
            for finding in findings.unavailable_methods({method: reason}, _word_method(explanations, method))
        ),
    )
    return Section(
        plugin="attribution",
        title="Attribution",
        findings=stated,
        tables=tables,
        columns=select_columns(COLUMNS, tables),
        captions={name: caption for name, caption in _CAPTIONS.items() if name in tables},
        computed_from=interventions.list_sources(stated, tables),
        figures=tuple(figures),
        notes=(*_list_numbers(explanations), *_NOTES),
        assets=assets,
    )


_SIGNS = (
    "Above zero is what speaks for the predicted class, below zero what speaks against it, each as a share of all of a "
    "recording."
)
_CAPTIONS = {
    "shortcuts": "Predictions that flip when a part of a recording is taken from another one.",
    "shortcuts_by_group": GROUPS_CAPTION,
    "replacements": "What stands for the absence of a part: how far predicted probabilities move, and how many "
    "predictions flip, when the same random windows or bands of test recordings are filled in each way; least first.",
    "map_quality": QUALITY_CAPTION.format(maps="attributions", many="recordings"),
    "completeness": "Integrated gradients of each recording that they explain: gradients spent, how much of the "
    "attributions the last doubling of the steps changed, and how far off they are along the path, relative to the "
    "change of the logit.",
    "mean_windows": f"Mean attributions in tenths of the time of a recording. {_SIGNS}",
    "mean_bands": f"Mean attributions in bands of equal width in mels. {_SIGNS}",
    "mean_map_counts": f"Explained recordings of each group; means of fewer than {MIN_MAPS_PER_GROUP} are not drawn.",
    "examples": "Examples from the test split.",
}

_NOTES = (
    "Occlusion shows how far the lead of the predicted class falls when a window of time or a band is filled, after "
    "which the model's own preprocessing runs as always. It illustrates: parts that stand for each other, such as two "
    "syllables that each suffice, show little, because only one of them is filled at a time.",
    "Whether a model relies on a suspected span, band or background noise is decided by intervention: it is swapped "
    "between recordings of different predicted classes, and flipped predictions are counted against a control that "
    "swaps it between recordings of the same class. Nothing is said about parts that were not named as shortcuts.",
    "The explained recordings are a random sample of the test split. Attributions and flips describe this model on "
    "recordings like these; differential privacy of the training does not cover them.",
)


def _explain_clips(
    audited: AuditedModel,
    network: Network,
    options: AttributionOptions,
    explained: ExplainedClips,
    replacements: Mapping[str, list[Replacement]],
) -> _Explanations:
    """Return the attributions of each method that gives some, and the reasons of those that do not."""
    fillings = {method: of_method[0] for method, of_method in replacements.items()}
    fillings["integrated_gradients"] = fillings["window_occlusion"]
    scores: list[Scores] = []
    reasons: dict[str, str] = {}
    for method in options.methods or METHODS_OF["audio"]:
        try:
            if method in OCCLUSIONS:
                scores.append(measure_occlusion(network, explained, fillings[method]))
            elif method == "integrated_gradients":
                scores.append(_integrate_some(audited, network, options, explained, fillings[method]))
            else:
                reasons[method] = explain_unsuited(method, "recordings")
        except Exception as error:
            reasons[method] = explain_failure(METHOD_NAMES[method], error)
    return _Explanations(explained, fillings, scores, reasons)


def _integrate_some(
    audited: AuditedModel,
    network: Network,
    options: AttributionOptions,
    explained: ExplainedClips,
    filling: Replacement,
) -> Scores:
    """Return integrated gradients: a second opinion on a few recordings where the config names no methods."""
    named, places = options.methods is not None, np.arange(len(explained))
    if not named:
        rng = sample.random_generator(audited, "second opinions")
        places = np.sort(rng.choice(places, size=min(SECOND_OPINIONS, len(places)), replace=False))
    left_open = not named and "max_steps" not in options.model_fields_set
    max_steps = SECOND_OPINION_STEPS if left_open else options.max_steps
    return integrate_gradients(network, explained, places, filling, max_steps=max_steps, must_converge=not named)


def _word_method(explanations: _Explanations, method: Method | str) -> Wording:
    filling = explanations.fillings.get(method, explanations.fillings["window_occlusion"])
    return recording_wording(filling.name, bands=method == "band_occlusion")


def _measure_quality(audited: AuditedModel, network: Network, explanations: _Explanations, scores: Scores) -> _Judged:
    explained, quality = explanations.explained, None
    sound = scores.places[scores.sound]
    memberships = list_memberships(audited, explained.rows[sound], explained.target.numpy()[sound])
    if len(sound):
        rng = sample.random_generator(audited, "deletion")
        examples = ClipExamples.from_scores(network, explained, scores, explanations.fillings[scores.method])
        quality = measure_part_quality(network, examples, choose_repeated(memberships, rng), rng)
    units = sample.explained_units(audited, explained.rows[sound])
    return _Judged(scores, memberships, units, quality, _word_method(explanations, scores.method))


def _score_findings(
    audited: AuditedModel, network: Network, explanations: _Explanations, judged: Sequence[_Judged]
) -> Iterator[Finding]:
    """Yield what is found about the attributions themselves: their checks, their completeness, their quality."""
    explained = explanations.explained
    for scores, memberships, units, quality, words in judged:
        method = scores.method
        yield findings.failed_maps_finding(method, scores.sound, words)
        if scores.completeness is not None:
            yield from findings.completeness_findings(scores.completeness, words)
            filling = explanations.fillings[method]
            yield findings.baseline_finding(*_count_same(network, explained, scores, filling), words)
        yield from state_quality(quality, units, words) if quality else state_no_quality(method, words)
        if len(scores.places) == len(explained):  # of a few recordings there are no groups
            gains = quality.faithfulness.deletion if quality else np.array([])
            yield from gap_findings(method, gains, memberships, units, audited.withheld, words)


def _count_same(network: Network, explained: ExplainedClips, scores: Scores, filling: Replacement) -> tuple[int, int]:
    """Return for how many recordings what gradients start from gets their class, and of how many."""
    chosen = explained.take(scores.places)
    same = 0
    for place in range(len(chosen)):
        recording, target = chosen.read_one(place)
        absent = find_filled(recording, filling)
        same += int(network.logits(chosen.clips.prepare([absent])).argmax(dim=1) == target)
    return same, len(chosen)


def _build_tables(
    audited: AuditedModel,
    explanations: _Explanations,
    judged: Sequence[_Judged],
    replacements: Mapping[str, list[Replacement]],
    tests: Sequence[ShortcutTest],
) -> dict[str, Table]:
    """Return the tables that have rows."""
    explained = explanations.explained
    rate = explained.read_one(0)[0].rate
    memberships = list_memberships(audited, explained.rows, explained.target.numpy())
    tables = {
        "shortcuts": [
            interventions.condition_row(test.shortcut.name, condition)
            for test in tests
            for condition in test.intervention.conditions
        ],
        "shortcuts_by_group": rows_by_group({test.shortcut.name: test.intervention for test in tests}, audited),
        "replacements": [
            {"method": method, **row}
            for method, of_method in replacements.items()
            for row in replacements_table(of_method, of_method[0].name, "filling")
        ],
        "map_quality": [
            row
            for _, of_sound, units, quality, words in judged
            if quality
            for row in tabulate_quality(quality, of_sound, units, audited.withheld, words)
        ],
        "completeness": [row for scores in explanations.scores for row in _completeness_rows(scores)],
        **profiles.tabulate_profiles(explanations.complete, rate, memberships, audited.withheld),
    }
    return {name: table for name, table in tables.items() if table}


def _completeness_rows(scores: Scores) -> Table:
    return [
        {"recording": place + 1, "method": scores.method, **completeness.as_row()}
        for place, completeness in zip(scores.places.tolist(), scores.completeness or (), strict=False)
    ]


def _list_numbers(explanations: _Explanations) -> Iterator[str]:
    """Yield how many recordings a method explained, where it did not explain all."""
    for scores in explanations.scores:
        if len(scores.places) < len(explanations.explained):
            yield (
                f"{METHOD_NAMES[scores.method].capitalize()} are a second opinion on {len(scores.places)} of the "
                f"{len(explanations.explained)} explained recordings, drawn by chance: each takes up to hundreds of "
                "gradients. Named in methods of [attribution], they explain all."
            )
