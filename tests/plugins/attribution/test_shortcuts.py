"""Interventions: a planted shortcut is found, and nobody is accused who does not rely on the region."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rft.data.images.geometry import Axis, Box, ImageGeometry
from rft.plugins.attribution import Attribution, AttributionOptions
from rft.plugins.attribution.images.shortcuts.region_swaps import (
    TestImages,
    _scale_patch,
    mirror_region,
    swap_regions,
)
from rft.plugins.attribution.interventions import Condition, Intervention, one_per_unit
from rft.plugins.attribution.network import Network
from rft.plugins.attribution.shortcuts.findings import ShortcutTest, judge_shortcuts
from rft.plugins.attribution.shortcuts.options import Shortcut
from rft.plugins.attribution.shortcuts.pairing import pair_classes, plan_swaps, same_class_donors
from rft.plugins.attribution.shortcuts.wording import region_wording
from rft.records import Finding
from rft.stats.discordant_pairs import smallest_excess, tango_interval
from tests.support.attribution_cases import SIDE, Frozen, Images, Region, audited_model, noise

CORNER, MIDDLE = Box(0.0, 0.0, 0.25, 0.25), Box(0.25, 0.25, 0.75, 0.75)


def intervene_on(
    model: nn.Module,
    pixels: Tensor,
    region: Box,
    *,
    seed: int = 0,
    pairs: int = 200,
    units: np.ndarray | None = None,
) -> Intervention:
    network = Network(model, "cpu")
    predicted = network.logits({"pixels": pixels}).argmax(dim=1).numpy()
    rng = np.random.default_rng(seed)
    plan = plan_swaps(predicted, units, pairs=pairs, rng=rng)
    [result] = swap_regions(network, Images(pixels).test_images(), plan, [region])
    return result


def judge_corner(intervention: Intervention, floor: float = 0.05) -> Finding:
    shortcut = Shortcut(name="corner", region=[*CORNER], min_flip_rate=floor)
    [finding] = judge_shortcuts([ShortcutTest(shortcut, intervention, region_wording(shortcut, intervention))])
    return finding


def test_reliance_on_the_region_is_found_and_elsewhere_is_not() -> None:
    pixels = noise(120)
    finished_run = intervene_on(Region(CORNER), pixels, CORNER)
    assert judge_corner(finished_run).status == "warn"
    assert judge_corner(finished_run).value == finished_run.shortcut.flips / finished_run.shortcut.n > 0.9  # no control
    assert finished_run.control.flips == 0
    assert finished_run.elsewhere is not None
    assert finished_run.elsewhere.flips == 0
    assert judge_corner(intervene_on(Region(CORNER), pixels, Box(0.5, 0.5, 0.75, 0.75))).status == "info"


@pytest.mark.parametrize("seed", range(8))
def test_a_network_that_ignores_the_region_is_not_accused(seed: int) -> None:
    pixels = noise(120, seed=seed)
    finding = judge_corner(intervene_on(Region(MIDDLE), pixels, CORNER, seed=seed))
    assert finding.status == "info"
    assert finding.value == 0


class Brittle(Frozen):
    """Changes its mind at any disturbance of the corner, whatever class the new content comes from."""

    def __init__(self) -> None:
        super().__init__()
        self.finish()

    def classify(self, pixels: Tensor) -> Tensor:
        cut = SIDE // 4
        inside = pixels[:, :, :cut, :cut].mean(dim=(1, 2, 3))
        outside = pixels[:, :, cut:, cut:].mean(dim=(1, 2, 3))
        score = torch.sin(3000 * inside) * torch.sin(9000 * outside)  # each alone says nothing about the sign
        return torch.stack([-score, score], dim=1)


def test_flips_that_any_paste_causes_are_no_accusation() -> None:
    accused = 0
    for seed in range(20):
        finished_run = intervene_on(Brittle(), noise(160, seed=seed), CORNER, seed=seed)
        assert 0.2 < (finished_run.shortcut.share or 0) < 0.8  # without a control this would look like reliance
        accused += judge_corner(finished_run).status == "warn"
    assert accused == 0


def outcomes(won: int, lost: int, *, n: int = 200, both: int = 0) -> Intervention:
    """Return an intervention with so many flips by the shortcut alone, by the control alone, and by both."""
    places = np.arange(n)
    shortcut = (places < won) | (places >= n - both)
    control = ((places >= won) & (places < won + lost)) | (places >= n - both)
    return Intervention(Condition("shortcut", shortcut), Condition("control", control), places)


@pytest.mark.parametrize(
    ("won", "lost", "both", "floor", "status"),
    [
        (45, 5, 0, 0.05, "warn"),
        (45, 5, 100, 0.05, "warn"),  # what both changes flip says nothing of either
        (30, 25, 0, 0.0, "info"),  # many flips, but as many in the control
        (14, 0, 0, 0.05, "info"),  # sure to be more than the control, not sure to be above the floor
        (45, 5, 0, 0.25, "info"),
        (9, 0, 0, 0.0, "info"),  # p = .002
        (10, 0, 0, 0.0, "warn"),  # p = .00098
        (0, 0, 0, 0.0, "info"),
        (0, 40, 0, 0.0, "info"),
    ],
)
def test_reliance_is_above_the_control_and_above_the_floor(
    won: int, lost: int, both: int, floor: float, status: str
) -> None:
    result = outcomes(won, lost, both=both)
    finding = judge_corner(result, floor)
    assert finding.status == status
    assert finding.value == pytest.approx((won - lost) / 200)
    assert finding.interval == tango_interval(won, lost, 200)
    assert (result.shortcut.flips, result.control.flips) == (won + both, lost + both)


def judge_all(results: list[Intervention], floor: float = 0.0) -> list[Finding]:
    suspects = [Shortcut(name=f"s{number}", region=[*CORNER], min_flip_rate=floor) for number in range(len(results))]
    tested = [
        ShortcutTest(suspect, result, region_wording(suspect, result))
        for suspect, result in zip(suspects, results, strict=True)
    ]
    return list(judge_shortcuts(tested))


def test_shortcuts_of_an_audit_are_judged_together() -> None:
    alone, among = judge_all([outcomes(10, 0)]), judge_all([outcomes(10, 0), outcomes(0, 0), outcomes(60, 0)])
    assert [finding.status for finding in alone] == ["warn"]
    assert [finding.status for finding in among] == ["info", "info", "warn"]
    assert "p = 0.002, corrected for 3 shortcuts (Holm)" in among[0].caveats  # 2 * 2 ** -10
    unmeasured = judge_all([outcomes(10, 0), outcomes(0, 0, n=9)])
    assert [finding.status for finding in unmeasured] == ["warn", "not_measured"]  # no test, nothing to correct for


def test_a_clearance_says_what_would_have_been_found() -> None:
    [finding] = judge_all([outcomes(2, 1)], 0.05)
    expected = smallest_excess(200, 1.5 / 201, alpha=0.001, floor=0.05)
    assert expected is not None
    assert finding.status == "info"
    assert f"A share of {expected:.2f} would be found with 80 % power" in finding.caveats


def test_without_power_nobody_is_cleared_and_what_is_sure_is_said() -> None:
    [cleared], [accused] = judge_all([outcomes(2, 0, n=11)]), judge_all([outcomes(11, 0, n=11)])
    assert cleared.status == "not_measured"
    assert "with 11 images not even reliance of all predictions would be found" in (cleared.reason or "")
    assert accused.status == "warn"


def test_both_conditions_have_the_same_examples() -> None:
    with pytest.raises(ValueError, match="the same examples under both conditions, got 3, 2 and 3 rows"):
        Intervention(Condition("a", np.zeros(3, bool)), Condition("b", np.zeros(2, bool)), np.arange(3))


def test_few_pairs_are_not_measured() -> None:
    finding = judge_corner(intervene_on(Region(CORNER), noise(18), CORNER))
    assert finding.status == "not_measured"
    assert finding.value is None
    assert "10 are needed" in (finding.reason or "")


def test_one_predicted_class_gives_no_pairs() -> None:
    pixels = noise(40)
    pixels[:, 0] += 1  # all red
    finished_run = intervene_on(Region(CORNER), pixels.clamp(0, 1), CORNER)
    assert (finished_run.shortcut.n, finished_run.shortcut.share) == (0, None)
    assert judge_corner(finished_run).status == "not_measured"


def test_no_image_occurs_twice_in_an_arm() -> None:
    rng = np.random.default_rng(0)
    predicted = rng.choice(4, size=200, p=[0.5, 0.3, 0.15, 0.05])
    candidates = one_per_unit(200, None, rng)
    recipients, donors = pair_classes(candidates, predicted, 200, rng)
    assert len(recipients) == min(100, 200 - int((predicted == 0).sum()))  # as many pairs as there can be
    assert len(set(recipients) | set(donors)) == 2 * len(recipients)
    assert (predicted[recipients] != predicted[donors]).all()
    likes = same_class_donors(recipients, candidates, predicted, rng)
    assert len(set(likes)) == len(likes) == len(recipients)  # every image has one, none is used twice
    assert not (likes == recipients).any()
    assert (predicted[likes] == predicted[recipients]).all()


@pytest.mark.parametrize(("recipients", "rest"), [(1, 0), (2, 0), (5, 0), (5, 1), (5, 3), (5, 4), (5, 5), (5, 9)])
def test_every_image_that_can_have_a_donor_of_its_class_has_one(recipients: int, rest: int) -> None:
    rng = np.random.default_rng(0)
    candidates = rng.permutation(recipients + rest)
    receiving = candidates[:recipients]
    likes = same_class_donors(receiving, candidates, np.zeros(len(candidates), dtype=np.int64), rng)
    if len(candidates) == 1:
        assert likes.tolist() == [-1]
        return
    assert len(set(likes)) == recipients
    assert not (likes == receiving).any()
    assert set(likes) <= set(candidates)
    assert (set(likes) - set(receiving)) == set(candidates[recipients:]) or rest > recipients


@pytest.mark.parametrize("colours", [True, False])
def test_a_rare_mark_is_swapped_among_the_images_that_have_it(colours: bool) -> None:
    """One image in twenty has it: in a colour for each class, or in one class alone."""
    rng = np.random.default_rng(0)
    predicted = rng.integers(2, size=800)
    marked = (np.arange(800) % 20 == 0) if colours else (np.arange(800) % 10 == 0) & (predicted == 1)
    plan = plan_swaps(predicted, None, pairs=200, rng=rng, marked=marked)
    assert marked[plan.recipients].all()
    assert marked[plan.likes].all()
    assert len(plan.recipients) >= (20 if colours else marked.sum())
    assert (predicted[plan.donors] != predicted[plan.recipients]).all()
    assert (predicted[plan.likes] == predicted[plan.recipients]).all()
    assert len(set(plan.recipients) | set(plan.donors)) == 2 * len(plan.recipients)
    assert marked[plan.donors].sum() >= (15 if colours else 0)
    units = np.arange(800) // 2
    of_units = plan_swaps(predicted, units, pairs=200, rng=rng, marked=marked)
    assert len(set(units[of_units.recipients])) == len(of_units.recipients)


def test_without_the_mark_there_is_nothing_to_swap() -> None:
    plan = plan_swaps(np.arange(40) % 2, None, pairs=20, rng=np.random.default_rng(0), marked=np.zeros(40, dtype=bool))
    assert len(plan.recipients) == 0


def test_reliance_on_a_rare_mark_is_found_by_the_images_that_have_it() -> None:
    """The network goes by the colour of the corner where there is one, in 5 % of the images, else by the middle."""
    pixels = 0.5 + 0.2 * (noise(600) - 0.5)
    labels, has_mark = torch.arange(600) % 2, np.arange(600) % 20 < 1
    has_mark |= np.arange(600) % 20 == 11
    pixels[:, 0, 4:12, 4:12] += 0.2 * labels[:, None, None]
    pixels[:, 2, 4:12, 4:12] += 0.2 * (1 - labels)[:, None, None]
    pixels[(labels == 1) & torch.from_numpy(has_mark), 0, :4, :4] = 1.0
    pixels[(labels == 0) & torch.from_numpy(has_mark), 2, :4, :4] = 1.0
    groups = {"mark": np.where(has_mark, "yes", "no").astype(object)}
    audited = audited_model(MarkOrMiddle(), pixels, groups=groups)
    regions = [
        {"name": "all", "region": [*CORNER]},
        {"name": "marked", "region": [*CORNER], "column": "mark", "value": "yes"},
    ]
    options = AttributionOptions.model_validate(
        {"samples": 1, "methods": ["integrated_gradients"], "shortcut": regions}
    )
    section = Attribution().audit(audited, options)
    of_all, of_marked = (section.finding(f"attribution.shortcut.{name}") for name in ("all", "marked"))
    assert (of_marked.status, of_marked.value, of_marked.n) == ("warn", 1.0, 30)
    assert "Only images whose mark is yes are changed." in of_marked.caveats
    assert of_all.status == "warn" or (of_all.value or 0) < 0.3  # few of any images have it


class MarkOrMiddle(Frozen):
    """Goes by the colour of a strong mark in the corner, and without one by that of the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.finish()

    def classify(self, pixels: Tensor) -> Tensor:
        corner, middle = (part.mean(dim=(2, 3)) for part in (pixels[:, :, :4, :4], pixels[:, :, 4:12, 4:12]))
        difference = torch.where(
            (corner[:, 0] - corner[:, 2]).abs() > 0.2, corner[:, 0] - corner[:, 2], middle[:, 0] - middle[:, 2]
        )
        return 20 * torch.stack([-difference, difference], dim=1)


