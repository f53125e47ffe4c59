"""Signals end a command with one line and the shell's exit code, whenever they come: tried on real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rft.runtime.interruption import MESSAGE, Interruption, exit_code, unwind_when_interrupted

CHECKOUT = Path(__file__).parents[2]
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def heed_signals() -> None:
    """Undo what a shell does to background jobs, such as these tests may be: their children inherit it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def start_audit(config: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "rft", "audit", str(config), "--out", str(config.parent / "run")]
    return subprocess.Popen(
        [*command, "--set", "train.epochs=100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        preexec_fn=heed_signals,
    )


@pytest.mark.parametrize(
    ("delay", "number"),
    [(0.05, signal.SIGTERM), (0.2, signal.SIGINT), (0.5, signal.SIGTERM), (1.0, signal.SIGINT)],
)
def test_a_signal_in_the_first_second_ends_with_one_line(tiny: Path, delay: float, number: signal.Signals) -> None:
    with start_audit(tiny) as process:
        time.sleep(delay)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    if process.returncode in (-number, 1):  # Python itself was starting, or about to import what answers signals
        assert "rft/cli/main" not in stderr
        assert not stderr or stderr.splitlines()[-1] == "KeyboardInterrupt"
    else:
        assert (process.returncode, stderr) == (CODES[number], f"{MESSAGE}\n")
    assert stdout == ""
    assert {path.name for path in tiny.parent.iterdir()} == {"data", "audit.toml"}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
def test_a_signal_in_training_leaves_nothing_half_written(tiny: Path, own_cache: Path, number: signal.Signals) -> None:
    with start_audit(tiny) as process:
        begun = time.monotonic()
        while not list(own_cache.rglob("*.safetensors")) and time.monotonic() - begun < 120:
            time.sleep(0.1)
        time.sleep(0.5)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == CODES[number], stderr
    assert stderr.splitlines()[-1] == MESSAGE
    assert "Traceback" not in stderr
    assert {path.name for path in tiny.parent.iterdir()} == {"data", "audit.toml"}


def test_signals_that_are_ignored_stay_ignored() -> None:
    """As nohup asks for."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with unwind_when_interrupted():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_error_that_a_library_makes_of_an_interruption_is_one() -> None:
    def import_interrupted() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        except KeyboardInterrupt as interruption:
            raise ImportError("cannot import name") from interruption

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interruption) as raised, unwind_when_interrupted():
        import_interrupted()
    assert exit_code(raised.value) == 143
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(ImportError), unwind_when_interrupted():
        raise ImportError("of its own")


@pytest.mark.parametrize(("variables", "said"), [({}, b"rft: interrupted"), ({"TORCHELASTIC_RUN_ID": "audit"}, b"")])
def test_a_process_that_torchrun_ends_before_it_has_begun_is_silent(variables: dict[str, str], said: bytes) -> None:
    program = "import os, signal; from rft.runtime.interruption import end_at_once; end_at_once(); "
    program += "os.kill(os.getpid(), signal.SIGTERM)"
    environment = {name: value for name, value in os.environ.items() if name != "TORCHELASTIC_RUN_ID"} | variables
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=False)
    assert ended.returncode == 143
    assert ended.stderr[: len(b"rft: interrupted")] == said
