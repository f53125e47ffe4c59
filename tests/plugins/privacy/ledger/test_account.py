"""Accounts in the ledger of a population: what is charged, when, to whom, and what is refused."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from rft.errors import BusyError, ConfigError, DataError, EvidenceError, OutputError
from rft.plugins.privacy.accounting.accountants import Mechanism, composed_spending
from rft.plugins.privacy.ledger import account as ledger
from rft.plugins.privacy.ledger import chain, unit_hashes
from rft.plugins.privacy.ledger.account import Account, finalize_trainings, open_account
from rft.plugins.privacy.ledger.ledger_anchor import ledger_folder
from rft.runtime.interruption import Interruption
from rft.runtime.patience import allow_waiting
from tests.support.ledger_cases import (
    CLINIC,
    DELTA,
    MECHANISM,
    account,
    book_of,
    finish,
    folder_contents,
    ledger_facts,
    ledger_of,
    population,
)

OTHERS = tuple(f"visitor {number}" for number in range(20))
ONE = composed_spending([MECHANISM], DELTA).epsilon
TWO = composed_spending([MECHANISM, MECHANISM], DELTA).epsilon


@pytest.fixture(autouse=True)
def flushes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count what would be flushed to the disk, and do not wait for it."""
    descriptors: list[int] = []
    monkeypatch.setattr("os.fsync", descriptors.append)
    return descriptors


def book_exists(folder: Path) -> bool:
    return (ledger_of(folder) / chain.ENTRIES_FILE).exists() and bool(chain.read(ledger_of(folder)).records)


def test_without_a_population_nothing_is_recorded(tmp_path: Path) -> None:
    asked = {"purpose": "training", "mechanisms": [MECHANISM], "delta": DELTA, "identity": "", "resumable": True}
    with open_account(None, str(tmp_path / "ledgers"), 1.0, **asked) as opened:
        assert [*opened.charge_blocks()] == [range(40)]
        opened.write_checkpoint({"w": torch.zeros(1)})
        assert opened.summarize_ledger() is None
        assert opened.resumed is None
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("steps", [1, 7, 20, 41, 1171])
def test_a_block_stands_on_the_disk_before_its_steps_are_taken(tmp_path: Path, flushes: list[int], steps: int) -> None:
    taken: list[int] = []
    with account(tmp_path, "clinic", CLINIC, Mechanism(2.0, 0.1, steps)) as opened:
        flushed = len(flushes)
        for block in opened.charge_blocks():
            assert len(flushes) > flushed
            assert book_of(tmp_path).charges[-1].blocks[-1] == block
            assert len(block) <= max(1, 0.05 * steps)
            taken += block
            flushed = len(flushes)
    assert taken == [*range(steps)]
    (charge,) = book_of(tmp_path).charges
    assert (charge.charged, charge.interruptions) == (steps, 0)
    assert charge.finished_by is not None


def test_everything_is_added_up_over_heads_and_runs(tmp_path: Path) -> None:
    finish(account(tmp_path))
    heads = (Mechanism(1.0, 0.05, 60), Mechanism(3.0, 0.05, 60), Mechanism(3.0, 0.05, 25))
    facts = finish(account(tmp_path, "clinic", CLINIC, *heads, purpose="frontier", resumable=False))
    assert facts.epsilon == composed_spending([MECHANISM, *heads], DELTA).epsilon
    assert book_of(tmp_path).charged_mechanisms() == [MECHANISM, *heads]
    assert (facts.population, facts.purpose, facts.delta) == ("clinic", "frontier", DELTA)
    assert (facts.planned_steps, facts.charged_steps, facts.interruptions) == (60, 60, 0)
    assert (facts.units, facts.overlaps, facts.budget, facts.remaining) == (30, (), None, None)
    assert [row["purpose"] for row in facts.trainings] == ["training", "frontier"]
    assert facts.trainings[1] == {
        "trained": "in this process",
        "population": "clinic",
        "purpose": "frontier",
        "heads": 3,
        "noise_multiplier": 1.0,
        "largest_noise_multiplier": 3.0,
        "sample_rate": 0.05,
        "randomness": "secret",
        "steps": 60,
        "charged_steps": 60,
        "interruptions": 0,
    }
    assert chain.read(ledger_of(tmp_path)).contains(chain.Anchor(facts.entries, facts.head))