def test_both_classes_receive() -> None:
    predicted = np.arange(200) % 2
    recipients, _ = pair_classes(np.arange(200), predicted, 100, np.random.default_rng(0))
    assert 30 < predicted[recipients].sum() < 70


def test_the_number_of_pairs_is_capped() -> None:
    recipients, _ = pair_classes(np.arange(50), np.arange(50) % 2, 12, np.random.default_rng(0))
    assert len(recipients) == 12


def test_a_unit_gives_one_image() -> None:
    units = np.repeat([f"u{number}" for number in range(30)], 4)
    chosen = one_per_unit(120, units, np.random.default_rng(0))
    assert len(chosen) == 30
    assert len(set(units[chosen])) == 30
    assert len(set(chosen % 4)) == 4  # not always the first image of a unit
    finished_run = intervene_on(Region(CORNER), noise(120), CORNER, units=units)
    assert finished_run.shortcut.n <= 15


def test_the_same_seed_gives_the_same_counts() -> None:
    first, again = (intervene_on(Brittle(), noise(100), CORNER, seed=3) for _ in range(2))
    for condition, same in zip(first.conditions, again.conditions, strict=True):
        assert condition.flipped.tolist() == same.flipped.tolist()


class Counting(Region):
    """Counts the images that go through it."""

    seen = 0

    def classify(self, pixels: Tensor) -> Tensor:
        self.seen += len(pixels)
        return super().classify(pixels)


