"""The code blocks and commands of README, docs and examples, as tests read them.

A comment before a block says what a reader need not see: ``<!-- not run: reason -->``, or ``<!-- base: texts -->`` for
a part of a config that goes with texts.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from markdown_it import MarkdownIt

from rft.cli.main import app
from tests.support import ROOT

PAGES = sorted(
    path
    for pattern in ("README.md", "docs/**/*.md", "examples/*/README.md")
    for path in ROOT.glob(pattern)
    if "_build" not in path.parts
)
MARKER = re.compile(r"<!-- (?P<kind>not run|base): (?P<says>.+?) -->")
FILE_NAME = re.compile(r"# (?P<name>[\w./-]+\.(?:toml|py))$")
INLINE = re.compile(r"rft [a-z-]+ (?=.*(--|[A-Z./]))")
OPERATORS = {"|", "||", "&&", ";", ">", ">>", "<", "<(", ")", "&"}


@dataclass(frozen=True)
class Snippet:
    """A code block of a page.

    Attributes:
        page: relative to the root, as ``docs/report.md``.
        line: its first line in the page.
        language: of the fence; ``sh`` for indented commands.
        text: its content.
        not_run: why it is not run; empty where it is.
        base: what a part of a config goes with.
    """

    page: str
    line: int
    language: str
    text: str
    not_run: str = ""
    base: str = "images"

    @property
    def file(self) -> str | None:
        """The file that it is, where its first line is a comment with a name: ``# audit.toml``."""
        named = FILE_NAME.match(self.text.partition("\n")[0])
        return named["name"] if named else None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def list_snippets(page: Path) -> Iterator[Snippet]:
    """Yield the code blocks of a page in their order; those that are directives of the site are none."""
    marker = None
    for token in MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8")):
        if token.type == "html_block":
            marker = MARKER.search(token.content)
        elif token.type in ("fence", "code_block"):
            language = token.info.strip() if token.type == "fence" else "sh"
            says = {marker["kind"]: marker["says"]} if marker else {}
            line = (token.map or [0])[0] + 1
            if not language.startswith("{"):
                place = page.relative_to(ROOT).as_posix()
                yield Snippet(place, line, language, token.content, says.get("not run", ""), says.get("base", "images"))
            marker = None


def list_inline_commands(page: Path) -> Iterator[str]:
    """Yield the commands of rft that stand within sentences and tables with an option, a file or ``RUN``."""
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")):
        for child in token.children or ():
            if child.type == "code_inline" and INLINE.match(child.content):
                yield child.content


def list_commands(script: str) -> Iterator[list[str]]:
    """Yield the words of each simple command of a script, without redirections and what pipes lead to."""
    joined = script.replace("\\\n", " ")
    for line in joined.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
        lexer.whitespace_split = True
        command: list[str] = []
        skip = False
        for word in lexer:
            if word in OPERATORS or set(word) <= set("();<>|&"):
                skip = word[0] in "<>" and "(" not in word
                if command and not skip:
                    yield command
                    command = []
            elif skip:
                skip = False
            else:
                command.append(word)
        if command:
            yield command


def check_rft_command(words: list[str]) -> None:
    """Raise where a command line of rft has a command, an option or a number of arguments that it does not take."""
    command, parser = _find_command(words)
    values, rest, _ = parser.parse_args(words[2:])
    assert not rest, f"{' '.join(words)}: {rest} are more than it takes"
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    missing = [argument.name for argument in arguments if argument.required and not values.get(argument.name)]
    assert not missing, f"{' '.join(words)}: {missing} missing"


def check_rft_options(words: list[str]) -> None:
    """Raise where a command that a sentence names does not exist, or has no option of a name in it."""
    command, _ = _find_command(words)
    known = {name for parameter in command.params for name in parameter.opts}
    unknown = [word for word in words[2:] if word.startswith("--") and word not in known]
    assert not unknown, f"{' '.join(words)}: no such option: {unknown}"


def _find_command(words: list[str]) -> tuple[Any, Any]:
    group: Any = typer.main.get_command(app)
    with group.make_context("rft", [], resilient_parsing=True) as context:
        command = group.get_command(context, words[1])
        assert command is not None, f"rft has no command {words[1]}"
        with command.make_context(words[1], [], parent=context, resilient_parsing=True) as inner:
            return command, command.make_parser(inner)
