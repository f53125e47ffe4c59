"""A page as PDF: printed by a Chromium that is installed, else laid out by WeasyPrint.

The browser runs without network, in a profile of its own that is thrown away, and for a limited time. A file is
written whole or not at all.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from rft.errors import OutputError
from rft.report.render.print_sheet import make_static
from rft.report.run_folder.atomic_io import clear_errors, replace_bytes

CHROMIUM_VARIABLE = "RFT_CHROMIUM"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge", "msedge")
PRINT_SECONDS = 120.0
_FLAGS = (
    *("--headless", "--disable-gpu", "--disable-extensions", "--no-first-run", "--no-default-browser-check"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--metrics-recording-only"),
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=http://127.0.0.1:9", "--proxy-bypass-list=<-loopback>"),
    "--no-pdf-header-footer",
)
_REMEDY = f"Install Chromium, or name one by {CHROMIUM_VARIABLE}; or: pip install 'weasyprint>=68'"


def print_pdf(html: str, file: Path, *, seconds: float = PRINT_SECONDS) -> None:
    """Print a page that loads nothing, into a file.

    Args:
        html: the page.
        file: the PDF, which is replaced if it exists.
        seconds: how long a browser may take.

    Raises:
        OutputError: there is neither a browser nor WeasyPrint, it failed, or the file cannot be written.
    """
    with clear_errors(file.parent):
        browser = find_chromium()
        if browser is not None:
            replace_bytes(file, _print_with_chromium(browser, html, file.resolve().parent, seconds))
        elif find_spec("weasyprint") is not None:
            replace_bytes(file, _print_with_weasyprint(html))
        else:
            raise OutputError("no Chromium was found and WeasyPrint is not installed", where="PDF", remedy=_REMEDY)


def find_chromium() -> str | None:
    """Return the path of a browser that prints: what ``RFT_CHROMIUM`` names, else the first that is installed.

    Raises:
        OutputError: the variable names no program.
    """
    named = os.environ.get(CHROMIUM_VARIABLE)
    if named:
        path = shutil.which(named)
        if path is None:
            raise OutputError(f"{named} is no program", where=CHROMIUM_VARIABLE, remedy=_REMEDY)
        return path
    return next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)


def _print_with_chromium(browser: str, html: str, folder: Path, seconds: float) -> bytes:
    # beside the file: browsers that are confined see the folders of the user, and no /tmp
    with tempfile.TemporaryDirectory(prefix="rft-print-", dir=folder, ignore_cleanup_errors=True) as scratch:
        page, printed = Path(scratch, "page.html"), Path(scratch, "page.pdf")
        page.write_text(html, encoding="utf-8", newline="\n")
        command = [browser, *_FLAGS, *_sandbox_flags(), f"--user-data-dir={Path(scratch, 'profile')}"]
        problem = _run_browser([*command, f"--print-to-pdf={printed}", page.as_uri()], seconds)
        content = printed.read_bytes() if printed.is_file() else b""
    if problem or not content.startswith(b"%PDF-") or not content.rstrip().endswith(b"%%EOF"):
        raise OutputError(f"did not print the page ({problem or 'no PDF came out'})", where=browser, remedy=_REMEDY)
    return content


def _sandbox_flags() -> list[str]:
    """Chromium refuses to run as root with its sandbox."""
    return ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []


def _run_browser(command: list[str], seconds: float) -> str:
    """Run a browser and all its processes to their end; return what went wrong, empty if nothing did."""
    output = subprocess.DEVNULL
    try:
        process = subprocess.Popen(command, stdin=output, stdout=output, stderr=output, start_new_session=True)
    except OSError as error:
        return f"it cannot be started: {error.strerror}"
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        return f"it took more than {seconds:g} s"
    finally:
        _kill_group(process)
    return f"exit code {code}" if code else ""


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End what is left of a browser: the processes that it started stay behind one that is killed."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _print_with_weasyprint(html: str) -> bytes:
    try:
        import weasyprint
        from weasyprint.urls import URLFetcher

        fetcher = URLFetcher(allowed_protocols=["data"])
        content = weasyprint.HTML(string=make_static(html), url_fetcher=fetcher).write_pdf()
    except Exception as error:  # of a layout engine, whatever it raises: there is no PDF
        problem = f"did not print the page ({type(error).__name__})"
        raise OutputError(problem, where="WeasyPrint", remedy=_REMEDY) from error
    return bytes(content)