def test_regions_share_images_and_first_predictions() -> None:
    pixels, model, read = noise(120), Counting(CORNER), []
    predicted = Network(model, "cpu").logits({"pixels": pixels}).argmax(dim=1).numpy()
    images = Images(pixels).test_images()
    watched = TestImages(lambda rows: read.append(len(rows)) or images.read(rows), images.locate)  # type: ignore[func-returns-value]
    plan = plan_swaps(predicted, None, pairs=40, rng=np.random.default_rng(0))
    model.seen = 0
    together = swap_regions(Network(model, "cpu"), watched, plan, [CORNER, Box(0.5, 0.5, 0.75, 0.75)])
    assert len(plan.recipients) == 40
    assert model.seen == 40 * (1 + 3 * 2)
    assert sum(read) == 3 * 40
    [alone] = swap_regions(Network(model, "cpu"), images, plan, [CORNER])
    assert alone.shortcut.flipped.tolist() == together[0].shortcut.flipped.tolist()


def test_images_are_not_changed_by_a_swap() -> None:
    pixels = noise(60)
    before = pixels.clone()
    intervene_on(Region(CORNER), pixels, CORNER)
    assert torch.equal(pixels, before)


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ([0.0, 0.0, 0.25, 0.25], [0.75, 0.75, 1.0, 1.0]),
        ([0.0, 0.25, 0.5, 0.75], [0.5, 0.25, 1.0, 0.75]),
        ([0.25, 0.0, 0.75, 0.5], [0.25, 0.5, 0.75, 1.0]),
        ([0.25, 0.25, 0.75, 0.75], None),
    ],
)
def test_mirrored_regions_do_not_overlap(region: list[float], expected: list[float] | None) -> None:
    mirrored = mirror_region(Box(*region))
    assert (mirrored and [*mirrored]) == expected


