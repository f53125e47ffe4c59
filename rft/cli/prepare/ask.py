"""Questions on a terminal: options are numbered, and an answer is a number or a name."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from rft.cli.app import out
from rft.starter.tables.columns import Guess


class TerminalAsker:
    """Asks on the terminal that runs the command, until the answer is one of the options."""

    def choose_one(
        self, question: str, options: Sequence[Guess], *, default: str | None, none: str | None
    ) -> str | None:
        """Return the option that was chosen; None for the answer that ``none`` stands for, where it may be given."""
        listed = [*options, *([Guess(none, "")] if none else [])]
        names = [option.value for option in listed]
        usual = default if default is not None else none
        _list_options(question, listed, [usual] if usual else [])
        while True:
            answer = _read_answer("Number or name", default=usual, show_default=usual is not None)
            chosen = _find_option(answer, names)
            if chosen is not None:
                return None if chosen == none and names.index(chosen) == len(options) else chosen
            out.say(f"{answer} is none of these.")

    def choose_several(self, question: str, options: Sequence[Guess], *, default: Sequence[str]) -> tuple[str, ...]:
        """Return the options that were chosen, in their order; nothing is an answer, too."""
        _list_options(question, options, default)
        names = [option.value for option in options]
        usual = ", ".join(default) or "none"
        while True:
            answer = _read_answer("Numbers or names, separated by commas, or none", default=usual)
            words = [word.strip() for word in answer.split(",") if word.strip()]
            chosen = [] if answer.strip() == "none" else [_find_option(word, names) for word in words]
            if None not in chosen:
                return tuple(name for name in names if name in chosen)
            out.say(f"{words[chosen.index(None)]} is none of these.")

    def enter_text(self, question: str, *, default: str) -> str:
        """Return what was typed; ``default`` for nothing."""
        return _read_answer(question, default=default, show_default=bool(default)).strip()


def _read_answer(text: str, *, default: str | None, show_default: bool = True) -> str:
    """Return what was typed; raises ``KeyboardInterrupt`` for Ctrl-C, and where nothing comes any more."""
    try:
        answer: str = typer.prompt(text, default=default, show_default=show_default)
    except typer.Abort:
        raise KeyboardInterrupt from None
    return answer


def _list_options(question: str, options: Sequence[Guess], default: Sequence[str]) -> None:
    """Print a question and its options with their reasons, a line each, the usual ones marked."""
    out.say(question, style="bold")
    for number, option in enumerate(options, 1):
        reason = f"  ({option.reason})" if option.reason else ""
        out.say(f" {'*' if option.value in default else ' '} {number}  {option.value}{reason}")


def _find_option(answer: str, options: Sequence[str]) -> str | None:
    """Return the option that an answer means: its name, which wins over a number, or its number."""
    word = answer.strip()
    if word in options:
        return word
    return options[int(word) - 1] if word.isascii() and word.isdigit() and 1 <= int(word) <= len(options) else None
