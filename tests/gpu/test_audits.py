"""Whole audits on a device: one model from training to what is loaded, whatever memory there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import rft
from rft.features import Store
from tests.conftest import AUDITS
from tests.runs.test_one_model import SAME, assert_same, inputs_of, read_predictions, write_audit
from tests.runs.test_pretended_audits import PRIVATE, outcomes, write_image_audit
from tests.runs.test_texts_and_images import CLASSES

WAYS = [
    ("bert", "auto", ""),
    ("bert", "bfloat16", ""),
    ("bert", "int8", ""),
    ("bert", "bfloat16", 'freeze = "encoder.layer.2"'),
    ("hf_vit", "bfloat16", ""),
    ("whisper", "auto", ""),
]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "precision", "more"), WAYS)
def test_the_saved_model_predicts_what_the_audit_predicted(
    tmp_path: Path, device: str, family: str, precision: str, more: str
) -> None:
    """It is loaded on the CPU: what differs is the order of sums, unless features were rounded on the device."""
    path = write_audit(tmp_path, family, f'precision = "{precision}"\n{more}')
    run = rft.audit(path, tmp_path / "run", device=device)
    assert_same(tmp_path / "run", inputs_of(run, tmp_path), SAME if device == "cpu" else 1e-2)


@pytest.mark.slow
def test_features_of_the_cpu_are_not_taken_on_another_device(
    tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[str] = []
    create = Store.__init__

    def note_key(store: Store, folder: Path, key: str) -> None:
        keys.append(key)
        create(store, folder, key)

    monkeypatch.setattr(Store, "__init__", note_key)
    path = write_image_audit(tmp_path, "")
    for number, place in enumerate(("cpu", device)):
        rft.audit(path, tmp_path / f"run {number}", device=place)
    assert (len(set(keys)) == 1) is (device == "cpu")
    first, second = (read_predictions(tmp_path / f"run {number}")["score_red"] for number in range(2))
    assert np.abs(first - second).max() < 1e-3


@pytest.mark.slow
def test_an_audit_on_a_device_measures_what_one_on_the_cpu_does(tmp_path: Path, device: str) -> None:
    path = write_image_audit(tmp_path, AUDITS)
    measured = []
    for number, place in enumerate(("cpu", device)):
        run = rft.audit(path, tmp_path / f"run {number}", device=place)
        measured.append({id for id, (status, _) in outcomes(run).items() if status != "not_measured"})
    assert measured[0] == measured[1]


@pytest.mark.slow
@pytest.mark.parametrize("more", ["", 'memory = "2GB"', 'memory = "4GB"'])
def test_a_private_audit_keeps_its_promise_on_a_device(tmp_path: Path, device: str, more: str) -> None:
    path = write_image_audit(tmp_path, PRIVATE, CLASSES, ("[train]", f"{more}\n[train]"))
    run = rft.audit(path, tmp_path / "run", device=device)
    assert run.finding("privacy.epsilon").value <= 20.0
    assert run.finding("privacy.epsilon_lower_bound").status == "info"


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.slow
def test_maps_are_made_under_deterministic_algorithms(tmp_path: Path, device: str, deterministic: None) -> None:
    """``CUBLAS_WORKSPACE_CONFIG=:4096:8`` must be set for CUDA, before Python starts."""
    path = write_image_audit(tmp_path, '[attribution]\nsamples = 4\nmethods = ["gradcam", "integrated_gradients"]\n')
    run = rft.audit(path, tmp_path / "run", device=device)
    assert not [reason for _, reason in outcomes(run).values() if reason and "failed on this network" in reason]


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize("freeze", ["all", "none"])
def test_an_audit_ends_on_a_device_with_little_memory(tmp_path: Path, device: str, freeze: str) -> None:
    """What runs out of memory, in extraction, training, scoring and attributions, is run in smaller parts."""
    if not device.startswith("cuda"):
        pytest.skip("CUDA alone can be held to a share of its memory")
    path = write_image_audit(
        tmp_path, "[attribution]\nsamples = 4\n", ("[train]", f'freeze = "{freeze}"\n[train]'), ("= 32", "= 448")
    )
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    allowed = 1.5 * 2**30
    torch.cuda.set_per_process_memory_fraction(allowed / torch.cuda.get_device_properties(device).total_memory)
    try:
        run = rft.audit(path, tmp_path / "run", device=device)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert run.finding("performance.accuracy").value is not None
    assert torch.cuda.max_memory_allocated(device) <= allowed
