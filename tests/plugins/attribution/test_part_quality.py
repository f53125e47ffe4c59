"""Insertion, parameter randomisation and noise of attributions to parts, against networks whose answers are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from rft.errors import Unavailable
from rft.plugins.attribution.group_means import PREDICTED
from rft.plugins.attribution.modality_words import recording_wording
from rft.plugins.attribution.network import Network, move_embeddings
from rft.plugins.attribution.quality.deletion import change_parts, find_top_parts
from rft.plugins.attribution.quality.findings import insertion_finding, randomization_finding, stability_finding
from rft.plugins.attribution.quality.measures import AttributionQuality, state_quality
from rft.plugins.attribution.quality.parts import (
    MAX_REPEATED,
    Parts,
    choose_repeated,
    correlate_parts,
    measure_part_quality,
)
from rft.plugins.attribution.quality.random_networks import randomize_network, redraw_parameters
from rft.records import Finding
from tests.support.attribution_cases import Frozen

PARTS, WORDS = 40, recording_wording("silence", bands=False)


class Weighing(nn.Module):
    """Weighs the parts of an example: what each adds to the second class is known."""

    def __init__(self, parts: int = PARTS) -> None:
        super().__init__()
        self.linear = nn.Linear(parts, 2)
        weight = torch.from_numpy(np.random.default_rng(7).normal(size=parts)).float()
        self.linear.weight.data = torch.stack([-weight, weight])
        self.linear.bias.data = torch.tensor([-20.0, 20.0])  # always the second class
        self.eval().requires_grad_(False)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return self.linear(inputs["parts"])


@dataclass(frozen=True)
class Weighed:
    """Examples of ``Weighing``, attributed as ``kind`` says: truly, by their content alone, or by chance each time."""

    network: Network
    inputs: Tensor
    kind: str = "true"
    takes_fewer_steps: bool = False
    noise: float = 0.01
    method: str = "window_occlusion"
    references: Mapping[str, Parts] = field(default_factory=dict)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(3))

    @property
    def values(self) -> Parts:
        return self.attribute(self.network, np.arange(len(self.inputs)))

    @property
    def eligible(self) -> Parts:
        return [np.ones(self.inputs.shape[1], dtype=bool)] * len(self.inputs)

    def read_inputs(self, places: np.ndarray) -> dict[str, Tensor]:
        return {"parts": self.inputs[places]}

    def measure_margins(self, removed: list[np.ndarray]) -> np.ndarray:
        left = self.inputs.masked_fill(torch.from_numpy(np.stack(removed)), 0.0)
        return self.network.margins({"parts": left}, torch.ones(len(left), dtype=torch.int64)).numpy()

    def measure_content(self, places: np.ndarray) -> Parts:
        return list(self.inputs[places].abs().numpy())

    def attribute(self, network: Network, places: np.ndarray) -> Parts:
        return self._attribute(network, self.inputs[places])

    def attribute_noisy(self, places: np.ndarray, rng: np.random.Generator) -> Parts:
        drawn = torch.from_numpy(rng.standard_normal(self.inputs[places].shape, dtype=np.float32))
        return self._attribute(self.network, self.inputs[places] + self.noise * drawn)

    def _attribute(self, network: Network, inputs: Tensor) -> Parts:
        if self.kind == "true":
            return list((inputs * network.model.linear.weight[1]).numpy())
        if self.kind == "content":
            return list(inputs.abs().numpy())
        return list(self.rng.normal(size=inputs.shape))


def make_weighed(n: int = 12, **changes: object) -> Weighed:
    inputs = torch.from_numpy(np.random.default_rng(1).normal(size=(n, PARTS))).float()
    return Weighed(Network(Weighing(), "cpu"), inputs, **changes)


def measure_examples(examples: Weighed) -> AttributionQuality:
    places = np.arange(len(examples.inputs))
    return measure_part_quality(examples.network, examples, places, np.random.default_rng(0))


def state_measures(examples: Weighed) -> dict[str, Finding]:
    findings = state_quality(measure_examples(examples), None, WORDS)
    return {finding.id.removeprefix("attribution.").partition(".")[0]: finding for finding in findings}


def test_true_attributions_of_a_linear_network_are_faithful_stable_and_depend_on_its_weights() -> None:
    stated = state_measures(make_weighed(24))
    assert {finding.status for finding in stated.values()} == {"info"}
    assert stated["insertion"].interval is not None
    assert stated["insertion"].interval.low > 0.1
    assert "brings evidence for the class by itself" in stated["insertion"].caveats
    assert stated["randomization"].interval is not None
    assert stated["randomization"].interval.high < 0.2
    assert "Surely below 0.2: the attributions depend on what was learned" in stated["randomization"].caveats
    assert "Between attributions with parts in random order it is 0.1" in stated["randomization"].caveats
    assert stated["stability"].interval is not None
    assert stated["stability"].interval.low > 0.9


def test_attributions_that_know_the_example_alone_are_found_by_randomisation() -> None:
    stated = state_measures(make_weighed(kind="content"))
    assert (stated["randomization"].status, stated["randomization"].value) == ("warn", pytest.approx(1))
    assert "the attributions show the recording, whatever was learned" in stated["randomization"].caveats
    assert "the loudness of the windows of time 1.00" in stated["randomization"].caveats
    assert stated["stability"].status == "info"


def test_attributions_by_chance_are_not_faithful_and_not_stable() -> None:
    stated = state_measures(make_weighed(kind="chance", takes_fewer_steps=True))
    assert stated["insertion"].interval is not None
    assert stated["insertion"].interval.low < 0 < stated["insertion"].interval.high
    assert "Too few recordings" in stated["insertion"].caveats
    assert stated["stability"].status == "warn"
    assert "change with faint noise" in stated["stability"].caveats


def test_attributions_that_noise_changes_are_found() -> None:
    assert state_measures(make_weighed(noise=3.0))["stability"].status == "warn"


def test_insertion_of_a_linear_network_is_known() -> None:
    """What a share of the parts brings is the sum of their weights: naively, with the same random parts."""
    examples = make_weighed(5)
    tested = change_parts(examples.values, examples.eligible, examples.measure_margins, rng=np.random.default_rng(4))
    rng, gains, lost = np.random.default_rng(4), np.zeros(5), np.zeros(5)
    exact = [2 * values.astype(np.float64) for values in examples.values]  # of the margin: one class against the other
    margin = np.mean([values.sum() + 40 for values in exact])
    for share in (0.1, 0.2, 0.4):
        count = round(share * PARTS)
        chosen = [[np.argsort(-rng.random(PARTS), kind="stable")[:count] for _ in exact] for _ in range(3)]
        for place, values in enumerate(exact):
            by_chance = np.mean([values[of_all[place]].sum() for of_all in chosen])
            gains[place] += (np.sort(values)[-count:].sum() - by_chance) / margin / 3
            lost[place] += (np.sort(values)[-count:].sum() - by_chance) / margin / 3
    np.testing.assert_allclose(tested.insertion, gains, atol=1e-5)
    np.testing.assert_allclose(tested.deletion, lost, atol=1e-5)


def test_insertion_keeps_what_deletion_takes_and_leaves_alone_what_is_not_eligible() -> None:
    values, eligible = [np.arange(10.0)], [np.arange(10) != 9]
    asked: list[np.ndarray] = []

    def measure_margins(removed: list[np.ndarray]) -> np.ndarray:
        asked.append(removed[0])
        return np.array([1.0 + removed[0].sum()])

    change_parts(values, eligible, measure_margins, rng=np.random.default_rng(0))
    assert not any(removed[9] for removed in asked), "never what is not eligible"
    marked = find_top_parts(values[0], eligible[0], 0.2)
    assert any((removed == marked).all() for removed in asked)
    assert any((removed == (eligible[0] & ~marked)).all() for removed in asked)
    assert {int(removed.sum()) for removed in asked} == {0, 1, 2, 4, 5, 7, 8}


def test_likeness_is_an_absolute_correlation_with_a_copy_of_its_own() -> None:
    examples = make_weighed(6)
    quality = measure_examples(examples)
    assert quality.likeness is not None
    rng = np.random.default_rng(0)
    change_parts(examples.values, examples.eligible, examples.measure_margins, rng=rng)
    expected, inputs = [], examples.read_inputs(np.arange(6))
    other = randomize_network(examples.network, inputs, rng)
    for place in range(6):
        (theirs,) = examples.attribute(other, np.array([place]))
        expected.append(abs(spearmanr(examples.values[place], theirs).statistic))
        rng.permuted(np.zeros((20, PARTS)), axis=1)
        redraw_parameters(other, inputs, rng)
    np.testing.assert_allclose(quality.likeness.correlation, expected, atol=1e-6)
    # The mean of |rho| of parts in random order is near sqrt(2 / pi / (n - 1)).
    assert quality.likeness.by_chance.mean() == pytest.approx((2 / np.pi / (PARTS - 1)) ** 0.5, rel=0.1)


def test_a_copy_is_drawn_again_with_the_same_entries_in_another_order() -> None:
    class Wide(Weighing):
        def __init__(self) -> None:
            super().__init__(4)
            self.wide = nn.Linear(4, 60_000).requires_grad_(False)
            self.eval()

        def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
            return super().forward(inputs) + self.wide(inputs["parts"])[:, :2]

    network, inputs, rng = Network(Wide(), "cpu"), {"parts": torch.ones(2, 4)}, np.random.default_rng(0)
    copied = randomize_network(network, inputs, rng)
    drawn = []
    for _ in range(3):
        drawn.append([parameter.flatten().clone() for parameter in copied.model.parameters()])
        redraw_parameters(copied, inputs, rng)
    for of_parameter in zip(*drawn, network.model.parameters(), strict=True):
        for entries in of_parameter[:3]:
            assert torch.equal(entries.sort().values, of_parameter[3].flatten().sort().values)
    for first, second in ((0, 1), (1, 2), (0, 2)):
        wide = np.stack([drawn[draw][2].numpy() for draw in (first, second)])
        assert abs(np.corrcoef(wide)[0, 1]) < 0.02, "240,000 entries, of which neither draw says anything of the next"
    assert not any(module.training for module in copied.model.modules())


def test_networks_with_few_parts_are_seldom_accused() -> None:
    """Their random copies may be alike by chance, and each copy is so for all examples that it explains."""
    accused = 0
    for seed in range(40):
        examples = make_weighed(12)
        few = Weighed(Network(Weighing(10), "cpu"), examples.inputs[:, :10])
        quality = measure_part_quality(few.network, few, np.arange(12), np.random.default_rng(seed))
        assert quality.likeness is not None
        accused += (
            randomization_finding("band_occlusion", *quality.likeness, quality.content, None, WORDS).status == "warn"
        )
    assert accused <= 4  # one of 40 is nominal, for one side of a 95 % interval


def test_rank_correlations_of_parts_are_spearmans_and_undefined_where_they_say_nothing() -> None:
    rng = np.random.default_rng(0)
    first, second = [rng.normal(size=n).round(1) for n in (5, 12, 40)], [rng.normal(size=n) for n in (5, 12, 40)]
    expected = [spearmanr(*pair).statistic for pair in zip(first, second, strict=True)]
    np.testing.assert_allclose(correlate_parts(first, second), expected, atol=1e-12)
    few, same, infinite = np.arange(3.0), np.ones(5), np.array([1.0, 2.0, np.inf, 0.0, 3.0])
    others = [np.arange(3.0), np.arange(5.0), np.arange(5.0)]
    assert np.isnan(correlate_parts([few, same, infinite], others)).all()
    assert np.isnan(correlate_parts([np.zeros(0)], [np.zeros(0)])).all()


def test_of_many_examples_some_are_attributed_again_and_all_where_groups_are_compared() -> None:
    rng, names = np.random.default_rng(0), np.array(["a", "b"] * 40, dtype=object)
    together: dict[str | None, np.ndarray] = {None: np.full(80, None), PREDICTED: names}
    places = choose_repeated(together, rng)
    assert len(places) == MAX_REPEATED
    assert (np.diff(places) > 0).all()
    assert len(choose_repeated(together | {"sex": names}, rng)) == 80
    lonely = np.array(["a"] * 51 + ["b"] * 29, dtype=object)
    assert len(choose_repeated(together | {"sex": lonely}, rng)) == MAX_REPEATED
    missing = np.array(["a"] * 45 + [None] * 35, dtype=object)
    assert len(choose_repeated(together | {"sex": missing}, rng)) == MAX_REPEATED
    assert choose_repeated({None: np.full(5, None)}, rng).tolist() == [0, 1, 2, 3, 4]
    quality = measure_part_quality(make_weighed(30).network, make_weighed(30), places[places < 30], rng)
    assert quality.likeness is not None
    assert np.isfinite(quality.likeness.correlation).sum() == (places < 30).sum()
    assert len(quality.faithfulness.deletion) == 30


class Unmoved(Weighed):
    """Cannot be attributed under noise."""

    def attribute_noisy(self, places: np.ndarray, rng: np.random.Generator) -> Parts:
        raise Unavailable("this model has no word embeddings")


class Silent(Frozen):
    """Has no parameters."""

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return torch.stack([-inputs["parts"].sum(dim=1), 40 + inputs["parts"].sum(dim=1)], dim=1)


def test_what_cannot_be_measured_says_why_and_leaves_the_rest() -> None:
    stated = state_measures(Unmoved(Network(Weighing(), "cpu"), make_weighed().inputs))
    assert (stated["stability"].status, stated["stability"].value) == ("not_measured", None)
    assert stated["stability"].reason == "this model has no word embeddings"
    assert stated["randomization"].value is not None
    silent = Weighed(Network(Silent().eval(), "cpu"), make_weighed().inputs, kind="content")
    stated = state_measures(silent)
    assert stated["randomization"].reason == "randomising the parameters changes no logit"
    assert stated["stability"].value is not None


def test_without_a_margin_nothing_is_inserted() -> None:
    tested = change_parts(
        [np.arange(5.0)] * 2,
        [np.ones(5, dtype=bool)] * 2,
        lambda _: np.array([-1.0, 0.5]),
        rng=np.random.default_rng(0),
    )
    assert (len(tested.deletion), len(tested.insertion)) == (0, 0)


def test_the_answers_speak_of_recordings() -> None:
    values = np.array([0.1, 0.9, 0.5])
    said = [
        insertion_finding("band_occlusion", values - 0.5, None, WORDS),
        randomization_finding("band_occlusion", values, values, values, None, WORDS),
        stability_finding("band_occlusion", values, None, WORDS),
    ]
    for finding in said:
        assert "recording" in f"{finding.description} {finding.caveats}"
        assert "image" not in f"{finding.title} {finding.description} {finding.caveats}"


class Looking(nn.Module):
    """Looks tokens up, as often as it is told to."""

    def __init__(self, times: int = 1) -> None:
        super().__init__()
        self.embedding, self.times = nn.Embedding(6, 3), times

    def forward(self, ids: Tensor) -> Tensor:
        return sum((self.embedding(ids) for _ in range(self.times)), torch.zeros(*ids.shape, 3))


def test_a_token_is_moved_alike_wherever_it_stands_and_no_other_is() -> None:
    model, tokens, noise = Looking(), torch.tensor([1, 3, 5]), torch.arange(9.0).view(3, 3) + 1
    ids = torch.tensor([[1, 2, 3, 1], [5, 0, 4, 3]])
    with torch.no_grad():
        before = model(ids)
        with move_embeddings(model.embedding, tokens, noise):
            moved = model(ids) - before
        assert torch.equal(model(ids), before)
    expected = torch.zeros(2, 4, 3)
    expected[0, 0] = expected[0, 3] = noise[0]
    expected[0, 2] = expected[1, 3] = noise[1]
    expected[1, 0] = noise[2]
    np.testing.assert_allclose(moved.numpy(), expected.numpy(), atol=1e-5)


def test_embeddings_that_are_not_asked_are_not_said_to_be_moved() -> None:
    model = Looking(times=0)
    moved = move_embeddings(model.embedding, torch.tensor([1]), torch.ones(1, 3))
    with pytest.raises(Unavailable, match="does not ask its embedding layer"), moved:
        model(torch.tensor([[1]]))
    layer = nn.Linear(4, 3)
    with (
        pytest.raises(Unavailable, match="no vector for each token"),
        move_embeddings(layer, torch.tensor([1]), torch.ones(1, 3)),
    ):
        layer(torch.zeros(2, 4))
    assert not layer._forward_hooks
