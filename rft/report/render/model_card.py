"""``model-card.md``: a Hugging Face model card, from the run alone.

What is not known is left out. There is no ``model-index``: it would need the name of a data set on the Hub, which a
run on a user's own data does not have.
"""

from __future__ import annotations

import json

from markupsafe import Markup

from rft.records import AuditRun
from rft.report.format import numbers
from rft.report.render.html import environment
from rft.report.render.publishable import UN_NOISED, few, publishable, withheld_below
from rft.report.views import page, tables
from rft.report.views.tables import TableView
from rft.visible import with_hidden_as

_PIPELINES = {"image": "image-classification", "text": "text-classification", "audio": "audio-classification"}


def model_card(run: AuditRun) -> str:
    """Return the card: YAML front matter and text. Small cells are withheld (see ``publishable``)."""
    template = environment().get_template("model_card.md")
    shown, below = publishable(run), withheld_below(run)
    view = page.page(shown)
    sections = [page.section(each) for each in shown.sections]
    findings = [finding for each in sections for finding in each.findings]
    return template.render(
        front_matter=_front_matter(run),
        page=view,
        sections=sections,
        skipped=f"fewer than {below}" if few(run.data.skipped, below) else numbers.count(run.data.skipped),
        un_noised=UN_NOISED,
        withheld_below=below,
        scope=_scope(shown),
        caveats=list(dict.fromkeys(finding.caveats for finding in findings if finding.caveats)),
        created=numbers.date(run.run.created),
    )


def _scope(run: AuditRun) -> TableView | None:
    """Return what of the run is under differential privacy, where the privacy audit says so."""
    found = [section.tables["scope"] for section in run.sections if "scope" in section.tables]
    return tables.view(found[0], caption="", arrange=False) if found else None


def _front_matter(run: AuditRun) -> Markup:
    lines = ["library_name: rft"]
    if run.model.modality in _PIPELINES:
        lines.append(f"pipeline_tag: {_PIPELINES[run.model.modality]}")
    tags = ["rft", "responsible-fine-tuning"]
    if _keeps_its_promise(run):
        tags.append("differential-privacy")
    lines += ["tags:", *(f"  - {tag}" for tag in tags)]
    lines += [f"model_name: {_yaml_string(run.run.name)}"]
    return Markup("\n".join(lines))


def _keeps_its_promise(run: AuditRun) -> bool:
    """Return whether the model may be listed as a private one: an epsilon is claimed, and no integrity is broken."""
    findings = [finding for section in run.sections for finding in section.findings]
    claimed = any(finding.id == "privacy.epsilon" and finding.value is not None for finding in findings)
    return claimed and all(finding.status != "fail" for finding in findings)


def _yaml_string(text: str) -> str:
    """Return a double-quoted YAML scalar: JSON's, with everything else that cannot be seen escaped too."""
    return with_hidden_as(json.dumps(text, ensure_ascii=False), lambda character: f"\\U{ord(character):08x}")