def test_a_training_has_a_time_where_another_process_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("rft.plugins.privacy.ledger.account.PROCESS_ID", "another")
        finish(account(tmp_path))
    finish(account(tmp_path))
    facts = finish(account(tmp_path))
    (before, *_) = book_of(tmp_path).charges
    assert [row["trained"] for row in facts.trainings] == [before.started, "in this process", "in this process"]


def test_facts_tell_what_was_spent_so_far(tmp_path: Path) -> None:
    with account(tmp_path) as opened:
        assert ledger_facts(opened).epsilon == 0
        next(opened.charge_blocks())
        assert ledger_facts(opened).epsilon == composed_spending([Mechanism(2.0, 0.1, 2)], DELTA).epsilon
        assert ledger_facts(opened).charged_steps == 2


def first_block(opened: Account) -> range:
    """Take all steps that are left; return the first block of them."""
    return list(opened.charge_blocks())[0]  # noqa: RUF015 (all of them are to be charged)


def train_blocks(folder: Path, meanwhile: Callable[[range], None], **changes) -> None:
    """Train with a checkpoint after each block, and let something happen before the next."""
    with account(folder, **changes) as opened:
        for block in opened.charge_blocks():
            opened.write_checkpoint({"w": torch.full((2, 3), float(block.stop)), "t": torch.tensor(block.stop)})
            meanwhile(block)


def interrupt_training(folder: Path, after: int, **changes) -> None:
    """Train for so many whole blocks, and lose the next one."""

    def stop_after(opened: Account) -> None:
        for number, block in enumerate(opened.charge_blocks()):
            if number == after:
                raise KeyboardInterrupt
            opened.write_checkpoint({"w": torch.full((2, 3), float(block.stop)), "t": torch.tensor(block.stop)})

    with pytest.raises(KeyboardInterrupt), account(folder, **changes) as opened:
        stop_after(opened)


def test_an_interrupted_training_goes_on_and_pays_for_one_block_twice(tmp_path: Path) -> None:
    interrupt_training(tmp_path, after=3)
    with account(tmp_path) as opened:
        assert opened.resumed is not None
        step, tensors = opened.resumed
        assert step == 6
        assert tensors["w"].tolist() == [[6.0] * 3] * 2
        assert tensors["t"].shape == ()
        assert first_block(opened) == range(6, 8)
        facts = ledger_facts(opened)
    assert (facts.charged_steps, facts.interruptions) == (42, 1)
    assert facts.epsilon == composed_spending([Mechanism(2.0, 0.1, 42)], DELTA).epsilon > ONE


def as_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "PROCESS_ID", "another")


