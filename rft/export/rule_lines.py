"""The lines of a TOML file on which its rules begin."""

from __future__ import annotations

from pathlib import Path

from rft.config.loader import load_policy
from rft.config.rule_places import list_rule_lines
from rft.errors import ConfigError
from rft.records import Verdict
from rft.verdict.policy import write_rule

CONFIG = "audit.toml"


def find_rule_lines(file: Path) -> dict[str, int]:
    """Return each rule in words, as a verdict has it -> the line on which its ``[[policy]]`` stands, from 1.

    Nothing where the rules are not written with such lines, or something that looks like one is a part of a text.

    Raises:
        ConfigError: the file cannot be read, or holds no rules.
    """
    rules = load_policy(file)
    headers = list_rule_lines(file, len(rules))
    if not headers:
        return {}
    # Reversed, so that of two rules alike the first counts.
    return {write_rule(rule): number for rule, number in reversed(list(zip(rules, headers, strict=True)))}


def find_lines_if_there(file: Path) -> dict[str, int]:
    """Return what ``find_rule_lines`` does, and nothing where the file cannot be read or holds no rules."""
    try:
        return find_rule_lines(file)
    except ConfigError:
        return {}


def name_policy_file(verdict: Verdict) -> str:
    """Return the name of the file in which the rules of a verdict stand: the config, or what was applied later."""
    name, applied, _ = verdict.source.partition(" (sha256 ")
    return name if applied else CONFIG
