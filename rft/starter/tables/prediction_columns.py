"""Which columns of a table hold what a model predicted: decisions, and probabilities of classes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from rft.data.predictions import SUM_TO_ONE
from rft.data.tables.spelling import normal_form
from rft.data.transcripts.normalizers import simplify_text
from rft.starter.tables.columns import Guess, find_label_columns
from rft.starter.tables.sample import ColumnSample, TableSample
from rft.starter.tables.words import HYPOTHESES, PREDICTIONS, REFERENCES, SCORES, find_word, rank_by_words, split_words

RFT_COLUMNS = {"split", "id", "label", "prediction"}  # of the predictions.parquet of a run
ROWS_LOOKED_AT, FEWEST_IN_COMMON = 500, 0.25  # rows; share of words that a reference and its hypothesis share
RFT_GROUP, RFT_SCORE = "group_", "score_"


@dataclass(frozen=True)
class PredictionColumns:
    """What a table of predictions holds.

    Attributes:
        rft: whether it is laid out as the predictions of a run.
        prediction: the column of decisions.
        score: the one column with the probability of a class.
        score_class: the class that ``score`` is named after; None where its name says nothing.
        scores: class -> the column with its probability.
        scores_reason: why ``scores`` are believed to be that.
        reference, hypothesis: of a speech recogniser, the columns of what was said and of what it wrote.
    """

    rft: bool = False
    prediction: Guess | None = None
    score: Guess | None = None
    score_class: str | None = None
    scores: tuple[tuple[str, str], ...] = ()
    scores_reason: str = ""
    reference: Guess | None = None
    hypothesis: Guess | None = None

    @property
    def names(self) -> list[str]:
        """The columns."""
        named = (self.prediction, self.score, self.reference, self.hypothesis)
        single = [guess.value for guess in named if guess is not None]
        return [*single, *(column for _, column in self.scores)]


def find_transcript_columns(sample: TableSample) -> PredictionColumns | None:
    """Return the columns of references and hypotheses, told by their names and by words that both have in common.

    None where there are none: a name alone, such as ``text`` beside ``prediction``, decides nothing.
    """
    named = [name for name, column in sample.columns.items() if column.n > 0]
    as_texts = [name for name in named if find_word(name, PREDICTIONS) and find_word(name, REFERENCES)]  # pred_text
    for hypothesis in dict.fromkeys([*rank_by_words(named, HYPOTHESES), *as_texts]):
        said = rank_by_words((name for name in sample.columns if name != hypothesis), REFERENCES)
        for reference in said:
            shared = _share_in_common(sample.columns[reference], sample.columns[hypothesis])
            if shared >= FEWEST_IN_COMMON:
                reason = f"called after it, and {shared:.0%} of its words stand in the same row of"
                return PredictionColumns(
                    reference=Guess(reference, f"what was said: {reason} {hypothesis}"),
                    hypothesis=Guess(hypothesis, "what a recogniser wrote: called after it"),
                )
    return None


def looks_like_a_run(sample: TableSample) -> bool:
    """Tell whether the columns are those of the predictions of a run."""
    return sample.columns.keys() >= RFT_COLUMNS and any(name.startswith(RFT_SCORE) for name in sample.columns)


def find_prediction_columns(sample: TableSample, label: str | None) -> PredictionColumns | None:
    """Return the columns of predictions, told by their names and their cells; None where there is none.

    Args:
        sample: the table.
        label: the column of labels; None: the one that is called so, if there is one.
    """
    if looks_like_a_run(sample) and label is None:
        return PredictionColumns(rft=True)
    named = [name for name in sample.columns if find_word(name, (*PREDICTIONS, *SCORES))]
    if label is None:
        labels = find_label_columns(sample, named)
        label = labels[0].value if len(labels) == 1 else None
    if label is None or label not in sample.columns:
        return None
    classes = sample.columns[label].counts
    decided = rank_by_words((name for name in named if _holds_decisions(sample.columns[name], classes)), PREDICTIONS)
    prediction = Guess(decided[0], "called after a prediction, and its values are labels") if decided else None
    free = [name for name in sample.columns if name not in (label, *decided[:1])]
    scored = [name for name in free if _holds_probabilities(sample.columns[name])]
    scores, reason = _match_classes(sample, scored, list(classes))
    score = None if scores else _single_score(sample, scored)
    if prediction is None and score is None and not scores:
        return None
    score_class = None if score is None else _named_class(score.value, list(classes))
    return PredictionColumns(False, prediction, score, score_class, scores, reason)


def _share_in_common(reference: ColumnSample, hypothesis: ColumnSample) -> float:
    """Return the share of the words of some references that stand in the hypothesis of their row."""
    found = n = 0
    for said, written in zip(_first_texts(reference), _first_texts(hypothesis), strict=True):
        words, other = simplify_text(said).split(), {*simplify_text(written).split()}
        n += len(words)
        found += sum(word in other for word in words)
    return found / n if n else 0.0


def _first_texts(column: ColumnSample) -> list[str]:
    names = [*(str(name) for name in column.values.categories), ""]  # the last one is that of code -1
    return [names[code] for code in column.values.codes[:ROWS_LOOKED_AT].tolist()]


def _holds_decisions(column: ColumnSample, classes: Collection[str]) -> bool:
    return column.n > 0 and not column.missing and {*column.counts} <= {*classes}


def _holds_probabilities(column: ColumnSample) -> bool:
    cells = column.numbers
    if cells is None or column.missing:
        return False
    return bool(np.all((cells >= 0) & (cells <= 1)) and np.any(cells % 1))


def _single_score(sample: TableSample, scored: Sequence[str]) -> Guess | None:
    """Return the first column that is called after a score."""
    ranked = rank_by_words(scored, SCORES)
    if not ranked:
        return None
    cells = sample.columns[ranked[0]].numbers
    assert cells is not None
    return Guess(ranked[0], f"called after a score, numbers from {cells.min():.3g} to {cells.max():.3g}")


def _match_classes(
    sample: TableSample, scored: Sequence[str], classes: Sequence[str]
) -> tuple[tuple[tuple[str, str], ...], str]:
    """Return (class, column) for all classes, where each has a column of its name and the rows sum to 1."""
    pairs = [(name, next((column for column in scored if _named_class(column, [name])), None)) for name in classes]
    columns_of_classes = tuple((name, column) for name, column in pairs if column is not None)
    if len(classes) < 2 or len(columns_of_classes) < len(classes):
        return (), ""
    cells = [sample.columns[column].numbers for _, column in columns_of_classes]
    total = np.sum([column for column in cells if column is not None], axis=0)
    if np.abs(total - 1).max() > SUM_TO_ONE:
        return (), ""
    return columns_of_classes, "called after the classes, numbers within [0, 1] that sum to 1 in each row"


def _named_class(column: str, classes: Sequence[str]) -> str | None:
    """Return the class that a column is named after: ``p_yes``, ``prob(yes)``, ``yes``."""
    bare = "".join(word for word in split_words(column) if word not in SCORES)
    for name in classes:
        if normal_form(name) in (bare, normal_form(column)) or column.removeprefix(RFT_SCORE) == name:
            return name
        if any(column.casefold() == f"{word}_{name}".casefold() for word in SCORES):
            return name
    return None
