"""``model-card.md``: a Hugging Face model card, from the run alone.

What is not known is left out. There is no ``model-index``: it would need the name of a data set on the Hub, which a
run on a user's own data does not have.
"""

from __future__ import annotations

import json

from markupsafe import Markup

from rft import number_format
from rft.records import AuditRun, Section
from rft.report.render.html import template_environment
from rft.report.render.publishable import UN_NOISED, is_few, make_publishable, withheld_below
from rft.report.views import page, tables
from rft.report.views.tables import TableView
from rft.visible import with_hidden_as

_PIPELINES = {"image": "image-classification", "text": "text-classification", "audio": "audio-classification"}


def model_card(run: AuditRun) -> str:
    """Return the card: YAML front matter and text. Small cells are withheld (see ``publishable``)."""
    template = template_environment().get_template("model_card.md")
    shown, below = make_publishable(run), withheld_below(run)
    view = page.view_run(shown)
    sections = [page.view_section(section) for section in shown.sections]
    findings = [finding for section in sections for finding in section.findings]
    return template.render(
        front_matter=_front_matter(run),
        page=view,
        sections=sections,
        skipped=f"fewer than {below}"
        if is_few(run.data.skipped, below)
        else number_format.format_count(run.data.skipped),
        un_noised=UN_NOISED,
        withheld_below=below,
        card_tables=[table for section in shown.sections for table in _card_tables(section)],
        caveats=list(dict.fromkeys(finding.caveats for finding in findings if finding.caveats)),
        created=number_format.format_date(run.run.created),
    )


def _card_tables(section: Section) -> list[tuple[str, TableView]]:
    """Return the tables that a section wants in the card, each with its heading."""
    return [
        (heading, tables.view_table(section.tables[name], section.describe_table(name), caption="", condense=False))
        for name, heading in section.card_tables.items()
        if section.tables.get(name)
    ]


def _front_matter(run: AuditRun) -> Markup:
    lines = ["library_name: rft"]
    if run.model.modality in _PIPELINES:
        lines.append(f"pipeline_tag: {_PIPELINES[run.model.modality]}")
    tags = dict.fromkeys(["rft", "responsible-fine-tuning", *_earned_tags(run)])
    lines += ["tags:", *(f"  - {tag}" for tag in tags)]
    lines += [f"model_name: {_yaml_string(run.run.name)}"]
    return Markup("\n".join(lines))


def _earned_tags(run: AuditRun) -> list[str]:
    """Return the tags that findings bring: of what was measured, and none at all where integrity is broken."""
    findings = [finding for section in run.sections for finding in section.findings]
    if any(finding.status == "fail" for finding in findings):
        return []
    return [tag for finding in findings if finding.value is not None for tag in finding.card_tags]


def _yaml_string(text: str) -> str:
    """Return a double-quoted YAML scalar: JSON's, with everything else that cannot be seen escaped too."""
    return with_hidden_as(json.dumps(text, ensure_ascii=False), lambda character: f"\\U{ord(character):08x}")
