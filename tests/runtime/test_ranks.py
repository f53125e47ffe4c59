import pytest

from rft.errors import ConfigError
from rft.runtime.ranks.group import current_ranks, join_ranks
from rft.runtime.ranks.place import RankPlace, leads_here, read_rank_place

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}


@pytest.mark.parametrize("environment", [{}, {"WORLD_SIZE": "1", "RANK": "0"}, {"RANK": "2"}])
def test_without_other_processes_nothing_changes(environment: dict[str, str]) -> None:
    assert read_rank_place(environment) is None
    assert leads_here(environment)
    with join_ranks(None) as ranks:
        assert ranks is None
        assert current_ranks() is None


def test_the_place_is_what_torchrun_says() -> None:
    assert read_rank_place(TORCHRUN) == RankPlace(rank=3, size=4, local_rank=1, local_size=2)
    assert not leads_here(TORCHRUN)
    assert leads_here(TORCHRUN | {"RANK": "0"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"RANK": "4"}, "contradict each other: RANK=4, WORLD_SIZE=4"),
        ({"LOCAL_RANK": "2"}, "LOCAL_RANK=2, LOCAL_WORLD_SIZE=2"),
        ({"RANK": "first"}, "RANK: is 'first'; a whole number was expected beside WORLD_SIZE=4"),
        ({"LOCAL_RANK": "-1"}, "LOCAL_RANK: is '-1'"),
    ],
)
def test_variables_that_cannot_be_are_named(change: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_rank_place(TORCHRUN | change)


def test_an_absent_variable_is_named() -> None:
    with pytest.raises(ConfigError, match="RANK: is not set"):
        read_rank_place({"WORLD_SIZE": "2"})
