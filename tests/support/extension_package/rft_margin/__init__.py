"""How sure the model is: the distance between its two largest probabilities. An example of every hook of a plugin."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from rft.config.schema import DataConfig
from rft.disclosure.withheld import NOTHING, Counted, Withheld
from rft.errors import ConfigError, EvidenceError
from rft.plugins import AuditedModel, CandidateBackbone, EvidenceCheck, ExaminedData, Options, Plugin, RunPair
from rft.plugins.pillar import NOT_ASKED, ClaimDefinition, PillarDefinition, write_value
from rft.records import Finding, FindingDefinition, JsonObject, ModelFacts, Section, Table, bars_figure
from rft.stats.intervals import clopper_pearson_interval, wilson_interval
from rft.stats.multiplicity import adjust_interval

FOLDER, REGISTER = "margins", "margins.json"


class MarginOptions(Options):
    """``[margin]``: what counts as unsure, and of which class decisions are counted."""

    unsure_below: float = Field(default=0.1, gt=0, lt=1)
    decided: str | None = None


class Margin(Plugin[MarginOptions]):
    """Counts the test examples whose margin is small."""

    name = "margin"
    options = MarginOptions
    pillar = PillarDefinition("Margin", (ClaimDefinition("Unsure decisions", ("margin.unsure",)),))

    def check(self, options: MarginOptions, data: DataConfig) -> None:
        """Refuse a class that the data does not have."""
        if options.decided is not None and data.classes is not None and options.decided not in data.classes:
            raise ConfigError(f"{options.decided!r} is none of data.classes", where="margin.decided")

    def list_findings(self, options: MarginOptions, data: DataConfig) -> tuple[str, ...]:
        """Return the ids that its findings may have: a rule on another one is refused."""
        return ("margin.unsure",)

    def examine_data(self, options: MarginOptions, examined: ExaminedData) -> Iterator[str]:
        """Yield what it will look at; refuse a class that the data does not have, which its config need not say."""
        if options.decided is not None and options.decided not in examined.classes:
            raise ConfigError(f"{options.decided!r} is no class of the data", where="margin.decided")
        yield f"margins of {len(examined.splits['test'])} test examples"

    def count_cases(self, audited: AuditedModel, options: MarginOptions) -> Iterator[Counted]:
        """Yield the rows of each group that the share of unsure decisions rests on."""
        test = _test_rows(audited.predictions)
        unsure = _margins(test) < options.unsure_below
        for attribute in audited.splits["test"].groups:
            yield Counted("test", (attribute,), unsure, of_model=True)

    def audit(self, audited: AuditedModel, options: MarginOptions) -> Section:
        """Return the share of unsure decisions and a histogram of the margins."""
        margins = _margins(_test_rows(audited.predictions))
        unsure = int((margins < options.unsure_below).sum())
        return Section(
            plugin=self.name,
            title="Margin",
            findings=(_unsure_finding(unsure, len(margins), options.unsure_below),),
            tables={"margins": _histogram(margins)},
            captions={"margins": "Test examples by margin."},
            computed_from={"margin.unsure": "test", "margins": "test"},
            figures=(_FIGURE,),
            template="rft_margin:templates/margin.html",
            folders={FOLDER: lambda folder: _write_threshold(folder, options.unsure_below)},
            evidence={"unsure": unsure},
        )

    def summarize(self, section: Section | None, model: ModelFacts) -> str:
        """Return the share of unsure decisions in a sentence."""
        if section is None:
            return NOT_ASKED
        return f"Unsure are {write_value(section.finding('margin.unsure'))} of the decisions of {model.name}."

    def compare_runs(self, pair: RunPair) -> Section:
        """Return the mean margin of both runs."""
        means = [float(_margins(frame).mean()) for frame in (pair.before, pair.after)]
        rows: Table = [
            {"model": name, "mean margin": mean, "n": len(pair.before)}
            for name, mean in zip(pair.names, means, strict=True)
        ]
        return Section(plugin=self.name, title="Margins of both", tables={"margins": rows})

    def compare_backbones(
        self, candidates: Mapping[str, CandidateBackbone], *, seed: int, withheld: Withheld = NOTHING
    ) -> Section:
        """Return how long the embeddings of each backbone are."""
        rows: Table = [
            {"backbone": name, "mean length": float(np.linalg.norm(candidate.embeddings.pretrained, axis=1).mean())}
            for name, candidate in candidates.items()
        ]
        return Section(plugin=self.name, title="Lengths", tables={"lengths": rows})

    def load_model(self, folder: Path) -> SureModel | None:
        """Return the model of a run that says when it is unsure; None for a folder of another plugin."""
        file = folder / REGISTER
        if folder.name != FOLDER or not file.is_file():
            return None
        return SureModel(folder.parent, json.loads(file.read_text(encoding="utf-8"))["unsure_below"])

    def verify_evidence(self, recorded: JsonObject, folder: Path | None) -> EvidenceCheck:
        """Check the number of unsure decisions against a register that is kept outside the run."""
        if folder is None or not (folder / REGISTER).is_file():
            return EvidenceCheck("No register of margins was given.", checked=False)
        if json.loads((folder / REGISTER).read_text(encoding="utf-8")) != recorded:
            raise EvidenceError("says otherwise than the run", where=str(folder / REGISTER))
        return EvidenceCheck("The register of margins says the same as the run.", checked=True)


class SureModel:
    """The model of a run, with a column that says whether its decision is unsure."""

    def __init__(self, run: Path, unsure_below: float) -> None:
        from rft.models.saved import load_model

        self.model, self.unsure_below = load_model(run), unsure_below

    def predict(self, items: list[str]) -> pd.DataFrame:
        """Return one row an item, as ``SavedModel.predict`` does, and the column ``unsure``."""
        table = self.model.predict(items)
        return table.assign(unsure=_margins(table) < self.unsure_below)


def _test_rows(predictions: pd.DataFrame) -> pd.DataFrame:
    return predictions[predictions["split"] == "test"]


def _margins(predictions: pd.DataFrame) -> np.ndarray:
    """Return the (N,) distances between the two largest probabilities of a row."""
    columns = [name for name in predictions.columns if str(name).startswith("score_")]
    scores = np.sort(predictions[columns].to_numpy(float), axis=1)
    return scores[:, -1] - scores[:, -2]


def _unsure_finding(unsure: int, n: int, below: float) -> Finding:
    definition = FindingDefinition(
        "margin.unsure",
        "Unsure decisions",
        f"Share of test examples whose two best classes differ by less than {below}.",
        unit="fraction",
        headline=True,
    )
    return definition.state_estimate(
        unsure / n,
        interval=wilson_interval(unsure, n),
        adjusted=adjust_interval(lambda level: clopper_pearson_interval(unsure, n, level=level)),  # for several rules
        n=n,
    )


def _histogram(margins: np.ndarray) -> Table:
    counts, edges = np.histogram(margins, bins=10, range=(0, 1))
    return [{"margin": f"{low:.1f}", "n": int(n)} for low, n in zip(edges, counts, strict=False)]


def _write_threshold(folder: Path, unsure_below: float) -> None:
    folder.mkdir()
    (folder / REGISTER).write_text(json.dumps({"unsure_below": unsure_below}), encoding="utf-8")


_FIGURE = bars_figure(
    id="margins",
    table="margins",
    x="margin",
    y="n",
    title="Margins",
    alt="Histogram of the margins of the test examples.",
)
