"""A first config from a look at the data, loaded before it is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rft.config.loader import load_config
from rft.plugins import discover_plugins
from rft.starter.compose import compose_tables
from rft.starter.document import Table, write_document
from rft.starter.proposal import Proposal, propose_config
from rft.starter.questions import Asker
from rft.starter.source import find_source
from rft.starter.wishes import Wishes


@dataclass(frozen=True)
class StartedConfig:
    """A config that loads, and what it rests on.

    Attributes:
        text: of the file.
        proposal: what was guessed, given and answered.
        tables: what the text says, table by table.
    """

    text: str
    proposal: Proposal
    tables: tuple[Table, ...]


def start_config(path: Path, wishes: Wishes, place: Path, asker: Asker | None, *, schema: str | None) -> StartedConfig:
    """Return a first config for the data at a path; nothing is written.

    Args:
        path: a table, or a folder of images.
        wishes: what the user said beforehand.
        place: the file that the config will be, which its paths are relative to.
        asker: asks the user for what cannot be known; None: nobody is there to be asked.
        schema: the JSON Schema that editors are pointed to, relative to the config; None for no pointer.

    Raises:
        RftError: the data is in no layout that rft reads, or what is needed is neither known nor can be asked for.
    """
    proposal = propose_config(find_source(path, wishes.columns, wishes.metadata), wishes, asker)
    registry = discover_plugins()
    tables = compose_tables(proposal, place.resolve().parent, registry)
    pointer = f"#:schema ./{schema}\n" if schema else ""  # of Taplo and Even Better TOML: the first line
    head = [
        f"Written by rft init for {path.resolve().name}: a guess says what it rests on. Correct what is wrong:",
        f"rft check {place.name}  tells what would stop the audit, and what would run;  rft audit {place.name} runs it",
    ]
    text = pointer + write_document(head, tables)
    with TemporaryDirectory() as folder:
        trial = Path(folder) / place.name
        trial.write_text(text, encoding="utf-8")
        load_config(trial, [], {name: registered.plugin.options for name, registered in registry.items()})
    return StartedConfig(text, proposal, tuple(tables))
