"""Whether a recogniser that was trained here writes anything: outputs that are blanks alone, and how many blanks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rft.number_format import format_count
from rft.plugins import AuditedModel
from rft.plugins.chapter_content import ChapterContent
from rft.records import BLANK_SHARE, LOSS, Columns, Finding, FindingDefinition, Table, list_columns
from rft.references import GRAVES
from rft.stats import multiplicity
from rft.stats.rates import Rate
from rft.stats.scores.error_rates import WORDS

MOST_BLANK = 0.05  # of utterances in which something was said: more of them is no accident of a few quiet clips
ALL_BLANK = FindingDefinition(
    "performance.all_blank_outputs",
    "Utterances of which nothing is written",
    "Share of the test utterances with words for which every output of the network is the blank.",
    unit="fraction",
    caveats="A network that has learnt little writes blanks alone, which the loss rewards before anything else.",
    references=(GRAVES,),
    better="lower",
    remedy="Train longer (train.epochs) or in larger steps (train.learning_rate); look whether transcripts belong to "
    "their recordings, and choose another model.layer.",
)
OUTPUT_COLUMNS: Columns = list_columns(
    {"split": "key", "loss": "number", "blank_vectors": "number", "all_blank": "number", "n": "count"},
    labels={
        "loss": "median loss in nats",
        "blank_vectors": "share of vectors that are blank",
        "all_blank": "share of utterances that are all blank",
        "n": "utterances",
    },
)
CAPTION = (
    "What the network puts out for the utterances of each split: the loss of training, of half of them at most; how "
    "many vectors are blank; and of how many utterances all are."
)


def has_outputs(audited: AuditedModel) -> bool:
    """Tell whether more than transcripts is known of what a recogniser put out."""
    return BLANK_SHARE in audited.predictions


def outputs_chapter(audited: AuditedModel) -> ChapterContent:
    """Return the chapter; an empty one where transcripts are all that is known."""
    if not has_outputs(audited):
        return ChapterContent()
    shown = {name: audited.predictions[audited.predictions["split"] == name] for name in audited.splits}
    table: Table = [
        {
            "split": name,
            "loss": _find_median(frame[LOSS].to_numpy(np.float64)),
            "blank_vectors": float(frame[BLANK_SHARE].mean()),
            "all_blank": float((frame[BLANK_SHARE] == 1).mean()),
            "n": len(frame),
        }
        for name, frame in shown.items()
        if len(frame) and name not in audited.withheld.splits
    ]
    return ChapterContent(
        "What the network puts out",
        [_state_all_blank(shown["test"])],
        {"outputs": table},
        {"outputs": CAPTION},
        computed_from="test",
        exceptions={"outputs": "by_split"},
    )


def _find_median(losses: np.ndarray) -> float | None:
    """Return the median of (N,) losses; None where half of them are infinite."""
    median = float(np.median(losses))
    return median if np.isfinite(median) else None


def _state_all_blank(test: pd.DataFrame) -> Finding:
    said = test[test[WORDS] > 0]
    units = pd.factorize(said["unit"])[0].astype(np.int64)
    rate = Rate.from_rows((said[BLANK_SHARE] == 1).to_numpy(), units)
    count = int((said[BLANK_SHARE] == 1).sum())
    return ALL_BLANK.state_estimate(
        rate.value,
        interval=rate.confidence_interval(),
        adjusted=multiplicity.adjust_interval(rate.exact_interval),
        n=rate.sample.units,
        status="warn" if rate.value > MOST_BLANK else "info",
        description=f"{ALL_BLANK.description} Here: {format_count(count)} of {format_count(len(said))}.",
    )
