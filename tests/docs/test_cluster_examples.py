"""The files of examples/cluster: scripts that a shell reads, manifests of Kubernetes, and commands that rft has."""

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from rft.version import __version__
from tests.support import ROOT
from tests.support.snippets import check_rft_command

FOLDER = ROOT / "examples" / "cluster"
SCRIPTS, MANIFESTS = sorted(FOLDER.glob("*.sh")), sorted(FOLDER.glob("*.yaml"))


def read_documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def commands_in(path: Path) -> list[str]:
    """Return the commands ``rft audit ...`` of a file, without the variables of its shell."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    if path.suffix == ".yaml":
        arguments = [spec["entrypoint"].split() for spec in find_maps(read_documents(path), "entrypoint")]
        arguments += [pod["command"] for pod in find_maps(read_documents(path), "command")]
        return [" ".join(words[words.index("rft") :]) for words in arguments]
    return [match[0].strip() for match in re.finditer(r"rft audit[^\n]+", re.sub(r'"([^"]*)\$\w+"', r"\1x", text))]


def find_maps(content: Any, key: str) -> list[dict[str, Any]]:
    """Return the maps in a document that have a key."""
    if isinstance(content, list):
        return [found for part in content for found in find_maps(part, key)]
    if not isinstance(content, dict):
        return []
    return [content] * (key in content) + [found for part in content.values() for found in find_maps(part, key)]


@pytest.mark.parametrize("path", [*SCRIPTS, *MANIFESTS], ids=lambda path: path.name)
def test_their_commands_are_those_of_rft(path: Path) -> None:
    commands = commands_in(path)
    assert len(commands) == 1
    for command in commands:
        check_rft_command(shlex.split(command))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_shell_reads_the_scripts(path: Path) -> None:
    shell = shutil.which("bash")
    assert shell is not None
    done = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert path.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_what_a_pod_mounts_is_there(path: Path) -> None:
    pods = find_maps(read_documents(path), "containers")
    assert pods
    for pod in pods:
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            assert container["image"].endswith(f":{__version__}")


def test_the_pods_of_the_job_are_as_many_as_torchrun_waits_for() -> None:
    service, job = read_documents(FOLDER / "kubernetes.yaml")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    options = dict(part.removeprefix("--").split("=") for part in container["command"] if "=" in part)
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == int(options["nnodes"])
    assert job["spec"]["template"]["spec"]["subdomain"] == service["metadata"]["name"]
    assert options["rdzv-endpoint"].startswith(f"{job['metadata']['name']}-0.{service['metadata']['name']}:")


def test_the_cluster_of_ray_has_room_for_its_actors() -> None:
    (job,) = read_documents(FOLDER / "kubernetes-ray.yaml")
    cluster = job["spec"]["rayClusterSpec"]
    workers = [group["replicas"] * int(group["rayStartParams"]["num-cpus"]) for group in cluster["workerGroupSpecs"]]
    cpus = int(cluster["headGroupSpec"]["rayStartParams"]["num-cpus"]) + sum(workers)
    assert int(re.search(r"features\.actors=(\d+)", job["spec"]["entrypoint"])[1]) < cpus
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert f"ray=={cluster['rayVersion']}" in lines


def test_the_config_needs_no_folder_in_common() -> None:
    config = tomllib.loads((FOLDER / "audit.toml").read_text(encoding="utf-8"))
    assert config["features"]["store"].startswith("s3://")
    assert config["data"]["manifest"].startswith("s3://")
