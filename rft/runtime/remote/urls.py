"""URLs of files on object stores: which are taken, what is refused before anything is opened, and how they join.

Only plain URLs of the protocols below are taken. A chain such as ``simplecache::s3://`` would write copies that nobody
removes, and what stands before ``@`` or after ``?`` is a password or a signature, which a report would show.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

PROTOCOLS = ("s3", "gs", "file")
EXAMPLE = "s3://bucket/folder/file.csv"
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*(?:::[A-Za-z0-9+.-]*)*)://(.*)", re.DOTALL)


@dataclass(frozen=True)
class Url:
    """Where a file or folder is: ``s3://bucket/folder/file``.

    Attributes:
        protocol: one of ``PROTOCOLS``.
        path: what follows ``://``: a bucket and a name in it, or of ``file`` an absolute path.
    """

    protocol: str
    path: str

    def __str__(self) -> str:
        return f"{self.protocol}://{self.path}"

    @property
    def is_local(self) -> bool:
        """Whether it is a path of this machine, which no network is needed for."""
        return self.protocol == "file"

    @property
    def name(self) -> str:
        """The last part of the path."""
        return posixpath.basename(self.path)

    @property
    def parent(self) -> Url:
        """The folder that it lies in."""
        return Url(self.protocol, posixpath.dirname(self.path))

    @property
    def bucket(self) -> str:
        """The part of the path that access is granted to; of ``file`` there is none."""
        return "" if self.is_local else self.path.partition("/")[0]

    @property
    def short_name(self) -> str:
        """The file and the folder it is in, as ``rft.data.file_source.short_path`` shows paths."""
        return f"{self.parent.name}/{self.name}"

    def join(self, *names: str) -> Url:
        """Return the place of a name, or of a name in folders, in this folder."""
        return Url(self.protocol, posixpath.join(self.path, *names))

    def locate(self, name: str) -> Url:
        """Return the place of a path or URL that a table names, which is relative to this folder.

        Raises:
            ValueError: it is an absolute path, it leads out of the bucket, or ``parse_url`` refuses it.
        """
        named = parse_url(name)
        if named is None:
            if name.startswith("/"):
                raise ValueError(f"expected a path relative to {self}, or a URL, not an absolute path")
            named = Url(self.protocol, posixpath.normpath(posixpath.join(self.path, name)))
        if (named.protocol, named.bucket) != (self.protocol, self.bucket):
            raise ValueError(f"leads out of {self.protocol}://{self.bucket}, where the config says that files are")
        return named


def parse_url(text: str) -> Url | None:
    """Return the URL that a text is; None where it is none, but a path.

    Raises:
        ValueError: a URL that is not taken; the message shows nothing that may be secret.

    >>> str(parse_url("s3://bucket/photos/1.png").parent)
    's3://bucket/photos'
    >>> parse_url("photos/1.png") is None
    True
    """
    match = _URL.fullmatch(text)
    if match is None:
        return None
    protocol, path = match[1].lower(), match[2]
    if "::" in text:
        raise ValueError(f"expected a plain URL such as {EXAMPLE}, not a chain of protocols")
    if protocol not in PROTOCOLS:
        raise ValueError(f"expected a path, or a URL that begins with {_list_starts()}, not with {protocol}://")
    if "@" in path.partition("/")[0]:
        raise ValueError("expected a URL without a name or password: credentials are taken from the environment")
    if not path.isprintable() or set(path) & set("?#"):
        raise ValueError("expected a URL without ?, # and control characters: a signature would stand in the report")
    if ".." in path.split("/"):
        raise ValueError("expected a URL without ..")
    if path.startswith("/") is not (protocol == "file") or not path.strip("/"):
        raise ValueError(f"expected a URL such as {EXAMPLE}, or file:///folder/file.csv")
    return Url(protocol, posixpath.normpath(path))


def _list_starts() -> str:
    *first, last = [f"{protocol}://" for protocol in PROTOCOLS]
    return f"{', '.join(first)} or {last}"
