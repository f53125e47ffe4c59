"""Training that is killed: what was charged is never less than what was taken, and at most one block a kill more."""

from __future__ import annotations

import multiprocessing
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from rft.errors import OutputError
from rft.plugins.privacy.accounting.accountants import Mechanism, composed_spending
from rft.plugins.privacy.ledger import account as ledger
from rft.plugins.privacy.ledger import atomic_io, chain
from rft.plugins.privacy.ledger.account import finalize_trainings
from tests.support.ledger_cases import CLINIC, DELTA, account, charges_of, ledger_facts, population, train_slowly

STEPS, BLOCK = 100, 5


def check(folder: Path, log: Path, kills: int) -> int:
    """Compare the ledger with the log of steps that were taken; return how many were charged more than once."""
    taken = Counter(log.read_text().splitlines())
    charges = charges_of(folder)
    charged = Counter(f"{charge.identity} {step}" for charge in charges for block in charge.blocks for step in block)
    assert all(charged[step] >= times for step, times in taken.items()), "a step was taken and not charged"
    lost = charged.total() - len(charged)
    assert lost <= kills * BLOCK, "more than one block was charged again for a kill"
    assert charged.total() - taken.total() <= kills * BLOCK
    truth = composed_spending([Mechanism(2.0, 0.1, taken.total())], DELTA).epsilon
    assert (
        composed_spending([mechanism for charge in charges for mechanism in charge.charged_mechanisms()], DELTA).epsilon
        >= truth
    )
    return lost


def kill_at_random(folder: Path, kills: int, seconds: float) -> int:
    """Train in processes of their own, killed at random instants, until so many were; return the steps lost."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["rft.plugins.privacy.ledger.account"])
    chance, log, killed, number = random.Random(0), folder / "log", 0, 0
    while killed < kills:
        process = context.Process(target=train_slowly, args=(folder, log, f"training-{number}", STEPS, seconds))
        process.start()
        process.join(chance.uniform(0.0, 0.6))
        process.kill()
        process.join()
        assert process.exitcode in (0, -9)
        killed += process.exitcode == -9
        number += (folder / f"training-{number}.saved").exists()
        process.close()
    with account(folder, "clinic", CLINIC, Mechanism(2.0, 0.1, STEPS), identity=f"training-{number}") as opened:
        step = opened.resumed[0] if opened.resumed else 0
        assert step % BLOCK == 0
        for block in opened.charge_blocks():
            with log.open("a") as note:
                note.writelines(f"training-{number} {step}\n" for step in block)
    assert len({*log.read_text().splitlines()}) == (number + 1) * STEPS
    return check(folder, log, kills)


def test_some_kills_of_a_process(tmp_path: Path) -> None:
    """Few kills mostly do; on a quick machine none of them may come between a charge and its checkpoint."""
    lost = 0
    for kills in (5, 10, 20):
        (tmp_path / str(kills)).mkdir()
        lost = lost or kill_at_random(tmp_path / str(kills), kills, 0.001)
    assert lost > 0, "no kill came between a charge and its checkpoint: this test looked at nothing"


@pytest.mark.slow
def test_three_hundred_kills_of_a_process(tmp_path: Path) -> None:
    lost = kill_at_random(tmp_path, 300, 0.001)
    assert lost > 0
    trainings = len(charges_of(tmp_path))
    print(f"300 kills in {trainings} trainings of {STEPS} steps: {lost} steps charged again, none too few")


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=train_slowly, args=(tmp_path, tmp_path / "log", "long", 20, 5.0))
    process.start()
    while not (tmp_path / "log").exists():
        process.join(0.05)
        assert process.is_alive()
    with pytest.raises(OutputError, match="in use by another training"), account(tmp_path):
        pass
    process.kill()
    process.join()
    with account(tmp_path) as opened:
        assert ledger_facts(opened).epsilon > 0


class Killed(BaseException):
    """Ends a training where a signal would."""


def kills_at(monkeypatch: pytest.MonkeyPatch, instant: int, how: str) -> None:
    """Let the process die before, after, or half-way through its ``instant``-th write to the disk."""
    countdown: Iterator[int] = iter(range(instant, -1, -1))
    write, overwrite = atomic_io._write_flushed, atomic_io.overwrite_in_place

    def die_around(real: Callable[..., None], halves: bool) -> Callable[..., None]:
        def write_or_die(target: object, content: bytes) -> None:
            if next(countdown, -1) != 0:
                return real(target, content)
            if how == "half" and halves:
                real(target, content[: len(content) // 2])
            if how == "after":
                real(target, content)
            raise Killed

        return write_or_die

    monkeypatch.setattr(atomic_io, "_write_flushed", die_around(write, halves=True))
    monkeypatch.setattr(chain, "overwrite_in_place", die_around(overwrite, halves=False))


def train_and_save(folder: Path, log: Path) -> None:
    with (
        account(folder, "clinic", CLINIC, Mechanism(2.0, 0.1, 3), identity="training") as opened,
        log.open("a") as note,
    ):
        for block in opened.charge_blocks():
            note.writelines(f"training {step}\n" for step in block)
            note.flush()
            opened.write_checkpoint({"step": torch.tensor(block.stop)})
    (folder / "saved").touch()
    finalize_trainings(population(folder), "ledgers")


def train_through_kills(folder: Path, log: Path, monkeypatch: pytest.MonkeyPatch, instant: int, how: str) -> int:
    """Train until it is saved, killed at this instant of the first and of the second attempt; return the kills."""
    for kills in range(3):
        with monkeypatch.context() as patched:
            patched.setattr(ledger, "PROCESS_ID", f"attempt {kills}")
            if kills < 2:
                kills_at(patched, instant, how)
            try:
                train_and_save(folder, log)
                return kills
            except Killed:
                assert not (folder / "saved").exists()
    raise AssertionError("the last attempt is not killed")


@pytest.mark.parametrize("how", ["before", "half", "after"])
def test_a_kill_at_every_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Twice in a row, so that what the first one left is met by the second."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    for instant in range(100):
        folder, log = tmp_path / str(instant), tmp_path / f"{instant}.log"
        folder.mkdir()
        kills = train_through_kills(folder, log, monkeypatch, instant, how)
        taken = Counter(log.read_text().splitlines())
        (charge,) = charges_of(folder)
        assert taken.keys() == {f"training {step}" for step in range(3)}
        assert taken.total() <= charge.charged <= 3 + kills
        assert charge.finished_by is not None
        assert not [*folder.rglob("*.safetensors")]
        if not kills:
            break
    assert instant == 17, (
        "key; population, training, three blocks, finished, each with its head; three checkpoints; witness"
    )