def place_image(*, left: float, right: float, columns: tuple[int, int] = (0, SIDE)) -> ImageGeometry:
    """Return the geometry of an image of which the model sees a share of the width, at full height, in some columns."""
    scale = (right - left) / (columns[1] - columns[0])
    return ImageGeometry(Axis(*columns, left - scale * columns[0], scale), Axis(0, SIDE, 0.0, 1 / SIDE))


class Marked(Frozen):
    """Tells red from blue by the strongest colour anywhere, as a network does that looks for a mark."""

    def __init__(self) -> None:
        super().__init__()
        self.finish()

    def classify(self, pixels: Tensor) -> Tensor:
        blueness = pixels[:, 2] - pixels[:, 0]
        return 20 * torch.stack([blueness.amax(dim=(1, 2)), -blueness.amin(dim=(1, 2))], dim=1)


def marked_images(geometries: list[ImageGeometry], mark: Box) -> Images:
    """Return grey images with a mark, red or blue by turns, where each geometry shows it."""
    pixels = torch.full((len(geometries), 3, SIDE, SIDE), 0.5)
    for row, geometry in enumerate(geometries):
        colour = torch.tensor([1.0, 0.0, 0.0] if row % 2 else [0.0, 0.0, 1.0])
        pixels[(row, slice(None), *geometry.pixel_slices(mark))] = colour[:, None, None]
    return Images(pixels, geometries)


