"""``rft cache``: what the cache of features holds, whether it is whole, and room in place of old features."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rft.cli.app import Debug, out, report_errors
from rft.cli.output import CommandResult
from rft.errors import ConfigError, EvidenceError
from rft.number_format import format_bytes, format_date

if TYPE_CHECKING:
    from rft.features.cached_prefixes import CachedPrefix

SHOWN_OF_KEY = 12  # characters


class CacheAction(StrEnum):
    """What ``rft cache`` does."""

    LIST = "list"
    VERIFY = "verify"
    PRUNE = "prune"


def cache(
    action: Annotated[
        CacheAction,
        typer.Argument(
            help="list: what is kept, the last used first. verify: read all of it, and remove what is damaged. "
            "prune: remove what was used longest ago, and nothing that a running audit uses."
        ),
    ],
    to: Annotated[
        str | None, typer.Option("--to", metavar="SIZE", help="For prune: what may be left at most, such as 10GB.")
    ] = None,
    debug: Debug = False,
) -> CommandResult:
    """Look after the cache of features, in $RFT_CACHE: verify ends with 4 where shards are damaged."""
    with report_errors(debug):
        if (to is None) == (action is CacheAction.PRUNE):
            raise ConfigError(f"{'is missing' if to is None else 'is for prune alone'}", where="--to")
        from rft.runtime.cache_folder import cache_folder

        root = cache_folder()
        if to is not None:
            return _prune_prefixes(root, to)
        return _verify_shards(root) if action is CacheAction.VERIFY else _list_prefixes(root)


def _list_prefixes(root: Path) -> CommandResult:
    from rft.features.cached_prefixes import list_cached_prefixes

    prefixes = list_cached_prefixes(root)
    size = sum(prefix.size for prefix in prefixes)
    out.say(f"{format_bytes(size)} in {root}")
    rows = [_show_prefix(prefix) for prefix in prefixes]
    if rows:
        out.table(["features", "files", "size", "last used"], rows, numeric=[False, True, True, False])
    return CommandResult(
        {"folder": str(root), "bytes": size, "prefixes": [_describe_prefix(prefix) for prefix in prefixes]}
    )


def _verify_shards(root: Path) -> CommandResult:
    from rft.features.cached_prefixes import verify_cache

    checked, damaged = 0, []
    for prefix, names in verify_cache(root):
        checked += prefix.files
        damaged += [f"{prefix.key}/{name}" for name in names]
    content: dict[str, object] = {"folder": str(root), "checked": checked, "damaged": damaged}
    if not damaged:
        out.say(f"All {checked:,} files of features in {root} are whole.")
        return CommandResult(content)
    sentence = (
        f"{len(damaged):,} of {checked:,} files of features were damaged and are removed; the next audit that needs "
        "them computes them again"
    )
    out.say(f"{sentence}.")
    return CommandResult(content, EvidenceError.exit_code, (sentence,))


def _prune_prefixes(root: Path, to: str) -> CommandResult:
    from rft.config.tables.model import read_memory
    from rft.features.cached_prefixes import prune_cache

    try:
        most = read_memory(to)
    except ValueError as error:
        raise ConfigError(str(error), where="--to") from None
    pruned = prune_cache(root, most)
    freed = sum(prefix.size for prefix in pruned.removed)
    out.say(f"Removed: {format_bytes(freed)}. Left: {format_bytes(pruned.size)} in {root}.")
    if pruned.in_use and pruned.size > most:
        out.say(f"More than {to} is left: {len(pruned.in_use)} of what was next are in use by running audits.")
    content: dict[str, object] = {
        "folder": str(root),
        "bytes": pruned.size,
        "removed": [_describe_prefix(prefix) for prefix in pruned.removed],
        "in_use": [prefix.key for prefix in pruned.in_use],
    }
    return CommandResult(content)


def _show_prefix(prefix: CachedPrefix) -> list[str]:
    size = format_bytes(prefix.size)
    return [prefix.key[:SHOWN_OF_KEY], f"{prefix.files:,}", size, format_date(_show_time(prefix))]


def _describe_prefix(prefix: CachedPrefix) -> dict[str, object]:
    """Return the features of a key for programs."""
    return {"key": prefix.key, "files": prefix.files, "bytes": prefix.size, "last_used": _show_time(prefix)}


def _show_time(prefix: CachedPrefix) -> str:
    return datetime.fromtimestamp(prefix.last_used, UTC).isoformat(timespec="seconds")
