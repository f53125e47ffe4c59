"""Whole audits on a device that is pretended: nothing mixes devices, and what is found is what the CPU finds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import rft
from rft.plugins.privacy.empirical import mechanism_audit
from rft.plugins.privacy.training import randomness
from rft.records import AuditRun
from tests.conftest import AUDITS, CONFIG, write_images
from tests.runs.test_one_model import write_audit as write_head_audit
from tests.runs.test_texts_and_images import CLASSES, WAYS
from tests.runs.test_texts_and_images import write_audit as write_by_way
from tests.support.checkpoints import TEXT_AUDIT, save_bert, write_texts
from tests.support.pretended_device import pretend_device

PRIVATE = "[privacy]\nepsilon = 20.0\nmechanism_runs = 50\nshadows = 0\n"
LEAST_SQUARES = '[privacy]\nepsilon = 20.0\nmethod = "least_squares"\nshadows = 8\n'
SHADOWS = "[fairness]\n[privacy]\nshadows = 8\n"


def write_image_audit(folder: Path, tables: str, *changes: tuple[str, str]) -> Path:
    """Write images and the config of a fine-tuning of a random ResNet-18 with these tables."""
    write_images(folder / "data")
    text = CONFIG + tables
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path = folder / "audit.toml"
    path.write_text(text, encoding="utf-8")
    return path


def without_train(tables: str, folder: Path) -> Path:
    path = write_image_audit(folder, "", CLASSES)
    path.write_text(path.read_text().split("[train]")[0] + tables, encoding="utf-8")
    return path


def write_external(folder: Path) -> Path:
    """Write the audit of a checkpoint of a text model that others trained."""
    save_bert(folder / "model")
    write_texts(folder / "texts.csv")
    path = folder / "audit.toml"
    path.write_text(f"{TEXT_AUDIT}[attribution]\nsamples = 2\n[privacy]\n", encoding="utf-8")
    return path


def write_text_audit(family: str, way: str):
    return lambda folder: write_by_way(folder, family, WAYS[way])


AUDITED = {
    "plain": lambda folder: write_image_audit(folder, AUDITS),
    "private": lambda folder: write_image_audit(folder, PRIVATE, CLASSES),
    "shadows": lambda folder: write_image_audit(folder, SHADOWS),
    "least squares": lambda folder: without_train(LEAST_SQUARES, folder),
    "a cut": lambda folder: write_image_audit(folder, AUDITS, ("[train]", 'freeze = "layer4"\n[train]')),
    "bert, a head": lambda folder: write_head_audit(folder, "bert", ""),
    "bert, adapters": write_text_audit("bert", "adapters"),
    "bert, a layer": write_text_audit("bert", "layer"),
    "gpt2, all": write_text_audit("gpt2", "all"),
    "gpt2, a layer": write_text_audit("gpt2", "layer"),
    "vit, nothing frozen": write_text_audit("hf_vit", "none"),
    "whisper, a layer": write_text_audit("whisper", "layer"),
}
QUICK = {("bert, a head", "mps")}
CASES = [
    pytest.param(name, kind, marks=[] if (name, kind) in QUICK else pytest.mark.slow)
    for name in AUDITED
    for kind in ("cuda", "mps")
]


def outcomes(run: AuditRun) -> dict[str, tuple[str, str | None]]:
    """Return what became of every finding: its status, and why it was not measured."""
    return {finding.id: (finding.status, finding.reason) for part in run.sections for finding in part.findings}


def repeat_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let private training draw the same noise from here on: with noise of its own a margin is positive by chance."""
    rng = np.random.default_rng(0)
    monkeypatch.setattr(randomness, "os", SimpleNamespace(urandom=rng.bytes))
    monkeypatch.setattr(randomness, "secrets", SimpleNamespace(randbits=lambda bits: int(rng.integers(2**bits))))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_an_audit_on_a_device_measures_what_one_on_the_cpu_does(
    tmp_path: Path, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[str] = []
    build = mechanism_audit.build_canary_task

    def watch_device(facts, device="cpu"):
        places.append(device)
        return build(facts, device)

    monkeypatch.setattr(mechanism_audit, "build_canary_task", watch_device)
    path = AUDITED[name](tmp_path)
    repeat_noise(monkeypatch)
    with pretend_device(kind) as (generator,):
        before = generator.get_state()
        run = rft.audit(path, tmp_path / "run", device=kind)
        assert torch.equal(generator.get_state(), before)
        assert rft.load(tmp_path / "run").classifier is not None
    measured = {id: status for id, (status, _) in outcomes(run).items() if status != "not_measured"}
    assert "performance.accuracy" in measured
    assert set(places) <= {kind}
    if name == "private":
        assert places == [kind]
    failed = [reason for _, reason in outcomes(run).values() if reason and "failed on this network" in reason]
    assert not failed
    if (name, kind) not in QUICK:  # that one has no time for a second audit
        repeat_noise(monkeypatch)
        on_cpu = rft.audit(path, tmp_path / "again", device="cpu")
        missing = {id for id, (status, _) in outcomes(on_cpu).items() if status != "not_measured"} - measured.keys()
        assert not missing


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_a_model_that_others_trained_is_audited_on_a_device(tmp_path: Path, kind: str) -> None:
    path = write_external(tmp_path)
    with pretend_device(kind):
        run = rft.audit(path, tmp_path / "run", device=kind)
    assert run.finding("performance.accuracy").value is not None
    assert not [reason for _, reason in outcomes(run).values() if reason and "failed on this network" in reason]


@pytest.mark.slow
def test_only_the_device_that_was_asked_for_is_used(tmp_path: Path) -> None:
    path = write_image_audit(tmp_path, "[fairness]\n")
    with pretend_device("cuda", count=2) as generators:
        before = [generator.get_state() for generator in generators]
        run = rft.audit(path, tmp_path / "run", device="cuda:1")
        assert all(torch.equal(now.get_state(), then) for now, then in zip(generators, before, strict=True))
    assert run.run.environment.device == "Pretended GPU 1"
