"""Plugins are found, checked and used, a third-party package among them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rft
from rft.errors import ConfigError
from rft.plugins import AuditedModel, Options, Plugin, Registered, discover_plugins, registry
from rft.records import Section
from tests.conftest import CONFIG, write_images
from tests.support import ROOT
from tests.support.signing_cases import invoke_rft

PACKAGE = ROOT / "tests" / "support" / "extension_package"
pytestmark = pytest.mark.usefixtures("shared_keys")


def test_built_in_plugins_are_found_with_their_origin() -> None:
    plugins = discover_plugins()
    about_training = ["dataset", "backbone", "label_errors", "influence", "training"]
    built_in = [*about_training, "performance", "privacy", "fairness", "attribution"]
    assert list(plugins)[:9] == built_in
    assert {plugins[name].distribution for name in list(plugins)[:7]} == {"rft"}


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
        discover_plugins()
    assert message in str(caught.value)


def test_what_is_missing_comes_with_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Needy(Good):
        requires = ("none-such", "numpy")

    registered = Registered(Needy(), "rft", "1")
    assert registered.unmet_requirements() == {"none-such": "none-such, which is not installed"}
    assert registered.install_hint() == 'pip install "rft[good]"'
    assert Registered(Needy(), "other", "1").install_hint() == "pip install none-such"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Install the extension package into a folder of its own, and find it there as long as this module runs."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    source = target / "source"
    subprocess.run(["cp", "-r", str(PACKAGE), str(source)], check=True)  # the build leaves files beside its source
    subprocess.run([*command, "--target", str(target / "lib"), str(source)], check=True, capture_output=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(target / "lib"))
        patch.setenv("COLUMNS", "200")
        yield target / "lib"


@pytest.fixture(scope="module")
def runs(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the folders of two runs with the plugin of the extension package, whose seeds differ."""
    folder = tmp_path_factory.mktemp("margin")
    write_images(folder / "data")
    (folder / "audit.toml").write_text(CONFIG + "\n[margin]\nunsure_below = 0.2\n", encoding="utf-8")
    for name in ("first", "second"):
        seed = f"seed={len(name)}"
        code, stdout, stderr = invoke_rft("audit", folder / "audit.toml", "--out", folder / name, "--set", seed)
        assert code == 0, stderr
        assert "Margin        Unsure are " in stdout, "the answer of the plugin"
    return folder / "first", folder / "second"


def test_a_third_party_plugin_is_listed_and_its_options_are_checked(installed: Path, tiny: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)])}
    command = [sys.executable, "-m", "rft", "plugins"]
    listed = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert "margin" in listed.stdout, listed.stderr
    assert "rft-margin" in listed.stdout
    assert "0.3.0" in listed.stdout
    tiny.write_text(tiny.read_text() + "\n[margin]\n", encoding="utf-8")
    for setting, key in (("margin.unsure_below=2", "margin.unsure_below"), ("margin.decided=gren", "margin.decided")):
        classes = 'data.classes=["blue", "red"]'
        code, _, stderr = invoke_rft("audit", tiny, "--set", setting, "--set", classes, "--out", tiny.parent / "b")
        assert code == 2
        assert key in stderr


def test_a_third_party_plugin_has_a_section_and_a_template(runs: tuple[Path, Path]) -> None:
    run = json.loads((runs[0] / "audit.json").read_text(encoding="utf-8"))
    (section,) = [section for section in run["sections"] if section["plugin"] == "margin"]
    assert sum(row["n"] for row in section["tables"]["margins"]) == 20
    (pillar,) = [pillar for pillar in run["pillars"] if pillar["plugin"] == "margin"]
    assert pillar["label"] == "Margin"
    assert pillar["summary"].startswith("Unsure are 0.")
    assert pillar["claims"] == [{"label": "Unsure decisions", "state": "measured", "finding": "margin.unsure"}]
    page = (runs[0] / "report.html").read_text(encoding="utf-8")
    assert "a hair's breadth" in page or "a hair&#39;s breadth" in page


def test_a_third_party_plugin_compares_runs_and_backbones(runs: tuple[Path, Path], tmp_path: Path) -> None:
    code, _, stderr = invoke_rft("compare", *runs, "--out", tmp_path / "compare.html")
    assert code == 0, stderr
    assert "Margins of both" in (tmp_path / "compare.html").read_text(encoding="utf-8")
    config = runs[0].parent / "audit.toml"
    candidates = ("torchvision/resnet18=random", "torchvision/resnet34=random")
    code, _, stderr = invoke_rft("compare-backbones", config, *candidates, "--out", tmp_path / "backbones.html")
    assert code == 0, stderr
    assert "mean length" in (tmp_path / "backbones.html").read_text(encoding="utf-8")


def test_a_third_party_plugin_checks_its_evidence(runs: tuple[Path, Path], tmp_path: Path) -> None:
    assert "No register of margins was given." in invoke_rft("verify", runs[0])[1]
    recorded = json.loads((runs[0] / "evidence.json").read_text(encoding="utf-8"))["plugins"]["margin"]
    register = tmp_path / "margins.json"
    register.write_text(json.dumps(recorded), encoding="utf-8")
    assert "says the same as the run" in invoke_rft("verify", runs[0], "--ledger", tmp_path)[1]
    register.write_text(json.dumps({"unsure": recorded["unsure"] + 1}), encoding="utf-8")
    code, _, stderr = invoke_rft("verify", runs[0], "--ledger", tmp_path)
    assert (code, "says otherwise than the run" in stderr) == (4, True)


def test_a_third_party_plugin_loads_the_model_that_it_wrote(runs: tuple[Path, Path]) -> None:
    image = next((runs[0].parent / "data").glob("*.png"))
    assert "unsure" in rft.load(runs[0] / "margins").predict([image]).columns
