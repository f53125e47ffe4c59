"""The section of the plugin, on features made by hand."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rft.disclosure.withheld import NOTHING
from rft.errors import Unavailable
from rft.features.embeddings import Embeddings
from rft.plugins import AuditedModel, Plugin
from rft.plugins.backbone import Backbone, BackboneOptions
from rft.records import ModelFacts, Section, Training
from rft.report.charts.draw import draw_figure
from tests.support import ROOT

IDS = ("probe_accuracy", "majority_share", "untrained_probe_accuracy", "probe_gain", "knn_accuracy", "logme")


def embeddings(n: int = 200, dimension: int = 16, *, strength: float = 3.0, seed: int = 0) -> Embeddings:
    """Pretrained features shift with the class by ``strength``, untrained ones are noise; 60 % are of class 1."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 5 // 2
    labels = rng.permutation((labels > 0).astype(np.int64))
    features = rng.normal(size=(n, dimension))
    features[:, 0] += strength * labels
    return Embeddings(
        pretrained=features.astype(np.float32),
        untrained=rng.normal(size=(n, dimension)).astype(np.float32),
        labels=labels,
        units=None,
        groups={"tone": np.array(["light", "dark"] * (n // 2), dtype=object)},
        sampled_from=5 * n,
    )


def audit(embedded: Embeddings, *, mode: str = "standard", weights: str = "pretrained", seed: int = 0) -> Section:
    """Audit a stand-in for a model that has nothing but what the plugin is to look at."""
    facts = SimpleNamespace(training=SimpleNamespace(mode=mode), backbone=SimpleNamespace(weights=weights))
    audited: Any = SimpleNamespace(facts=facts, seed=seed, require_embeddings=lambda: embedded, withheld=NOTHING)
    return Backbone().audit(audited, BackboneOptions())


def test_it_follows_the_protocol_and_is_imported_lightly() -> None:
    assert isinstance(Backbone(), Plugin)
    assert Backbone().always_on
    heavy = "{'torch', 'sklearn', 'scipy', 'pandas'} & set(sys.modules)"
    code = f"import sys, rft.plugins.backbone; assert not {heavy}, {heavy}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def test_a_table_of_predictions_has_no_backbone_to_ask() -> None:
    facts = ModelFacts(name="toy", modality="image", classes=("no", "yes"), training=Training(mode="external"))
    audited = AuditedModel(facts=facts, seed=0, splits={}, predictions=pd.DataFrame())
    (finding,) = Backbone().audit(audited, BackboneOptions()).findings
    assert (finding.id, finding.status) == ("backbone.probe_accuracy", "not_measured")
    assert finding.reason
    assert "trained outside this run" in finding.reason
    trained = replace(audited, facts=facts.model_copy(update={"training": Training(mode="standard")}))
    with pytest.raises(Unavailable, match="no embeddings"):
        Backbone().audit(trained, BackboneOptions())


def test_features_that_carry_are_told_from_random_ones() -> None:
    section = audit(embeddings())
    assert [finding.id for finding in section.findings] == [f"backbone.{name}" for name in IDS]
    assert {finding.status for finding in section.findings} == {"info"}
    probe, gain = section.finding("backbone.probe_accuracy"), section.finding("backbone.probe_gain")
    assert probe.value is not None
    assert probe.value > 0.85
    assert probe.n == 200
    untrained = section.finding("backbone.untrained_probe_accuracy").value
    assert untrained is not None
    assert gain.value == pytest.approx(probe.value - untrained)
    assert gain.interval is not None
    assert gain.interval.method.startswith("Tango")
    majority = section.finding("backbone.majority_share")
    assert (majority.value, majority.deterministic) == (0.6, True)
    assert "200 of 1000 training examples" in section.notes[0]


def test_features_that_carry_nothing_are_worth_a_look() -> None:
    section = audit(embeddings(strength=0.0))
    probe, gain = section.finding("backbone.probe_accuracy"), section.finding("backbone.probe_gain")
    assert probe.status == gain.status == "warn"
    assert "does not lie above the share of the most frequent class" in probe.description
    assert "nothing shows that they carry more than random weights" in gain.description


def test_random_weights_that_carry_more_are_named() -> None:
    embedded = embeddings()
    assert embedded.untrained is not None
    gain = audit(replace(embedded, pretrained=embedded.untrained, untrained=embedded.pretrained)).finding(
        "backbone.probe_gain"
    )
    assert gain.interval is not None
    assert gain.interval.high < 0
    assert gain.status == "warn"
    assert "random weights carry more" in gain.description


def test_without_random_weights_the_gain_says_why() -> None:
    alone = replace(embeddings(), untrained=None)
    for weights, reason in (("random", "no pretraining to compare with"), ("pretrained", "were made")):
        section = audit(alone, weights=weights)
        for name in ("untrained_probe_accuracy", "probe_gain"):
            finding = section.finding(f"backbone.{name}")
            assert finding.status == "not_measured"
            assert reason in (finding.reason or "")
        assert section.finding("backbone.probe_accuracy").value is not None


def test_what_is_undefined_has_a_reason_and_no_number() -> None:
    embedded = embeddings()
    labels = np.zeros(200, dtype=np.int64)
    labels[0] = 1
    section = audit(replace(embedded, labels=labels))
    for name in ("probe_accuracy", "untrained_probe_accuracy", "probe_gain", "knn_accuracy"):
        assert "single example" in (section.finding(f"backbone.{name}").reason or "")
    assert section.finding("backbone.logme").value is not None
    assert all(row["value"] is None for row in section.tables["accuracies"])
    assert "gaps" not in section.tables


def test_a_private_run_says_that_this_look_is_not_private() -> None:
    private, standard = audit(embeddings(), mode="private"), audit(embeddings())
    assert all("not covered by epsilon" in finding.caveats for finding in private.findings)
    assert "Epsilon does not cover it" in private.notes[-1]
    assert not any(
        "psilon" in text for text in (*standard.notes, *(shown_finding.caveats for shown_finding in standard.findings))
    )


def test_the_tables_and_the_figure_hold_the_findings() -> None:
    section = audit(embeddings())
    accuracies = {row["name"]: row["value"] for row in section.tables["accuracies"]}
    assert accuracies["linear probe"] == section.finding("backbone.probe_accuracy").value
    assert accuracies["5 nearest neighbours"] == section.finding("backbone.knn_accuracy").value
    assert [row["name"] for row in section.tables["balanced_accuracies"]] == list(accuracies)
    assert {row["group"] for row in section.tables["by_group"]} == {"light", "dark"}
    (gap,) = section.tables["gaps"]
    rates = [row["value"] for row in section.tables["by_group"]]
    assert gap["value"] == pytest.approx(max(rates) - min(rates))
    (figure,) = section.figures
    assert figure.options["reference"] == 0.6
    assert draw_figure(figure, section.tables[figure.table], id="a").startswith("<svg")


def test_units_widen_the_intervals_and_are_held_out_together() -> None:
    embedded = embeddings()
    people = audit(replace(embedded, units=np.repeat(np.arange(50), 4).astype(str)))
    probe = people.finding("backbone.probe_accuracy")
    assert probe.n == 50
    assert probe.interval is not None
    assert "50 units" in probe.interval.method
    assert "held out together" in people.notes[0]


def test_the_same_seed_gives_the_same_section() -> None:
    assert audit(embeddings(), seed=3) == audit(embeddings(), seed=3)
