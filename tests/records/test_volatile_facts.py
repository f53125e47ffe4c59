"""What differs from run to run stands in one object, and whatever is made of a run differs in its values alone."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from rft.export.formats import FORMATS
from rft.number_format import format_date, format_duration
from rft.records import AuditRun, VolatileFacts
from rft.report import render
from rft.report.render.brief import render_brief
from rft.report.render.model_card import model_card
from rft.report.render.public import make_public
from tests.support.example_run import change_volatile, example_run
from tests.support.exported import export_text

FIRST = VolatileFacts(
    id="0a1b2c3d4e5f6071",
    salt="5a17" * 16,
    created="2025-03-01T12:30:05+00:00",
    seconds=4001.5,
    training_seconds=3003.25,
)
SECOND = VolatileFacts(
    id="f9e8d7c6b5a49382",
    salt="6b28" * 16,
    created="2027-08-09T21:10:15+00:00",
    seconds=76543.5,
    training_seconds=65432.25,
)
MADE: dict[str, Callable[[AuditRun], str]] = {
    "audit.json": AuditRun.to_json,
    "page": render,
    "brief": render_brief,
    "card": model_card,
    "public audit.json": lambda run: make_public(run).to_json(),
    "public page": lambda run: render(make_public(run)),
    **{name: lambda run, name=name: export_text(run, name) for name in FORMATS},  # type: ignore[misc]
}


def hide_values(text: str, facts: VolatileFacts) -> str:
    """Return a text with the name of the fact in the place of each of its values."""
    assert facts.training_seconds is not None
    values = {
        "id": facts.id,
        "salt": facts.salt,
        "serial": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{facts.id} {facts.created}")),
        "created": facts.created,
        "date": format_date(facts.created),
        "seconds": f"{facts.seconds}",
        "duration": format_duration(facts.seconds),
        "training_seconds": f"{facts.training_seconds}",
        "training duration": format_duration(facts.training_seconds),
    }
    for name, value in values.items():
        text = text.replace(value, f"<{name}>")
    return text


@pytest.mark.parametrize("kind", MADE)
def test_nothing_else_differs(kind: str) -> None:
    texts = [(MADE[kind](change_volatile(example_run(), **facts.model_dump())), facts) for facts in (FIRST, SECOND)]
    assert hide_values(*texts[0]) == hide_values(*texts[1])
    assert (texts[0][0] == texts[1][0]) == (kind == "csv"), "findings.csv alone says nothing of the run"


@pytest.mark.parametrize("kind", ["card", "public audit.json", "public page", *FORMATS])
def test_how_long_training_took_stays_with_the_owner(kind: str) -> None:
    """It was computed from training examples without noise, as losses are."""
    text = MADE[kind](change_volatile(example_run(), **FIRST.model_dump()))
    assert FIRST.training_seconds is not None
    assert str(FIRST.training_seconds) not in text
    assert format_duration(FIRST.training_seconds) not in text
    assert FIRST.salt not in text
