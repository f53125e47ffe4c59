"""A run that is written and rendered in no time: one number, one rule, one image, no chart."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from rft.records import Artifacts, AuditRun, Figure, Finding, Interval, RuleOutcome, Section, Verdict, asset_name
from rft.version import __version__
from tests.support.example_run import change_volatile, encode_png, example_run

ACCURACY = Finding(
    id="performance.accuracy",
    title="Accuracy",
    status="info",
    value=0.69,
    unit="fraction",
    interval=Interval(low=0.64, high=0.74, method="Wilson, 95 %"),
    n=400,
    description="Share of test examples whose predicted label is the given one.",
)
RULE = RuleOutcome(
    rule="performance.accuracy is at least 0.6",
    finding="performance.accuracy",
    outcome="pass",
    because="release criterion R-2",
    explanation="0.69, interval 0.64 to 0.74: within the bound, even allowing for chance",
    reason="within the bound, even allowing for chance",
    asked="at least 0.6",
    bounds={"min": 0.6},
    interval=ACCURACY.interval,
    level=0.95,
)


def small_run(id: str = "one", *, rft_version: str = __version__) -> AuditRun:
    """Return a run whose one rule holds, without artifacts."""
    image = encode_png()
    section = Section(
        plugin="performance",
        findings=(ACCURACY,),
        tables={"photos": [{"asset": asset_name(image), "caption": "a photo"}]},
        figures=(
            Figure(
                id="photos",
                kind="images",
                table="photos",
                encode={"asset": "asset", "caption": "caption"},
                title="Photos",
                alt="One photo.",
            ),
        ),
        assets={asset_name(image): image},
    )
    run = change_volatile(example_run(), id=id)
    data = {**run.run.table("data"), "image": "file", "label": "smiling", "test": 0.25}
    return run.model_copy(
        update={
            "run": run.run.model_copy(update={"config": run.run.config | {"data": data}}),
            "rft_version": rft_version,
            "sections": (section,),
            "verdict": Verdict(status="pass", rules=(RULE,)),
        }
    )


def small_artifacts() -> Artifacts:
    """Return predictions and a writer of a model folder."""

    def write_model(folder: Path) -> None:
        folder.mkdir()
        (folder / "head.safetensors").write_bytes(b"\0" * 64)

    predictions = pd.DataFrame(
        {
            "split": ["test", "test"],
            "id": ["1", "2"],
            "unit": [None, None],
            "label": ["smiling", "neutral"],
            "prediction": ["smiling", "smiling"],
            "score_smiling": [0.8, 0.6],
            "score_neutral": [0.2, 0.4],
        }
    )
    return Artifacts(predictions=predictions, inputs=(), write_model=write_model)


def list_files(place: Path) -> dict[str, bytes]:
    """Return the content of every file by its path, and of folders nothing, but that they are there."""
    return {
        entry.relative_to(place).as_posix(): entry.read_bytes() if entry.is_file() else b""
        for entry in place.rglob("*")
    }
