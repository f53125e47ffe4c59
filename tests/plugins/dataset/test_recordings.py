"""Rates and lengths of recordings by group and class, on splits made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from rft.disclosure.withheld import Withheld
from rft.plugins import AuditedModel
from rft.plugins.dataset import Dataset, DatasetOptions
from rft.records import ModelFacts, Recordings, Section, Split, Training

LOW, HIGH = 8_000, 16_000


def recorded(
    name: str,
    rates: Sequence[int],
    languages: Sequence[str | None],
    *,
    seconds: Sequence[float] | None = None,
    labels: Sequence[int] | None = None,
    units: Sequence[str] | None = None,
) -> Split:
    n = len(rates)
    lasting = np.ones(n) if seconds is None else np.array(seconds)
    ids = np.array([f"{name}-{row}" for row in range(n)], object)
    return Split(
        name,
        ids,
        list(ids),
        np.arange(n) % 2 if labels is None else np.array(labels),
        {"language": np.array(languages, object)},
        None if units is None else np.array(units, object),
        ids,
        Recordings((lasting * np.array(rates)).round().astype(np.int64), np.array(rates), np.zeros(n, bool)),
    )


def audit(*splits: Split, withheld: Withheld | None = None) -> Section:
    facts = ModelFacts(name="toy", modality="audio", classes=("no", "yes"), training=Training(mode="external"))
    named = {split.name: split for split in splits}
    audited = AuditedModel(facts=facts, seed=0, splits=named, predictions=pd.DataFrame())
    return Dataset().audit(audited if withheld is None else replace(audited, withheld=withheld), DatasetOptions())


def test_a_group_that_was_recorded_at_its_own_rate_is_a_warning() -> None:
    train = recorded("train", [HIGH] * 12, ["en"] * 12)
    test = recorded("test", [LOW] * 9 + [HIGH] * 3, ["fr"] * 9 + ["en"] * 3)
    section = audit(train, test)
    finding = section.finding("dataset.native_rates.language")
    assert (finding.value, finding.status, finding.n) == (1.0, "warn", 24)
    assert finding.description.startswith("0% of the recordings of en were made at 8,000 Hz, and 100% of all others.")
    assert "compare them within one rate" in finding.description
    assert (finding.about.attributes, finding.about.group) == (("language",), "en")
    rows = {(row["group"], row["rate"]): row for row in section.tables["recordings"] if row["attribute"] == "language"}
    assert rows["fr", "8,000 Hz"] == {
        **{"attribute": "language", "group": "fr", "rate": "8,000 Hz"},
        **{"share": 1.0, "median_seconds": 1.0, "n": 9},
    }
    assert rows["fr", "16,000 Hz"]["n"] == 0
    assert rows["fr", "16,000 Hz"]["median_seconds"] is None
    assert rows["en", "16,000 Hz"]["n"] == 15


def test_one_rate_is_no_difference() -> None:
    finding = audit(recorded("test", [HIGH] * 4, ["en", "fr"] * 2)).finding("dataset.native_rates.language")
    assert (finding.value, finding.status, finding.description) == (0.0, "info", "All were recorded at 16,000 Hz.")


def test_the_distance_is_that_of_the_two_mixes() -> None:
    rates = [LOW] * 5 + [HIGH] * 15 + [LOW] * 8 + [HIGH] * 12
    finding = audit(recorded("test", rates, ["en"] * 20 + ["fr"] * 20)).finding("dataset.native_rates.language")
    assert finding.value == pytest.approx(8 / 20 - 5 / 20)
    assert finding.status == "info"


def test_a_difference_that_few_recordings_show_by_chance_is_no_warning() -> None:
    rates = [LOW, HIGH, LOW, LOW, HIGH, HIGH]
    finding = audit(recorded("test", rates, ["en"] * 3 + ["fr"] * 3)).finding("dataset.native_rates.language")
    assert finding.value == pytest.approx(1 / 3)
    assert finding.status == "info"
    assert "So many recordings differ as much by chance." in finding.description


def test_rates_that_are_dealt_out_by_chance_seldom_warn() -> None:
    rng = np.random.default_rng(0)
    warned = 0
    for _ in range(60):
        rates, languages = rng.choice([LOW, HIGH], 30), rng.choice(["en", "fr", "it"], 30)
        warned += audit(recorded("test", rates, languages)).finding("dataset.native_rates.language").status == "warn"
    assert warned <= 3  # .6 are expected at 1 %


def test_classes_are_compared_as_groups_are() -> None:
    section = audit(recorded("test", [LOW, HIGH] * 10, ["en"] * 20, labels=[0, 1] * 10))
    finding = section.finding("dataset.native_rates.class")
    assert (finding.value, finding.status, finding.about.classes) == (1.0, "warn", ("no",))
    one = section.finding("dataset.native_rates.language")
    assert (one.status, one.reason) == ("not_measured", "fewer than two groups have recordings that may be shown")


def test_missing_values_are_in_no_group() -> None:
    finding = audit(recorded("test", [HIGH] * 5, ["en", "fr", "en", "fr", None])).finding(
        "dataset.native_rates.language"
    )
    assert finding.n == 4


def test_lengths_that_differ_by_group_are_a_warning() -> None:
    seconds = [1.0, 1.2, 0.8, 1.1, 0.9] * 4 + [3.0, 3.2, 2.8, 3.1, 2.9] * 4
    languages = ["en"] * 20 + ["fr"] * 20
    section = audit(recorded("test", [HIGH] * 40, languages, seconds=seconds))
    finding = section.finding("dataset.lengths.language")
    assert (finding.value, finding.status) == (pytest.approx(3.0, abs=1e-3), "warn")
    assert "Half of the recordings of en last more than 1.0 s; of all others, 3.0 s." in finding.description
    alike = audit(recorded("test", [HIGH] * 40, ["en", "fr"] * 20, seconds=seconds)).finding("dataset.lengths.language")
    assert (alike.value, alike.status) == (pytest.approx(1.0), "info")


def test_equal_lengths_are_alike() -> None:
    finding = audit(recorded("test", [HIGH] * 4, ["en", "fr"] * 2)).finding("dataset.lengths.language")
    assert (finding.value, finding.status) == (1.0, "info")


class TestDisclosure:
    """Three of ``italian`` were recorded at 8 kHz; with them, what would give them away is withheld."""

    RATES = [HIGH] * 20 + [HIGH] * 20 + [LOW] * 3 + [HIGH] * 17
    LANGUAGES = ["en"] * 20 + ["fr"] * 20 + ["italian"] * 20

    def test_small_cells_take_their_group_with_them(self) -> None:
        section = audit(recorded("test", self.RATES, self.LANGUAGES), withheld=Withheld(below=10))
        rows = [row for row in section.tables["recordings"] if row["attribute"] == "language"]
        shown = {row["group"] for row in rows if row["n"] is not None}
        assert "italian" not in shown
        hidden = [row for row in rows if row["group"] == "italian"]
        assert {row["status"] for row in hidden} == {"suppressed: fewer than 10"}
        assert all(row["share"] is None and row["median_seconds"] is None for row in hidden)
        for kind in ("native_rates", "lengths"):
            finding = section.finding(f"dataset.{kind}.language")
            assert "italian" not in finding.description.split()
            assert finding.about.group != "italian"

    def test_the_total_does_not_give_a_single_hidden_group_away(self) -> None:
        """Where one group alone is small, another one, or those without a value, must be hidden with it."""
        section = audit(recorded("test", self.RATES, self.LANGUAGES), withheld=Withheld(below=10))
        rows = [row for row in section.tables["recordings"] if row["attribute"] == "language"]
        low = [row for row in rows if row["rate"] == "8,000 Hz"]
        assert sum(row["n"] is None for row in low) >= 2

    def test_few_speakers_are_few_however_many_recordings(self) -> None:
        rates = [HIGH] * 40 + [LOW] * 40
        languages = ["en", "fr"] * 20 + ["en", "fr"] * 20
        units = [f"s{number}" for number in range(40)] + ["t0", "t1"] * 20
        section = audit(recorded("test", rates, languages, units=units), withheld=Withheld(below=5))
        rows = [row for row in section.tables["recordings"] if row["attribute"] == "language"]
        assert all(row["n"] is None for row in rows)
        assert section.finding("dataset.native_rates.language").status == "not_measured"

    def test_withheld_classes_are_not_compared(self) -> None:
        withheld = Withheld(below=5, classes={"test": frozenset({"yes", "no"})})
        section = audit(recorded("test", self.RATES, self.LANGUAGES), withheld=withheld)
        assert not any(finding.id == "dataset.native_rates.class" for finding in section.findings)
        assert {row["attribute"] for row in section.tables["recordings"]} == {"language"}


def test_where_there_are_no_recordings_nothing_is_said() -> None:
    section = audit(replace(recorded("test", [HIGH] * 4, ["en", "fr"] * 2), recordings=None))
    assert "recordings" not in section.tables
    assert not any("native_rates" in finding.id for finding in section.findings)
