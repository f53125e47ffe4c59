"""How sure the model is: the distance between its two largest probabilities."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from rft.plugins import AuditedModel, Options, Plugin
from rft.records import Figure, Finding, Section


class MarginOptions(Options):
    """``[margin]``: what counts as unsure."""

    unsure_below: float = Field(default=0.1, gt=0, lt=1)


class Margin(Plugin[MarginOptions]):
    """Counts the test examples whose margin is small."""

    name = "margin"
    options = MarginOptions

    def audit(self, audited: AuditedModel, options: MarginOptions) -> Section:
        """Return the share of unsure decisions and a histogram of the margins."""
        test = audited.predictions[audited.predictions["split"] == "test"]
        scores = np.sort(test[[f"score_{name}" for name in audited.facts.classes]].to_numpy(float), axis=1)
        margins = scores[:, -1] - scores[:, -2]
        counts, edges = np.histogram(margins, bins=10, range=(0, 1))
        finding = Finding(
            id="margin.unsure",
            title="Unsure decisions",
            status="info",
            value=float((margins < options.unsure_below).mean()),
            unit="fraction",
            deterministic=True,
            n=len(margins),
            description=f"Share of test examples whose two best classes differ by less than {options.unsure_below}.",
        )
        figure = Figure(
            id="margins",
            kind="bars",
            table="margins",
            encode={"x": "margin", "y": "n"},
            title="Margins",
            alt="Histogram of the margins of the test examples.",
        )
        rows = [{"margin": f"{low:.1f}", "n": int(n)} for low, n in zip(edges, counts, strict=False)]
        return Section(
            plugin=self.name,
            title="Margin",
            findings=(finding,),
            tables={"margins": rows},
            captions={"margins": "Test examples by margin."},
            figures=(figure,),
            template="rft_margin:templates/margin.html",
        )
