"""The HTML of a run: one file that needs no network and no script. What it says comes from ``view`` and ``figures``.

Everything is escaped: templates end in ``.html``, autoescape is on for all of them, and what is marked as markup is an
SVG drawn by ``charts``, JSON with its ``<`` escaped, or a section that another template rendered. What cannot be seen
is shown by its code in every text, and right-to-left names are isolated (``bidi``): the environment does both to all
that a template writes. Within attributes, where elements have no place, templates write ``text | plain``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.metadata import entry_points
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, TemplateError
from markupsafe import Markup, escape

from rft.records import AuditRun, Section
from rft.report.format import bidi, markdown
from rft.report.format.css import css_string
from rft.report.format.words import end_sentence
from rft.report.views import page, standards
from rft.report.views.figures import RunImages, list_other_tables, view_figures
from rft.report.views.findings import NOTHING_JUDGED
from rft.report.views.section_layout import SectionLayout, lay_out_section
from rft.report.views.verdict import view_verdict
from rft.visible import visible, with_hidden_as

EMBEDDED_OPENING = '<script type="application/json" id="audit-json">\n'
EMBEDDED_CLOSING = "\n</script>"
GENERIC = "sections/generic.html"
_CHECKOUT = Path(__file__).parents[3] / "reports" / "templates"
_OWN_NAME = re.compile(r"\w+(/\w+)*\.\w+")  # no way out of the folder
_SUMMARY_FINDINGS = 6


@dataclass(frozen=True)
class SectionContext:
    """What the template of a section is given, under these names.

    Attributes:
        section: its words.
        record: all that ``audit.json`` says of it.
        layout: its findings, figures and tables in the order in which they are read.
    """

    section: page.SectionView
    record: Section
    layout: SectionLayout


def render(run: AuditRun, images: Mapping[str, bytes] = MappingProxyType({})) -> str:
    """Return ``report.html``.

    Args:
        run: what to show; images that its sections still hold are taken from there.
        images: those of a run that was loaded, by their names in ``audit.json``.
    """
    held = {name: png for section in run.sections for name, png in section.assets.items()} | dict(images)
    pictures = RunImages(held)
    text = run.to_json(compact=True)
    run = AuditRun.from_json(text)  # from here on only what audit.json says, so that a loaded run gives the same page
    ids = (f"figure-{number}" for number in count(1))
    judged = page.judged_findings(run)
    sections = [
        (page.view_section(section, judged), _render_section(section, pictures, ids, judged))
        for section in _order_sections(run)
    ]
    # "<" is all that can end a script element or open a comment in it, and JSON has it in strings only
    embedded = Markup(with_hidden_as(text, _json_escape, breaks=True).replace("<", "\\u003c"))
    script = Markup(EMBEDDED_OPENING) + embedded + Markup(EMBEDDED_CLOSING)
    return (
        template_environment()
        .get_template("audit.html")
        .render(page=page.view_run(run), sections=sections, standards=standards.view_standards(run), script=script)
    )


def _order_sections(run: AuditRun) -> list[Section]:
    """Return the sections that answer a question of the overview first, in its order."""
    asked = [pillar.plugin for pillar in run.pillars]
    return sorted(
        run.sections, key=lambda section: asked.index(section.plugin) if section.plugin in asked else len(asked)
    )


def summary_html(run: AuditRun) -> str:
    """Return a short summary for notebooks: the verdict and up to six findings, styled inline."""
    judged = page.judged_findings(run)
    per_section = [page.key_findings(page.view_section(section, judged), 1) for section in run.sections]
    findings = [finding for key in per_section for finding in key][:_SUMMARY_FINDINGS]
    template = template_environment().get_template("summary.html")
    return template.render(name=run.run.name, verdict=view_verdict(run), findings=findings)


@cache
def template_environment() -> Environment:
    """Return the Jinja environment of all reports."""
    environment = Environment(
        loader=FunctionLoader(_read_template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize_value,
    )
    environment.filters |= {
        "md": markdown.escape_markdown,
        "address": markdown.write_address,
        "plain": _without_elements,
        "lines": _isolate_lines,
        "value": bidi.as_value,
        "sentence": end_sentence,
        "css_string": _write_css_string,
    }
    return environment


def _finalize_value(value: Any) -> Any:
    """Return what a template writes as it may stand in a page; markup was made by this package alone."""
    return bidi.in_sentence(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _without_elements(text: object) -> Markup:
    """Return a text without elements: for attributes, and for places that order their text themselves."""
    return escape(visible(str(text)))


def _write_css_string(text: str) -> Markup:
    return Markup(css_string(text))  # plain letters, digits and escapes


def _isolate_lines(text: str) -> Markup:
    """Return a text of several lines."""
    return Markup("\n").join(Markup(escape(bidi.in_sentence(line))) for line in text.split("\n"))


def _json_escape(character: str) -> str:
    return json.dumps(character)[1:-1]  # two halves of a pair above U+FFFF


def _render_section(section: Section, images: RunImages, ids: Iterator[str], judged: Mapping[str, bool]) -> Markup:
    """Return a section by the template that it names, or by the generic one."""
    context = vars(context_of(section, images, ids, judged))
    remark = ""
    if section.template:
        try:
            return Markup(template_environment().get_template(section.template).render(context, remark=remark))
        except (TemplateError, ValueError) as error:
            remark = f"The section's own template was not used ({type(error).__name__})."
    return Markup(template_environment().get_template(GENERIC).render(context, remark=remark))


def context_of(
    section: Section, images: RunImages, ids: Iterator[str], judged: Mapping[str, bool] = NOTHING_JUDGED
) -> SectionContext:
    """Return what the template of a section is given, but for a remark."""
    view = page.view_section(section, judged)
    drawn, listed = view_figures(section, images, ids), list_other_tables(section)
    return SectionContext(view, section, lay_out_section(section, view.findings, drawn, listed))


def _read_template(name: str) -> str | None:
    """Return the text of a template: rft's own, or ``<package>:<path inside it>`` of a plugin; None without one."""
    package, colon, path = name.rpartition(":")
    if colon:
        return _read_plugin_template(package, path)
    if not _OWN_NAME.fullmatch(name):
        return None
    for place in (resources.files("rft").joinpath("templates", name), _CHECKOUT / name):
        if place.is_file():
            return place.read_text(encoding="utf-8")
    return None


def _read_plugin_template(package: str, path: str) -> str | None:
    """Look only into packages that announce a plugin: an ``audit.json`` must not decide what is imported or read."""
    announced = {re.split(r"[.:]", entry.value)[0] for entry in entry_points(group="rft.plugins")}
    if package.split(".")[0] not in announced or not _OWN_NAME.fullmatch(path):
        return None
    place = resources.files(package).joinpath(path)
    return place.read_text(encoding="utf-8") if place.is_file() else None
