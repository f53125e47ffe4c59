"""For the Trainer of transformers: audit the model when its training ends, and say so in its model card."""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

import rft
from rft.errors import RftError
from rft.pipeline.plan import read_plan
from rft.pipeline.stages import check_plan
from rft.records import AuditRun
from rft.report import check_storable, check_writable
from rft.report.format.markdown import escape_markdown
from rft.report.render.publishable import UN_NOISED, make_publishable
from rft.report.views import page
from rft.report.views.verdict import view_verdict
from rft.visible import visible

FOLDER = "audited-model"  # in the Trainer's output folder
CARD = "README.md"
KEY_FINDINGS = 2  # of each section
BEGIN, END = "<!-- audit by rft -->", "<!-- end of the audit by rft -->"
SECTION = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
NEW_CARD = "---\nlibrary_name: transformers\ntags:\n  - rft\n---\n\n# {name}\n"


class AuditCallback(TrainerCallback):
    """Audits what a ``Trainer`` trained, once, at the end of training and on the main process.

    The model and its tokenizer or image processor (``processing_class`` of the Trainer) are saved first, to
    ``audited-model`` in the Trainer's output folder, so that they are there whatever comes of the audit. Then the
    config is audited with that folder as ``model.checkpoint``, the run folder is written, a section "Audit" is put into
    the model card, ``README.md`` in the output folder, in place of a former one, and verdict and report are printed.

    ``Trainer.create_model_card`` and ``Trainer.push_to_hub`` write that card anew; ``add_to_card`` puts the section
    back. Adapters of peft must be merged before training ends. The run folder holds predictions for each example: keep
    it out of an output folder that is published.

    Args:
        config: the ``audit.toml``. It needs no ``[model]`` table; one that it has is replaced. It must not have a
            ``[train]`` table. The rows of its ``train`` split are those that the model was trained on.
        out: the run folder to write.
        model: keys of ``[model]`` beside ``checkpoint``, such as ``{"classes": ["no", "yes"], "max_length": 128}``.
        on_error: what becomes of an audit that cannot be made: ``raise`` ends ``Trainer.train`` with its error, after
            the training; ``warn`` says so and goes on.
        device: where the audit computes; chosen by itself when None.
        force: replace a run that ``out`` holds.

    Raises:
        RftError: at once, when the config is wrong or ``out`` is in use; or after training, see ``on_error``.

    Attributes:
        run: the finished audit; None before.
    """

    def __init__(
        self,
        config: str | Path,
        out: str | Path,
        *,
        model: Mapping[str, object] | None = None,
        on_error: Literal["raise", "warn"] = "raise",
        device: str | None = None,
        force: bool = False,
    ) -> None:
        self.config, self.out, self.model, self.device = Path(config), Path(out), dict(model or {}), device
        self.on_error, self.force = on_error, force
        self.run: AuditRun | None = None
        check_storable()
        check_writable(self.out, force=force)
        check_plan(read_plan(self.config, self._model_overrides(Path(FOLDER))))

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Save the model, audit it, and write the report and the card."""
        if not state.is_world_process_zero:
            return
        output = Path(args.output_dir or ".")
        saved = _save_model(output, [kwargs["model"], kwargs.get("processing_class")])
        try:
            run = rft.audit(
                self.config,
                self.out,
                overrides=self._model_overrides(saved),
                device=self.device,
                offline=True,
                force=self.force,
            )
        except RftError as error:
            if self.on_error == "raise":
                raise
            said = visible(f"the model in {saved} was not audited: {error}", breaks=True)
            warnings.warn(said, stacklevel=2)
            return
        self.run = run
        _print_verdict(run, self.out / "report.html")
        add_to_card(output / CARD, run, self.out / "report.html")

    def _model_overrides(self, saved: Path) -> list[str]:
        """Return what replaces the ``[model]`` table of the config; JSON's strings and lists are TOML's too."""
        table = {**self.model, "checkpoint": str(saved.resolve())}
        return ["model={}", *(f"model.{key}={json.dumps(value, ensure_ascii=False)}" for key, value in table.items())]


def add_to_card(card: Path, run: AuditRun, report: Path) -> None:
    """Put the section "Audit" into a model card: the verdict, the main findings, and a link to the report.

    Args:
        card: the Markdown file; it is made, with front matter, when there is none.
        run: the finished audit.
        report: its ``report.html``, which is linked relative to the card.
    """
    text = card.read_text(encoding="utf-8") if card.is_file() else NEW_CARD.format(name=escape_markdown(run.run.name))
    target = quote(Path(os.path.relpath(report, card.parent)).as_posix())
    section = f"{BEGIN}\n{_write_audit_section(run, target)}\n{END}"
    renewed, times = SECTION.subn(lambda _: section, text, count=1)
    beside = card.with_name(f".{card.name}.partial")
    beside.write_text(renewed if times else f"{text.rstrip()}\n\n{section}\n", encoding="utf-8")
    beside.replace(card)


def _print_verdict(run: AuditRun, report: Path) -> None:
    """Print the verdict and where the report is, as ``rft audit`` does."""
    verdict = view_verdict(run)
    print(visible(f"rft: {verdict.word}. {verdict.sentence}\nReport: {report}", breaks=True))


def _write_audit_section(run: AuditRun, report: str) -> str:
    run = make_publishable(run)
    verdict, judged = view_verdict(run), page.judged_findings(run)
    rules = [
        f"- **{rule.word}**: {escape_markdown(f'{rule.title} {rule.value} ({rule.bound or rule.reason})')}"
        for rule in verdict.rules
    ]
    sections = [page.view_section(section, judged) for section in run.sections]
    key = [finding for section in sections for finding in page.key_findings(section, KEY_FINDINGS)]
    findings = [f"- {escape_markdown(finding.title)}: **{escape_markdown(finding.brief)}**" for finding in key]
    by_rft = f"By rft {run.rft_version}; [the whole report]({report})."
    first = f"**{verdict.word}.** {escape_markdown(verdict.sentence)} {by_rft}"
    return "\n\n".join(["## Audit", first, *(["\n".join(rules)] if rules else []), UN_NOISED, "\n".join(findings)])


def _save_model(output: Path, parts: list[Any]) -> Path:
    """Write the model, and what prepares its inputs, beside those of a former training, and then in their place."""
    saved, beside = output / FOLDER, output / f".{FOLDER}.partial"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for part in parts:
        if part is not None:
            part.save_pretrained(beside)
    if saved.exists():
        shutil.rmtree(saved)
    return beside.rename(saved)
