"""Trainings that several processes share, each in a process that torch connects by gloo, as torchrun has it."""

from typing import Any

import numpy as np
import pytest
import torch

from rft.runtime.ranks.place import RankPlace
from rft.training.sharing import ALONE, TrainingShare
from tests.support import rank_cases

PROCESSES = 2


@pytest.fixture(scope="module")
def fits(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each process gives, and at the end what one gives that trains alone."""
    folder = tmp_path_factory.mktemp("ranks")
    assert rank_cases.run_ranks(PROCESSES, rank_cases.train_each_way, folder) == [0] * PROCESSES
    results = [torch.load(folder / f"{rank}.pt") for rank in range(PROCESSES)]
    return [*results, rank_cases.train_each_way(ALONE, folder)]


WAYS = ("plain", "one in a batch", "stopped", "private", "private by unit")


@pytest.mark.parametrize("way", WAYS)
def test_processes_train_what_one_trains(fits: list[dict[str, Any]], way: str) -> None:
    shared, alone = fits[0][way], fits[-1][way]
    for name, tensor in alone["state"].items():
        assert torch.allclose(shared["state"][name], tensor, atol=1e-5), name
    assert shared["unchanged"] == alone["unchanged"] == 0
    assert shared["kept_epoch"] == alone["kept_epoch"]
    assert [list(row) for row in shared["log"]] == [list(row) for row in alone["log"]]
    for row, expected in zip(shared["log"], alone["log"], strict=True):
        assert row == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_all_processes_have_the_same_weights_to_the_last_bit(fits: list[dict[str, Any]], way: str) -> None:
    for result in fits[1:PROCESSES]:
        assert all(torch.equal(result[way]["state"][name], value) for name, value in fits[0][way]["state"].items())


def test_early_stopping_ended_before_the_last_epoch(fits: list[dict[str, Any]]) -> None:
    assert len(fits[0]["stopped"]["log"]) < 30


def test_epsilon_is_that_of_one_process(fits: list[dict[str, Any]]) -> None:
    for name in ("epsilon", "noise_multiplier", "steps"):
        assert fits[0]["private"][name] == fits[-1]["private"][name]


def test_a_private_step_is_that_of_the_distributed_optimizer_of_opacus(fits: list[dict[str, Any]]) -> None:
    for result in fits[:PROCESSES]:
        for name, tensor in result["Opacus"].items():
            assert torch.allclose(result["ours"][name], tensor, atol=1e-6), name


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_row_and_unit_is_one_processs(count: int, size: int) -> None:
    shares = [TrainingShare(Ranks(rank, size)) for rank in range(size)]
    rows = [list(range(count))[share.slice_rows(count)] for share in shares]
    assert [row for part in rows for row in part] == list(range(count))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1
    units = np.arange(count) * 5
    assert sorted(np.concatenate([share.select_units(units) for share in shares])) == units.tolist()


def test_dropout_differs_between_processes_and_is_that_of_one_in_the_first() -> None:
    seeds = [TrainingShare(Ranks(rank, 3)).spread_seed(11) for rank in range(3)]
    assert seeds[0] == ALONE.spread_seed(11) == 11
    assert len(set(seeds)) == 3


class Ranks:
    """Processes that are never asked to do anything together."""

    def __init__(self, rank: int, size: int) -> None:
        self.place = RankPlace(rank, size, rank, size)