def swap_marks(images: Images, region: Box) -> Intervention:
    network = Network(Marked(), "cpu")
    predicted = network.logits({"pixels": images.pixels}).argmax(dim=1).numpy()
    rng = np.random.default_rng(0)
    plan = plan_swaps(predicted, None, pairs=200, rng=rng)
    [result] = swap_regions(network, images.test_images(), plan, [region])
    return result


WIDE, TALL = place_image(left=0.25, right=0.75), place_image(left=0.0, right=1.0, columns=(4, 12))
MARK = Box(0.25, 0.25, 0.5, 0.5)


def test_a_region_is_swapped_where_each_image_shows_it() -> None:
    images = marked_images([WIDE, TALL] * 40 + [TALL, WIDE] * 40, MARK)
    result = swap_marks(images, MARK)
    assert (result.shortcut.flips, result.shortcut.n) == (80, 80)  # whatever the geometries of a pair are
    assert (result.control.flips, result.control.n) == (0, result.control.n)
    assert (result.visible_share, result.left_out) == (1.0, 0)
    assert judge_corner(result).status == "warn"
    assert swap_marks(images, Box(0.6, 0.25, 0.85, 0.5)).shortcut.flips == 0


def test_pairs_in_which_the_region_is_hidden_are_left_out_and_said() -> None:
    region = Box(0.0, 0.25, 0.2, 0.5)  # WIDE shows nothing of it
    images = marked_images([WIDE] * 30 + [TALL] * 90, Box(0.5, 0.25, 0.7, 0.5))
    result = swap_marks(images, region)
    assert result.shortcut.n + result.left_out == 60
    assert 10 < result.left_out < 60
    assert result.visible_share == pytest.approx(0.75)
    finding = judge_corner(result)
    assert "The model sees 75 % of the region on average" in finding.caveats
    assert f"{result.left_out} pairs in which it sees less than half are left out" in finding.caveats


def test_a_region_that_the_model_hardly_sees_is_not_measured_and_never_cleared() -> None:
    images = marked_images([WIDE] * 80, Box(0.5, 0.25, 0.7, 0.5))
    for region, seen in ((Box(0.0, 0.25, 0.2, 0.5), "0 %"), (Box(0.0, 0.0, 0.45, 1.0), "44 %")):
        finding = judge_corner(swap_marks(images, region))
        assert finding.status == "not_measured"
        assert finding.value is None
        assert f"the model sees {seen} of the region on average" in (finding.reason or "")


def test_content_is_scaled_to_the_place_that_it_gets() -> None:
    wide, tall = torch.rand(3, 8, 4), (8, 2)
    scaled = _scale_patch(wide, tall)
    torch.testing.assert_close(scaled[:, :, 0].mean(), wide[:, :, :2].mean(), atol=0.1, rtol=0)
    assert torch.equal(_scale_patch(wide, (8, 4)), wide)
