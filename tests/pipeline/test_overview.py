"""The overview: a row for each question, whether or not a run asked it, and one that a plugin cannot spoil."""

from __future__ import annotations

import logging

import pytest

import rft
from rft.pipeline.overview import state_pillars
from rft.plugins import AuditedModel, Options, Plugin, Registered
from rft.plugins.pillar import NOT_ASKED, ClaimDefinition, PillarDefinition, state_pillar
from rft.records import Claim, Finding, FindingDefinition, ModelFacts, Section
from tests.support.example_run import example_run

MODEL = example_run().model
RATE = FindingDefinition("own.rate", "Rate", "How often it happens.", unit="fraction")


class Own(Plugin[Options]):
    name = "own"
    options = Options
    pillar = PillarDefinition("Own", (ClaimDefinition("Rate", ("own.rate*",)),))

    def audit(self, audited: AuditedModel, options: Options) -> Section:
        return Section(plugin=self.name, findings=(RATE.state_fact(0.5),))

    def summarize(self, section: Section | None, model: ModelFacts) -> str:
        return NOT_ASKED if section is None else f"The rate of {model.name} is {section.finding('own.rate').value}."


class Raising(Own):
    def summarize(self, section: Section | None, model: ModelFacts) -> str:
        raise ZeroDivisionError("of /home/ann")


class Silent(Own):
    pillar = None


def register_plugin(plugin: Plugin[Options]) -> list[Registered]:
    return [Registered(plugin, "own", "1")]


def test_a_question_has_its_row_whether_or_not_it_was_asked() -> None:
    section = Section(plugin="own", findings=(RATE.state_fact(0.5),))
    (asked,) = state_pillars(register_plugin(Own()), [section], MODEL)
    assert (asked.plugin, asked.label, asked.summary) == ("own", "Own", "The rate of smiles is 0.5.")
    assert asked.claims == (Claim(label="Rate", state="measured", finding="own.rate"),)
    (unasked,) = state_pillars(register_plugin(Own()), [], MODEL)
    assert unasked.summary == "Not requested in this run, so nothing is known."
    assert unasked.claims == (Claim(label="Rate", state="not_asked"),)
    assert state_pillars(register_plugin(Silent()), [section], MODEL) == ()


def test_an_audit_that_is_missing_says_why() -> None:
    section = Section(plugin="own", findings=(RATE.state_not_measured("no test split"),), audit_missing=True)
    (pillar,) = state_pillars(register_plugin(Raising()), [section], MODEL)
    assert pillar.summary == "Not measured: no test split."
    assert pillar.claims == (Claim(label="Rate", state="not_measured", finding="own.rate"),)


def test_a_plugin_that_cannot_summarise_does_not_end_the_run(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="rft"):
        (pillar,) = state_pillars(register_plugin(Raising()), [Section(plugin="own")], MODEL)
    assert pillar.summary == "What it found stands in its section."
    assert "the plugin own could not be summarised: ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("finding", "state"),
    [
        (RATE.state_fact(0.5), "measured"),
        (RATE.state_fact(0.5).model_copy(update={"grade": "declared"}), "declared"),
        (RATE.state_not_measured("too few"), "not_measured"),
        (RATE.state_not_measured("no attack", absence="not_applicable"), "not_applicable"),
        (RATE.state_not_measured("rate is 0", absence="not_asked"), "not_asked"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_state_of_a_claim_is_that_of_the_finding_that_answers_it(finding: Finding, state: str) -> None:
    pillar = state_pillar("own", Own.pillar, Section(plugin="own", findings=(finding,)), "")
    assert pillar.claims == (Claim(label="Rate", state=state, finding="own.rate"),)


def test_of_several_findings_one_with_a_value_answers_a_claim() -> None:
    absent = RATE.state_not_measured("too few").model_copy(update={"id": "own.rate.a"})
    measured = RATE.state_fact(0.5).model_copy(update={"id": "own.rate.b"})
    pillar = state_pillar("own", Own.pillar, Section(plugin="own", findings=(absent, measured)), "")
    assert pillar.claims == (Claim(label="Rate", state="measured", finding="own.rate.b"),)


def test_a_run_stands_though_a_built_in_plugin_cannot_be_summarised(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_missing_table(*_: object) -> str:
        raise KeyError("by_group")

    monkeypatch.setattr("rft.plugins.performance.Performance.summarize", raise_missing_table)
    run = rft.audit(tiny)
    summaries = {pillar.plugin: pillar.summary for pillar in run.pillars}
    assert list(summaries) == ["performance", "privacy", "fairness", "attribution"]
    assert summaries["performance"] == "What it found stands in its section."
    assert summaries["fairness"] == "Not requested in this run, so nothing is known."
    assert summaries["privacy"].endswith("Whether attacks succeed was not tested.")
