"""Every block of README and docs is run, page by page and in order, on small data under the names of the pages."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.snippet_stage import prepare_commands, run_snippet, write_stage
from tests.support.snippets import PAGES, Snippet, list_snippets

RUN_LANGUAGES = {"sh", "python", "toml"}
# Examples are run by tests/runs/test_examples.py, with their own data.
PAGES_WITH_CODE = [
    page
    for page in PAGES
    if "examples" not in page.parts
    and any(snippet.language in {"sh", "python"} and not snippet.not_run for snippet in list_snippets(page))
]
# What a page takes for granted: a reviewer has the signature and the public key; who begins has no config.
BEFORE = {
    "docs/journeys/reviewer.md": ["rft sign --new-key audit.key", "rft sign RUN --key audit.key"],
    "docs/quickstart.md": ["rm audit.toml"],
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, nothing_of_the_users: Path) -> Path:
    """Return the folder that each page gets a copy of."""
    folder = tmp_path_factory.mktemp("stage")
    write_stage(folder)
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("shared_keys")
@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_blocks_of_a_page_run(page: Path, template: Path, tmp_path: Path) -> None:
    stage = tmp_path / "stage"
    shutil.copytree(template, stage)
    environment = prepare_commands(stage)
    for command in BEFORE.get(page.relative_to(ROOT).as_posix(), []):
        assert run_snippet(Snippet("before", 0, "sh", command), stage, environment) == []
    snippets = [snippet for snippet in list_snippets(page) if snippet.language in RUN_LANGUAGES and not snippet.not_run]
    assert snippets
    for snippet in snippets:
        assert run_snippet(snippet, stage, environment) == [], str(snippet)
