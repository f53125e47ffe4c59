"""``model-card.md``: a Hugging Face model card of about one page, from the run alone. What is not known is left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rft import number_format
from rft.records import AuditRun, Section
from rft.report.render.card_tables import list_card_tables
from rft.report.render.html import template_environment
from rft.report.render.hub_metadata import is_integrity_broken, write_front_matter
from rft.report.render.publishable import UN_NOISED, is_few, make_publishable, withheld_below
from rft.report.views import page
from rft.report.views.card_facts import list_card_facts
from rft.report.views.findings import WITHOUT_REMARK, FindingView
from rft.report.views.model_facts import TIME_TAKEN
from rft.report.views.page import SectionView

KEY_FINDINGS = 2  # of a section without results of the model
MAX_CAVEATS = 4  # those of the results that the card shows; the report has all
_EPSILON_FACTS = ("Epsilon", "Delta", "Unit of privacy", "Noise multiplier", "Sampling rate", "Steps", "Clipping norm")


@dataclass(frozen=True)
class _Result:
    """A finding with the section that it stands in."""

    section: str
    finding: FindingView


def model_card(run: AuditRun) -> str:
    """Return the card: YAML front matter and text. Small cells are withheld (see ``publishable``)."""
    shown, below = make_publishable(run), withheld_below(run)
    view = page.view_run(shown)
    sections = [page.view_section(section) for section in shown.sections]
    results = [result for section in shown.sections for result in _list_results(shown, section)]
    return _render_card(
        front_matter=write_front_matter(run, shown),
        page=view,
        card_facts=list_card_facts(run),
        training=[fact for fact in view.training if fact[0] not in (*_EPSILON_FACTS, TIME_TAKEN)],
        privacy=[fact for fact in view.training if fact[0] in _EPSILON_FACTS],
        private=run.model.training.mode == "private",
        void=run.model.training.void,
        results=results,
        not_measured=_list_not_measured(sections),
        skipped=_write_skipped(run.data.skipped or 0, below),
        un_noised=UN_NOISED,
        withheld_below=below,
        group_tables=[table for section in shown.sections for table in list_card_tables(section, of_groups=True)],
        other_tables=[table for section in shown.sections for table in list_card_tables(section, of_groups=False)],
        withheld_tables=_list_withheld_tables(run, shown),
        broken=is_integrity_broken(run),
        caveats=_list_caveats(results),
        left_out=run.left_out,
        created=number_format.format_date(run.run.volatile.created),
    )


def _write_skipped(count: int, below: int) -> str:
    return f"fewer than {below}" if is_few(count, below) else number_format.format_count(count)


def _render_card(**content: object) -> str:
    return template_environment().get_template("model_card.md").render(**content)


def _list_results(shown: AuditRun, section: Section) -> list[_Result]:
    """Return the results of the model in a section; where it has none, its headlines, what asks for a look, or one."""
    view = page.view_section(section, page.judged_findings(shown))
    metrics = {finding.id for finding in section.findings if finding.card_metric}
    measured = [finding for finding in view.findings if finding.id in metrics and not finding.reason]
    key = page.key_findings(view, KEY_FINDINGS)
    headlines = [finding for finding in view.findings if finding.headline and not finding.reason]
    noteworthy = [finding for finding in key if finding.rank < WITHOUT_REMARK]
    noteworthy += [finding for finding in headlines if finding not in noteworthy]
    return [_Result(view.title, finding) for finding in measured or noteworthy or key[:1]]


def _list_not_measured(sections: Iterable[SectionView]) -> list[str]:
    findings = [finding for section in sections for finding in section.findings if finding.reason]
    return list(dict.fromkeys(finding.title for finding in findings))


def _list_withheld_tables(run: AuditRun, shown: AuditRun) -> list[str]:
    """Return the headings of tables that the card may not show, since some of their numbers rest on too few cases."""
    headings = [heading for section in run.sections for heading in section.card_tables.values()]
    left = {heading for section in shown.sections for heading in section.card_tables.values()}
    return [heading for heading in headings if heading not in left]


def _list_caveats(results: Sequence[_Result]) -> list[str]:
    """Return what the results that are shown do not say, once each, the first ones."""
    caveats = [result.finding.caveats for result in results if result.finding.caveats]
    return list(dict.fromkeys(caveats))[:MAX_CAVEATS]
