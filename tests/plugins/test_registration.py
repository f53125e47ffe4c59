"""Plugins are found, checked and used, a third-party package among them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rft.errors import ConfigError
from rft.plugins import AuditedModel, Options, Plugin, Registered, discover, registry
from rft.records import Section
from tests.support import ROOT

PACKAGE = ROOT / "tests" / "support" / "extension_package"
CHECKOUT = ROOT


def test_built_in_plugins_are_found_with_their_origin() -> None:
    found = discover()
    assert list(found)[:7] == ["dataset", "backbone", "training", "performance", "privacy", "fairness", "attribution"]
    assert {found[name].distribution for name in list(found)[:6]} == {"rft"}


class Good(Plugin[Options]):
    name = "good"
    options = Options

    def audit(self, audited: AuditedModel, options: Options) -> Section:
        return Section(plugin=self.name)


class Stranger:
    name = "bad"


class NoAudit(Plugin[Options]):
    name, options = "bad", Options


class NoOptions(Plugin[Options]):
    name = "bad"

    def audit(self, audited: AuditedModel, options: Options) -> Section:
        return Section(plugin=self.name)


class Reserved(Good):
    name = "data"


class Capital(Good):
    name = "Good"


class Taken(Good):
    name = "dataset"


class Raises(Good):
    def __init__(self) -> None:
        raise RuntimeError("no licence")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("Stranger", "is no subclass of rft.plugins.Plugin"),
        ("NoAudit", "Can't instantiate abstract class NoAudit"),
        ("NoOptions", "it lacks options"),
        ("Reserved", "the name 'data' is not allowed"),
        ("Capital", "the name 'Good' is not allowed"),
        ("Taken", "the name 'dataset' is taken by rft"),
        ("Raises", "cannot be loaded (no licence)"),
        ("Absent", "cannot be loaded"),
    ],
)
def test_what_breaks_the_protocol_is_refused(monkeypatch: pytest.MonkeyPatch, target: str, message: str) -> None:
    monkeypatch.setattr(registry, "BUILTIN", (*registry.BUILTIN, f"{__name__}:{target}"))
    with pytest.raises(ConfigError) as caught:
        discover()
    assert message in str(caught.value)


def test_what_is_missing_comes_with_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Needy(Good):
        requires = ("none-such", "numpy")

    own = Registered(Needy(), "rft", "1")
    assert own.missing() == ["none-such"]
    assert own.install_hint() == 'pip install "rft[good]"'
    assert Registered(Needy(), "other", "1").install_hint() == "pip install none-such"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the extension package into a folder of its own."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    source = target / "source"
    subprocess.run(["cp", "-r", str(PACKAGE), str(source)], check=True)  # the build leaves files beside its source
    subprocess.run([*command, "--target", str(target / "lib"), str(source)], check=True, capture_output=True)
    return target / "lib"


def rft(installed: Path, *arguments: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join([str(installed), str(CHECKOUT)])
    environment = os.environ | {"PYTHONPATH": path, "COLUMNS": "200"}
    command = [sys.executable, "-m", "rft", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_a_third_party_plugin_takes_part_with_options_section_and_template(installed: Path, tiny: Path) -> None:
    listed = rft(installed, "plugins")
    assert "margin" in listed.stdout, listed.stderr
    assert "rft-margin" in listed.stdout
    assert "0.3.0" in listed.stdout

    tiny.write_text(tiny.read_text() + "\n[margin]\nunsure_below = 0.2\n", encoding="utf-8")
    done = rft(installed, "audit", str(tiny), "--out", str(tiny.parent / "run"))
    assert done.returncode == 0, done.stderr
    run = json.loads((tiny.parent / "run" / "audit.json").read_text())
    (section,) = [each for each in run["sections"] if each["plugin"] == "margin"]
    assert sum(row["n"] for row in section["tables"]["margins"]) == 20
    page = (tiny.parent / "run" / "report.html").read_text()
    assert "a hair's breadth" in page or "a hair&#39;s breadth" in page

    wrong = rft(installed, "audit", str(tiny), "--set", "margin.unsure_below=2", "--out", str(tiny.parent / "b"))
    assert wrong.returncode == 2
    assert "margin.unsure_below" in wrong.stderr
