"""A command keeps remarks of libraries to developers off the terminal, and nothing else."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from rft.runtime.quiet import RECORDS, WARNINGS, quiet_libraries

ROOT = Path(__file__).parents[2]
SAYINGS = {
    "FutureWarning": "this will change",
    "enable_nested_tensor is True": "enable_nested_tensor is True, but self.use_nested_tensor is False",
    "Input Tensor": "Input Tensor 0 did not already require gradients, required_grads has been set automatically.",
    "TypedStorage is deprecated": "TypedStorage is deprecated. It will be removed in the future",
}


def warn_in(module: str, message: str, category: type[Warning]) -> None:
    warnings.warn_explicit(message, category, filename=f"{module}.py", lineno=1, module=module, registry={})


@pytest.mark.filterwarnings("always")
def test_listed_warnings_are_silent_and_all_others_stand(recwarn: pytest.WarningsRecorder) -> None:
    with quiet_libraries(bars=False):
        for silenced in WARNINGS:
            start = next(start for start in SAYINGS if silenced.message.startswith(start) or not silenced.message)
            warn_in("somelibrary.module", SAYINGS[start], silenced.category)
        assert [str(warning.message) for warning in recwarn] == []
        warn_in("rft.training", "this will change", FutureWarning)
        warn_in("somelibrary.module", "the solver did not converge", UserWarning)
        warn_in("sklearn.linear_model", "lbfgs failed to converge", RuntimeWarning)
    warn_in("somelibrary.module", "this will change", FutureWarning)  # of a caller of the library rft: shown
    assert [str(warning.message) for warning in recwarn] == [
        "this will change",
        "the solver did not converge",
        "lbfgs failed to converge",
        "this will change",
    ]


def test_listed_records_are_silent_and_all_others_stand(caplog: pytest.LogCaptureFixture) -> None:
    for record in RECORDS:
        logger = logging.getLogger(record.logger)
        with quiet_libraries(bars=False):
            logger.warning("%s and so on", record.message)
            logger.warning("another")
        logger.warning("%s afterwards", record.message)
        logging.getLogger("rft").warning("of ours")
    assert [message.split()[-1] for message in caplog.messages] == ["another", "afterwards", "ours"] * len(RECORDS)
    assert all(entry.reason for entry in (*WARNINGS, *RECORDS))


def test_bars_are_for_terminals_and_settings_of_the_user_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "info")
    with quiet_libraries(bars=True):
        assert "TQDM_DISABLE" not in os.environ
    with quiet_libraries(bars=False):
        assert (os.environ["TQDM_DISABLE"], os.environ["TRANSFORMERS_VERBOSITY"]) == ("1", "info")
    assert "TQDM_DISABLE" not in os.environ
    assert os.environ["TRANSFORMERS_VERBOSITY"] == "info"


def test_a_bar_of_a_library_writes_nothing_into_a_file() -> None:
    """As transformers shows one for GGUF, whatever its own settings say."""
    pytest.importorskip("tqdm")
    program = (
        "from rft.runtime.quiet import quiet_libraries\n"
        "with quiet_libraries(bars={}):\n"
        "    from tqdm.auto import tqdm\n"
        "    list(tqdm(range(3), desc='Converting'))\n"
    )
    for bars in (True, False):
        command = [sys.executable, "-c", program.format(bars)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
        assert ("Converting" in done.stderr) is bars
