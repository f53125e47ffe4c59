"""The model hub: whether it may and can be reached, and where what was downloaded lies."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from rft.errors import ModelError

CONNECT_SECONDS = 2
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


@contextmanager
def hub(offline: bool) -> Iterator[bool]:
    """Keep the hub's client quiet, and off the network when asked or when there is none; yield whether it may be used.

    Left to itself, the client tries for a minute and a half before it says that it cannot reach the hub.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or offline or not reachable(constants.ENDPOINT)
    try:
        yield not constants.HF_HUB_OFFLINE
    finally:
        constants.HF_HUB_OFFLINE = before


def require_weights(name: str, *, offline: bool) -> None:
    """Raise ``ModelError`` at once when nothing was ever downloaded and nothing can be: before slow imports."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    if any(cache.glob("models--*")):
        return
    with hub(offline) as reached:
        if not reached:
            raise ModelError(
                f"the weights of {name} could not be had without the network: they are not cached",
                where="model.weights",
                remedy=f"Put them into {cache}, as the hub's client lays them out, or give a file.",
            )


def require_model(name: str, *, offline: bool, where: str) -> None:
    """Raise ``ModelError`` at once when nothing of a model of the hub is cached and nothing can be downloaded."""
    from huggingface_hub import constants

    if (Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}").is_dir():
        return
    with hub(offline) as reached:
        if not reached:
            raise not_to_be_had(name, "it is not cached", where, reached=False)


def not_to_be_had(name: str, reason: str, where: str, *, reached: bool) -> ModelError:
    """Return the error that says why a model of the hub is not there, and where it belongs."""
    from huggingface_hub import constants

    return ModelError(
        f"{name} could not be had{'' if reached else ' without the network'}: {reason}",
        where=where,
        remedy=f"Put it into {constants.HF_HUB_CACHE} as the hub's client lays it out, or name its folder.",
    )


def reachable(endpoint: str) -> bool:
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
