"""What is known of a private training before it begins: its public numbers, and what its ledger says of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rft.number_format import format_count, format_epsilon
from rft.plugins.privacy.accounting.accountants import composed_spending
from rft.plugins.privacy.ledger import budget_check, unit_hashes
from rft.plugins.privacy.ledger.account import LOCK_FILE, AccountTerms, check_terms, read_ledgers
from rft.plugins.privacy.ledger.atomic_io import hold_lock
from rft.plugins.privacy.ledger.ledger_anchor import ledger_folder
from rft.plugins.privacy.training.mechanism_parameters import MechanismParameters, choose_mechanism_parameters
from rft.plugins.privacy.training.trainer import DPTrainer
from rft.plugins.privacy.training.unit_index import number_units
from rft.plugins.protocol import ExaminedData
from rft.training import Population, Workload


def preview_training(trainer: DPTrainer, examined: ExaminedData) -> Iterator[str]:
    """Yield the public numbers of a training, and the state of its ledger; nothing is written.

    Raises:
        ConfigError: epsilon cannot be reached, or the budget or the people are not those of the ledger.
        OutputError: the ledger is in use, or cannot be read.
        EvidenceError: the ledger is not the one that was written.
    """
    core, train = examined.core, examined.splits["train"]
    units = number_units(len(train), train.units)
    # The dimension of a head is known when its backbone is loaded; the learning rate alone follows from it.
    head_dimension = 1 if core.network.frozen == "all" else None
    recipe = trainer.choose_recipe(core.train, Workload(len(train), len(np.unique(units)), head_dimension))
    parameters = choose_mechanism_parameters(trainer, recipe, units, declared=train.units is not None)
    mechanism = parameters.mechanism
    yield (
        f"epsilon {format_epsilon(parameters.target_epsilon)} at delta {parameters.delta:.2g} for "
        f"{format_count(parameters.n)} {parameters.unit}s: noise multiplier {mechanism.noise_multiplier:.4g}, "
        f"sample rate {mechanism.sample_rate:.3g}, {format_count(mechanism.steps)} steps"
    )
    if core.data.population is None:
        yield "no ledger is kept: what several runs spend on these people is added up by nobody (data.population)"
        return
    people = train.ids if train.units is None else train.units
    yield _preview_ledger(trainer, Population(core.data.population, people, examined.folder), parameters)


def _preview_ledger(trainer: DPTrainer, population: Population, parameters: MechanismParameters) -> str:
    """Return what has been spent on a population, and what this training would make of it; raises ``RftError``."""
    root = ledger_folder(trainer.ledger, population.folder)
    place = root / population.name
    if not (place / LOCK_FILE).is_file():  # which each training makes first
        return f"no ledger of {population.name!r} in {root} yet: this run begins it"
    with hold_lock(place / LOCK_FILE):
        ledgers, books = read_ledgers(root)
    if population.name not in books:
        return f"the ledger of {population.name!r} in {root} has no entry yet: this run begins it"
    key = unit_hashes.read_or_make_key(root, needed=True)
    hashes = unit_hashes.hash_units(population.unit_ids, key)
    terms = AccountTerms(parameters.delta, trainer.budget, trainer.overlaps, resumable=False)
    book, others = check_terms(ledgers, books, population.name, key, hashes, terms)
    concerned = [book, *others.values()]
    spent = [mechanism for charged_book in concerned for mechanism in charged_book.charged_mechanisms()]
    before = composed_spending(spent, book.delta).epsilon
    of_budget = "no budget was fixed" if book.budget is None else f"the budget is {book.budget:g}"
    said = f"ledger of {population.name!r}: {format_epsilon(before)} spent, {of_budget}"
    if any(charge.finished_by is None for charge in book.charges):
        return f"{said}; a training was interrupted, and goes on where this one is the same"
    budget_check.check_affordable(book, others, [parameters.mechanism], "training")
    after = composed_spending([*spent, parameters.mechanism], book.delta).epsilon
    return f"{said}; {format_epsilon(after)} with this training (a frontier and canaries come on top)"
