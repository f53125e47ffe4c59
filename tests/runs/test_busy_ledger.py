"""A private run whose ledger another one holds ends with "try again", or waits for it where the user said so."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from rft.cli.main import app
from rft.plugins.privacy.ledger.atomic_io import hold_lock, make_folder
from rft.plugins.privacy.ledger.ledger_anchor import ledger_folder
from tests.runs.test_resumed_run import image_config

pytest.importorskip("opacus")


def test_a_ledger_in_use_has_an_exit_code_of_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    command = ["audit", str(image_config(tmp_path)), "--out", str(tmp_path / "run"), "--wait", "0.3"]
    lock = ledger_folder(None, tmp_path) / "clinic" / ".lock"
    make_folder(lock.parent)
    with hold_lock(lock):
        busy = CliRunner().invoke(app, command)
    assert busy.exit_code == 75, busy.stderr
    assert f"{lock.parent}: the ledger is in use by another training; waiting for up to 0.3 s" in caplog.text
    lines = busy.stderr.splitlines()
    assert lines[-2].startswith(f"rft: {lock.parent}: the ledger is in use")
    assert "--wait SECONDS" in lines[-1]
    assert not (tmp_path / "run").exists()
