"""What the organisation itself says of its model: the table ``[card]`` of the config, in words."""

from __future__ import annotations

from dataclasses import dataclass

from rft.records import AuditRun
from rft.report.views.model_facts import Fact

CARD_LABELS = {
    "owner": "Owner",
    "contact": "Contact",
    "license": "Licence",
    "intended_use": "Intended use",
    "out_of_scope": "Out of scope",
    "base_model": "Base model",
    "datasets": "Data sets",
}
_ANSWERED_BY_THE_RUN = ("base_model", "datasets")  # partly: nobody needs to repeat them


@dataclass(frozen=True)
class CardFacts:
    """The table ``[card]`` as a config holds it; empty where it does not say.

    Attributes:
        intended_use, out_of_scope: sentences.
        owner, contact: who answers for the model, and how to reach them.
        license: its identifier or name.
        base_model: the name of the pretrained model on the hub.
        datasets: names of data sets on the hub.
    """

    intended_use: str = ""
    out_of_scope: str = ""
    owner: str = ""
    contact: str = ""
    license: str = ""
    base_model: str = ""
    datasets: tuple[str, ...] = ()

    def write_value(self, key: str) -> str:
        """Return the value of a key in one text; empty where it is not given."""
        value: str | tuple[str, ...] = getattr(self, key)
        return value if isinstance(value, str) else ", ".join(value)


def read_card_facts(run: AuditRun) -> CardFacts:
    """Return what ``[card]`` says in the config of a run."""
    table = run.run.table("card")
    texts = {key: str(table[key]) for key in CARD_LABELS if key in table and key != "datasets"}
    datasets = table.get("datasets")
    return CardFacts(**texts, datasets=tuple(map(str, datasets)) if isinstance(datasets, list) else ())


def list_card_facts(run: AuditRun) -> tuple[Fact, ...]:
    """Return what ``[card]`` says as labels and texts; the last names what it leaves open, where it does."""
    facts = read_card_facts(run)
    told = [(label, facts.write_value(key)) for key, label in CARD_LABELS.items() if facts.write_value(key)]
    missing = [
        label.lower()
        for key, label in CARD_LABELS.items()
        if not facts.write_value(key) and key not in _ANSWERED_BY_THE_RUN
    ]
    return (*told, *([("Not given", ", ".join(missing))] if missing else []))
