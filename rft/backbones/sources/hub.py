"""The model hub: whether it may and can be reached, and where what was downloaded lies."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from rft.errors import ModelError
from rft.runtime.libraries import library_import

CONNECT_SECONDS = 2
HUB_NAME = re.compile(r"(?P<model>[A-Za-z0-9][\w.-]*(/[\w.-]+)?)(@(?P<revision>[\w.+-][\w.+/-]*))?")


def split_revision(name: str) -> tuple[str, str | None]:
    """Return a model's name and the branch, tag or commit behind its ``@``, or None.

    >>> split_revision("google/vit-base-patch16-224@v1.0")
    ('google/vit-base-patch16-224', 'v1.0')
    """
    model, _, revision = name.partition("@")
    return model, revision or None


def hub_import(where: str = "model.backbone") -> AbstractContextManager[None]:
    """Return what turns a failed import of the hub's client into a ``ModelError`` about a key."""
    return library_import("huggingface_hub", error=ModelError, where=where, install='pip install "rft[transformers]"')


def hub_cache() -> Path:
    """Return the folder that the hub's client keeps its downloads in."""
    with hub_import():
        from huggingface_hub import constants
    return Path(constants.HF_HUB_CACHE)


def snapshot_folder(name: str) -> Path | None:
    """Return where the hub's cache keeps ``name`` or ``name@revision``, as a folder named by its commit, or None."""
    model, revision = split_revision(name)
    place = hub_cache() / f"models--{model.replace('/', '--')}"
    pointer = place / "refs" / (revision or "main")
    commit = pointer.read_text(encoding="utf-8").strip() if pointer.is_file() else revision
    folder = place / "snapshots" / (commit or "")
    return folder if commit and folder.is_dir() else None


@contextmanager
def hub_client(offline: bool) -> Iterator[bool]:
    """Keep the hub's client quiet, and off the network when asked or when there is none; yield whether it may be used.

    Left to itself, the client tries for a minute and a half before it says that it cannot reach the hub.
    """
    with hub_import():
        from huggingface_hub import constants, utils
    logging: Any = utils.logging
    logging.set_verbosity_error()
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or offline or not is_reachable(constants.ENDPOINT)
    try:
        yield not constants.HF_HUB_OFFLINE
    finally:
        constants.HF_HUB_OFFLINE = before


def require_any_model(name: str, *, offline: bool) -> None:
    """Raise ``ModelError`` at once when nothing was ever downloaded and nothing can be: before slow imports.

    Args:
        name: of a model whose repository is not known before its library is imported.
        offline: downloads are forbidden.
    """
    cache = hub_cache()
    if any(cache.glob("models--*")):
        return
    with hub_client(offline) as reached:
        if not reached:
            raise ModelError(
                f"the weights of {name} could not be had without the network: they are not cached",
                where="model.weights",
                remedy=f"Put them into {cache}, as the hub's client lays them out, or give a file.",
            )


def require_model(name: str, *, offline: bool, where: str) -> None:
    """Raise ``ModelError`` at once when a model of the hub, in its revision, is not cached and cannot be downloaded."""
    model, revision = split_revision(name)
    begun = (hub_cache() / f"models--{model.replace('/', '--')}").is_dir()
    if snapshot_folder(name) is not None or (begun and revision is None):  # what of it is there, loading will tell
        return
    with hub_client(offline) as reached:
        if not reached:
            raise unavailable_model(name, missing_from_cache(name), where, reached=False)


def missing_from_cache(name: str) -> str:
    """Return why a model is not in the hub's cache: it is not there at all, or in other revisions only."""
    model, revision = split_revision(name)
    pointers = hub_cache() / f"models--{model.replace('/', '--')}" / "refs"
    known = sorted(file.relative_to(pointers).as_posix() for file in pointers.rglob("*") if file.is_file())
    if revision is None or not known:
        return "it is not cached"
    return f"its revision {revision!r} is not cached; those cached are {', '.join(known)}"


def unavailable_model(name: str, reason: str, where: str, *, reached: bool) -> ModelError:
    """Return the error that says why a model of the hub is not there, and where it belongs."""
    with hub_import():
        from huggingface_hub import constants
    model, revision = split_revision(name)
    page = f"{constants.ENDPOINT}/{model}" + (f"/tree/{revision}" if revision else "")
    pinned = f" --revision {revision}" if revision else ""
    use = "give its file of weights" if where == "model.weights" else "name that folder"
    return ModelError(
        f"{name} could not be had{'' if reached else ' without the network'}: {reason}",
        where=where,
        remedy=f"Fetch {page} (hf download {model}{pinned} --local-dir DIR) and {use}, or copy a cache that holds it "
        f"to {hub_cache()}.",
    )


def is_reachable(endpoint: str) -> bool:
    """Tell within ``CONNECT_SECONDS`` whether the host of an address answers."""
    if getproxies():
        return True  # only the proxy knows
    place = urlsplit(endpoint)
    connected = threading.Event()

    def connect() -> None:
        with suppress(OSError):
            socket.create_connection((place.hostname or "", place.port or 443), timeout=CONNECT_SECONDS).close()
            connected.set()

    # A thread, since looking a name up takes no timeout and can hang for minutes.
    attempt = threading.Thread(target=connect, daemon=True)
    attempt.start()
    attempt.join(CONNECT_SECONDS)
    return connected.is_set()


def list_cached_models() -> list[str]:
    """Return the names of models whose branch ``main`` is in the hub's cache with a file of weights, sorted."""
    models = []
    for folder in sorted(hub_cache().glob("models--*")):
        name = folder.name.removeprefix("models--").replace("--", "/")
        snapshot = snapshot_folder(name)
        if snapshot is not None and any(snapshot.glob("*.safetensors")):
            models.append(name)
    return models