def test_a_finished_training_that_was_not_saved_is_not_paid_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process was killed while the model was audited."""
    train_blocks(tmp_path, lambda _: None, budget=ONE)
    as_another_process(monkeypatch)
    for _ in range(2):
        with account(tmp_path) as opened:
            assert opened.resumed is not None
            assert opened.resumed[0] == 40
            assert opened.resumed[1]["t"] == 40
            assert [*opened.charge_blocks()] == []
            facts = ledger_facts(opened)
        assert (facts.epsilon, facts.resumed_at, facts.interruptions) == (ONE, 40, 0)
        monkeypatch.setattr(ledger, "PROCESS_ID", "a third")


@pytest.mark.parametrize("saved", [True, False])
def test_one_that_was_saved_or_is_of_this_process_is_followed_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: bool
) -> None:
    train_blocks(tmp_path, lambda _: None)
    if saved:
        finalize_trainings(population(tmp_path), "ledgers")
        assert not [*tmp_path.rglob("*.safetensors")]
        as_another_process(monkeypatch)
    with account(tmp_path) as opened:
        assert opened.resumed is None
        assert first_block(opened) == range(2)
        assert ledger_facts(opened).epsilon == TWO


def test_only_what_this_process_trained_is_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_blocks(tmp_path, lambda _: None)
    interrupt_training(tmp_path, after=3, identity="another plan")
    as_another_process(monkeypatch)
    finalize_trainings(population(tmp_path), "ledgers")
    assert len([*tmp_path.rglob("*.safetensors")]) == 2
    finalize_trainings(population(tmp_path, "lobby"), "ledgers")
    finalize_trainings(None, None)


def test_one_that_is_killed_before_its_first_checkpoint_begins_again(tmp_path: Path) -> None:
    interrupt_training(tmp_path, after=0)
    with account(tmp_path) as opened:
        assert opened.resumed is None
        assert first_block(opened) == range(2)
    (charge,) = book_of(tmp_path).charges
    assert (charge.charged, charge.interruptions) == (42, 1)


OTHER_TRAININGS = [
    {"identity": "another plan"},
    {"purpose": "canaries"},
    {"resumable": False},
]


@pytest.mark.parametrize("changes", OTHER_TRAININGS)
def test_another_training_does_not_go_on_with_it(tmp_path: Path, changes: dict) -> None:
    interrupt_training(tmp_path, after=3)
    with account(tmp_path, **changes) as opened:
        assert opened.resumed is None
        assert first_block(opened) == range(2)
        facts = ledger_facts(opened)
    assert [row["charged_steps"] for row in facts.trainings] == [8, 40], "what was charged stays charged"
    with account(tmp_path) as opened:
        assert opened.resumed is not None
        assert opened.resumed[0] == 6


def test_a_training_does_not_go_on_with_someone_new(tmp_path: Path) -> None:
    interrupt_training(tmp_path, after=3)
    with account(tmp_path, unit_ids=(*CLINIC, "patient 30")) as opened:
        assert opened.resumed is None
        assert ledger_facts(opened).units == 31
    assert len(book_of(tmp_path).unit_hashes) == 31


def test_another_noise_is_another_training_whatever_the_identity_says(tmp_path: Path) -> None:
    """Opacus resumes with any noise and reports the epsilon of the last one."""
    interrupt_training(tmp_path, after=3)
    quieter = Mechanism(1.0, 0.1, 40)
    facts = finish(account(tmp_path, "clinic", CLINIC, quieter))
    assert facts.epsilon == composed_spending([Mechanism(2.0, 0.1, 8), quieter], DELTA).epsilon


def test_a_budget_holds_over_runs_and_nothing_is_lost_when_it_is_spent(tmp_path: Path) -> None:
    facts = finish(account(tmp_path, budget=1.2 * ONE))
    assert facts.remaining == pytest.approx(0.2 * ONE)
    before = folder_contents(tmp_path)
    for budget in (None, 1.2 * ONE):
        with pytest.raises(ConfigError, match="the budget of population 'clinic' does not suffice") as refused:
            finish(account(tmp_path, budget=budget))
        assert f"{ONE:.4g} of {1.2 * ONE:g} are spent" in str(refused.value)
        assert f"it would be {TWO:.4g}" in str(refused.value)
        assert refused.value.where == "privacy.budget"
    assert folder_contents(tmp_path) == before
    small = Mechanism(50.0, 0.1, 40)
    assert finish(account(tmp_path, "clinic", CLINIC, small)).remaining < 0.2 * ONE


def test_a_budget_may_be_spent_to_the_last(tmp_path: Path) -> None:
    finish(account(tmp_path, budget=TWO))
    assert finish(account(tmp_path)).remaining == 0
    with pytest.raises(ConfigError, match="does not suffice"):
        finish(account(tmp_path, "clinic", CLINIC, Mechanism(1000.0, 0.01, 1)))


def test_a_block_lost_to_an_interruption_is_spent(tmp_path: Path) -> None:
    interrupt_training(tmp_path, after=3, budget=ONE)
    with pytest.raises(ConfigError, match="does not suffice"):
        finish(account(tmp_path))
    interrupt_training(
        tmp_path,
        after=0,
        unit_ids=OTHERS,
        name="lobby",
        budget=composed_spending([Mechanism(2.0, 0.1, 42)], DELTA).epsilon,
    )
    finish(account(tmp_path, unit_ids=OTHERS, name="lobby"))


@pytest.mark.parametrize(("first", "later"), [(3.0, 3.1), (3.0, 2.9), (None, 3.0)])
def test_another_budget_than_the_first_is_refused(tmp_path: Path, first: float | None, later: float) -> None:
    finish(account(tmp_path, budget=first))
    before = folder_contents(tmp_path)
    with pytest.raises(ConfigError, match=f"{later:g} is not what was fixed: the first training on 'clinic' set"):
        finish(account(tmp_path, budget=later))
    assert folder_contents(tmp_path) == before


def test_spending_is_added_up_at_the_delta_of_the_first(tmp_path: Path) -> None:
    finish(account(tmp_path))
    facts = finish(account(tmp_path, delta=1e-3))
    assert (facts.delta, facts.epsilon) == (DELTA, TWO)


def test_an_edited_or_grown_data_set_is_still_the_same_people(tmp_path: Path) -> None:
    finish(account(tmp_path))
    grown = (*CLINIC[5:], "patient 30", "patient 31", "patient 31")
    assert finish(account(tmp_path, unit_ids=grown)).units == 32
    gone_on = finish(account(tmp_path, unit_ids=("patient 31",)))
    assert gone_on.units == 32
    assert len(gone_on.trainings) == 3


def test_a_name_that_others_took_is_refused(tmp_path: Path) -> None:
    finish(account(tmp_path))
    before = folder_contents(tmp_path)
    with pytest.raises(ConfigError, match="is that of another population: it knows 30 units and none") as no:
        finish(account(tmp_path, unit_ids=OTHERS))
    assert no.value.where == "data.population"
    assert "name of their own" in str(no.value)
    assert folder_contents(tmp_path) == before


def test_a_ledger_in_the_folder_of_another_is_refused(tmp_path: Path) -> None:
    finish(account(tmp_path))
    ledger_of(tmp_path).rename(ledger_of(tmp_path, "ward"))
    with pytest.raises(ConfigError, match="the ledger in the folder 'ward' is that of another population, 'clinic'"):
        finish(account(tmp_path, name="ward"))


def test_other_people_have_a_ledger_of_their_own(tmp_path: Path) -> None:
    finish(account(tmp_path))
    assert finish(account(tmp_path, name="lobby", unit_ids=OTHERS)).epsilon == ONE


def test_common_people_are_refused_or_counted(tmp_path: Path) -> None:
    finish(account(tmp_path))
    mixed = (*OTHERS, *CLINIC[:7])
    before = folder_contents(tmp_path)
    with pytest.raises(ConfigError, match="7 of the 27 units are in population 'clinic' too") as refused:
        finish(account(tmp_path, name="ward", unit_ids=mixed))
    assert 'overlaps = ["clinic"]' in str(refused.value)
    assert folder_contents(tmp_path) == before
    facts = finish(account(tmp_path, name="ward", unit_ids=mixed, overlaps=["clinic"]))
    assert (facts.epsilon, facts.overlaps) == (TWO, ("clinic",))
    assert [row["population"] for row in facts.trainings] == ["ward", "clinic"]
    with pytest.raises(ConfigError, match="are in population 'ward' too"):
        finish(account(tmp_path))
    three = composed_spending([MECHANISM] * 3, DELTA).epsilon
    assert finish(account(tmp_path, overlaps=["ward"])).epsilon == three


def test_people_who_left_still_overlap(tmp_path: Path) -> None:
    finish(account(tmp_path))
    finish(account(tmp_path, unit_ids=CLINIC[10:]))
    with pytest.raises(ConfigError, match="1 of the 1 units"):
        finish(account(tmp_path, name="ward", unit_ids=CLINIC[:1]))


def test_the_budget_of_an_overlapping_population_holds_too(tmp_path: Path) -> None:
    finish(account(tmp_path, budget=1.2 * ONE))
    with pytest.raises(ConfigError, match="the budget of population 'clinic' does not suffice"):
        finish(account(tmp_path, name="ward", overlaps=["clinic"]))


def test_an_overlap_with_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is the population itself"):
        finish(account(tmp_path, overlaps=["clinic"]))


def test_a_ledger_is_not_begun_with_a_delta_that_lets_everybody_out(tmp_path: Path) -> None:
    for delta in (0.5, 1 / 30):
        with pytest.raises(ConfigError, match=r"^privacy\.delta: .* is not below 1 / 30, one over the number of units"):
            finish(account(tmp_path, delta=delta))
    assert not book_exists(tmp_path)
    finish(account(tmp_path, delta=0.99 / 30))


def test_a_ledger_is_not_gone_on_with_when_its_people_have_outgrown_its_delta(tmp_path: Path) -> None:
    finish(account(tmp_path, delta=1 / 31))
    before = folder_contents(tmp_path)
    with pytest.raises(ConfigError, match=r"which is not below 1 / 31, .*\n.*overlaps = \[.clinic.\]") as refused:
        finish(account(tmp_path, unit_ids=(*CLINIC[:5], "somebody new")))
    assert refused.value.where == "privacy.delta"
    assert folder_contents(tmp_path) == before
    with account(tmp_path, name="ward", unit_ids=(*CLINIC, "somebody new"), overlaps=["clinic"], delta=1e-5) as opened:
        assert ledger_facts(opened).units == 31


def test_a_ledger_in_another_folder_than_the_remembered_one_is_counted(tmp_path: Path) -> None:
    """Whose spending begins anew there, or goes on where the folder was moved: it cannot be told apart."""
    assert finish(account(tmp_path)).elsewhere == 0
    assert finish(account(tmp_path)).elsewhere == 0
    for _ in range(2):  # two ledgers of the population go on side by side
        assert finish(account(tmp_path, ledger="another")).elsewhere == 1
        assert finish(account(tmp_path)).elsewhere == 1
    assert finish(account(tmp_path, ledger="third")).elsewhere == 2
    assert finish(account(tmp_path, name="lobby", unit_ids=OTHERS, ledger="another")).elsewhere == 0


def test_a_ledger_that_was_moved_is_counted_once(tmp_path: Path) -> None:
    finish(account(tmp_path))
    (tmp_path / "ledgers").rename(tmp_path / "moved")
    ledger_facts = [finish(account(tmp_path, ledger="moved", identity=f"{run}")) for run in range(2)]
    assert [facts.elsewhere for facts in ledger_facts] == [1, 0]
    assert len(ledger_facts[1].trainings) == 3


def test_a_resumed_training_remembers_that_its_ledger_lay_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(account(tmp_path))
    (tmp_path / "ledgers").rename(tmp_path / "moved")
    with account(tmp_path, ledger="moved", identity="killed before it was saved") as opened:
        for _ in opened.charge_blocks():
            opened.write_checkpoint({"w": torch.ones(1)})
    monkeypatch.setattr(ledger, "PROCESS_ID", "another process")
    with account(tmp_path, ledger="moved", identity="killed before it was saved") as opened:
        assert opened.resumed is not None
        assert ledger_facts(opened).elsewhere == 1


def test_a_training_with_seeded_noise_is_remembered_by_all_that_follow(tmp_path: Path) -> None:
    assert finish(account(tmp_path)).seeded == 0
    assert finish(account(tmp_path, randomness="seeded", resumable=False)).seeded == 1
    facts = finish(account(tmp_path, identity="another"))
    assert facts.seeded == 1
    assert [row["randomness"] for row in facts.trainings] == ["secret", "seeded", "secret"]
    ward = finish(account(tmp_path, name="ward", overlaps=["clinic"]))
    assert ward.seeded == 1


def test_a_ledger_that_was_put_back_is_found_without_any_run(tmp_path: Path) -> None:
    finish(account(tmp_path))
    older = folder_contents(ledger_of(tmp_path))
    finish(account(tmp_path, identity="another"))
    for name in (chain.ENTRIES_FILE, chain.HEAD_FILE):
        (ledger_of(tmp_path) / name).write_bytes(older[name])
    with pytest.raises(EvidenceError, match="an older copy was put back"):
        finish(account(tmp_path, identity="a third"))


def test_so_is_that_of_an_overlapping_population(tmp_path: Path) -> None:
    finish(account(tmp_path))
    older = folder_contents(ledger_of(tmp_path))
    finish(account(tmp_path, identity="another"))
    for name in (chain.ENTRIES_FILE, chain.HEAD_FILE):
        (ledger_of(tmp_path) / name).write_bytes(older[name])
    with pytest.raises(EvidenceError, match="an older copy was put back"):
        finish(account(tmp_path, name="ward", overlaps=["clinic"]))


@pytest.mark.parametrize("gone", ["ledgers", "ledgers/clinic"])
def test_a_ledger_that_was_removed_does_not_begin_at_nothing(tmp_path: Path, gone: str) -> None:
    """Its key went with it: nothing but its place tells that there was one."""
    finish(account(tmp_path))
    shutil.rmtree(tmp_path / gone)
    with pytest.raises(EvidenceError, match=r"is gone: 23 entries|has not the 23 entries") as refused:
        finish(account(tmp_path))
    finish(account(tmp_path, ledger="elsewhere"))
    finish(account(tmp_path, name="ward", unit_ids=OTHERS))
    if gone == "ledgers":
        _, _, path = str(refused.value).rpartition("remove ")
        Path(path.rstrip(".")).unlink()
        finish(account(tmp_path))


@pytest.mark.parametrize("name", ["clinik", "clinic 2", "../clinic"])
def test_an_overlap_with_nobody_is_refused(tmp_path: Path, name: str) -> None:
    finish(account(tmp_path, name="clinic"))
    with pytest.raises(ConfigError, match="no other population") as refused:
        finish(account(tmp_path, name="ward", unit_ids=OTHERS, overlaps=[name]))
    assert "clinic" in str(refused.value)


def test_nobodys_name_can_be_read_or_tried_out_without_the_key(tmp_path: Path) -> None:
    finish(account(tmp_path))
    content = b"".join(folder_contents(tmp_path / "ledgers").values())
    key = unit_hashes.read_or_make_key(tmp_path / "ledgers", needed=True)
    for unit_id in CLINIC:
        assert unit_id.encode() not in content
        assert hashlib.sha256(unit_id.encode()).hexdigest()[: unit_hashes.HASH_LENGTH].encode() not in content
    stored = book_of(tmp_path).unit_hashes
    assert (
        stored == unit_hashes.hash_units(np.array(CLINIC), key) != unit_hashes.hash_units(np.array(CLINIC), bytes(32))
    )
    for path in [tmp_path / "ledgers", *(tmp_path / "ledgers").rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_a_missing_key_is_not_replaced(tmp_path: Path) -> None:
    finish(account(tmp_path))
    key = tmp_path / "ledgers" / unit_hashes.KEY_FILE
    kept = key.read_bytes()
    key.unlink()
    with pytest.raises(EvidenceError, match="the key of the ledgers is missing") as refused:
        finish(account(tmp_path))
    assert "Put the key back" in str(refused.value)
    for damaged in (b"", kept[:-1], b"no key"):
        key.write_bytes(damaged)
        with pytest.raises(EvidenceError, match="is not the key that was written"):
            finish(account(tmp_path))
    key.write_bytes(b"0" * 64)
    with pytest.raises(EvidenceError, match="not the one that the ledger of 'clinic' was begun with"):
        finish(account(tmp_path))
    key.write_bytes(kept)
    finish(account(tmp_path))


def test_a_ledger_is_lent_to_one_training_at_a_time(tmp_path: Path) -> None:
    finish(account(tmp_path, name="lobby", unit_ids=OTHERS))
    with account(tmp_path), pytest.raises(OutputError, match="the ledger is in use by another training") as refused:
        finish(account(tmp_path))
    assert str(ledger_of(tmp_path)) in str(refused.value)
    with account(tmp_path) as first, account(tmp_path, name="lobby", unit_ids=OTHERS) as second:
        assert ledger_facts(first).population != ledger_facts(second).population
    with account(tmp_path, name="lobby", unit_ids=OTHERS), pytest.raises(OutputError, match="in use"):
        finish(account(tmp_path, overlaps=["lobby"]))


def test_a_signal_keeps_the_checkpoint_as_a_kill_does(tmp_path: Path) -> None:
    with pytest.raises(Interruption), account(tmp_path) as opened:  # noqa: PT012 (where it comes is what is tested)
        for block in opened.charge_blocks():
            opened.write_checkpoint({"step": torch.tensor(block.stop)})
            if block.stop >= 10:
                raise Interruption(signal.SIGTERM)
    with account(tmp_path) as again:
        assert again.resumed is not None
        step, tensors = again.resumed
        assert (step, int(tensors["step"])) == (10, 10)
        assert next(iter(again.charge_blocks())).start == 10


def test_who_may_wait_is_admitted_when_the_ledger_is_free(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    finish(account(tmp_path, name="lobby", unit_ids=OTHERS))
    free = threading.Event()

    def hold() -> None:
        with account(tmp_path):
            held.set()
            while "waiting for up to 60 s" not in caplog.text:
                time.sleep(0.01)
            finish(account(tmp_path, name="lobby", unit_ids=OTHERS))  # nobody waits with the folder's lock in hand
            free.set()

    held = threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    with allow_waiting(60):
        finish(account(tmp_path))
    assert free.is_set()
    holder.join()
    assert caplog.text.count("the ledger is in use by another training; waiting for up to 60 s") == 1


def test_waiting_ends_with_an_exit_code_of_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    begun = time.monotonic()
    with account(tmp_path), allow_waiting(0.3), pytest.raises(BusyError) as refused:
        finish(account(tmp_path))
    assert 0.3 <= time.monotonic() - begun < 30
    assert refused.value.exit_code == 75
    with account(tmp_path), pytest.raises(BusyError):  # without leave nobody waits
        finish(account(tmp_path))
    assert caplog.text.count("waiting for") == 1


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "the disk is full"), (errno.EIO, "Input/output error"), (errno.EROFS, "Read-only file system")],
)
def test_an_error_of_the_disk_stops_training_before_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    taken: list[int] = []

    def fail_to_sync(_: int) -> None:
        raise OSError(number, os.strerror(number))

    def fill_disk(block: range) -> None:
        taken.extend(block)
        if block.stop == 10:
            monkeypatch.setattr("os.fsync", fail_to_sync)

    with pytest.raises(OutputError, match=words) as refused:
        train_blocks(tmp_path, fill_disk)
    assert taken == [*range(10)]
    assert str(ledger_of(tmp_path)) in str(refused.value)
    assert "privacy.ledger" in str(refused.value)
    monkeypatch.setattr("os.fsync", lambda _: None)
    with account(tmp_path) as opened:
        assert opened.resumed is not None
        assert opened.resumed[0] == 10
        assert first_block(opened) == range(10, 12)
    assert 40 <= book_of(tmp_path).charges[0].charged <= 42


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(OutputError, match="the disk is full"):
        train_blocks(tmp_path, lambda block: patched.setattr(Path, "replace", no_space) if block.stop == 4 else None)
    with account(tmp_path) as opened:
        assert opened.resumed is not None
        assert opened.resumed[1]["w"].tolist() == [[4.0] * 3] * 2


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be used") as refused:
        finish(account(tmp_path, ledger="file/ledgers"))
    assert "RFT_STATE" in str(refused.value)

    def refuse_access(*_: object, **__: object) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse_access)
    with pytest.raises(OutputError, match=r"cannot be used \(Permission denied"):
        finish(account(tmp_path))


def test_a_system_without_such_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(OutputError, match="no locks that end with a process"):
        finish(account(tmp_path))


@pytest.mark.parametrize("version", [1, 3])
def test_a_ledger_of_another_version_is_refused(tmp_path: Path, version: int) -> None:
    ledger_of(tmp_path).mkdir(parents=True)
    chain.read(ledger_of(tmp_path)).append({"kind": "population", "format": version})
    with pytest.raises(DataError, match=f"has format {version}; this rft reads format 2"):
        finish(account(tmp_path))


def test_a_damaged_ledger_is_refused(tmp_path: Path) -> None:
    finish(account(tmp_path))
    file = ledger_of(tmp_path) / chain.ENTRIES_FILE
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b'"stop":40', b'"stop":30'))
    with pytest.raises(EvidenceError, match="line 22 is not the one that was written"):
        finish(account(tmp_path))
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EvidenceError, match=r"ends after \d+ entries where 23 were written"):
        finish(account(tmp_path, name="lobby", unit_ids=OTHERS))


def test_a_ledger_that_was_put_back_is_found_by_a_checkpoint(tmp_path: Path) -> None:
    interrupt_training(tmp_path, after=3)
    older = folder_contents(ledger_of(tmp_path))
    interrupt_training(tmp_path, after=5)
    for name in (chain.ENTRIES_FILE, chain.HEAD_FILE):
        (ledger_of(tmp_path) / name).write_bytes(older[name])
    for identity in ("one plan", "another plan"):
        with pytest.raises(EvidenceError, match="an older copy was put back"):
            finish(account(tmp_path, identity=identity))


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    """The format of checkpoints, safetensors, accepts flipped bits."""
    interrupt_training(tmp_path, after=3)
    (file,) = ledger_of(tmp_path).glob("*.safetensors")
    whole = file.read_bytes()
    for damaged in (whole[:-1], whole[:50], b"", whole[:-1] + bytes([whole[-1] ^ 1]), whole.replace(b'"6"', b'"8"')):
        file.write_bytes(damaged)
        with pytest.raises(EvidenceError, match=r"is not (a|the) checkpoint") as refused:
            finish(account(tmp_path))
        assert "Remove it" in str(refused.value)
    file.unlink()
    assert finish(account(tmp_path)).charged_steps == 48, "eight steps for nothing, and all of them again"


def test_where_ledgers_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RFT_STATE", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/ada")
    assert ledger_folder(None, tmp_path) == Path("/home/ada/.local/state/rft/ledgers")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert ledger_folder(None, tmp_path) == Path("/state/rft/ledgers")
    monkeypatch.setenv("RFT_STATE", "/own")
    assert ledger_folder(None, tmp_path) == Path("/own/ledgers")
    assert ledger_folder("here", tmp_path) == tmp_path / "here"
    assert ledger_folder("~/there", tmp_path) == Path("/home/ada/there")
    assert ledger_folder("/there", tmp_path) == Path("/there")
