"""A library that is absent, too old, or there and broken: the error says which, and what to do."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
import torch

from rft.backbones.partition import lora, quantization
from rft.backbones.sources import snapshot, timm, torchvision, transformers
from rft.errors import ConfigError, ModelError, RftError
from rft.pipeline.check import check_audit
from rft.plugins.privacy import Privacy, PrivacyOptions
from rft.runtime.libraries import find_unmet_requirement, import_library, library_import
from rft.signing import create_key_pair


def install_fake(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: str, *, version: str = "99.0", module: str = ""
) -> None:
    """Put a distribution in front of all others whose module runs this code when it is imported."""
    module = module or name.replace("-", "_")
    (folder / module).mkdir()
    (folder / module / "__init__.py").write_text(code, encoding="utf-8")
    about = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    (about / "top_level.txt").write_text(f"{module}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    for loaded in [loaded for loaded in sys.modules if loaded.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    importlib.invalidate_caches()


BROKEN = {
    "import no_such_module_1234": ("ModuleNotFoundError: No module named 'no_such_module_1234'", "It lacks the module"),
    "raise ImportError('cannot import name x')": ("ImportError: cannot import name x", "Install it anew"),
    "raise RuntimeError('operator torchvision::nms does not exist')": ("operator torchvision::nms does not", "anew"),
    "raise OSError('libcudart.so.12: cannot open shared object file')": ("OSError: libcudart.so.12", "pip check"),
    "1 / 0": ("ZeroDivisionError: division by zero", "pip install --force-reinstall --no-deps"),
}


@pytest.mark.parametrize("code", BROKEN)
def test_a_library_that_is_there_and_broken_is_not_called_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    install_fake(tmp_path, monkeypatch, "some-library", code)
    with pytest.raises(ModelError) as caught:
        import_library("some-library", error=ModelError, where="model.backbone", install="pip install x")
    problem, remedy = str(caught.value).splitlines()
    reason, suggestion = BROKEN[code]
    assert problem.startswith(
        "model.backbone: needs some-library, of which version 99.0 is installed and cannot be imported: "
    )
    assert reason in problem
    assert suggestion in remedy


USERS = {
    "timm": lambda: timm.list_names(),
    "torchvision": lambda: torchvision.list_names(),
    "transformers": lambda: transformers.quiet_transformers().__enter__(),
    "peft": lambda: lora._import_peft(),
    "torchao": lambda: quantization.quantize_linear_layers(torch.nn.Linear(2, 2), {}, "cpu"),
    "securesystemslib": lambda: create_key_pair(Path("never-written")),
}


@pytest.mark.parametrize("name", USERS)
def test_each_library_says_that_it_is_broken_and_keeps_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    install_fake(tmp_path, monkeypatch, name, "import no_such_module_1234")
    with pytest.raises(RftError, match=rf"needs {name}, of which version 99\.0 is installed and cannot be imported"):
        USERS[name]()
    assert not Path("never-written").exists()


def test_the_hubs_client_that_is_broken_is_not_called_an_absent_transformers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_fake(tmp_path, monkeypatch, "huggingface_hub", "raise ImportError('cannot import name y')")
    with pytest.raises(ModelError, match=r"needs huggingface_hub, of which version 99\.0 is installed and cannot be"):
        snapshot.find_snapshot("some/model", tmp_path, offline=True, where="model.backbone")


def test_a_broken_library_of_a_plugin_is_told_before_anything_is_trained(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "packages").mkdir()
    install_fake(tmp_path / "packages", monkeypatch, "captum", "import no_such_module_1234")
    tiny.write_text(tiny.read_text(encoding="utf-8") + "\n[attribution]\n", encoding="utf-8")
    (problem,) = check_audit(tiny).problems
    assert "[attribution]: needs captum, of which version 99.0 is installed and cannot be imported" in str(problem)
    assert "It lacks the module 'no_such_module_1234': pip install \"rft[attribution]\"" in str(problem)


def test_an_older_version_than_its_owner_needs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_fake(tmp_path, monkeypatch, "old-library", "", version="0.4")
    about = tmp_path / "owner-1.dist-info"
    about.mkdir()
    lines = "Metadata-Version: 2.1\nName: owner\nVersion: 1\nRequires-Dist: old_library>=1.6; extra == 'more'\n"
    (about / "METADATA").write_text(lines, encoding="utf-8")
    assert find_unmet_requirement("old-library", "owner") == "old-library>=1.6, and version 0.4 is installed"
    assert find_unmet_requirement("old-library", "no-owner-is-installed") is None
    with (
        pytest.raises(ConfigError, match=r"\[more\]: needs old-library>=1\.6, and version 0\.4 is installed\npip"),
        library_import("old-library", error=ConfigError, where="[more]", install="pip install x", owner="owner"),
    ):
        raise AssertionError("it is not imported")


def test_what_is_not_installed_is_said_with_the_command() -> None:
    with pytest.raises(ConfigError, match=r"\[x\]: needs no-such-library, which is not installed\npip install x"):
        import_library("no-such-library", error=ConfigError, where="[x]", install="pip install x")


def test_opacus_is_imported_where_an_epsilon_is_given_alone() -> None:
    privacy = Privacy()
    assert "opacus" in privacy.requires_for(PrivacyOptions(epsilon=3.0))
    assert "opacus" not in privacy.requires_for(PrivacyOptions())
