"""An S3 server on this machine, and what a test puts on it: https://docs.getmoto.org/en/latest/docs/server_mode.html"""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BUCKET = "bucket"
CLOSED_PORT = "http://127.0.0.1:9"  # of the discard service, which nobody runs


@contextmanager
def serve_bucket() -> Iterator[str]:
    """Serve an empty bucket within this context; give the URL of the server, which the environment names too."""
    import fsspec
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            patch.setenv(name, value)
        forget_connections()
        # What a server before this one held is kept by the process.
        urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
        fsspec.filesystem("s3").mkdir(BUCKET)
        try:
            yield f"http://{host}:{port}"
        finally:
            forget_connections()
            server.stop()


def forget_connections() -> None:
    """Have the next access read endpoint and credentials from the environment anew."""
    import fsspec

    fsspec.get_filesystem_class("s3").clear_instance_cache()


def put_folder(folder: Path, url: str) -> None:
    """Put the files of a folder, at any depth, to a URL."""
    import fsspec

    store = fsspec.filesystem("s3")
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.put_file(str(path), f"{url}/{path.relative_to(folder).as_posix()}")
