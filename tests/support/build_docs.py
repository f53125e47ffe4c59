"""Build the site of docs/ into docs/_build/html, warnings as errors, and see that it loads nothing from elsewhere.

python -m tests.support.build_docs
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from tests.support import ROOT

DOCS = ROOT / "docs"
SITE = DOCS / "_build" / "html"
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
STYLE_ADDRESS = re.compile(r"url\(\s*['\"]?((?:https?:)?//[^)'\"]+)|@import[^;]*?((?:https?:)?//[^;'\"]+)")


class LoadedAddresses(HTMLParser):
    """Collects what a browser loads with a page: scripts, styles and images, but not what links lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag in LOADED and attributes.get("rel") != "canonical":
            self.addresses.append(attributes.get(LOADED[tag]) or "")


def list_foreign_addresses(site: Path) -> Iterator[str]:
    """Yield, as ``file: address``, each thing that a page or style of the site loads from another machine."""
    for page in sorted(site.rglob("*.html")):
        parser = LoadedAddresses()
        parser.feed(page.read_text(encoding="utf-8"))
        for address in parser.addresses:
            if re.match(r"(https?:)?//", address):
                yield f"{page.relative_to(site)}: {address}"
    for style in sorted(site.rglob("*.css")):
        for groups in STYLE_ADDRESS.findall(style.read_text(encoding="utf-8")):
            yield f"{style.relative_to(site)}: {''.join(groups)}"


def build_site() -> int:
    """Return the exit code of the build."""
    options = ["-W", "--keep-going", "-E", "-q", "-b", "html", "-d", str(SITE.parent / "doctrees")]
    command = [sys.executable, "-m", "sphinx", *options, str(DOCS), str(SITE)]
    built = subprocess.run(command, cwd=ROOT, check=False)
    foreign = list(list_foreign_addresses(SITE)) if built.returncode == 0 else []
    for address in foreign:
        print(f"loaded from elsewhere: {address}", file=sys.stderr)
    return built.returncode or int(bool(foreign))


if __name__ == "__main__":
    sys.exit(build_site())
