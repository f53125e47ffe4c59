"""Every block and command of README, docs and examples: checked here, and run in ``test_pages_run``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rft.config.loader import load_config, load_policy
from rft.plugins import discover_plugins
from tests.support import ROOT
from tests.support.snippets import (
    PAGES,
    Snippet,
    check_rft_command,
    check_rft_options,
    list_commands,
    list_inline_commands,
    list_snippets,
)
from tests.test_reference_pages import list_patterns

SNIPPETS = [snippet for page in PAGES for snippet in list_snippets(page)]
LANGUAGES = {"sh", "toml", "python", "yaml", "text", "mermaid"}
SHOWN_ONLY = {"text", "mermaid"}  # layouts of files, and the drawing that a test of its own holds against the imports
MOST_NOT_RUN = 5
# What a part of a config goes with, by the tables that it lacks.
BASES: dict[str, dict[str, Any]] = {
    "images": {
        "data": {
            "manifest": "faces.csv",
            "image": "file",
            "label": "smiling",
            "positive": "smiling",
            "groups": ["gender", "ethnicity", "department"],
            "split": "split",
        },
        "model": {"backbone": "torchvision/resnet18", "weights": "random"},
    },
    "texts": {
        "data": {"manifest": "comments.csv", "text": "comment", "label": "recommended", "split": "split"},
        "model": {"backbone": "transformers/bert-base-uncased"},
    },
    "recordings": {
        "data": {"manifest": "clips.csv", "audio": "file", "label": "word", "split": "split"},
        "model": {"backbone": "transformers/openai/whisper-base"},
    },
}


def blocks_of(*languages: str) -> list[Any]:
    return [pytest.param(snippet, id=str(snippet)) for snippet in SNIPPETS if snippet.language in languages]


def test_every_block_has_a_language_and_few_are_not_run() -> None:
    assert [str(snippet) for snippet in SNIPPETS if snippet.language not in LANGUAGES] == []
    not_run = {str(snippet): snippet.not_run for snippet in SNIPPETS if snippet.not_run}
    assert len(not_run) <= MOST_NOT_RUN, not_run
    assert all(len(reason) > 20 for reason in not_run.values())
    counts = {language: sum(snippet.language == language for snippet in SNIPPETS) for language in LANGUAGES}
    assert counts["sh"] > 20
    assert counts["toml"] > 15
    assert counts["python"] > 5


def write_toml(tables: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the lines of a config with the tables of a snippet and those of its base."""
    lines = [f"{key} = {write_value(value)}" for key, value in tables.items() if not is_table(value)]
    yield from ([f"[{prefix}]"] if prefix else []) + lines
    for key, value in tables.items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(value, dict):
            yield from write_toml(value, name)
        elif is_table(value):
            for table in value:
                yield from [f"[[{name}]]", *list(write_toml(table))]


def is_table(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def write_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(write_value, value))}]"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' if isinstance(value, str) else repr(value)


def complete_config(tables: dict[str, Any], base: str) -> dict[str, Any]:
    """Return the config that a part of one stands in: a table that says where the data is stays as it is."""
    base_tables = BASES[base]
    given = tables.get("data", {})
    if not {"manifest", "folder"} & given.keys() and "predictions" not in tables:
        given = base_tables["data"] | given
    model = {} if {"model", "predictions"} & tables.keys() else {"model": base_tables["model"]}
    return {**model, **tables, "data": given}


@pytest.mark.parametrize("snippet", blocks_of("toml"))
def test_a_config_is_accepted(snippet: Snippet, tmp_path: Path) -> None:
    tables = tomllib.loads(snippet.text)
    path = tmp_path / "audit.toml"
    if snippet.file == "pyproject.toml":
        (target,) = tables["project"]["entry-points"]["rft.plugins"].values()
        assert re.fullmatch(r"\w+:\w+", target)
        return
    check_policy(snippet, tables, path)
    if set(tables) == {"policy"}:
        return
    registered = discover_plugins()
    others = {name for name in tables if name == "closecalls"}  # the plugin of docs/plugins.md, which runs there
    config = complete_config({name: table for name, table in tables.items() if name not in others}, snippet.base)
    path.write_text("\n".join(write_toml(config)), encoding="utf-8")
    loaded = load_config(path, [], {name: entry.plugin.options for name, entry in registered.items()})
    for name, options in loaded.plugins.items():
        registered[name].plugin.check(options, loaded.core.data)
        assert all(getattr(loaded.core.data, key) for key in registered[name].plugin.needs_for(loaded.core.task)), name


def check_policy(snippet: Snippet, tables: dict[str, Any], path: Path) -> None:
    """Hold the rules of a snippet against the reference: a finding of that name can be stated."""
    if rules := tables.get("policy"):
        path.write_text(snippet.text, encoding="utf-8")
        assert len(load_policy(path)) == len(rules)
        patterns = [*list_patterns().values(), re.compile(r"change\..+|closecalls\.share")]
        for rule in rules:
            assert any(pattern.fullmatch(rule["finding"]) for pattern in patterns), rule


def list_scripts() -> Iterator[Any]:
    """Yield the blocks for a shell, and those in YAML."""
    for snippet in SNIPPETS:
        if snippet.language == "sh":
            yield pytest.param(snippet.text, id=str(snippet))
        elif snippet.language == "yaml":
            for number, script in enumerate(list_runs(yaml.safe_load(snippet.text)), 1):
                yield pytest.param(script, id=f"{snippet}, run {number}")


def list_runs(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        yield from (content["run"],) if isinstance(content.get("run"), str) else ()
        content = list(content.values())
    for inner in content if isinstance(content, list) else ():
        yield from list_runs(inner)


@pytest.mark.parametrize("script", [*list_scripts()])
def test_commands_exist_with_their_options(script: str) -> None:
    commands = list(list_commands(script))
    assert commands
    for words in commands:
        if words[0] == "rft":
            check_rft_command(words)
        if words[:2] == ["pip", "install"]:
            check_extras(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_within_sentences_exist_with_their_options(page: Path) -> None:
    for command in list_inline_commands(page):
        check_rft_options(command.split())


def check_extras(words: list[str]) -> None:
    """Hold the extras of a pip command against those of this project."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for word in words:
        if named := re.fullmatch(r"(?:\.|rft)\[([\w,-]+)\]", word):
            assert set(named[1].split(",")) <= project["optional-dependencies"].keys(), word


@pytest.mark.parametrize(
    "wrong",
    ["rft audt audit.toml", "rft audit audit.toml --outt x", "rft compare runs/a", "rft verify RUN more"],
)
def test_a_wrong_command_is_found(wrong: str) -> None:
    with pytest.raises(Exception, match=r"no command|[Nn]o such option|missing|more than it takes"):
        check_rft_command(wrong.split())


def test_commands_are_taken_out_of_a_script() -> None:
    script = 'rft a "b c" > out.csv  # why\nx=1 && rft d | jq -e \'.[] != "p"\'\ndiff <(rft e) f || exit 3\n'
    assert [words for words in list_commands(script) if words[0] == "rft"] == [
        ["rft", "a", "b c"],
        ["rft", "d"],
        ["rft", "e"],
    ]


@pytest.mark.parametrize("snippet", blocks_of("python"))
def test_python_is_python(snippet: Snippet) -> None:
    compile(snippet.text, str(snippet), "exec")
